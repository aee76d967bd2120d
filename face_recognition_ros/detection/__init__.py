"""Finding faces in a frame: one protocol, its detectors, and the registry of them."""

from pathlib import Path
from typing import Protocol

from face_recognition_ros.detection.aligned import AlignedDetector
from face_recognition_ros.detection.detector import DetectorOptions, FaceDetector
from face_recognition_ros.detection.mtcnn import FastMtcnnDetector, MtcnnDetector
from face_recognition_ros.detection.scrfd import ScrfdDetector
from face_recognition_ros.detection.yunet import YuNetDetector
from face_recognition_ros.errors import SettingsError

__all__ = ["DETECTORS", "DetectorOptions", "FaceDetector", "create_detector", "detector_kind"]


class DetectorKind(Protocol):
    """A detector's class."""

    def __call__(self, options: DetectorOptions) -> FaceDetector:
        """Raises ModelError where its model is missing or another one."""

    def model_files(self, model: str) -> list[Path]:
        """The networks that it runs, with that `model` in its options; raises ModelError where one is missing."""


DETECTORS: dict[str, DetectorKind] = {
    "mtcnn": MtcnnDetector,
    "mtcnn_fast": FastMtcnnDetector,
    "yunet": YuNetDetector,
    "scrfd": ScrfdDetector,
    "aligned": AlignedDetector,
}
"""The one registry: a further detector is a file in this folder and a line here."""


def create_detector(name: str, options: DetectorOptions | None = None) -> FaceDetector:
    """Build the detector of that name; SettingsError for an unknown name, ModelError where its model is missing."""
    return detector_kind(name)(options or DetectorOptions())


def detector_kind(name: str) -> DetectorKind:
    """The detector's class; SettingsError for an unknown name."""
    if name not in DETECTORS:
        raise SettingsError(f"There is no face detector {name!r}; use one of {', '.join(DETECTORS)}.")
    return DETECTORS[name]
