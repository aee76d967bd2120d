"""Whatever comes as a compressed image over ROS: the node goes on, says each kind of fault once, answers the next."""

import array
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs.msg import FaceIdentities
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.testing.node_client import stamp_of

from .helpers import WARN, all_settled, counts, diagnosed
from .test_message_fuzz import compressed_images

EILEEN = "Eileen Collins"
PAUSE = 0.01
"""Seconds between messages, as of images that come faster the node leaves out some."""


class CompressedCamera:
    """Publishes compressed images to the node."""

    def __init__(self, robot: Any) -> None:
        self._robot = robot
        self._images = robot.node.create_publisher(CompressedImage, "image/compressed", qos_profile_sensor_data)
        robot.wait_until(self._images.get_subscription_count, "a node that subscribes to image/compressed")

    def show(self, data: bytes) -> FaceIdentities:
        """The answer to an image, which is published until it comes."""
        message = CompressedImage(header=self._robot.next_header(), format="jpeg", data=array.array("B", data))

        def answer() -> Any:
            self._images.publish(message)
            return self._robot.answers.get(stamp_of(message))

        return self._robot.wait_until(answer, "an answer to a compressed image")

    def send(self, messages: Sequence[CompressedImage]) -> None:
        """Publishes them, again and again until the node has looked at as many."""
        before = self._looked_at()

        def done() -> bool:
            for message in messages:
                self._images.publish(message)
                self._robot.spin_until(time.monotonic() + PAUSE)
            return self._looked_at() >= before + len(messages)

        self._robot.wait_until(done, f"{len(messages)} messages that were looked at")

    def _looked_at(self) -> int:
        images = counts(self._robot, all_settled)
        return images["received"] - images["dropped"]


@pytest.fixture(scope="module")
def node(
    robot: Any, start_node: Callable[..., Any], astronaut_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """An active node that takes compressed images and knows Eileen Collins."""
    process = start_node(tmp_path_factory.mktemp("gallery") / "gallery.sqlite3", image_transport="compressed")
    robot.wait_for_state("active")
    picture = bgr_message(Header(), read_picture(astronaut_path))
    status, result = robot.send_goal(name=EILEEN, images=[picture]).result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message
    return process


@pytest.fixture(scope="module")
def camera(robot: Any, node: Any) -> CompressedCamera:
    return CompressedCamera(robot)


GOOD_JPEG, GOOD_PNG = (
    cv2.imencode(suffix, np.full((24, 32, 3), 99, np.uint8))[1].tobytes() for suffix in (".jpg", ".png")
)
BROKEN = {
    "nothing": (b"", "without data"),
    "text": (b"no picture at all", "cannot be decoded; JPEG or PNG is expected"),
    "JPEG cut short": (GOOD_JPEG[:-2], "is cut short: it has no end marker"),
    "PNG cut short": (GOOD_PNG[:-40], "cannot be decoded; they are damaged"),
    "PNG of no pixels": (GOOD_PNG[:16] + bytes(8) + GOOD_PNG[24:], "an image of 0x0 pixels; each side must be"),
    "PNG of 2^64 pixels": (
        GOOD_PNG[:16] + b"\xff" * 8 + GOOD_PNG[24:],
        "4294967295x4294967295 pixels; each side must be",
    ),
}


@pytest.mark.parametrize(("data", "sentence"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_picture_is_refused_with_a_sentence(
    robot: Any, node: Any, camera: CompressedCamera, astronaut_path: Path, data: bytes, sentence: str
) -> None:
    camera.send([CompressedImage(format="jpeg", data=array.array("B", data))] * 5)
    diagnosed(robot, WARN, sentence)
    assert camera.show(astronaut_path.read_bytes()).faces


@settings(
    max_examples=12,
    phases=[Phase.generate],  # what fails is not made smaller: every try takes seconds
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)
@given(messages=st.lists(compressed_images(), min_size=20, max_size=30))
def test_garbage_costs_a_sentence_and_the_next_good_image_is_answered(
    robot: Any, node: Any, camera: CompressedCamera, astronaut_path: Path, messages: list[CompressedImage]
) -> None:
    camera.send(messages)
    assert counts(robot, all_settled)["failed"] == 0, "refused with a reason, and not by an error that nobody expected"
    good = astronaut_path.read_bytes()
    assert [camera.show(good) for _ in range(3)][-1].faces[0].name == EILEEN
    sentences = Counter(
        re.sub(r"\d+", "", line.partition("Images are refused")[2])
        for line in node.output.splitlines()
        if "Images are refused" in line
    )
    assert set(sentences.values()) <= {1}, "each kind is said once"
    assert max(map(len, node.output.splitlines())) < 2000
    assert "Traceback" not in node.output
