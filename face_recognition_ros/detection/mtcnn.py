"""MTCNN with facenet-pytorch's weights: `mtcnn` has its results box for box; `mtcnn_fast`, the default, does less.

K. Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks" (2016). Three
stages: P-Net proposes boxes on an image pyramid, R-Net refines them, O-Net decides and places the landmarks. The
order of steps and all constants are those of facenet_pytorch/models/utils/detect_face.py, which
benchmarks/compare_mtcnn.py compares us with.
"""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from face_recognition_ros.detection.area_sampling import SummedAreaTable
from face_recognition_ros.detection.boxes import (
    group_means,
    group_overlapping,
    intersection_over_smaller,
    make_square,
    pixel_ranges,
    regress,
    suppress_neighbours,
    suppress_non_maxima,
    window_boxes,
)
from face_recognition_ros.detection.detector import DetectorOptions, best_first, check_frame
from face_recognition_ros.detection.mip_sampling import MipMap
from face_recognition_ros.detection.pyramid import pyramid_for
from face_recognition_ros.detection.sampling import Sampler
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import ModelFile, find_model, load_model_file
from face_recognition_ros.runtime import FALLBACK, BackendChoice, InferenceSession, create_session
from face_recognition_ros.types import ByteArray, Detection, FloatArray

NETWORKS = ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet")
RNET_SIDE, ONET_SIDE = 24, 48
"""Of the crops that they take, in pixels."""
OVERLAP = 0.7
"""Of boxes of one face, at least."""
GRID = 32
"""Pixels to a multiple of which a part of a frame is cut, so that it can be halved."""
PIXELS_PER_CALL = 18_432
"""32 crops for R-Net, 8 for O-Net: what they make of more does not fit a processor's cache, and takes longer."""


class MtcnnDetector:
    """FaceDetector on three ONNX networks."""

    name = "mtcnn"
    sampler: type[Sampler] = SummedAreaTable

    def __init__(self, options: DetectorOptions) -> None:
        """Load the networks; raises ModelError where one is missing or damaged, BackendError as create_session does."""
        self._options = options
        sessions = [
            create_session(
                network_file(network, options.model).path, options.backend, options.strict_backend, options.threads
            )
            for network in NETWORKS
        ]
        for network, (session, _) in zip(NETWORKS, sessions, strict=True):
            if tuple(session.outputs) != ("answers",):
                raise ModelError(
                    f"{network}.onnx gives {', '.join(session.outputs)}, where this release wants answers; "
                    "write the three networks anew with python3 -m face_recognition_ros.models.mtcnn_export"
                )
        self._pnet, self._rnet, self._onet = (session for session, _ in sessions)
        self._choices = [choice for _, choice in sessions]
        self._frame, self._part = self.sampler(), self.sampler()
        self._logits = [math.log(threshold / (1 - threshold)) for threshold in options.thresholds]

    @property
    def backend(self) -> BackendChoice:
        """A network that is not run as it was asked for stands for all three."""
        return next((choice for choice in self._choices if choice.used == FALLBACK), self._choices[0])

    def detect(self, frame: ByteArray) -> list[Detection]:
        check_frame(frame)
        self._frame.fill(frame)
        return self._choose(*self._decide(*self._refine(self._propose())))

    def refine(self, frame: ByteArray, boxes: FloatArray) -> list[Detection]:
        """The third stage alone, on the boxes made square: it was trained on candidates that are off by as much."""
        check_frame(frame)
        boxes = make_square(boxes)
        left, top, right, bottom = frame_part(boxes, frame.shape[1], frame.shape[0])
        if right <= left or bottom <= top:
            return []
        self._part.fill(frame[top:bottom, left:right])
        corner = np.array([left, top], np.float32)
        corners = np.tile(corner, 2)
        boxes = boxes - corners
        seen, answers = _ask(self._onet, self._part, boxes, ONET_SIDE)
        return [
            Detection(face.box + corners, face.landmarks + corner, face.score)
            for face in self._choose(boxes[seen], answers)
        ]

    def _propose(self) -> FloatArray:
        """First stage: P-Net over the pyramid; square candidate boxes (N, 4)."""
        pyramid = pyramid_for(self._frame.height, self._frame.width, self._options.min_face_size)
        if pyramid is None:
            return np.zeros((0, 4), np.float32)
        (answers,) = self._pnet.run({"image": self._frame.canvas(pyramid)})[0]
        rows, columns = np.nonzero((answers[0] >= self._logits[0]) & (pyramid.level >= 0))
        level = pyramid.level[rows, columns]
        first = pyramid.origins[level]
        boxes = window_boxes(rows - first[:, 0], columns - first[:, 1], pyramid.scales[level])
        near = suppress_neighbours(boxes, answers[0, rows, columns], rows, columns, 0.5)
        boxes, (scores, *regression) = boxes[near], answers[:, rows[near], columns[near]]
        return make_square(self._propose_from(boxes, regress(boxes, np.stack(regression, axis=1), inclusive=0), scores))

    def _propose_from(self, boxes: FloatArray, regressed: FloatArray, logits: FloatArray) -> FloatArray:
        """Of P-Net's boxes (N, 4), given with and without their regression, those that R-Net is to see."""
        return regressed[suppress_non_maxima(boxes, logits, OVERLAP)]

    def _refine(self, boxes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Second stage: R-Net on all candidates; those that pass, (N, 4), without and with regression, and logits."""
        seen, answers = _ask(self._rnet, self._frame, boxes, RNET_SIDE)
        passed = answers[:, 0] > self._logits[1]
        boxes, answers = boxes[seen[passed]], answers[passed]
        return boxes, regress(boxes, answers[:, 1:], inclusive=1), answers[:, 0]

    def _decide(self, boxes: FloatArray, regressed: FloatArray, logits: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Third stage: O-Net on what is left; square boxes (N, 4) and its answers (N, 15)."""
        squares = make_square(regressed[suppress_non_maxima(boxes, logits, OVERLAP)])
        seen, answers = _ask(self._onet, self._frame, squares, ONET_SIDE)
        return squares[seen], answers

    def _choose(self, boxes: FloatArray, answers: FloatArray) -> list[Detection]:
        """The faces among O-Net's boxes (N, 4) with its answers (N, 15), best first."""
        passed = answers[:, 0] > self._logits[2]
        boxes, answers = boxes[passed], answers[passed]
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        landmarks = answers[:, 5:].reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2] - 1
        boxes = regress(boxes, answers[:, 1:5], inclusive=1)
        kept = suppress_non_maxima(boxes, answers[:, 0], OVERLAP, intersection_over_smaller)
        found = [Detection(boxes[i], landmarks[i], 1 / (1 + math.exp(-answers[i, 0]))) for i in kept]
        return best_first(found, self._options.max_faces)


