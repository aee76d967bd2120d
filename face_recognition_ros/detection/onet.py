"""O-Net, MTCNN's third stage: whether a square shows a face, and where in it the box and the landmarks are.

Alone it follows faces from frame to frame, and says where exactly the faces are that a coarser search has found: it was
trained on candidates that are off by as much.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_recognition_ros.detection.boxes import intersection_over_smaller, make_square, regress, suppress_non_maxima
from face_recognition_ros.detection.detector import DetectorOptions, best_first, check_frame
from face_recognition_ros.detection.direct_sampling import FrameParts
from face_recognition_ros.detection.networks import ONET, ONET_SIDE, ask, load_network, logit
from face_recognition_ros.detection.sampling import CropSource
from face_recognition_ros.types import ByteArray, Detection, FloatArray

OVERLAP = 0.7
"""Of a box with a smaller one of the same face, as part of that, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """What may be faces, some of them twice."""

    boxes: FloatArray
    """(N, 4)"""
    landmarks: FloatArray
    """(N, 5, 2)"""
    scores: npt.NDArray[np.float64]
    """(N,)"""

    def best(self, most: int) -> list[Detection]:
        """Each of them once, best first, and so many at most."""
        kept = suppress_non_maxima(self.boxes, self.scores, OVERLAP, intersection_over_smaller)
        return best_first([Detection(self.boxes[i], self.landmarks[i], float(self.scores[i])) for i in kept], most)


class ONet:
    """FaceRefiner; its answers (N, 15) are logit, regression of the box, landmarks: five x, then five y."""

    def __init__(self, folder: str, options: DetectorOptions) -> None:
        """Load the network as load_network does, with its exceptions."""
        self._network, self.backend = load_network(ONET, folder, options)
        self._most = options.max_faces
        self._threshold = logit(options.thresholds[2])

    def look(self, frame: CropSource, squares: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
        """Which of the squares (N, 4) show some of the frame, (M,), and its answers (M, 15) to them."""
        return ask(self._network, frame, squares, ONET_SIDE)

    def accepts(self, answers: FloatArray) -> npt.NDArray[np.bool_]:
        """Which of the answers (N, 15) say that it is a face, (N,)."""
        return np.asarray(answers[:, 0] > self._threshold)

    def faces(self, squares: FloatArray, answers: FloatArray) -> Faces:
        """Of squares (N, 4) with its answers (N, 15), those that it accepts."""
        accepted = self.accepts(answers)
        squares, answers = squares[accepted], answers[accepted]
        sides = squares[:, None, 2:] - squares[:, None, :2] + 1
        landmarks = answers[:, 5:].reshape(-1, 2, 5).transpose(0, 2, 1) * sides + squares[:, None, :2] - 1
        scores = 1 / (1 + np.exp(-answers[:, 0].astype(np.float64)))
        return Faces(regress(squares, answers[:, 1:5], inclusive=1), landmarks, scores)

    def place(self, frame: ByteArray, boxes: FloatArray) -> tuple[npt.NDArray[np.intp], Faces]:
        """At which of these places (N, 4) in a (H, W, 3) uint8 BGR frame there is a face, (M,), and where exactly."""
        if not len(boxes):
            return np.empty(0, np.intp), Faces(boxes, np.empty((0, 5, 2), np.float32), np.empty(0))
        squares = make_square(boxes)
        seen, answers = self.look(FrameParts(frame), squares)
        return seen[self.accepts(answers)], self.faces(squares[seen], answers)

    def refine(self, frame: ByteArray, boxes: FloatArray) -> list[Detection]:
        check_frame(frame)
        return self.place(frame, boxes)[1].best(self._most)
