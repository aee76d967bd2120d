"""Brings faces onto the canonical five-point template: landmarks in, 112x112 crops out."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import AlignmentError, ImageError
from face_recognition_ros.types import CROP_SIZE, AlignedFace, ByteArray, Detection

TEMPLATE: npt.NDArray[np.float64] = np.array(
    [(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)]
)
"""(5, 2) crop pixels: the image's left and right eye, nose tip, left and right mouth corner (ArcFace's)."""
TEMPLATE.setflags(write=False)

_AS_COMPLEX = np.array([1, 1j])

MIN_SCALE, MAX_SCALE = 1 / 64, 32.0
"""Crop pixels per frame pixel: outside of it a face would be wider than 5000 or narrower than 3 frame pixels."""

MIN_BREADTH = 0.05
"""Breadth over length of the landmarks' scatter, below which they lie on a line; real faces have over 0.5."""


def estimate_similarity(source: npt.ArrayLike, target: npt.ArrayLike = TEMPLATE) -> npt.NDArray[np.float64]:
    """The rotation, uniform scale and translation that bring `source` nearest to `target` in the least squares sense.

    Closed form of Umeyama, "Least-squares estimation of transformation parameters between two point patterns", IEEE
    TPAMI 13(4), 1991. Landmarks that only a mirror image would fit are refused rather than fitted badly.

    Args:
        source: (5, 2) x, y of the landmarks, in frame pixels.
        target: (5, 2) x, y where they should go, in crop pixels.

    Returns:
        (2, 3) float64 matrix `m` such that `m @ (x, y, 1)` of a source point is its place in the target.

    Raises:
        AlignmentError: the landmarks are not five finite points, lie on one point or line, are mirrored, or would need
            a scale outside of MIN_SCALE to MAX_SCALE.
    """
    points, goal = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if points.shape != (5, 2) or goal.shape != (5, 2):
        raise AlignmentError(f"alignment needs five landmarks as a (5, 2) array, not {points.shape} onto {goal.shape}")
    if not (np.isfinite(points).all() and np.isfinite(goal).all()):
        raise AlignmentError("a landmark is not a finite number; all five need a place in the frame")
    # Points as complex numbers: a similarity is a product and a sum.
    centre, goal_centre = complex(*points.mean(axis=0)), complex(*goal.mean(axis=0))
    centred, goal_centred = points @ _AS_COMPLEX - centre, goal @ _AS_COMPLEX - goal_centre
    spread, elongation = float(np.vdot(centred, centred).real), abs(complex(centred @ centred))
    length, breadth = (math.sqrt(max(spread + sign * elongation, 0.0) / 2) for sign in (1, -1))
    if length < 1e-6 or breadth < MIN_BREADTH * length:
        raise AlignmentError("the five landmarks lie on one point or line; a face's span an area")

    turned, mirrored = complex(np.vdot(centred, goal_centred)), complex(centred @ goal_centred)
    if abs(turned) < abs(mirrored):
        raise AlignmentError("the landmarks are a mirrored face's; the image's left eye and mouth corner come first")
    factor = turned / spread
    scale = abs(factor)
    if not MIN_SCALE <= scale <= MAX_SCALE:
        raise AlignmentError(f"the face would be scaled by {scale:.3g}; {MIN_SCALE:.3g} to {MAX_SCALE:g} is sensible")
    offset = goal_centre - factor * centre
    return np.array([(factor.real, -factor.imag, offset.real), (factor.imag, factor.real, offset.imag)])


def align_face(frame: ByteArray, landmarks: npt.ArrayLike) -> AlignedFace:
    """Cut one face out of a frame, upright and at the template's scale; black where the frame ends.

    Args:
        frame: (H, W, 3) uint8 BGR.
        landmarks: (5, 2) x, y in frame pixels, in the order of Detection.landmarks.

    Raises:
        AlignmentError: see estimate_similarity, or the face lies outside of the frame.
        ImageError: the frame is not an (H, W, 3) uint8 picture.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ImageError(f"a frame must be (height, width, 3) uint8 BGR, not {frame.shape} {frame.dtype}")
    transform = estimate_similarity(landmarks)
    left, top, right, bottom = _footprint(transform, frame.shape[1], frame.shape[0])
    if left >= right or top >= bottom:
        raise AlignmentError("the face lies outside of the frame; some of it must be in the picture")
    region = frame[top:bottom, left:right]
    local = transform.copy()
    local[:, 2] += transform[:, :2] @ (left, top)
    region, local = _shrink(region, local)
    crop = cv2.warpAffine(region, local, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return AlignedFace(crop=np.asarray(crop, np.uint8), transform=transform)


def align_faces(frame: ByteArray, detections: Sequence[Detection]) -> list[AlignedFace | None]:
    """An aligned crop for each detection, in their order; None where its landmarks allow none (see align_face).

    Raises:
        ImageError: the frame is not an (H, W, 3) uint8 picture.
    """
    return [_align_or_none(frame, detection) for detection in detections]


def _align_or_none(frame: ByteArray, detection: Detection) -> AlignedFace | None:
    try:
        return align_face(frame, detection.landmarks)
    except AlignmentError:
        return None


def _footprint(transform: npt.NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the frame's part that the crop is made of, with a margin for interpolation."""
    factor, offset = complex(transform[0, 0], transform[1, 0]), complex(transform[0, 2], transform[1, 2])
    ends = (-0.5, CROP_SIZE - 0.5)
    corners = [(complex(x, y) - offset) / factor for x in ends for y in ends]
    margin = 2 + 2 / abs(factor)
    across, down = [corner.real for corner in corners], [corner.imag for corner in corners]
    left, top = math.floor(min(across) - margin), math.floor(min(down) - margin)
    right, bottom = math.ceil(max(across) + margin) + 1, math.ceil(max(down) + margin) + 1
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _shrink(region: ByteArray, transform: npt.NDArray[np.float64]) -> tuple[ByteArray, npt.NDArray[np.float64]]:
    """Average a face that is over twice too large down to about the crop's scale first.

    Bilinear sampling reads four pixels whatever the scale: below one half it skips some, and texture turns to noise.
    """
    scale = math.hypot(transform[0, 0], transform[1, 0])
    if scale >= 0.5:
        return region, transform
    height, width = region.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    ratio = np.array([width / size[0], height / size[1]])
    # Pixel q of the small picture covers the region around (q + 0.5) * ratio - 0.5.
    linear = transform[:, :2] * ratio
    offset = transform[:, 2] + transform[:, :2] @ (0.5 * ratio - 0.5)
    return np.asarray(small, np.uint8), np.column_stack([linear, offset])
