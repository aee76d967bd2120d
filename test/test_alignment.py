"""Alignment: the similarity is the right one, what is no face is refused, and crops show what they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_recognition_ros.alignment import TEMPLATE, align_face, align_faces, estimate_similarity
from face_recognition_ros.errors import AlignmentError, ImageError
from face_recognition_ros.types import ByteArray, Detection

ASTRONAUT = np.array([(203.4, 103.6), (247.5, 104.4), (224.1, 127.7), (204.0, 143.1), (242.9, 143.7)], np.float32)


def similarity(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([(a, -b, x), (b, a, y)])


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ transform[:, :2].T + transform[:, 2]


def detection(landmarks: np.ndarray) -> Detection:
    box = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])
    return Detection(box.astype(np.float32), np.asarray(landmarks, np.float32), 0.9)


def test_a_quarter_turn_at_double_scale_by_hand() -> None:
    source = np.array([(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)])
    target = np.array([(3, 4), (3, 6), (1, 4), (1, 6), (2, 5)])  # x' = 3 - 2y, y' = 4 + 2x
    np.testing.assert_allclose(estimate_similarity(source, target), [(0, -2, 3), (2, 0, 4)], atol=1e-12)


@given(st.floats(0.05, 20), st.floats(-180, 180), st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_recovers_any_similarity(scale: float, degrees: float, x: float, y: float) -> None:
    forth = similarity(scale, degrees, x, y)
    back = estimate_similarity(apply(forth, TEMPLATE))
    np.testing.assert_allclose(apply(back, apply(forth, TEMPLATE)), TEMPLATE, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(back[:, :2]), scale**-2, rtol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_no_similarity_near_the_estimate_fits_noisy_landmarks_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = apply(similarity(1.7, 20, 30, 40), TEMPLATE) + rng.normal(0, 3, (5, 2))
    best = estimate_similarity(source)
    error = np.square(apply(best, source) - TEMPLATE).sum()
    for _ in range(10):
        nearby = similarity(*(np.array([1, 0, 0, 0]) + rng.normal(0, (0.01, 0.5, 0.5, 0.5))))
        assert np.square(apply(nearby, apply(best, source)) - TEMPLATE).sum() >= error - 1e-9


@pytest.mark.parametrize(
    ("landmarks", "reason"),
    [
        (np.full((5, 2), 7.0), "one point or line"),
        (np.outer(np.arange(5), (3.0, 1.0)), "one point or line"),
        (np.where(np.eye(5, 2) > 0, np.nan, TEMPLATE), "not a finite number"),
        (np.where(np.eye(5, 2) > 0, np.inf, TEMPLATE), "not a finite number"),
        (TEMPLATE * (-1, 1) + (112, 0), "mirrored"),
        (TEMPLATE * 1e-3, "scaled by 1e+03"),
        (TEMPLATE * 1e3, "scaled by 0.001"),
        (TEMPLATE[:4], "five landmarks"),
    ],
)
def test_landmarks_that_are_no_face_are_refused_with_a_reason(landmarks: np.ndarray, reason: str) -> None:
    with pytest.raises(AlignmentError, match=reason.replace("+", r"\+")):
        estimate_similarity(landmarks)


def test_landmarks_on_the_template_copy_the_frame() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    aligned = align_face(frame, TEMPLATE)
    np.testing.assert_array_equal(aligned.crop, frame)
    np.testing.assert_allclose(aligned.transform, [(1, 0, 0), (0, 1, 0)], atol=1e-12)


def test_whole_pixel_shift_is_exact_and_black_beyond_the_frame() -> None:
    frame = np.random.default_rng(1).integers(1, 256, (100, 100, 3), np.uint8)
    crop = align_face(frame, TEMPLATE - (20, 30)).crop
    np.testing.assert_array_equal(crop[30:, 20:], frame[:82, :92])
    assert not crop[:30].any()
    assert not crop[:, :20].any()


@pytest.mark.parametrize("scale", [1.0, 1.9, 2.1, 3.0, 7.3])
@pytest.mark.parametrize("degrees", [0, 25])
def test_every_scale_puts_a_point_at_the_same_place(scale: float, degrees: float) -> None:
    """A linear ramp survives averaging and interpolation: its value tells where a crop pixel came from."""
    to_frame = similarity(scale, degrees, 200, 60)
    xs, ys = np.meshgrid(np.arange(1100), np.arange(1100))
    frame = np.stack([xs / 5, ys / 5, (xs + ys) / 10], axis=2).round().astype(np.uint8)
    crop = align_face(frame, apply(to_frame, TEMPLATE)).crop.astype(float)
    for x, y in [(20, 20), (56, 56), (90, 30), (40, 100)]:
        there = apply(to_frame, np.array([[x, y]], float))[0]
        if (there > 5).all() and (there < 1090).all():
            np.testing.assert_allclose(crop[y, x, :2], there / 5, atol=1.0)


def test_fine_texture_of_a_large_face_is_averaged_not_sampled() -> None:
    checkers = (np.indices((900, 900)).sum(axis=0) % 2 * 255).astype(np.uint8)
    crop = align_face(np.dstack([checkers] * 3), TEMPLATE * 7.0 + 3.3).crop
    assert crop[5:-5, 5:-5].std() < 5
    assert abs(crop[5:-5, 5:-5].mean() - 127.5) < 3


def test_a_real_face_lands_on_the_template(astronaut_bgr: ByteArray) -> None:
    aligned = align_face(astronaut_bgr, ASTRONAUT)
    assert aligned.crop.shape == (112, 112, 3)
    assert aligned.crop.dtype == np.uint8
    residual = apply(aligned.transform, ASTRONAUT.astype(float)) - TEMPLATE
    assert np.abs(residual).max() < 5


def test_align_faces_keeps_order_and_gives_none_for_what_is_refused() -> None:
    frame = np.full((200, 300, 3), 128, np.uint8)
    good = TEMPLATE + (50, 40)
    outside = TEMPLATE + (5000, 0)
    faces = align_faces(frame, [detection(np.zeros((5, 2))), detection(good), detection(outside)])
    assert [face is None for face in faces] == [True, False, True]
    assert align_faces(frame, []) == []


@pytest.mark.parametrize(
    "frame", [np.zeros((50, 50), np.uint8), np.zeros((50, 50, 3)), np.zeros((50, 50, 4), np.uint8)]
)
def test_what_is_no_bgr_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(ImageError, match="must be"):
        align_faces(frame, [detection(TEMPLATE)])
