"""Cuts the crop that is stored for training out of a photo: which face, where, and how it is sampled."""

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.alignment import TEMPLATE, estimate_similarity
from face_recognition_ros.detection import FaceDetector
from face_recognition_ros.training.data.shards import MARGIN, STORED_SIZE
from face_recognition_ros.types import ByteArray, Detection

BACKGROUND = 0.5
"""A face narrower than this share of the widest one is of somebody in the background."""


def detect_faces(detector: FaceDetector, photo: ByteArray, longest_side: int) -> list[Detection]:
    """Faces of a (H, W, 3) uint8 BGR photo in its pixels, found in a smaller copy where it is larger than that."""
    scale = longest_side / max(photo.shape[:2])
    if scale >= 1:
        return detector.detect(photo)
    small = _shrunk(photo, scale)
    ratio = _ratio(photo, small)

    def in_photo(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return ((points.reshape(-1, 2) + 0.5) * ratio - 0.5).astype(np.float32)

    return [
        Detection(in_photo(face.box).ravel(), in_photo(face.landmarks), face.score) for face in detector.detect(small)
    ]


def choose_face(faces: list[Detection], width: int, height: int) -> Detection | None:
    """The face that a photo of this size is of; None if that is not clear.

    It is the only large face, or the only large one whose box holds the middle of the photo. A face is large that is at
    least half as wide as the widest.
    """
    widest = max((face.width for face in faces), default=0.0)
    large = [face for face in faces if face.width >= BACKGROUND * widest]
    x, y = width / 2, height / 2
    central = [face for face in large if face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3]]
    for candidates in (large, central):
        if len(candidates) == 1:
            return candidates[0]
    return None


def crop_transform(landmarks: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(2, 3): photo pixel -> pixel of the stored crop; raises AlignmentError as alignment.estimate_similarity does."""
    return estimate_similarity(landmarks, TEMPLATE + MARGIN)


def stored_crop(photo: ByteArray, landmarks: npt.ArrayLike) -> ByteArray:
    """(128, 128, 3) uint8 BGR: what alignment.align_face cuts out of the photo, and 8 pixels more on each side.

    Args:
        photo: (H, W, 3) uint8 BGR.
        landmarks: (5, 2) x, y in pixels of the photo, in the order of types.LANDMARKS.

    Raises:
        AlignmentError: see alignment.estimate_similarity.
    """
    transform = crop_transform(landmarks)
    scale = float(np.sqrt(np.linalg.det(transform[:, :2])))
    if scale < 0.5:  # bilinear sampling would skip pixels, see alignment
        small = _shrunk(photo, scale)
        photo, transform = small, crop_transform((np.asarray(landmarks) + 0.5) / _ratio(photo, small) - 0.5)
    return np.asarray(cv2.warpAffine(photo, transform, (STORED_SIZE, STORED_SIZE), flags=cv2.INTER_LINEAR), np.uint8)


def _shrunk(photo: ByteArray, scale: float) -> ByteArray:
    """The photo at a smaller scale, averaged."""
    height, width = photo.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def _ratio(photo: ByteArray, small: ByteArray) -> npt.NDArray[np.float64]:
    """Pixels x, y of the photo per pixel of the smaller one."""
    return np.array([photo.shape[1] / small.shape[1], photo.shape[0] / small.shape[0]])
