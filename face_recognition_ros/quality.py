"""Judges whether a face is good enough to be matched or enrolled, and says in a sentence what would make it better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.errors import SettingsError
from face_recognition_ros.types import AlignedFace, ByteArray, Detection, Quality, QualityMeasure

MATCHING_SCORE, ENROLLMENT_SCORE = 1 / 3, 2 / 3
"""The score of a measure that lies exactly on the limit for matching, and on the limit for enrolling."""

ENROLLMENT_DETECTION_SCORE = 0.9
"""What the detector takes for a face only half-heartedly may be none: nothing is learned from it. Bodies far away that
MTCNN took for faces scored 0.74 to 0.89, faces that are otherwise fit to be enrolled 0.94 and more (LFW, YTF)."""

FACE_WIDTH = 77.0
"""Crop pixels from cheek to cheek: 2.2 times the template's eye distance, as adults' 140 mm are of their 64 mm."""

INNER_FACE = np.s_[36:100, 26:86]
"""Rows and columns of the crop that are skin in nearly every face: brows to chin, without hair and background."""

NOSE_DEPTH, NOSE_DROP = 18.0, 2.0
"""Crop pixels by which the nose tip stands out of the plane of eyes and mouth, and lies below the template's.

Depth: the value for which the fits of turned and frontal LFW faces deviate equally from a rigid motion. Drop: the
template's nose is that of faces looking slightly up."""

_MODEL = np.column_stack([TEMPLATE, np.zeros(5)])
_MODEL[2] += (0.0, NOSE_DROP, -NOSE_DEPTH)
_MODEL_INVERSE: npt.NDArray[np.float64] = np.linalg.pinv(_MODEL - _MODEL.mean(axis=0))

_NOISE_VARIANCE = 25.0
"""Grey levels squared: contrast below this is sensor noise, not a face."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a face must have to be usable for one purpose; a value on the limit passes."""

    min_face_width: float
    """Frame pixels from cheek to cheek."""
    min_sharpness: float
    """See sharpness()."""
    max_yaw: float
    """Degrees to either side."""
    max_pitch: float
    """Degrees up or down."""
    max_roll: float
    """Degrees to either side."""
    min_brightness: float
    """Mean grey level of the inner face, 0 to 255."""
    max_brightness: float
    """Mean grey level of the inner face, 0 to 255."""
    max_clipped: float
    """Share of the inner face that is black or burnt out, 0 to 1."""


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """The limits for matching, and the stricter ones for enrolling.

    Raises:
        SettingsError: a limit for enrolling is looser than that for matching.
    """

    matching: Limits = field(default=Limits(24.0, 0.008, 45.0, 35.0, 45.0, 30.0, 225.0, 0.5))
    enrollment: Limits = field(default=Limits(60.0, 0.015, 30.0, 25.0, 30.0, 45.0, 205.0, 0.3))

    def __post_init__(self) -> None:
        for limit in fields(Limits):
            loose, strict = getattr(self.matching, limit.name), getattr(self.enrollment, limit.name)
            sign = 1 if limit.name.startswith("min") else -1
            if not sign * loose <= sign * strict:
                wanted = "at least" if sign > 0 else "at most"
                raise SettingsError(
                    f"{limit.name} is {strict:g} for enrolling; it must be {wanted} that for matching, {loose:g}"
                )


DEFAULT_LIMITS = QualityLimits()


def assess(detection: Detection, aligned: AlignedFace | None, limits: QualityLimits = DEFAULT_LIMITS) -> Quality:
    """Measure certainty, size, sharpness, pose and exposure of a face, and compare them with the limits.

    Args:
        detection: the face in its frame.
        aligned: its crop; None where alignment was refused, which makes the face usable for nothing.
        limits: what is needed for matching and for enrolling.

    Returns:
        The measures with a sentence each where they fall short of enrolling; the smallest score is the face's.
    """
    if aligned is None:
        sentence = "the landmarks do not form a face; turn to the camera"
        return Quality(0.0, False, False, (QualityMeasure("alignment", 0.0, 0.0, sentence),))
    yaw, pitch, roll = head_pose(detection.landmarks)
    grey = cv2.cvtColor(aligned.crop[INNER_FACE], cv2.COLOR_BGR2GRAY).astype(np.uint8)
    measures = (
        _certainty(detection.score),
        _size(FACE_WIDTH / math.hypot(*aligned.transform[:, 0]), limits),
        _sharpness(sharpness(grey), limits),
        _angle("yaw", yaw, ("turned to the image's left", "turned to the image's right"), limits),
        _angle("pitch", pitch, ("looking down", "looking up"), limits),
        _angle("roll", roll, ("tilted anticlockwise", "tilted clockwise"), limits),
        _exposure(grey, limits),
    )
    score = min(measure.score for measure in measures)
    return Quality(score, score >= MATCHING_SCORE, score >= ENROLLMENT_SCORE, measures)


