"""SCRFD with landmarks, as in insightface's packs: det_500m.onnx (buffalo_s), det_10g.onnx (buffalo_l) and others.

J. Guo, J. Deng, A. Lattas, S. Zafeiriou, "Sample and Computation Redistribution for Efficient Face Detection", ICLR
2022. What its answers mean is told by the package insightface, whose results these are where the frame is shown in
full size.
"""

import cv2
import numpy as np

from face_recognition_ros.detection.single_stage import SingleStageDetector, places, whole
from face_recognition_ros.types import ByteArray, FloatArray

ANCHORS = 2
"""Answers for each place."""
MEAN, SCALE = 127.5, 128.0
COLUMNS = (1, 4, 10)
"""Of certainties, distances to the box's sides, and offsets of landmarks, whose names differ from file to file."""


class ScrfdDetector(SingleStageDetector):
    """It takes red, green, blue from -1 to 1."""

    name = "scrfd"
    kind = "SCRFD"
    source = "insightface's packs have them, such as det_500m.onnx"
    answers = "scores, boxes and five landmarks in three sizes"
    smallest_shown = 32.0
    overlap = 0.4

    def recognizes_session(self) -> bool:
        height, width = (side or whole(1) for side in self.sides)
        answers = self._answers_to(np.zeros((height, width, 3), np.uint8))
        return [len(of_kind) for of_kind in answers] == [len(places(height, width, ANCHORS)[0])] * len(COLUMNS)

    def candidates(self, picture: ByteArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        products, distances, offsets = self._answers_to(picture)
        scores = np.sqrt(np.clip(products[:, 0], 0, 1))  # of certainty and quality: the root is on the others' scale
        found = np.flatnonzero(scores >= self.options.thresholds[2])
        place, stride = (of_all[found] for of_all in places(*picture.shape[:2], ANCHORS))
        boxes = np.concatenate((place - distances[found, :2], place + distances[found, 2:]), axis=1) * stride
        landmarks = (place[:, None] + offsets[found].reshape(-1, 5, 2)) * stride[:, None]
        return boxes, landmarks, scores[found]

    def _answers_to(self, picture: ByteArray) -> list[FloatArray]:
        """For each of COLUMNS (N, columns), the places of the smallest stride first."""
        planes = np.stack(cv2.split(picture)[::-1]).astype(np.float32)[None]
        maps = self.ask((planes - np.float32(MEAN)) / np.float32(SCALE))
        of_kinds = ([one.reshape(-1, columns) for one in maps if one.shape[-1] == columns] for columns in COLUMNS)
        nothing = np.empty((0, 0), np.float32)
        return [np.concatenate(sorted(of_kind, key=len, reverse=True) or [nothing]) for of_kind in of_kinds]
