"""YuNet, for a model file that the user brings: the fast mode. O-Net places the landmarks of what it finds.

W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20 (2023). What
its answers mean is told by OpenCV's FaceDetectorYN, whose results these are where the frame is shown in full size.
"""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.detection.boxes import suppress_non_maxima
from face_recognition_ros.detection.detector import DetectorOptions, check_frame
from face_recognition_ros.detection.mip_sampling import MipMap
from face_recognition_ros.detection.networks import speaks_for
from face_recognition_ros.detection.onet import Faces, ONet
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import load_model_file
from face_recognition_ros.runtime import BackendChoice, create_session
from face_recognition_ros.types import ByteArray, Detection, FloatArray

STRIDES = (8, 16, 32)
ANSWERS = frozenset(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
SMALLEST_SHOWN = 20.0
"""Side in pixels at which the network is shown the smallest face that is looked for, as time goes with the number of
pixels (decision 19)."""
OVERLAP = 0.3
"""Of boxes of one face, at least."""


class YuNetDetector:
    """FaceDetector and FaceRefiner: YuNet finds the faces, MTCNN's O-Net says where exactly they are."""

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
        self._session, choice = create_session(path, options.backend, options.strict_backend, options.threads)
        if set(self._session.outputs) != ANSWERS or len(self._session.inputs) != 1:
            raise ModelError(
                f"{path} is not a YuNet model: it takes {', '.join(self._session.inputs)} and gives "
                f"{', '.join(self._session.outputs)}, where one picture and {', '.join(sorted(ANSWERS))} are wanted."
            )
        ((self._input, (_, _, self._height, self._width)),) = self._session.inputs.items()
        self._onet = ONet("", MipMap(), options)
        self._choices = choice, self._onet.backend

    @property
    def backend(self) -> BackendChoice:
        return speaks_for(self._choices)

    def detect(self, frame: ByteArray) -> list[Detection]:
        """What `search` finds, with O-Net's box, landmarks and score wherever that sees a face there too."""
        found = self.search(frame)
        which, placed = self._onet.place(frame, found.boxes)
        found.boxes[which], found.landmarks[which], found.scores[which] = placed.boxes, placed.landmarks, placed.scores
        return found.best(self._options.max_faces)

    def refine(self, frame: ByteArray, boxes: FloatArray) -> list[Detection]:
        return self._onet.refine(frame, boxes)

    def search(self, frame: ByteArray) -> Faces:
        """What YuNet alone says of a (H, W, 3) uint8 BGR frame, best first."""
        check_frame(frame)
        picture, ratio = self._shown(frame)
        answers = dict(zip(self._session.outputs, self._session.run({self._input: picture}), strict=True))
        boxes, landmarks, scores = _faces(answers, picture.shape[2:], self._options.thresholds[2])
        boxes = boxes * np.tile(ratio, 2)
        landmarks = (landmarks + np.float32(0.5)) * ratio - np.float32(0.5)
        kept = suppress_non_maxima(boxes, scores, OVERLAP)
        kept = kept[(boxes[kept, 2:] - boxes[kept, :2]).max(axis=1) >= self._options.min_face_size]
        return Faces(boxes[kept], landmarks[kept], scores[kept].astype(np.float64))

    def _shown(self, frame: ByteArray) -> tuple[FloatArray, FloatArray]:
        """The (1, 3, h, w) picture that the network is shown of a frame, and (2,) the frame's x, y for each of its."""
        height, width = frame.shape[:2]
        room = [limit / side for limit, side in ((self._height, height), (self._width, width)) if limit]
        scale = min(1.0, *(room or [SMALLEST_SHOWN / self._options.min_face_size]))  # what is paid for is used
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


@lru_cache(maxsize=4)
def _places(rows: int, columns: int) -> tuple[FloatArray, FloatArray]:
    """What each answer to a picture of that size is about: its place, (N, 2) x and y in strides; the stride, (N, 1)."""
    shapes = [(rows // stride, columns // stride) for stride in STRIDES]
    places = [np.argwhere(np.ones(shape, np.bool_))[:, ::-1] for shape in shapes]
    strides = np.repeat(np.array(STRIDES, np.float32), [len(one) for one in places])
    return np.concatenate(places).astype(np.float32), strides[:, None]


def _faces(
    answers: dict[str, npt.NDArray[np.float32]], shape: tuple[int, ...], threshold: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Boxes (N, 4), landmarks (N, 5, 2) and scores (N,) above the threshold, in pixels of a picture of that shape.

    Of the landmarks, the person's right eye comes first: the image's left.
    """
    certainty, face, box, points = (
        np.concatenate([answers[f"{kind}_{stride}"][0] for stride in STRIDES]) for kind in ("cls", "obj", "bbox", "kps")
    )
    scores = np.sqrt(np.clip(certainty[:, 0], 0, 1) * np.clip(face[:, 0], 0, 1))
    found = np.flatnonzero(scores >= threshold)
    places, strides = (of_all[found] for of_all in _places(*shape))
    centres, halves = places + box[found, :2], np.exp(box[found, 2:]) / 2
    boxes = np.concatenate((centres - halves, centres + halves), axis=1) * strides
    landmarks = (points[found].reshape(-1, 5, 2) + places[:, None]) * strides[:, None]
    return boxes, landmarks, scores[found]
