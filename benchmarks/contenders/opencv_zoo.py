"""OpenCV's own: YuNet, and SFace where the user has its file; without it detection alone."""

from typing import Any

import cv2
import numpy as np
from worker import Templates, as_lists, model_file, serve

SCORE_THRESHOLD = 0.7
"""As ours asks of YuNet; OpenCV's default, 0.9, sees less."""


class OpenCv:
    """FaceDetectorYN and FaceRecognizerSF."""

    def __init__(self, options: dict[str, Any]) -> None:
        cv2.setNumThreads(options["threads"])
        detector = model_file(options, "yunet", "face_detection_yunet*.onnx", "yunet*.onnx")
        self._detector = cv2.FaceDetectorYN.create(str(detector), "", (320, 320), SCORE_THRESHOLD)
        self._recognizer = None
        if not options.get("detection_only"):
            network = model_file(options, "sface", "face_recognition_sface*.onnx", "sface*.onnx")
            self._recognizer = cv2.FaceRecognizerSF.create(str(network), "")
        self._templates = Templates(options["templates"], 128)

    def about(self) -> dict[str, Any]:
        return {"opencv": cv2.__version__, "score threshold": SCORE_THRESHOLD}

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def process(self, picture: np.ndarray, stamp: float) -> np.ndarray:
        self._detector.setInputSize((picture.shape[1], picture.shape[0]))
        _, rows = self._detector.detect(picture)
        if rows is None:
            return np.empty((0, 15), np.float32)
        if self._recognizer is not None:
            crops = [self._recognizer.alignCrop(picture, row) for row in rows]
            self._templates.nearest(np.concatenate([self._recognizer.feature(crop) for crop in crops]))
        return rows

    def faces(self, result: np.ndarray) -> list[dict[str, Any]]:
        return [as_lists((*row[:2], *(row[:2] + row[2:4])), row[4:14]) for row in result]


if __name__ == "__main__":
    serve(OpenCv)
