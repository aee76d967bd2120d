"""The default detector: MTCNN with facenet-pytorch's weights and, box for box, its results.

K. Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks" (2016). Three
stages: P-Net proposes boxes on an image pyramid, R-Net refines them, O-Net decides and places the landmarks. The
order of steps and all constants are those of facenet_pytorch/models/utils/detect_face.py, which
benchmarks/compare_mtcnn.py compares us with.
"""

from pathlib import Path

import numpy as np

from face_recognition_ros.detection.area_sampling import Table, shrink, shrink_crops, summed_area_table
from face_recognition_ros.detection.boxes import (
    intersection_over_smaller,
    make_square,
    pixel_ranges,
    regress,
    suppress_non_maxima,
    window_boxes,
)
from face_recognition_ros.detection.detector import DetectorOptions, best_first, check_frame
from face_recognition_ros.models import ModelFile, find_model, load_model_file
from face_recognition_ros.runtime import InferenceSession, create_session
from face_recognition_ros.types import ByteArray, Detection, FloatArray

PYRAMID_FACTOR = 0.709
WINDOW = 12
"""Side of P-Net's window in pixels: the size at which a level shows its smallest face."""
CROPS_PER_CALL = 256
"""Bounds the memory of one call; a frame rarely has more candidates."""


class MtcnnDetector:
    """FaceDetector on three ONNX networks."""

    name = "mtcnn"

    def __init__(self, options: DetectorOptions) -> None:
        """Load the networks; raises ModelError where one is missing or damaged, BackendError as create_session does."""
        self._options = options
        sessions = [
            create_session(
                _model(network, options.model).path, options.backend, options.strict_backend, options.threads
            )
            for network in ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet")
        ]
        self._pnet, self._rnet, self._onet = (session for session, _ in sessions)
        self.backend = sessions[0][1]

    def detect(self, frame: ByteArray) -> list[Detection]:
        check_frame(frame)
        table = summed_area_table(frame)
        candidates = self._propose(table)
        candidates = self._refine(table, candidates)
        boxes, scores, landmarks = self._decide(table, candidates)
        found = [
            Detection(box, points, float(score)) for box, points, score in zip(boxes, landmarks, scores, strict=True)
        ]
        return best_first(found, self._options.max_faces)

    def _propose(self, table: Table) -> FloatArray:
        """First stage: P-Net over the pyramid; square candidate boxes (N, 4)."""
        height, width = table.shape[0] - 1, table.shape[1] - 1
        levels = [
            self._propose_at(table, scale) for scale in pyramid_scales(height, width, self._options.min_face_size)
        ]
        if not levels:
            return np.zeros((0, 4), np.float32)
        boxes, scores, regression = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        kept = suppress_non_maxima(boxes, scores, 0.7)
        return make_square(regress(boxes[kept], regression[kept], inclusive=0))

    def _propose_at(self, table: Table, scale: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        height, width = table.shape[0] - 1, table.shape[1] - 1
        level = shrink(table, int(height * scale + 1), int(width * scale + 1))
        probability, regression = self._pnet.run({"image": level[None]})
        rows, columns = np.nonzero(probability[0, 0] >= self._options.thresholds[0])
        boxes, scores = window_boxes(rows, columns, scale), probability[0, 0, rows, columns]
        kept = suppress_non_maxima(boxes, scores, 0.5)
        return boxes[kept], scores[kept], regression[0][:, rows, columns].T[kept]

    def _refine(self, table: Table, boxes: FloatArray) -> FloatArray:
        """Second stage: R-Net on all candidates at once; square boxes (N, 4)."""
        boxes, crops = _crops(table, boxes, side=24)
        probability, regression = _run_in_batches(self._rnet, crops)
        passed = probability[:, 0] > self._options.thresholds[1]
        boxes, scores, regression = boxes[passed], probability[passed, 0], regression[passed]
        kept = suppress_non_maxima(boxes, scores, 0.7)
        return make_square(regress(boxes[kept], regression[kept], inclusive=1))

    def _decide(self, table: Table, boxes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Third stage: O-Net on what is left; boxes (N, 4), scores (N,), landmarks (N, 5, 2)."""
        boxes, crops = _crops(table, boxes, side=48)
        probability, regression, points = _run_in_batches(self._onet, crops)
        passed = probability[:, 0] > self._options.thresholds[2]
        boxes, scores = boxes[passed], probability[passed, 0]
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        landmarks = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2] - 1
        boxes = regress(boxes, regression[passed], inclusive=1)
        kept = suppress_non_maxima(boxes, scores, 0.7, intersection_over_smaller)
        return boxes[kept], scores[kept], landmarks[kept]


def pyramid_scales(height: int, width: int, min_face_size: float) -> list[float]:
    """Scales of the pyramid's levels: the smallest face sought fills P-Net's window, then ever larger ones do."""
    scales = []
    scale = WINDOW / min_face_size
    shorter_side = min(height, width) * scale
    while shorter_side >= WINDOW:
        scales.append(scale)
        scale *= PYRAMID_FACTOR
        shorter_side *= PYRAMID_FACTOR
    return scales


def _crops(table: Table, boxes: FloatArray, side: int) -> tuple[FloatArray, FloatArray]:
    """The boxes that show some of the frame, and their crops (N, side, side, 3)."""
    ranges = pixel_ranges(boxes, table.shape[1] - 1, table.shape[0] - 1)
    inside = (ranges[:, 2:] > ranges[:, :2]).all(axis=1)
    return boxes[inside], shrink_crops(table, ranges[inside], side)


def _run_in_batches(session: InferenceSession, crops: FloatArray) -> list[FloatArray]:
    starts = range(0, max(len(crops), 1), CROPS_PER_CALL)
    batches = [session.run({"image": crops[start : start + CROPS_PER_CALL]}) for start in starts]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _model(name: str, folder: str) -> ModelFile:
    return load_model_file(Path(folder) / f"{name}.onnx") if folder else find_model(name)
