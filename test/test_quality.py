"""Quality: each measure moves the right way, its sentence says so, and ordinary portraits pass."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_recognition_ros.alignment import TEMPLATE, align_face
from face_recognition_ros.errors import SettingsError
from face_recognition_ros.quality import (
    DEFAULT_LIMITS,
    ENROLLMENT_SCORE,
    MATCHING_SCORE,
    NOSE_DEPTH,
    NOSE_DROP,
    QualityLimits,
    assess,
    head_pose,
    sharpness,
)
from face_recognition_ros.types import ByteArray, Detection, Quality, QualityMeasure

ASTRONAUT = np.array([(203.4, 103.6), (247.5, 104.4), (224.1, 127.7), (204.0, 143.1), (242.9, 143.7)])
GRACE_HOPPER = np.array([(224.3, 197.3), (306.8, 195.6), (265.4, 238.9), (229.8, 274.0), (304.4, 272.3)])


def judge(
    frame: ByteArray, landmarks: np.ndarray, limits: QualityLimits = DEFAULT_LIMITS, score: float = 0.9
) -> Quality:
    box = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)]).astype(np.float32)
    return assess(Detection(box, landmarks.astype(np.float32), score), align_face(frame, landmarks), limits)


def measure(quality: Quality, name: str) -> QualityMeasure:
    return next(measure for measure in quality.measures if measure.name == name)


def turned_head(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Landmarks of a head that turns to the image's right, looks up and tilts clockwise by these degrees."""
    y, p, r = np.radians([-yaw, -pitch, roll])
    about_y = np.array([(np.cos(y), 0, np.sin(y)), (0, 1, 0), (-np.sin(y), 0, np.cos(y))])
    about_x = np.array([(1, 0, 0), (0, np.cos(p), -np.sin(p)), (0, np.sin(p), np.cos(p))])
    about_z = np.array([(np.cos(r), -np.sin(r), 0), (np.sin(r), np.cos(r), 0), (0, 0, 1)])
    head = np.column_stack([TEMPLATE - 56, np.zeros(5)])
    head[2] += (0, NOSE_DROP, -NOSE_DEPTH)
    return 3 * (head @ (about_z @ about_y @ about_x).T)[:, :2] + (300, 200)


@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(-80, 80))
def test_pose_of_a_turned_model_head_is_recovered(yaw: float, pitch: float, roll: float) -> None:
    np.testing.assert_allclose(head_pose(turned_head(yaw, pitch, roll)), (yaw, pitch, roll), atol=1e-6)


def test_pose_signs_are_those_of_the_picture() -> None:
    nose_right, nose_up = TEMPLATE.copy(), TEMPLATE.copy()
    nose_right[2, 0] += 8
    nose_up[2, 1] -= 8
    clockwise = TEMPLATE @ np.array([(0.94, 0.34), (-0.34, 0.94)])  # the image's right eye is the lower one
    assert clockwise[1, 1] > clockwise[0, 1]
    assert head_pose(nose_right)[0] > 15
    assert head_pose(nose_up)[1] > 10
    assert head_pose(clockwise)[2] == pytest.approx(20, abs=1)


def test_sharpness_of_a_grating_by_hand() -> None:
    """For a sin(wx) sin(wy), each second difference is (2 cos w - 2) times the picture."""
    w = 2 * np.pi / 16
    x = np.arange(64) * w
    grey = np.rint(128 + 100 * np.outer(np.sin(x), np.sin(x))).astype(np.uint8)
    gain = np.exp(-(w**2) * 0.7**2 / 2) ** 2
    variance = (100 * gain) ** 2 / 4
    expected = 4 * (2 - 2 * np.cos(w)) ** 2 * variance / (variance + 25)
    assert sharpness(grey) == pytest.approx(expected, rel=0.05)


def test_flat_crop_has_no_sharpness() -> None:
    assert sharpness(np.full((64, 60), 90, np.uint8)) == 0


def test_sharpness_falls_with_blur_in_either_direction_and_ignores_contrast(astronaut_bgr: ByteArray) -> None:
    def of(frame: ByteArray) -> float:
        return measure(judge(frame, ASTRONAUT), "sharpness").value

    sharp = of(astronaut_bgr)
    assert of(cv2.GaussianBlur(astronaut_bgr, (0, 0), 2)) < sharp / 3
    assert of(cv2.blur(astronaut_bgr, (11, 1))) < sharp / 3
    assert of(cv2.blur(astronaut_bgr, (1, 11))) < sharp / 3
    assert of(cv2.convertScaleAbs(astronaut_bgr, alpha=0.5)) == pytest.approx(sharp, rel=0.1)


def test_portraits_are_good_enough_to_enrol(astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray) -> None:
    for frame, landmarks in ((astronaut_bgr, ASTRONAUT), (grace_hopper_bgr, GRACE_HOPPER)):
        quality = judge(frame, landmarks)
        assert quality.usable_for_matching
        assert quality.usable_for_enrollment
        assert quality.complaints == ()
        names = [m.name for m in quality.measures]
        assert names == ["certainty", "size", "sharpness", "yaw", "pitch", "roll", "exposure"]
        assert quality.score == min(m.score for m in quality.measures)


