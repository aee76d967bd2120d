"""Detector and embedder that look at each picture once: for protocols that show the same frames again and again."""

from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar

import numpy as np

from face_recognition_ros.detection.detector import FaceDetector
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.stages import Embedder
from face_recognition_ros.types import ByteArray, Detection, FloatArray

Answer = TypeVar("Answer")


class Memory:
    """What was found in pictures, by their pixels; may outlive the networks that found it."""

    def __init__(self) -> None:
        self.detections: dict[bytes, list[Detection]] = {}
        self.embeddings: dict[bytes, FloatArray] = {}


class RememberingDetector:
    """Answers as the detector did when it saw the same picture before."""

    def __init__(self, detector: FaceDetector, memory: Memory) -> None:
        self._detector = detector
        self._known = memory.detections

    @property
    def name(self) -> str:
        """The detector's."""
        return self._detector.name

    @property
    def backend(self) -> BackendChoice:
        """The detector's."""
        return self._detector.backend

    def detect(self, frame: ByteArray) -> list[Detection]:
        """The faces in (H, W, 3) uint8 BGR."""
        return _recall(self._known, _digest(frame), lambda: self._detector.detect(frame))


class RememberingEmbedder:
    """Answers as the embedder did when it saw the same crop before."""

    def __init__(self, embedder: Embedder, memory: Memory) -> None:
        self._embedder = embedder
        self._known = memory.embeddings

    def embed(self, crops: ByteArray) -> FloatArray:
        """(N, 112, 112, 3) uint8 BGR -> (N, D) float32 unit vectors, each crop embedded by itself."""
        return np.stack([self._embed(crop) for crop in crops])

    def _embed(self, crop: ByteArray) -> FloatArray:
        return _recall(self._known, _digest(crop), lambda: self._embedder.embed(crop[None])[0])


def _recall(known: dict[bytes, Answer], key: bytes, ask: Callable[[], Answer]) -> Answer:
    if key not in known:
        known[key] = ask()
    return known[key]


def _digest(picture: ByteArray) -> bytes:
    return blake2b(repr(picture.shape).encode() + picture.tobytes(), digest_size=16).digest()