class FastMtcnnDetector(MtcnnDetector):
    """MTCNN with fewer candidates: those that overlap become one, their mean, where the original keeps many.

    Its second and third stage have a fraction of the work; decision 17 says what that changes.
    """

    name = "mtcnn_fast"
    sampler = MipMap

    def _propose_from(self, boxes: FloatArray, regressed: FloatArray, logits: FloatArray) -> FloatArray:
        weights = probabilities(logits)
        return group_means(regressed, weights, group_overlapping(regressed, weights, OVERLAP))

    def _decide(self, boxes: FloatArray, regressed: FloatArray, logits: FloatArray) -> tuple[FloatArray, FloatArray]:
        """O-Net sees a group's mean, and only where it takes that for no face, the candidates of the original."""
        weights = probabilities(logits)
        group = group_overlapping(regressed, weights, OVERLAP)
        squares = make_square(group_means(regressed, weights, group))
        seen, answers = _ask(self._onet, self._frame, squares, ONET_SIDE)
        doubtful = np.bincount(group) > 1  # the mean of a single one is itself
        doubtful[seen[answers[:, 0] > self._logits[2]]] = False
        if not doubtful.any():
            return squares[seen], answers
        left = suppress_non_maxima(boxes, logits, OVERLAP)
        again = make_square(regressed[left[doubtful[group[left]]]])
        seen_again, more = _ask(self._onet, self._frame, again, ONET_SIDE)
        return np.concatenate((squares[seen], again[seen_again])), np.concatenate((answers, more))


def probabilities(logits: FloatArray) -> FloatArray:
    """Of logits (N,)."""
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def frame_part(boxes: FloatArray, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of a frame that boxes (N, 4) reach, or a little more; empty for none."""
    if not len(boxes):
        return 0, 0, 0, 0
    left, top = np.floor((boxes[:, :2].min(axis=0) - 2) / GRID).astype(int) * GRID
    right, bottom = np.ceil((boxes[:, 2:].max(axis=0) + 2) / GRID).astype(int) * GRID
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _ask(
    network: InferenceSession, frame: Sampler, boxes: FloatArray, side: int
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Which of the boxes (N, 4) show some of the frame, (M,), and the network's answers (M, ...) to their crops."""
    ranges = pixel_ranges(boxes, frame.width, frame.height)
    inside = np.flatnonzero((ranges[:, 2:] > ranges[:, :2]).all(axis=1))
    inside = inside[np.argsort(ranges[inside, 0], kind="stable")]  # neighbours find what they share in the cache
    ranges = ranges[inside]
    step = PIXELS_PER_CALL // side**2
    answers = [
        network.run({"image": frame.crops(ranges[start : start + step], side)})[0]
        for start in range(0, max(len(ranges), 1), step)
    ]
    return inside, np.concatenate(answers)


def network_file(name: str, folder: str) -> ModelFile:
    """One of NETWORKS: from that folder, or for none the installed one. Raises ModelError as load_model_file does."""
    return load_model_file(Path(folder) / f"{name}.onnx") if folder else find_model(name)
