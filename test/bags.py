"""Writes the bags that tests play."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from std_msgs.msg import Header, String

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.types import ByteArray

START = 1_700_000_000_000_000_000
"""Stamp of a bag's first image, in nanoseconds."""

PERIOD = 100_000_000
"""Nanoseconds from one image to the next."""


def header_at(index: int, start: int = START) -> Header:
    """Of the image of that index."""
    header = Header(frame_id="camera_optical_frame")
    header.stamp.sec, header.stamp.nanosec = divmod(start + index * PERIOD, 1_000_000_000)
    return header


def write_bag(
    path: Path,
    images: Mapping[str, Sequence[ByteArray]],
    storage: StoragePlugin = StoragePlugin.SQLITE3,
    remarks: Sequence[str] = (),
    start: int = START,
) -> Path:
    """A bag with ten images a second on each topic, and as many remarks on /remarks."""
    types = get_typestore(Stores.ROS2_JAZZY)
    rows = [(i, topic, bgr) for topic, frames in images.items() for i, bgr in enumerate(frames)]
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connections = {
            topic: writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=types) for topic in images
        }
        for index, topic, bgr in sorted(rows, key=lambda row: row[0]):
            data = serialize_message(bgr_message(header_at(index, start), bgr))
            writer.write(connections[topic], start + index * PERIOD, data)
        if remarks:
            connections["/remarks"] = writer.add_connection("/remarks", "std_msgs/msg/String", typestore=types)
        for index, remark in enumerate(remarks):
            writer.write(connections["/remarks"], start + index * PERIOD, serialize_message(String(data=remark)))
    return path
