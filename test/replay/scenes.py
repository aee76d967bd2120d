"""A short film of three portraits in the public domain, and sources of replays that are made of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from face_recognition_ros.types import ByteArray

TYPES = get_typestore(Stores.ROS2_JAZZY)
IMAGE, COMPRESSED, STRING = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "std_msgs/msg/String"
CAMERA = "/camera/image_raw"
START, STEP = 1_700_000_000_500_000_000, 66_666_667
"""Nanoseconds: the stamp of the first frame, and from frame to frame."""
DELAY = 4_000_000
"""Nanoseconds from an image's stamp to its recording."""


class BagMaker:
    """Writes a bag, message by message."""

    def __init__(
        self,
        folder: Path,
        storage: StoragePlugin = StoragePlugin.SQLITE3,
        compression: CompressionMode = CompressionMode.NONE,
    ) -> None:
        self._writer = Writer(folder, version=9, storage_plugin=storage)
        self._writer.set_compression(compression, CompressionFormat.ZSTD)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> "BagMaker":
        self._writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def topic(self, topic: str, kind: str = IMAGE) -> None:
        self._connections[topic] = self._writer.add_connection(topic, kind, typestore=TYPES)

    def image(self, number: int, message: Any, topic: str = CAMERA) -> None:
        """A message of that frame."""
        self.raw(number, bytes(TYPES.serialize_cdr(message, message.__msgtype__)), topic, message.__msgtype__)

    def raw(self, number: int, data: bytes, topic: str = CAMERA, kind: str = IMAGE) -> None:
        if topic not in self._connections:
            self.topic(topic, kind)
        self._writer.write(self._connections[topic], stamp_of(number) + DELAY, data)


def stamp_of(number: int) -> int:
    return START + number * STEP


def header(number: int, stamp_ns: int | None = None) -> Any:
    sec, nanosec = divmod(stamp_of(number) if stamp_ns is None else stamp_ns, 1_000_000_000)
    stamp = TYPES.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return TYPES.types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera_optical_frame")


def raw_image(number: int, picture: ByteArray, encoding: str = "bgr8", stamp_ns: int | None = None) -> Any:
    """sensor_msgs/Image; the picture in that encoding's own channels."""
    height, width = picture.shape[:2]
    data = np.ascontiguousarray(picture).reshape(-1)
    return TYPES.types[IMAGE](
        header=header(number, stamp_ns), height=height, width=width, encoding=encoding, is_bigendian=0,
        step=data.size // height, data=data,
    )  # fmt: skip


def compressed_image(number: int, picture: ByteArray) -> Any:
    data = cv2.imencode(".png", picture)[1].reshape(-1)
    return TYPES.types[COMPRESSED](header=header(number), format="png", data=data)


def string(text: str) -> Any:
    return TYPES.types[STRING](data=text)


def write_bag(folder: Path, pictures: Sequence[ByteArray], storage: StoragePlugin = StoragePlugin.SQLITE3) -> Path:
    """A camera's raw images, and a topic of another kind with a message before each."""
    with BagMaker(folder, storage) as bag:
        for number, picture in enumerate(pictures):
            bag.image(number, string(f"step {number}"), "/said")
            bag.image(number, raw_image(number, picture))
    return folder
