"""Writes the demo's annotated video and its best frame: the film again, with the node's answers drawn on it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
from tqdm import tqdm

from face_recognition_ros.demo.answers import Answer
from face_recognition_ros.demo.report import Shot
from face_recognition_ros.demo.scenes import HEIGHT, WIDTH, Film
from face_recognition_ros.drawing import draw_faces
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.types import ByteArray

MAX_AGE_NS = 300_000_000
"""An answer is drawn on later frames as well, until the next one comes or it is this old."""


def write_video(path: Path, film: Film, shots: Sequence[Shot], answers: Iterable[Answer], rate: float) -> None:
    """Writes an MP4 (MPEG-4 part 2); raises FaceRecognitionError where that is not possible."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise FaceRecognitionError(f"the video {path} cannot be written: OpenCV opened no MPEG-4 encoder for it")
    by_stamp = {answer.stamp_ns: answer for answer in answers}
    latest: Answer | None = None
    try:
        for shot in tqdm(shots, desc="video", unit="frame", disable=None):
            latest = by_stamp.get(shot.stamp_ns, latest)
            fresh = latest is not None and shot.stamp_ns - latest.stamp_ns <= MAX_AGE_NS
            writer.write(annotated(film, shot, latest if fresh else None))
    finally:
        writer.release()


def write_best_frame(path: Path, film: Film, shots: Sequence[Shot], answers: Iterable[Answer]) -> None:
    """Writes a JPEG of a frame in which the most people were named, and as few others as possible were seen.

    Writes nothing where nobody was named.
    """
    by_stamp = {answer.stamp_ns: answer for answer in answers}
    answered = [(shot, by_stamp[shot.stamp_ns]) for shot in shots if shot.stamp_ns in by_stamp]
    merits = [_merit(answer) for _, answer in answered]
    best = max(merits, default=(0, 0))
    if best[0] == 0:
        return
    equals = [pair for pair, merit in zip(answered, merits, strict=True) if merit == best]
    shot, answer = equals[len(equals) // 2]
    if not cv2.imwrite(str(path), annotated(film, shot, answer), [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise FaceRecognitionError(f"the picture {path} cannot be written")


def _merit(answer: Answer) -> tuple[int, int]:
    """How many are named, and (negative) how many are not: the larger the better."""
    named = sum(face.decision.identity is not None for face in answer.faces)
    return named, named - len(answer.faces)


def annotated(film: Film, shot: Shot, answer: Answer | None) -> ByteArray:
    """The shot's frame with the answer drawn on it."""
    frame = film.frame(shot.index)
    return draw_faces(frame, answer.faces) if answer else frame
