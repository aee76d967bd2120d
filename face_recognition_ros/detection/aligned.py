"""No detection: the picture is a face, aligned already, as in data sets that come as crops."""

from pathlib import Path

import numpy as np

from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.detection.detector import DetectorOptions, check_frame
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.types import CROP_SIZE, ByteArray, Detection


class AlignedDetector:
    """Takes a square picture of 112 pixels or more for a crop on the five-point template, with an even margin.

    So evaluation can judge a network alone (`--set detector=aligned`). Other pictures show no face to it.
    """

    name = "aligned"
    backend = BackendChoice("auto", "none", "pictures are taken for aligned crops, nothing is looked for")

    def __init__(self, options: DetectorOptions) -> None:
        """Has no options."""

    @staticmethod
    def model_files(model: str) -> list[Path]:
        return []

    def detect(self, frame: ByteArray) -> list[Detection]:
        """One face for a (S, S, 3) uint8 picture, S >= 112, with the template's landmarks; none for another shape."""
        check_frame(frame)
        height, width = frame.shape[:2]
        if height != width or width < CROP_SIZE:
            return []
        margin = (width - CROP_SIZE) / 2
        box = np.array([margin, margin, margin + CROP_SIZE, margin + CROP_SIZE], np.float32)
        return [Detection(box, (TEMPLATE + margin).astype(np.float32), 1.0)]
