"""Detectors of one network, for a model file that the user brings. MTCNN's O-Net places the faces that they find.

Decision 19 says why.
"""

from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from face_recognition_ros.detection.boxes import suppress_non_maxima
from face_recognition_ros.detection.detector import DetectorOptions, check_frame
from face_recognition_ros.detection.networks import ONET, network_file, speaks_for
from face_recognition_ros.detection.onet import Faces, ONet
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import load_model_file
from face_recognition_ros.runtime import BackendChoice, create_session
from face_recognition_ros.types import ByteArray, Detection, FloatArray

STRIDES = (8, 16, 32)
"""Pixels between the places that the network answers for, in each of its three maps."""


class SingleStageDetector(ABC):
    """FaceDetector and FaceRefiner: what its network finds is placed by O-Net, which also follows it.

    A subclass says what its network is, what it is shown, and what its answers mean.
    """

    name: str
    kind: str
    """Of network, for people: YuNet."""
    source: str
    """Where such files are had."""
    answers: str
    """Its answers, in words."""
    smallest_shown: float
    """Side in pixels at which the network is shown the smallest face that is looked for, as time goes with the number
    of pixels (decision 19)."""
    overlap: float
    """Of boxes of one face, at least."""
    sides: tuple[int | None, ...]
    """Height and width of the picture that the network takes; None where any will do."""

    def __init__(self, options: DetectorOptions) -> None:
        """Load the model file; raises ModelError where none is given, or it is missing or another network."""
        if not options.model:
            raise ModelError(
                f"The {self.name} detector needs a model file: set the detector's model to the path of a {self.kind} "
                f".onnx file ({self.source})."
            )
        self.options = options
        path = load_model_file(Path(options.model)).path
        self.session, choice = create_session(path, options.backend, options.strict_backend, options.threads)
        (self._input, shape), *others = self.session.inputs.items()
        self.sides = shape[2:]
        if others or len(shape) != 4 or shape[1] != 3 or not self.recognizes_session():
            raise ModelError(
                f"{path} is no {self.kind} model: it takes {', '.join(self.session.inputs)} and gives "
                f"{', '.join(self.session.outputs)}, where one picture and {self.answers} are wanted."
            )
        self._onet = ONet("", options)
        self._choices = choice, self._onet.backend

    @staticmethod
    def model_files(model: str) -> list[Path]:
        return [load_model_file(Path(model)).path, network_file(ONET, "").path]

    @property
    def backend(self) -> BackendChoice:
        return speaks_for(self._choices)

    def detect(self, frame: ByteArray) -> list[Detection]:
        """What `search` finds, with O-Net's box, landmarks and score wherever that sees a face there too."""
        found = self.search(frame)
        which, placed = self._onet.place(frame, found.boxes)
        found.boxes[which], found.landmarks[which], found.scores[which] = placed.boxes, placed.landmarks, placed.scores
        return found.best(self.options.max_faces)

    def refine(self, frame: ByteArray, boxes: FloatArray) -> list[Detection]:
        return self._onet.refine(frame, boxes)

    def search(self, frame: ByteArray) -> Faces:
        """What the network alone says of a (H, W, 3) uint8 BGR frame, best first."""
        check_frame(frame)
        picture, ratio = self._shown(frame)
        boxes, landmarks, scores = self.candidates(picture)
        boxes = boxes * np.tile(ratio, 2)
        landmarks = (landmarks + np.float32(0.5)) * ratio - np.float32(0.5)
        kept = suppress_non_maxima(boxes, scores, self.overlap)
        kept = kept[(boxes[kept, 2:] - boxes[kept, :2]).max(axis=1) >= self.options.min_face_size]
        return Faces(boxes[kept], landmarks[kept], scores[kept].astype(np.float64))

    @abstractmethod
    def recognizes_session(self) -> bool:
        """Whether the session's network, which takes one picture with its channels first, is of this kind."""

    @abstractmethod
    def candidates(self, picture: ByteArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Boxes (N, 4), landmarks (N, 5, 2), scores (N,): what the network sees in a (h, w, 3) uint8 BGR picture.

        h and w are multiples of the largest stride; scores are above options.thresholds[2]. Of the landmarks, the
        person's right eye comes first: the image's left.
        """

    def ask(self, planes: FloatArray) -> list[FloatArray]:
        """The network's answers, as session.outputs names them, to the (1, 3, h, w) float32 planes of a picture."""
        return self.session.run({self._input: planes})

    def _shown(self, frame: ByteArray) -> tuple[ByteArray, FloatArray]:
        """The (h, w, 3) picture that the network is shown of a frame, and (2,) the frame's x, y for each of its."""
        height, width = frame.shape[:2]
        room = [limit / side for limit, side in zip(self.sides, (height, width), strict=True) if limit]
        scale = min(1.0, *(room or [self.smallest_shown / self.options.min_face_size]))  # what is paid for is used
        rows, columns = (max(1, int(side * scale + 0.5)) for side in (height, width))
        shape = [limit or whole(side) for limit, side in zip(self.sides, (rows, columns), strict=True)]
        picture = np.zeros((*shape, 3), np.uint8)
        small = frame if scale == 1 else cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
        picture[:rows, :columns] = small
        return picture, np.array([width / columns, height / rows], np.float32)


def whole(side: int) -> int:
    """Up to the next multiple of the largest stride."""
    return -(-side // STRIDES[-1]) * STRIDES[-1]


@lru_cache(maxsize=4)
def places(rows: int, columns: int, anchors: int = 1) -> tuple[FloatArray, FloatArray]:
    """What each answer to a picture of that size is about: its place, (N, 2) x and y in strides; the stride, (N, 1)."""
    shapes = [(rows // stride, columns // stride) for stride in STRIDES]
    found = [np.repeat(np.argwhere(np.ones(shape, np.bool_))[:, ::-1], anchors, axis=0) for shape in shapes]
    strides = np.repeat(np.array(STRIDES, np.float32), [len(one) for one in found])
    return np.concatenate(found).astype(np.float32), strides[:, None]
