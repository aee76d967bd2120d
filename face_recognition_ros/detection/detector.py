"""What a face detector offers, and the options all of them share."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from face_recognition_ros.errors import ImageError, SettingsError
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.types import ByteArray, Detection, FloatArray


class FaceDetector(Protocol):
    """Finds faces and their five landmarks."""

    @property
    def name(self) -> str:
        """The name in the registry."""

    @property
    def backend(self) -> BackendChoice:
        """What runs its networks, and why."""

    def detect(self, frame: ByteArray) -> list[Detection]:
        """Faces of a (H, W, 3) uint8 BGR frame, best score first; the same frame always gives the same list.

        Raises ImageError for an array of another shape or dtype.
        """


@runtime_checkable
class FaceRefiner(Protocol):
    """What a detector offers that can follow known faces for less than a search costs."""

    def refine(self, frame: ByteArray, boxes: FloatArray) -> list[Detection]:
        """The faces of a (H, W, 3) uint8 BGR frame at about these places, (N, 4); fewer where one is not there."""


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """Settings of a detector; raises SettingsError for one out of its range."""

    min_face_size: float = 40.0
    """Side of the smallest face looked for, in pixels; time grows with the inverse square."""
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    """Score a candidate needs to pass MTCNN's three stages; a detector of one stage uses the last."""
    max_faces: int = 32
    """The best so many faces are kept."""
    model: str = ""
    """Model file of the detector, or for mtcnn the folder with its three; empty: the installed one."""
    backend: str = "auto"
    strict_backend: bool = False
    threads: int = 0
    """See runtime.create_session."""

    def __post_init__(self) -> None:
        if not 12 <= self.min_face_size <= 10_000:
            raise SettingsError(f"min_face_size must be 12 to 10000 pixels, not {self.min_face_size}.")
        if len(self.thresholds) != 3 or not all(0 < threshold < 1 for threshold in self.thresholds):
            raise SettingsError(f"thresholds must be three numbers between 0 and 1, not {self.thresholds}.")
        if self.max_faces < 1:
            raise SettingsError(f"max_faces must be 1 or more, not {self.max_faces}.")


def check_frame(frame: ByteArray) -> None:
    """Raise ImageError unless the array is a (H, W, 3) uint8 frame that is not empty."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ImageError(f"A frame must be a (height, width, 3) uint8 BGR array, not {frame.dtype}{frame.shape}.")


def best_first(detections: list[Detection], max_faces: int) -> list[Detection]:
    """Sort by score, then from left to right and top to bottom, and keep the first max_faces."""
    return sorted(detections, key=lambda face: (-face.score, float(face.box[0]), float(face.box[1])))[:max_faces]
