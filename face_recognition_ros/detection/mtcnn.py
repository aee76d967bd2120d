"""MTCNN with facenet-pytorch's weights: `mtcnn` has its results box for box; `mtcnn_fast`, the default, does less.

K. Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks" (2016). Three
stages: P-Net proposes boxes on an image pyramid, R-Net refines them, O-Net decides and places the landmarks. The
order of steps and all constants are those of facenet_pytorch/models/utils/detect_face.py, which
benchmarks/compare_mtcnn.py compares us with.
"""

from pathlib import Path

import numpy as np

from face_recognition_ros.detection.area_sampling import SummedAreaTable
from face_recognition_ros.detection.boxes import (
    group_means,
    group_overlapping,
    make_square,
    regress,
    suppress_neighbours,
    suppress_non_maxima,
    window_boxes,
)
from face_recognition_ros.detection.detector import DetectorOptions, check_frame
from face_recognition_ros.detection.mip_sampling import MipMap
from face_recognition_ros.detection.networks import (
    NETWORKS,
    PNET,
    RNET,
    RNET_SIDE,
    ask,
    load_network,
    logit,
    network_file,
    speaks_for,
)
from face_recognition_ros.detection.onet import Faces, ONet
from face_recognition_ros.detection.pyramid import pyramid_for
from face_recognition_ros.detection.sampling import Sampler
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.types import ByteArray, Detection, FloatArray

OVERLAP = 0.7
"""Of boxes of one face, at least."""


class MtcnnDetector:
    """FaceDetector on three ONNX networks."""

    name = "mtcnn"
    sampler: type[Sampler] = SummedAreaTable

    def __init__(self, options: DetectorOptions) -> None:
        """Load the networks; raises ModelError where one is missing or damaged, BackendError as create_session does."""
        self._options = options
        self._pnet, of_pnet = load_network(PNET, options.model, options)
        self._rnet, of_rnet = load_network(RNET, options.model, options)
        self._onet = ONet(options.model, options)
        self._choices = of_pnet, of_rnet, self._onet.backend
        self._frame = self.sampler()
        self._logits = [logit(threshold) for threshold in options.thresholds[:2]]

    @staticmethod
    def model_files(model: str) -> list[Path]:
        return [network_file(name, model).path for name in NETWORKS]

    @property
    def backend(self) -> BackendChoice:
        return speaks_for(self._choices)

    def detect(self, frame: ByteArray) -> list[Detection]:
        check_frame(frame)
        self._frame.fill(frame)
        return self._decide(*self._refine(self._propose())).best(self._options.max_faces)

    def refine(self, frame: ByteArray, boxes: FloatArray) -> list[Detection]:
        return self._onet.refine(frame, boxes)

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
        seen, answers = ask(self._rnet, self._frame, boxes, RNET_SIDE)
        passed = answers[:, 0] > self._logits[1]
        boxes, answers = boxes[seen[passed]], answers[passed]
        return boxes, regress(boxes, answers[:, 1:], inclusive=1), answers[:, 0]

    def _decide(self, boxes: FloatArray, regressed: FloatArray, logits: FloatArray) -> Faces:
        """Third stage: O-Net on what is left."""
        squares = make_square(regressed[suppress_non_maxima(boxes, logits, OVERLAP)])
        seen, answers = self._onet.look(self._frame, squares)
        return self._onet.faces(squares[seen], answers)


class FastMtcnnDetector(MtcnnDetector):
    """MTCNN with fewer candidates: those that overlap become one, their mean, where the original keeps many.

    Its second and third stage have a fraction of the work; decision 17 says what that changes.
    """

    name = "mtcnn_fast"
    sampler = MipMap

    def _propose_from(self, boxes: FloatArray, regressed: FloatArray, logits: FloatArray) -> FloatArray:
        weights = probabilities(logits)
        return group_means(regressed, weights, group_overlapping(regressed, weights, OVERLAP))

    def _decide(self, boxes: FloatArray, regressed: FloatArray, logits: FloatArray) -> Faces:
        """O-Net sees a group's mean, and only where it takes that for no face, the candidates of the original."""
        weights = probabilities(logits)
        group = group_overlapping(regressed, weights, OVERLAP)
        squares = make_square(group_means(regressed, weights, group))
        seen, answers = self._onet.look(self._frame, squares)
        doubtful = np.bincount(group) > 1  # the mean of a single one is itself
        doubtful[seen[self._onet.accepts(answers)]] = False
        if not doubtful.any():
            return self._onet.faces(squares[seen], answers)
        left = suppress_non_maxima(boxes, logits, OVERLAP)
        again = make_square(regressed[left[doubtful[group[left]]]])
        seen_again, more = self._onet.look(self._frame, again)
        return self._onet.faces(np.concatenate((squares[seen], again[seen_again])), np.concatenate((answers, more)))


def probabilities(logits: FloatArray) -> FloatArray:
    """Of logits (N,)."""
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
