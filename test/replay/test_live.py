"""A live topic as the source of a replay."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.replay import live
from face_recognition_ros.replay.live import TopicSource
from face_recognition_ros.replay.session import limited
from face_recognition_ros.replay.sources import open_source

DOMAIN = str(1 + (os.getpid() + 10) % 100)


class Camera:
    """Publishes numbered images until it is stopped."""

    def __init__(self) -> None:
        self._context = Context()
        self._context.init(domain_id=int(DOMAIN))
        self._node = Node("camera", context=self._context)
        self._publisher = self._node.create_publisher(Image, "/camera/image_raw", qos_profile_sensor_data)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Camera":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.02):
            number += 1
            message: Any = bgr_message(Header(frame_id="camera"), np.full((48, 64, 3), number % 256, np.uint8))
            message.header.stamp.sec = number
            if number % 10 == 0:
                message.step = 1
            self._publisher.publish(message)


@pytest.fixture(autouse=True)
def domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", DOMAIN)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera() as running:
        yield running


def test_images_come_with_their_stamps_and_broken_ones_with_a_sentence(camera: Camera) -> None:
    with open_source("topic:/camera/image_raw") as source:
        frames = list(limited(source.frames(), 25, None))
    stamps = [frame.stamp_ns // 1_000_000_000 for frame in frames]
    assert len(frames) == 25
    assert stamps == sorted(set(stamps))
    assert {frame.frame_id for frame in frames} == {"camera"}
    broken = [frame for frame in frames if frame.picture is None]
    assert broken
    assert all("has a step of 1 bytes" in frame.problem for frame in broken)
    for frame, stamp in zip(frames, stamps, strict=True):
        assert frame.picture is None or frame.picture[0, 0, 0] == stamp % 256


def test_a_silent_topic_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.5)
    with (
        TopicSource("/nobody") as source,
        pytest.raises(FaceRecognitionError, match=r"nothing came on /nobody.*ros2 topic info"),
    ):
        list(source.frames())


def test_images_that_come_too_fast_are_counted(monkeypatch: pytest.MonkeyPatch, camera: Camera) -> None:
    monkeypatch.setattr(live, "WAITING", 1)
    problem = ""
    with TopicSource("/camera/image_raw") as source:
        for frame in source.frames():
            if "came too fast and were dropped" in frame.problem:
                problem = frame.problem
                break
            threading.Event().wait(0.1)  # slower than the camera
    assert problem.startswith("/camera/image_raw: ")