def head_pose(landmarks: npt.ArrayLike) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, from five landmarks; a rough estimate, good to about ten degrees.

    Scaled orthographic projection (the first step of POSIT: DeMenthon and Davis, "Model-based object pose in 25 lines
    of code", IJCV 15, 1995): the (2, 3) matrix that maps the template, with a nose that stands out by NOSE_DEPTH, onto
    the landmarks by least squares; the nearest matrix with orthonormal rows is the upper part of the head's rotation
    R = Rz(roll) Ry Rx. x points right, y down, z away from the camera.

    Args:
        landmarks: (5, 2) pixels, in the order of Detection.landmarks.

    Returns:
        yaw: positive when the face turns to the image's right; pitch: positive when it looks up; roll: positive when
        the head tilts clockwise in the image. -90 to 90, -180 to 180, -180 to 180.
    """
    points = np.asarray(landmarks, np.float64)
    projection = (_MODEL_INVERSE @ (points - points.mean(axis=0))).T
    left, _, right = np.linalg.svd(projection, full_matrices=False)
    (xx, xy, xz), (yx, yy, yz) = (left @ right).tolist()
    zx, zy, zz = xy * yz - xz * yy, xz * yx - xx * yz, xx * yy - xy * yx
    yaw, pitch, roll = math.asin(min(max(zx, -1.0), 1.0)), -math.atan2(zy, zz), math.atan2(yx, xx)
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def sharpness(grey: ByteArray) -> float:
    """Fine detail over contrast: 4 min(var g_xx, var g_yy) / (var g + 25), g smoothed by a Gaussian of 0.7 px.

    The variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000), of
    which only the weaker direction counts, since a moving head or camera blurs one direction alone; divided by the
    contrast, so that light and skin do not matter, and smoothed, so that noise does not pass for detail.

    Args:
        grey: (H, W) uint8 part of an aligned crop. Measured at the crop's scale: an enlarged small face is soft, too.

    Returns:
        0 (flat) to about 0.2; sharp portraits have 0.02 to 0.14.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.7)
    across = smooth[:, 2:] - 2 * smooth[:, 1:-1] + smooth[:, :-2]
    down = smooth[2:] - 2 * smooth[1:-1] + smooth[:-2]
    return 4 * min(_variance(across), _variance(down)) / (_variance(smooth) + _NOISE_VARIANCE)


def _variance(values: npt.NDArray[Any]) -> float:
    return float(cv2.meanStdDev(values)[1][0, 0]) ** 2


def _rising(value: float, matching: float, enrollment: float) -> float:
    """Score of a value that is better when larger: 0 at 0, the two limits at their scores, 1 as far again beyond."""
    if value < matching:
        return MATCHING_SCORE * max(value, 0.0) / matching
    if value < 2 * enrollment - matching:
        return MATCHING_SCORE + (ENROLLMENT_SCORE - MATCHING_SCORE) * (value - matching) / (enrollment - matching)
    return 1.0


def _falling(value: float, matching: float, enrollment: float) -> float:
    """Score of a value that is better when smaller: 1 at 0, the two limits at their scores, 0 as far again beyond."""
    return 1.0 - _rising(value, enrollment, matching)


def _sentence(score: float, complaint: str, advice: Mapping[str, str] | str) -> str:
    """The complaint and the advice for the purpose the score falls short of; empty where it falls short of none."""
    if score >= ENROLLMENT_SCORE:
        return ""
    if isinstance(advice, str):
        return f"{complaint}; {advice}"
    return f"{complaint}; {advice['matching' if score < MATCHING_SCORE else 'enrollment']}"


def _certainty(score: float) -> QualityMeasure:
    if score >= ENROLLMENT_DETECTION_SCORE:
        return QualityMeasure("certainty", score, 1.0, "")
    sentence = f"it is only {score:.0%} sure that this is a face; come closer and look at the camera"
    return QualityMeasure("certainty", score, (MATCHING_SCORE + ENROLLMENT_SCORE) / 2, sentence)


def _size(width: float, limits: QualityLimits) -> QualityMeasure:
    matching, enrollment = limits.matching.min_face_width, limits.enrollment.min_face_width
    score = _rising(width, matching, enrollment)
    advice = {
        "matching": f"come closer, {matching:.0f} px are needed to be recognised",
        "enrollment": f"come closer, {enrollment:.0f} px are needed to enrol",
    }
    return QualityMeasure("size", width, score, _sentence(score, f"the face is {int(width)} px wide", advice))


def _sharpness(value: float, limits: QualityLimits) -> QualityMeasure:
    score = _rising(value, limits.matching.min_sharpness, limits.enrollment.min_sharpness)
    complaint = "the face is blurred" if score < MATCHING_SCORE else "the face is slightly blurred"
    return QualityMeasure("sharpness", value, score, _sentence(score, complaint, "hold still, or clean the lens"))


def _angle(name: str, degrees: float, directions: tuple[str, str], limits: QualityLimits) -> QualityMeasure:
    matching, enrollment = getattr(limits.matching, f"max_{name}"), getattr(limits.enrollment, f"max_{name}")
    score = _falling(abs(degrees), matching, enrollment)
    advice = {
        "matching": f"{matching:.0f} are allowed to be recognised",
        "enrollment": f"{enrollment:.0f} are allowed to enrol",
    }
    complaint = f"the face is {directions[degrees > 0]} by {int(np.ceil(abs(degrees)))} degrees"
    return QualityMeasure(name, degrees, score, _sentence(score, complaint, advice))


def _exposure(grey: ByteArray, limits: QualityLimits) -> QualityMeasure:
    """Scored by mean brightness and by the share that is clipped; the value is the mean."""
    matching, enrollment = limits.matching, limits.enrollment
    mean, clipped = cv2.mean(grey)[0], 1 - cv2.countNonZero(cv2.inRange(grey, 11, 244)) / grey.size
    candidates = (
        (
            _rising(mean, matching.min_brightness, enrollment.min_brightness),
            "the face is too dark",
            "more light is needed",
        ),
        (
            _rising(255 - mean, 255 - matching.max_brightness, 255 - enrollment.max_brightness),
            "the face is too bright",
            "less light is needed",
        ),
        (
            _falling(clipped, matching.max_clipped, enrollment.max_clipped),
            f"{clipped:.0%} of the face is black or burnt out",
            "softer light is needed, and the whole face in the picture",
        ),
    )
    score, complaint, advice = min(candidates, key=lambda candidate: candidate[0])
    return QualityMeasure("exposure", mean, score, _sentence(score, complaint, advice))
