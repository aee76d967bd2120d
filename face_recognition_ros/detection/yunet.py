"""YuNet: the fast mode.

W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20 (2023). What
its answers mean is told by OpenCV's FaceDetectorYN, whose results these are where the frame is shown in full size.
"""

import cv2
import numpy as np

from face_recognition_ros.detection.single_stage import STRIDES, SingleStageDetector, places
from face_recognition_ros.types import ByteArray, FloatArray

KINDS = ("cls", "obj", "bbox", "kps")
ANSWERS = frozenset(f"{kind}_{stride}" for kind in KINDS for stride in STRIDES)


class YuNetDetector(SingleStageDetector):
    """It takes blue, green, red from 0 to 255."""

    name = "yunet"
    kind = "YuNet"
    source = "github.com/opencv/opencv_zoo has them"
    answers = ", ".join(sorted(ANSWERS))
    smallest_shown = 20.0
    overlap = 0.3

    def recognizes_session(self) -> bool:
        return set(self.session.outputs) == ANSWERS

    def candidates(self, picture: ByteArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        planes = np.stack(cv2.split(picture)).astype(np.float32)[None]  # blobFromImage takes twenty times as long
        answers = dict(zip(self.session.outputs, self.ask(planes), strict=True))
        certainty, face, box, points = (
            np.concatenate([answers[f"{kind}_{stride}"][0] for stride in STRIDES]) for kind in KINDS
        )
        scores = np.sqrt(np.clip(certainty[:, 0], 0, 1) * np.clip(face[:, 0], 0, 1))
        found = np.flatnonzero(scores >= self.options.thresholds[2])
        place, stride = (of_all[found] for of_all in places(*picture.shape[:2]))
        centres, halves = place + box[found, :2], np.exp(box[found, 2:]) / 2
        boxes = np.concatenate((centres - halves, centres + halves), axis=1) * stride
        landmarks = (points[found].reshape(-1, 5, 2) + place[:, None]) * stride[:, None]
        return boxes, landmarks, scores[found]
