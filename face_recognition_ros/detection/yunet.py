"""YuNet, for a model file that the user brings: the fast mode, with landmarks that are less exact than MTCNN's.

W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20 (2023). What
its answers mean is told by OpenCV's FaceDetectorYN, whose results these are where the frame is shown in full size.
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.detection.boxes import suppress_non_maxima
from face_recognition_ros.detection.detector import DetectorOptions, best_first, check_frame
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import load_model_file
from face_recognition_ros.runtime import BackendChoice, create_session
from face_recognition_ros.types import ByteArray, Detection, FloatArray

STRIDES = (8, 16, 32)
ANSWERS = frozenset(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
SMALLEST_SHOWN = 24.0
"""Side in pixels at which the network is shown the smallest face that is looked for, as time goes with the number of
pixels (decision 19)."""
SMALLEST_SCALE = 0.5
"""A frame is not shown smaller than this, so that larger faces have better landmarks."""
OVERLAP = 0.3
"""Of boxes of one face, at least."""


class YuNetDetector:
    """FaceDetector on one ONNX network."""

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
        self._session, self._choice = create_session(path, options.backend, options.strict_backend, options.threads)
        if set(self._session.outputs) != ANSWERS or len(self._session.inputs) != 1:
            raise ModelError(
                f"{path} is not a YuNet model: it takes {', '.join(self._session.inputs)} and gives "
                f"{', '.join(self._session.outputs)}, where one picture and {', '.join(sorted(ANSWERS))} are wanted."
            )
        ((self._input, (_, _, self._height, self._width)),) = self._session.inputs.items()

    @property
    def backend(self) -> BackendChoice:
        return self._choice

    def detect(self, frame: ByteArray) -> list[Detection]:
        check_frame(frame)
        picture, ratio = self._shown(frame)
        answers = dict(zip(self._session.outputs, self._session.run({self._input: picture}), strict=True))
        columns = picture.shape[3]
        parts = [_faces(answers, stride, columns // stride, self._options.thresholds[2]) for stride in STRIDES]
        boxes, landmarks, scores = (np.concatenate(values) for values in zip(*parts, strict=True))
        boxes = boxes * np.tile(ratio, 2)
        landmarks = (landmarks + np.float32(0.5)) * ratio - np.float32(0.5)
        kept = suppress_non_maxima(boxes, scores, OVERLAP)
        large = (boxes[kept, 2:] - boxes[kept, :2]).max(axis=1) >= self._options.min_face_size
        found = [Detection(boxes[i], landmarks[i], float(scores[i])) for i in kept[large]]
        return best_first(found, self._options.max_faces)

    def _shown(self, frame: ByteArray) -> tuple[FloatArray, FloatArray]:
        """The (1, 3, h, w) picture that the network is shown of a frame, and (2,) the frame's x, y for each of its."""
        height, width = frame.shape[:2]
        room = [limit / side for limit, side in ((self._height, height), (self._width, width)) if limit]
        scale = min(1.0, max(SMALLEST_SHOWN / self._options.min_face_size, SMALLEST_SCALE), *room)
        rows, columns = (max(1, int(side * scale + 0.5)) for side in (height, width))
        shape = (self._height or _whole(rows), self._width or _whole(columns), 3)
        picture = np.zeros(shape, np.uint8)
        small = frame if scale == 1 else cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
        picture[:rows, :columns] = small
        planes = np.stack(cv2.split(picture)).astype(np.float32)[None]  # blobFromImage takes twenty times as long
        return planes, np.array([width / columns, height / rows], np.float32)


def _whole(side: int) -> int:
    """Up to the next multiple of the largest stride."""
    return -(-side // STRIDES[-1]) * STRIDES[-1]


def _faces(
    answers: dict[str, npt.NDArray[np.float32]], stride: int, columns: int, threshold: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Boxes (N, 4), landmarks (N, 5, 2) and scores (N,) above the threshold of the places `stride` pixels apart.

    Of the landmarks, the person's right eye comes first: the image's left.
    """
    certainty, face, box, points = (answers[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox", "kps"))
    scores = np.sqrt(np.clip(certainty[:, 0], 0, 1) * np.clip(face[:, 0], 0, 1))
    found = np.flatnonzero(scores >= threshold)
    places = np.stack((found % columns, found // columns), axis=1).astype(np.float32)
    centres, halves = places + box[found, :2], np.exp(box[found, 2:]) / 2
    boxes = np.concatenate((centres - halves, centres + halves), axis=1) * np.float32(stride)
    landmarks = (points[found].reshape(-1, 5, 2) + places[:, None]) * np.float32(stride)
    return boxes, landmarks, scores[found]