def test_what_may_be_no_face_is_not_enrolled(astronaut_bgr: ByteArray) -> None:
    quality = judge(astronaut_bgr, ASTRONAUT, score=0.81)
    assert quality.usable_for_matching
    assert not quality.usable_for_enrollment
    assert quality.complaints == ("it is only 81% sure that this is a face; come closer and look at the camera",)


def test_size_is_the_width_of_the_face_in_the_frame(astronaut_bgr: ByteArray) -> None:
    full = measure(judge(astronaut_bgr, ASTRONAUT), "size").value
    assert full == pytest.approx(86, abs=2)
    half = cv2.resize(astronaut_bgr, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert measure(judge(half, ASTRONAUT / 2), "size").value == pytest.approx(full / 2, rel=1e-6)


def test_a_small_face_is_told_to_come_closer(astronaut_bgr: ByteArray) -> None:
    small = cv2.resize(astronaut_bgr, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    quality = judge(small, ASTRONAUT * 0.4)
    assert quality.usable_for_matching
    assert not quality.usable_for_enrollment
    assert measure(quality, "size").sentence == "the face is 34 px wide; come closer, 60 px are needed to enrol"
    tiny = cv2.resize(astronaut_bgr, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    quality = judge(tiny, ASTRONAUT * 0.2)
    assert not quality.usable_for_matching
    assert "come closer, 24 px are needed to be recognised" in quality.complaints[0]


def test_blur_darkness_and_glare_are_named(astronaut_bgr: ByteArray) -> None:
    blurred = judge(cv2.GaussianBlur(astronaut_bgr, (0, 0), 4), ASTRONAUT)
    dark = judge(cv2.convertScaleAbs(astronaut_bgr, alpha=0.1), ASTRONAUT)
    burnt = judge(cv2.convertScaleAbs(astronaut_bgr, alpha=3), ASTRONAUT)
    for quality, word in ((blurred, "the face is blurred"), (dark, "too dark"), (burnt, "burnt out")):
        assert not quality.usable_for_matching
        assert any(word in sentence for sentence in quality.complaints)


def test_a_face_half_outside_of_the_frame_is_not_enrolled(grace_hopper_bgr: ByteArray) -> None:
    cut = grace_hopper_bgr[:, 265:]
    quality = judge(np.ascontiguousarray(cut), GRACE_HOPPER - (265, 0))
    assert not quality.usable_for_enrollment
    assert "whole face in the picture" in measure(quality, "exposure").sentence


def test_a_turned_head_is_told_how_far() -> None:
    frame = np.full((400, 600, 3), 128, np.uint8)
    yaw = measure(judge(frame, turned_head(37.5, 0, 0)), "yaw")
    assert yaw.sentence == "the face is turned to the image's right by 38 degrees; 30 are allowed to enrol"
    assert MATCHING_SCORE <= yaw.score < ENROLLMENT_SCORE
    assert "left by 55" in measure(judge(frame, turned_head(-54.5, 0, 0)), "yaw").sentence


def test_scores_meet_the_limits_exactly() -> None:
    frame = np.random.default_rng(0).integers(60, 200, (200, 200, 3), np.uint8)
    width = measure(judge(frame, TEMPLATE), "size").value

    def score(for_matching: float, for_enrollment: float) -> float:
        limits = QualityLimits(
            replace(DEFAULT_LIMITS.matching, min_face_width=for_matching),
            replace(DEFAULT_LIMITS.enrollment, min_face_width=for_enrollment),
        )
        return measure(judge(frame, TEMPLATE, limits), "size").score

    assert score(width, 2 * width) == MATCHING_SCORE
    assert score(width / 2, width) == ENROLLMENT_SCORE
    assert score(width / 4, width / 2) == 1
    assert score(2 * width, 3 * width) == pytest.approx(MATCHING_SCORE / 2)


def test_refused_alignment_is_usable_for_nothing() -> None:
    quality = assess(Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9), None)
    assert (quality.score, quality.usable_for_matching, quality.usable_for_enrollment) == (0.0, False, False)
    assert quality.complaints == ("the landmarks do not form a face; turn to the camera",)


@pytest.mark.parametrize(("name", "value"), [("min_face_width", 10.0), ("max_yaw", 80.0)])
def test_limits_for_enrolling_may_not_be_looser(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{name} is {value:g} for enrolling"):
        QualityLimits(enrollment=replace(DEFAULT_LIMITS.enrollment, **{name: value}))


def test_equal_limits_are_one_step(astronaut_bgr: ByteArray) -> None:
    one = replace(DEFAULT_LIMITS.enrollment, min_face_width=100.0)
    quality = judge(astronaut_bgr, ASTRONAUT, QualityLimits(matching=one, enrollment=one))
    assert not quality.usable_for_matching
    one = replace(one, min_face_width=80.0)
    quality = judge(astronaut_bgr, ASTRONAUT, QualityLimits(matching=one, enrollment=one))
    assert quality.usable_for_enrollment
