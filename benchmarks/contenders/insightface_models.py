"""insightface's SCRFD and MobileFaceNet (its pack buffalo_s), for users who have the files, run as its package does.

Written after the package's SCRFD, ArcFaceONNX and norm_crop, which cannot be installed without a compiler.
"""

import os
from typing import Any

import cv2
import numpy as np
import onnxruntime
from skimage.transform import SimilarityTransform
from worker import Templates, as_lists, model_file, serve

STRIDES = (8, 16, 32)
ANCHORS = 2
"""At each place of a feature map."""
SCORE_THRESHOLD, NMS_THRESHOLD = 0.5, 0.4
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


class InsightFace:
    """One face at a time through the embedding network, and a pool of threads for each network, as in the package.

    Where the options say `one_pool`, both networks share one: two hinder each other, as their threads wait awake.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        detector = model_file(options, "scrfd", "det_500m.onnx", "scrfd_500m*.onnx")
        network = model_file(options, "mobilefacenet", "w600k_mbf.onnx", "mobilefacenet*.onnx")
        self._files = f"{detector.name}, {network.name}"
        threads, one_pool = options["threads"], bool(options.get("one_pool"))
        self._pools = 1 if one_pool else 2
        if one_pool:
            onnxruntime.set_global_thread_pool_sizes(threads, 1)
        cv2.setNumThreads(threads)
        self._size = int(options["size"])
        self._detector, self._network = (session(path, threads, one_pool) for path in (detector, network))
        self._centres = {stride: centres(self._size, stride) for stride in STRIDES}
        self._templates = Templates(options["templates"], int(self._network.get_outputs()[0].shape[-1]))

    def about(self) -> dict[str, Any]:
        return {
            "onnxruntime": onnxruntime.__version__,
            "detection size": self._size,
            "files": self._files,
            "pools": self._pools,
        }

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def process(self, picture: np.ndarray, stamp: float) -> tuple[np.ndarray, np.ndarray]:
        boxes, landmarks = self.detect(picture)
        if len(boxes):
            self._templates.nearest(np.concatenate([self._embed(picture, points) for points in landmarks]))
        return boxes, landmarks

    def faces(self, result: tuple[np.ndarray, np.ndarray]) -> list[dict[str, Any]]:
        return [as_lists(box, points) for box, points in zip(*result, strict=True)]

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) and landmarks (N, 5, 2)."""
        height, width = picture.shape[:2]
        scale = min(self._size / width, self._size / height)
        resized = cv2.resize(picture, (int(width * scale), int(height * scale)))
        square = np.zeros((self._size, self._size, 3), np.uint8)
        square[: resized.shape[0], : resized.shape[1]] = resized
        blob = cv2.dnn.blobFromImage(square, 1 / 128, (self._size, self._size), (127.5,) * 3, swapRB=True)
        outputs = self._detector.run(None, {self._detector.get_inputs()[0].name: blob})
        scores, boxes, points = [], [], []
        for level, stride in enumerate(STRIDES):
            score, distance, offset = (outputs[level + kind * len(STRIDES)] for kind in range(3))
            found = np.flatnonzero(score.ravel() >= SCORE_THRESHOLD)
            centre = self._centres[stride][found]
            distance, offset = stride * distance.reshape(-1, 4)[found], stride * offset.reshape(-1, 5, 2)[found]
            scores.append(score.ravel()[found])
            boxes.append(np.hstack([centre - distance[:, :2], centre + distance[:, 2:]]))
            points.append(centre[:, None] + offset)
        best = np.argsort(-np.concatenate(scores), kind="stable")
        all_boxes, all_points = np.concatenate(boxes)[best] / scale, np.concatenate(points)[best] / scale
        kept = without_overlaps(all_boxes)
        return all_boxes[kept], all_points[kept]

    def _embed(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        transform = SimilarityTransform.from_estimate(landmarks, TEMPLATE)
        crop = cv2.warpAffine(picture, transform.params[:2], (112, 112), borderValue=0.0)
        blob = cv2.dnn.blobFromImages([crop], 1 / 127.5, (112, 112), (127.5,) * 3, swapRB=True)
        return self._network.run(None, {self._network.get_inputs()[0].name: blob})[0]


def session(path: Any, threads: int, one_pool: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = not one_pool
    places = [str(number + 1) for number in sorted(os.sched_getaffinity(0))[1:threads]]
    if places and not one_pool:
        # The package names no number; onnxruntime then gives each thread but the calling one a processor of its own.
        options.intra_op_num_threads = 1 + len(places)
        options.add_session_config_entry("session.intra_op_thread_affinities", ";".join(places))
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def centres(size: int, stride: int) -> np.ndarray:
    """(places * ANCHORS, 2) x, y in pixels of the detector's square."""
    y, x = np.mgrid[: size // stride, : size // stride]
    return np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2) * np.float32(stride), ANCHORS, axis=0)


def without_overlaps(boxes: np.ndarray) -> list[int]:
    """Of boxes (N, 4), best first, the rows that overlap no better one by more than NMS_THRESHOLD."""
    left, top, right, bottom = boxes.T
    areas = (right - left + 1) * (bottom - top + 1)
    order, kept = np.arange(len(boxes)), []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(int(first))
        width = np.minimum(right[first], right[rest]) - np.maximum(left[first], left[rest]) + 1
        height = np.minimum(bottom[first], bottom[rest]) - np.maximum(top[first], top[rest]) + 1
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        order = rest[shared / (areas[first] + areas[rest] - shared) <= NMS_THRESHOLD]
    return kept


if __name__ == "__main__":
    serve(InsightFace)
