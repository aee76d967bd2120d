"""Reads the images of a rosbag2 bag, in either storage kind, and passes all its messages on to whoever copies them."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from face_recognition_ros.errors import FaceRecognitionError, ImageError
from face_recognition_ros.node.image_conversion import message_to_bgr
from face_recognition_ros.replay.sources import BAG_SUFFIXES, NANOSECONDS, Closing, SourceFrame, in_order

IMAGE_TYPES = frozenset({"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"})

OnMessage = Callable[[Connection, int, bytes], None]
"""Called with a message's connection, when it was recorded (nanoseconds), and its bytes."""


class BagSource(Closing):
    """The images of one topic of a bag, in the order in which they were recorded."""

    def __init__(self, path: Path, topic: str | None = None) -> None:
        """topic: needed where there are several with images. Raises FaceRecognitionError, also for a damaged bag."""
        self.name = path.resolve().name
        self.on_message: OnMessage | None = None
        """Gets every message of the bag, whatever its topic, before its frame is given out."""
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._closing = ExitStack()
        try:
            self._readers = [(file, self._open(file)) for file in storage_files(path)]
            self.connections: list[Connection] = [one for _, reader in self._readers for one in reader.connections]
            self.topic = chosen_topic(self.connections, topic, path)
        except BaseException:
            self._closing.close()
            raise
        self.storage = "mcap" if storage_files(path, whole=False)[0].suffix == ".mcap" else "sqlite3"
        self.count: int | None = sum(one.msgcount for one in self.connections if self._is_wanted(one))
        seconds = sum(reader.duration for _, reader in self._readers) / NANOSECONDS
        self.rate = min(max((self.count - 1) / seconds, 1.0), 240.0) if seconds > 0 and self.count > 1 else 30.0

    def frames(self) -> Iterator[SourceFrame]:
        stamp = 0
        for file, reader in self._readers:
            asked = [one for one in reader.connections if self.on_message is not None or self._is_wanted(one)]
            messages = reader.messages(asked) if asked else iter(())
            while True:
                try:
                    connection, logged, data = next(messages)
                except StopIteration:
                    break
                except Exception as error:  # whatever SQLite, zstd or a struct says of damaged bytes
                    yield SourceFrame(stamp, "", None, f"{file.name}: the rest cannot be read: {_sentence(error)}.")
                    break
                if self.on_message is not None:
                    self.on_message(connection, logged, data)
                if self._is_wanted(connection):
                    frame = self._frame(connection.msgtype, logged, data)
                    stamp = frame.stamp_ns
                    yield frame

    def close(self) -> None:
        self._closing.close()

    def _open(self, file: Path) -> Reader:
        reader = opened(file)
        self._closing.callback(reader.close)
        return reader

    def _is_wanted(self, connection: Connection) -> bool:
        return connection.topic == self.topic and connection.msgtype in IMAGE_TYPES

    def _frame(self, kind: str, logged: int, data: bytes) -> SourceFrame:
        try:
            message: Any = self._types.deserialize_cdr(data, kind)
        except Exception as error:  # rosbags has no errors of its own for bytes that are no message
            problem = f"{self.topic}: {len(data)} bytes are no {kind}: {_sentence(error)}."
            return SourceFrame(logged, "", None, problem, logged)
        header = message.header
        stamp = header.stamp.sec * NANOSECONDS + header.stamp.nanosec or logged
        try:
            return SourceFrame(stamp, header.frame_id, message_to_bgr(message, self.topic), "", logged)
        except ImageError as error:
            return SourceFrame(stamp, header.frame_id, None, str(error), logged)


def storage_files(path: Path, whole: bool = True) -> list[Path]:
    """The storage files of a bag, the earliest first.

    Read one by one: a difference between their topics and metadata.yaml would silently yield no message. A bag that
    its recorder has compressed is opened by its folder, if it is to be read as a `whole`.
    """
    if path.is_file():
        return [path]
    metadata = path / "metadata.yaml"
    text = metadata.read_text(encoding="utf-8", errors="replace") if metadata.is_file() else ""
    if whole and re.search(r"compression_mode:\s*\W?(file|message)", text, re.IGNORECASE):
        return [path]
    files = in_order([file for file in path.iterdir() if BAG_SUFFIXES.intersection(file.suffixes)])
    if not files:
        raise FaceRecognitionError(f"{path} has a metadata.yaml, but no storage file (.db3, .mcap)")
    return files


def opened(path: Path) -> Reader:
    """A reader of a storage file, or of the folder of a compressed bag; raises FaceRecognitionError."""
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # a damaged file may raise anything
        way_out = "`mcap recover`" if path.suffix == ".mcap" else "`sqlite3 FILE .recover`"
        raise FaceRecognitionError(
            f"the bag {path} cannot be read: {_sentence(error)}. Where its recording was cut off, {way_out} may help."
        ) from error
    return reader


def chosen_topic(connections: list[Connection], wanted: str | None, path: Path) -> str:
    """The topic asked for, or the only one with images; else FaceRecognitionError, which lists them."""
    counts: dict[str, int] = defaultdict(int)
    for connection in connections:
        if connection.msgtype in IMAGE_TYPES:
            counts[connection.topic] += connection.msgcount
    listed = ", ".join(f"{topic} ({count} images)" for topic, count in sorted(counts.items()))
    if not counts:
        others = ", ".join(sorted({f"{one.topic} ({one.msgtype})" for one in connections})) or "nothing"
        raise FaceRecognitionError(f"the bag {path} has no topic with images; it holds {others}")
    if wanted is not None and wanted not in counts:
        raise FaceRecognitionError(f"the bag {path} has no image topic {wanted}; it has {listed}")
    filled = [topic for topic, count in counts.items() if count]
    if wanted is None and len(filled) > 1:
        raise FaceRecognitionError(f"the bag {path} has several image topics; choose one with --topic: {listed}")
    topic = wanted or (filled[0] if filled else "")
    if not counts.get(topic):
        raise FaceRecognitionError(f"the bag {path} holds no image: {listed}")
    return topic


def _sentence(error: Exception) -> str:
    """What an error says, as a part of a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".") or type(error).__name__
