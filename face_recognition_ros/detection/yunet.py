"""YuNet through OpenCV's FaceDetectorYN, for a model file that the user brings."""

from pathlib import Path

import cv2
import numpy as np

from face_recognition_ros.detection.detector import DetectorOptions, best_first, check_frame
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import load_model_file
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.types import ByteArray, Detection

NMS_THRESHOLD = 0.3
CANDIDATES_BEFORE_NMS = 5000


class YuNetDetector:
    """FaceDetector on OpenCV's own network runtime."""

    name = "yunet"

    def __init__(self, options: DetectorOptions) -> None:
        """Load the model file; raises ModelError where none is given, or it is missing or not YuNet."""
        if not options.model:
            raise ModelError(
                "The yunet detector needs a model file: set the detector's model to the path of a YuNet .onnx file "
                "(github.com/opencv/opencv_zoo has them)."
            )
        self._options = options
        path = load_model_file(Path(options.model)).path
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), options.thresholds[2], NMS_THRESHOLD, CANDIDATES_BEFORE_NMS
            )
        except cv2.error as error:
            raise ModelError(
                f"{path} cannot be loaded as a YuNet model by OpenCV {cv2.__version__}; before version 5 OpenCV reads "
                f"files of fixed input size only. It says: {' '.join(str(error).split())}"
            ) from error
        self.backend = BackendChoice(
            options.backend, f"OpenCV {cv2.__version__}", "FaceDetectorYN runs YuNet on OpenCV's own CPU runtime"
        )

    def detect(self, frame: ByteArray) -> list[Detection]:
        check_frame(frame)
        self._network.setInputSize((frame.shape[1], frame.shape[0]))
        _, rows = self._network.detect(frame)
        faces = [_detection(row) for row in (rows if rows is not None else np.zeros((0, 15), np.float32))]
        smallest = self._options.min_face_size
        return best_first([face for face in faces if max(face.width, face.height) >= smallest], self._options.max_faces)


def _detection(row: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Detection:
    """From OpenCV's row: left, top, width, height, five x y (the person's right eye first: the image's left), score."""
    left, top, width, height = row[:4]
    box = np.array((left, top, left + width, top + height), np.float32)
    return Detection(box, row[4:14].reshape(5, 2).astype(np.float32), float(row[14]))
