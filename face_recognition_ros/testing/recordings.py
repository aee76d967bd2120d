"""What can be played: a rosbag2 bag, or a folder of pictures as if a camera had taken them."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rclpy.serialization import serialize_message
from rosbags.interfaces import Connection, ConnectionExtRosbag2, QosDurability
from std_msgs.msg import Header

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import PICTURE_SUFFIXES, read_picture
from face_recognition_ros.replay.bags import opened, storage_files
from face_recognition_ros.replay.sources import NANOSECONDS, in_order, is_bag

PICTURES_START = 1000 * NANOSECONDS
"""Stamp of a folder's first picture; a stamp of 0 would mean that there is none."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a recording."""

    type: str
    """Such as sensor_msgs/msg/Image."""
    latched: bool = False
    """Whether who subscribes late still gets the last message (durability transient local)."""

    def message_class(self) -> Any | None:
        """The class of its messages; None where their package is not installed."""
        package, *middle, name = self.type.split("/")
        try:
            return getattr(importlib.import_module(".".join([package, *middle])), name, None)
        except ModuleNotFoundError:
            return None


class Recording(Protocol):
    """Something that can be played more than once."""

    @property
    def topics(self) -> Mapping[str, Topic]:
        """By name."""

    def messages(self) -> Iterator[tuple[int, str, bytes]]:
        """Time of recording in nanoseconds, topic, and the serialised message, in the order of time."""


def open_recording(path: Path) -> Recording:
    """The bag or the folder of pictures there; raises FaceRecognitionError where it is neither."""
    if path.is_dir() and not is_bag(path):
        return PictureRecording(path)
    return BagRecording(path)


class BagRecording:
    """A rosbag2 bag, sqlite3 or mcap: its folder, or one of its files."""

    def __init__(self, path: Path) -> None:
        """Raises FaceRecognitionError where there is no bag that can be read."""
        self.topics: dict[str, Topic] = {}
        self._files = storage_files(path) if path.is_dir() else [path]
        for file in self._files:
            with closing(opened(file)) as reader:
                self.topics |= {entry.topic: Topic(entry.msgtype, _is_latched(entry)) for entry in reader.connections}

    def messages(self) -> Iterator[tuple[int, str, bytes]]:
        """As Recording says; a long bag is read as it is played."""
        for file in self._files:
            with closing(opened(file)) as reader:
                for connection, stamp, data in reader.messages():
                    yield stamp, connection.topic, bytes(data)


class PictureRecording:
    """The pictures of a folder, by name, as the images of a camera on the topic `image`; each is shown for a while."""

    def __init__(self, folder: Path, frame_rate: float = 10.0, seconds_each: float = 1.0) -> None:
        """Raises ImageError where a picture cannot be read, FaceRecognitionError where the folder has none."""
        self.topics = {"image": Topic("sensor_msgs/msg/Image")}
        paths = in_order([path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES])
        if not paths:
            raise FaceRecognitionError(f"{folder} holds neither a bag's .mcap or .db3 file nor a picture.")
        self._pictures = [read_picture(path) for path in paths]
        self._period = round(NANOSECONDS / frame_rate)
        self._repeats = max(1, round(seconds_each * frame_rate))

    def messages(self) -> Iterator[tuple[int, str, bytes]]:
        """As Recording says."""
        stamp = PICTURES_START
        for picture in self._pictures:
            for _ in range(self._repeats):
                header = Header(frame_id="camera_optical_frame")
                header.stamp.sec, header.stamp.nanosec = divmod(stamp, NANOSECONDS)
                yield stamp, "image", serialize_message(bgr_message(header, picture))
                stamp += self._period


def _is_latched(connection: Connection) -> bool:
    assert isinstance(connection.ext, ConnectionExtRosbag2), "of rosbag2's readers"
    durabilities = {profile.durability for profile in connection.ext.offered_qos_profiles}
    return durabilities == {QosDurability.TRANSIENT_LOCAL}
