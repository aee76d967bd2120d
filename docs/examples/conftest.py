"""Pictures and a bag for test_my_robot.py. Yours come from your robot; these are made from public-domain portraits."""

# Imported first: the ROS wheels restart the program on their import, which must not repeat anything done before.
from rclpy.serialization import serialize_message  # isort: skip

from pathlib import Path

import matplotlib
import pytest
import skimage
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import read_picture


@pytest.fixture(scope="session")
def people() -> dict[str, Path]:
    """Whom the robot knows. Yours: a folder such as Path("people"), with NAME.jpg or NAME/*.jpg for each."""
    return {
        "Eileen Collins": Path(skimage.__file__).parent / "data" / "astronaut.png",
        "Grace Hopper": Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg",
    }


@pytest.fixture(scope="session")
def visit(people: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of two seconds in which one person is before the camera. Yours: Path("bags/visit")."""
    picture = read_picture(people["Eileen Collins"])
    bag = tmp_path_factory.mktemp("bags") / "visit"
    with Writer(bag, version=9) as writer:
        types = get_typestore(Stores.ROS2_JAZZY)
        connection = writer.add_connection("/camera/color/image_raw", "sensor_msgs/msg/Image", typestore=types)
        for number in range(20):
            header = Header(frame_id="camera_color_optical_frame")
            header.stamp.sec, header.stamp.nanosec = 1_700_000_000 + number // 10, number % 10 * 100_000_000
            stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
            writer.write(connection, stamp, serialize_message(bgr_message(header, picture)))
    return bag
