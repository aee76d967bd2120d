"""Finding faces in a frame: one protocol, its detectors, and the registry of them."""

from collections.abc import Callable

from face_recognition_ros.detection.aligned import AlignedDetector
from face_recognition_ros.detection.detector import DetectorOptions, FaceDetector
from face_recognition_ros.detection.mtcnn import FastMtcnnDetector, MtcnnDetector
from face_recognition_ros.detection.scrfd import ScrfdDetector
from face_recognition_ros.detection.yunet import YuNetDetector
from face_recognition_ros.errors import SettingsError

__all__ = ["DETECTORS", "DetectorOptions", "FaceDetector", "create_detector"]

DETECTORS: dict[str, Callable[[DetectorOptions], FaceDetector]] = {
    "mtcnn": MtcnnDetector,
    "mtcnn_fast": FastMtcnnDetector,
    "yunet": YuNetDetector,
    "scrfd": ScrfdDetector,
    "aligned": AlignedDetector,
}
"""The one registry: a further detector is a file in this folder and a line here."""


def create_detector(name: str, options: DetectorOptions | None = None) -> FaceDetector:
    """Build the detector of that name; SettingsError for an unknown name, ModelError where its model is missing."""
    if name not in DETECTORS:
        raise SettingsError(f"There is no face detector {name!r}; use one of {', '.join(DETECTORS)}.")
    return DETECTORS[name](options or DetectorOptions())
