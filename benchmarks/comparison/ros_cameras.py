"""A benchmark's cameras: pictures of faces that sway a little, and nodes that publish and receive them."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from face_recognition_msgs.msg import FaceIdentities
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image

from face_recognition_ros.demo.cast import Portrait
from face_recognition_ros.demo.scenes import FACE_WIDTH, head_and_shoulders
from face_recognition_ros.node.group_thread import GroupThread
from face_recognition_ros.types import ByteArray

FACE_PIXELS = 100.0
"""Width of every face in the pictures."""
DISTINCT_FRAMES = 30
BARE = {"start_parameter_services": False, "enable_rosout": False}
"""Arguments of a node that has nothing but what it is for: rclpy asks each of a node's entities before and after each
callback, which would count as time of the node that is measured."""


def pictures_of(portraits: Sequence[Portrait], size: tuple[int, int], faces: int) -> list[ByteArray]:
    """Pictures with so many faces of FACE_PIXELS side by side, which sway a little; portraits repeat in turn."""
    width, height = size
    crops = [head_and_shoulders(portrait)[0] for portrait in portraits]
    scale = FACE_PIXELS / FACE_WIDTH
    crops = [np.asarray(cv2.resize(c, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8) for c in crops]
    columns = min(faces, 2)
    rows = -(-faces // columns)
    pictures = []
    for frame in range(DISTINCT_FRAMES):
        picture = np.full((height, width, 3), 168, np.uint8)
        for i in range(faces):
            room_x, room_y = width // columns, height // rows
            crop = crops[i % len(crops)][: room_y - 12, : room_x - 12]
            angle = 2 * np.pi * (frame / DISTINCT_FRAMES + i / faces)
            left = (i % columns) * room_x + (room_x - crop.shape[1]) // 2 + round(5 * np.cos(angle))
            top = (i // columns) * room_y + (room_y - crop.shape[0]) // 2 + round(5 * np.sin(angle))
            picture[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        pictures.append(picture)
    return pictures


def image_message(picture: ByteArray) -> Image:
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding="bgr8", step=3 * width)
    message.header.frame_id = "camera_optical_frame"
    message.data.frombytes(picture.data.cast("B"))
    return message


def compressed_message(picture: ByteArray) -> CompressedImage:
    """As JPEG, in OpenCV's usual quality."""
    message = CompressedImage(format="bgr8; jpeg compressed bgr8")
    message.header.frame_id = "camera_optical_frame"
    _, encoded = cv2.imencode(".jpg", picture)
    message.data.frombytes(encoded.data.cast("B"))
    return message


class Source(Node):
    """A camera, with the pictures that it publishes in turn."""

    def __init__(self, topic: str, messages: Sequence[Any]) -> None:
        super().__init__("benchmark_source", namespace=topic.rpartition("/")[0], **BARE)
        self.stamps: list[int] = []
        """Nanoseconds; of what was published."""
        self._messages = messages
        self._publisher = self.create_publisher(type(messages[0]), f"/{topic}", qos_profile_sensor_data)

    @property
    def is_matched(self) -> bool:
        return self._publisher.get_subscription_count() > 0

    def publish(self) -> None:
        """The next picture."""
        message = self._messages[len(self.stamps) % len(self._messages)]
        now = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 1_000_000_000)
        self._publisher.publish(message)
        self.stamps.append(now)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An answer."""

    stamp_ns: int
    """Of its picture."""
    received_ns: int
    """When it was here, by the same clock."""
    faces: int


class Robot(Node):
    """Takes a node's answers, in a thread of its own."""

    def __init__(self, namespace: str) -> None:
        super().__init__("benchmark_robot", namespace=namespace, **BARE)
        self.answers: list[Arrival] = []
        self._thread = GroupThread(self, "answers")
        self.create_subscription(
            FaceIdentities, "face_identities", self._take, QoSProfile(depth=100), callback_group=self._thread.group
        )
        self._thread.start()

    @property
    def sees_node(self) -> bool:
        return self.count_publishers("face_identities") > 0

    def _take(self, message: FaceIdentities) -> None:
        received = time.time_ns()
        self.answers.append(Arrival(stamp_ns(message), received, len(message.faces)))

    def destroy_node(self) -> None:
        self._thread.stop()
        super().destroy_node()


class Sink(Node):
    """Receives pictures and notes how old they are."""

    def __init__(self, topic: str) -> None:
        super().__init__("benchmark_sink", **BARE)
        self.create_subscription(Image, f"/{topic}", self._receive, qos_profile_sensor_data)

    def _receive(self, message: Image) -> None:
        now = time.time_ns()
        stamp = stamp_ns(message)
        print(json.dumps({"stamp_ns": stamp, "latency_ms": (now - stamp) / 1e6}), flush=True)


def stamp_ns(message: Any) -> int:
    """Nanoseconds; of the message's header."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
