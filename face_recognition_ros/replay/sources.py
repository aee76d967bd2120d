"""Where the frames of a replay come from: a bag, a video file, a folder of pictures, or a live topic."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import cv2
import numpy as np

from face_recognition_ros.errors import FaceRecognitionError, ImageError
from face_recognition_ros.pictures import PICTURE_SUFFIXES, read_picture
from face_recognition_ros.types import ByteArray

TOPIC_PREFIX = "topic:"
"""Before the name of a live topic."""
BAG_SUFFIXES = frozenset({".db3", ".mcap"})
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SourceFrame:
    """One image of a source, or why there is none."""

    stamp_ns: int
    """The image's own stamp, nanoseconds; where it has none, when it was recorded."""
    frame_id: str
    picture: ByteArray | None
    """(H, W, 3) uint8 BGR; None where there is a problem."""
    problem: str = ""
    """A sentence that says why there is no picture."""
    logged_ns: int = 0
    """When a bag's recorder wrote the message, nanoseconds."""

    @property
    def stamp(self) -> float:
        """The stamp in seconds, computed as the node does."""
        return float(self.stamp_ns // NANOSECONDS) + float(self.stamp_ns % NANOSECONDS) * 1e-9


class FrameSource(Protocol):
    """Frames, one after the other; each can be asked for once. Leaving the context closes it."""

    name: str
    """For people."""
    count: int | None
    """How many frames there are; None where that is not known."""
    rate: float
    """Frames a second, on average; for the annotated video."""

    def frames(self) -> Iterator[SourceFrame]:
        """All of them in their order."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_source(text: str, topic: str | None = None, rate: float = 10.0) -> FrameSource:
    """What `text` names: a path, or topic:NAME.

    topic: which of a bag's image topics. rate: frames a second of a folder of pictures. Raises FaceRecognitionError
    where there is nothing of the kind, or nothing in it.
    """
    if text.startswith(TOPIC_PREFIX):
        from face_recognition_ros.replay.live import TopicSource

        return TopicSource(text.removeprefix(TOPIC_PREFIX))
    path = Path(text).expanduser()
    if not path.exists():
        raise FaceRecognitionError(f"there is no {path}; give a bag, a video file, a folder of pictures, or topic:NAME")
    if path.suffix == ".bag":
        raise FaceRecognitionError(f"{path} is a bag of ROS 1; `rosbags-convert` makes one of ROS 2 of it")
    if is_bag(path):
        from face_recognition_ros.replay.bags import BagSource

        return BagSource(path, topic)
    if topic is not None:
        raise FaceRecognitionError(f"--topic chooses a topic of a bag, and {path} is none")
    return FolderSource(path, rate) if path.is_dir() else VideoSource(path)


def is_bag(path: Path) -> bool:
    """Whether it is a bag of ROS 2: its folder or one of its storage files."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(file.suffix in BAG_SUFFIXES for file in path.iterdir())
    return path.suffix in BAG_SUFFIXES


def in_order(paths: list[Path]) -> list[Path]:
    """By name, with numbers in names counted: frame_9.png comes before frame_10.png."""
    return sorted(paths, key=lambda path: [(len(part), part) if part.isdigit() else (0, part)
                                           for part in re.split(r"(\d+)", path.name)])  # fmt: skip


class Closing:
    """Base of sources: leaving the context calls `close`."""

    def close(self) -> None:
        """Gives back what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FolderSource(Closing):
    """The pictures of a folder in the order of their names; the first one's stamp is 0, frame_id is the file's name."""

    def __init__(self, folder: Path, rate: float) -> None:
        """rate: pictures a second. Raises FaceRecognitionError where there is no picture."""
        files = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
        self._files = in_order([path for path in files if not path.name.startswith(".")])
        if not self._files:
            raise FaceRecognitionError(f"{folder} holds neither a bag nor pictures")
        self.name = folder.resolve().name
        self.count: int | None = len(self._files)
        self.rate = rate

    def frames(self) -> Iterator[SourceFrame]:
        for number, path in enumerate(self._files):
            stamp = round(number / self.rate * NANOSECONDS)
            try:
                yield SourceFrame(stamp, path.name, read_picture(path))
            except ImageError as error:
                yield SourceFrame(stamp, path.name, None, str(error))


class VideoSource(Closing):
    """The frames of a video file; stamps are the file's own, from 0."""

    def __init__(self, path: Path) -> None:
        """Raises FaceRecognitionError where OpenCV finds no video in it."""
        self._video = cv2.VideoCapture(str(path))
        if not self._video.isOpened():
            raise FaceRecognitionError(f"{path} is no video that OpenCV can read, and no bag (.db3, .mcap)")
        self.name = path.name
        counted = int(self._video.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count: int | None = counted if counted > 0 else None
        told = self._video.get(cv2.CAP_PROP_FPS)
        self.rate = told if np.isfinite(told) and told > 0 else 30.0

    def frames(self) -> Iterator[SourceFrame]:
        read, stamp = 0, -1
        while True:
            there, picture = self._video.read()
            if not there:
                break
            told = round(self._video.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            # Some containers tell no time but of the first frame.
            stamp = told if told > stamp else stamp + round(NANOSECONDS / self.rate)
            read += 1
            yield SourceFrame(stamp, "", np.asarray(picture, np.uint8))
        if self.count is not None and read < self.count:
            told_and_read = f"{self.name} announces {self.count} frames, of which {read} could be read"
            yield SourceFrame(stamp, "", None, f"{told_and_read}; it may be cut short.")

    def close(self) -> None:
        self._video.release()
