"""Writes what a replay saw, frame by frame: JSON Lines, CSV, and the video with names drawn on it."""

import csv
import io
import json
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from face_recognition_ros.drawing import draw_faces
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.records import face_record
from face_recognition_ros.replay.sources import NANOSECONDS, SourceFrame
from face_recognition_ros.types import ByteArray, RecognizedFace

COLUMNS = (
    "sec", "nanosec", "frame_id", "gallery_revision", "track_id", "status", "identity_id", "name", "remembered",
    "similarity", "confidence", "margin", "accept_similarity", "left", "top", "right", "bottom", "detection_score",
    "quality", "quality_complaints",
)  # fmt: skip
"""Of the CSV file."""

MAX_SIDE = 1280
"""Pixels of the longer side of the video; larger frames are made smaller."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def frame_record(frame: SourceFrame, result: FrameResult) -> dict[str, Any]:
    """What a frame showed, ready for JSON; the keys are always in this order."""
    sec, nanosec = divmod(frame.stamp_ns, NANOSECONDS)
    return {
        "stamp": {"sec": sec, "nanosec": nanosec},
        "frame_id": frame.frame_id,
        "gallery_revision": result.gallery_revision,
        "faces": [tracked_record(face) for face in result.faces],
    }


def tracked_record(face: RecognizedFace) -> dict[str, Any]:
    """records.face_record with the track, and with the similarity that was needed to be named."""
    accept = round(face.decision.accept_similarity, 4)
    return {"track_id": face.track_id, **face_record(face), "accept_similarity": accept}


class JsonLines:
    """One line for each frame, written as a whole."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")

    def take(self, frame: SourceFrame, result: FrameResult) -> None:
        self._file.write(json.dumps(frame_record(frame, result), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class CsvTable:
    """A heading and one row for each face, for spreadsheets and pandas."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="")
        self._file.write(_csv([COLUMNS]))

    def take(self, frame: SourceFrame, result: FrameResult) -> None:
        record = frame_record(frame, result)
        rows = []
        for face in record["faces"]:
            left, top, right, bottom = face["box"]
            values = {
                **record["stamp"], **record, **face, "left": left, "top": top, "right": right, "bottom": bottom,
                "remembered": str(face["remembered"]).lower(),
                "quality_complaints": "; ".join(face["quality_complaints"]),
            }  # fmt: skip
            rows.append(["" if values[column] is None else values[column] for column in COLUMNS])
        self._file.write(_csv(rows))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class AnnotatedVideo:
    """Every answered frame with names on it and the seconds since the first; all frames have the first one's size.

    Frames follow each other at one rate, whatever their stamps: nothing is left out or shown twice.
    """

    def __init__(self, path: Path, rate: float) -> None:
        """path: NAME.mp4; where OpenCV has no MPEG-4 encoder, NAME.avi is written."""
        self.path = path
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._start = 0

    def take(self, frame: SourceFrame, result: FrameResult) -> None:
        assert frame.picture is not None, "frames without a picture have no result"
        if self._writer is None:
            self._size, self._start = video_size(frame.picture), frame.stamp_ns
            self._writer = self._open()
        picture = fitted(draw_faces(frame.picture, result.faces), self._size)
        self._writer.write(with_time(picture, (frame.stamp_ns - self._start) / NANOSECONDS))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def _open(self) -> cv2.VideoWriter:
        for suffix, codec in ((".mp4", "mp4v"), (".avi", "MJPG")):
            self.path = self.path.with_suffix(suffix)
            writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*codec), self._rate, self._size)
            if writer.isOpened():
                return writer
        raise FaceRecognitionError(f"the video {self.path} cannot be written; --no-video leaves it out")


def video_size(picture: ByteArray) -> tuple[int, int]:
    """(width, height): at most MAX_SIDE, and even, as encoders want it."""
    height, width = picture.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def fitted(picture: ByteArray, size: tuple[int, int]) -> ByteArray:
    """The picture at (width, height), with black borders where its shape is another one."""
    width, height = size
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    new = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - new[0]) // 2, (height - new[1]) // 2
    canvas[top : top + new[1], left : left + new[0]] = cv2.resize(picture, new, interpolation=cv2.INTER_AREA)
    return canvas


def with_time(picture: ByteArray, seconds: float) -> ByteArray:
    """Writes the seconds since the first frame into the lower left corner, in place."""
    text, bottom = f"{seconds:.3f} s", picture.shape[0]
    (width, height), baseline = cv2.getTextSize(text, _FONT, 0.5, 1)
    cv2.rectangle(picture, (0, bottom - height - baseline - 8), (width + 12, bottom), (0, 0, 0), cv2.FILLED)
    cv2.putText(picture, text, (6, bottom - baseline - 4), _FONT, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def _csv(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
