"""Drawn masks: what they cover, that they follow the face, and what is said about bad input."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest

from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.masks import SHAPES, TEXTURES, draw_mask, mask_overlay
from face_recognition_ros.types import CROP_SIZE, ByteArray

SIZE = (CROP_SIZE, CROP_SIZE)
LEFT_EYE, RIGHT_EYE, NOSE, LEFT_MOUTH, RIGHT_MOUTH = np.rint(TEMPLATE).astype(int)
EYE_RADIUS = 6


def overlay(shape: str = "surgical", texture: str = "blue", seed: int = 0, at: npt.ArrayLike = TEMPLATE) -> ByteArray:
    return mask_overlay(at, SIZE, shape, texture, np.random.default_rng(seed))


def covered(mask: ByteArray, place: npt.NDArray[np.int_]) -> bool:
    return bool(mask[place[1], place[0], 3] == 255)


@pytest.mark.parametrize(("shape", "texture"), list(itertools.product(SHAPES, TEXTURES)))
def test_every_mask_covers_the_mouth_and_neither_eye(shape: str, texture: str) -> None:
    for seed in range(5):
        mask = overlay(shape, texture, seed)
        assert covered(mask, LEFT_MOUTH)
        assert covered(mask, RIGHT_MOUTH)
        assert covered(mask, NOSE) == (shape != "half"), "only the half mask leaves the nose"
        for x, y in (LEFT_EYE, RIGHT_EYE):
            around = mask[y - EYE_RADIUS : y + EYE_RADIUS + 1, x - EYE_RADIUS : x + EYE_RADIUS + 1, 3]
            assert not around.any()


def test_same_seed_same_mask_and_another_seed_another() -> None:
    assert np.array_equal(overlay(seed=3), overlay(seed=3))
    assert not np.array_equal(overlay(seed=3), overlay(seed=4))


def test_edges_are_anti_aliased_and_colours_not_premultiplied() -> None:
    mask = overlay("scarf", "white")
    edge = (mask[:, :, 3] > 0) & (mask[:, :, 3] < 255)
    assert edge.any()
    assert mask[edge, :3].mean() > 100, "a white scarf has a white edge; the alpha alone fades it"


def test_plain_masks_have_their_colour() -> None:
    blue, green, red = overlay(texture="blue")[LEFT_MOUTH[1], LEFT_MOUTH[0], :3].astype(int)
    assert blue > green > red
    assert overlay(texture="black")[LEFT_MOUTH[1], LEFT_MOUTH[0], :3].max() < 80


@pytest.mark.parametrize("texture", ["stripes", "dots", "checks", "noise"])
def test_patterns_vary_more_than_plain_cloth(texture: str) -> None:
    def variation(name: str, seed: int) -> float:
        return float(overlay("scarf", name, seed)[75:105, 35:78, :3].std(axis=(0, 1)).max())

    assert all(variation(texture, seed) > 1.3 * variation("white", seed) for seed in range(5))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mask_moves_turns_and_grows_with_the_face(shape: str) -> None:
    """Centre and area of what is covered, under a similarity, against the same mask on the template."""
    angle, scale, shift = math.radians(20), 1.5, np.array([150.0, 90.0])
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    at_home = mask_overlay(TEMPLATE + 40, (200, 200), shape, "white", np.random.default_rng(0))
    moved = mask_overlay(TEMPLATE @ linear.T + shift, (400, 400), shape, "white", np.random.default_rng(0))

    def centre_and_area(mask: ByteArray) -> tuple[npt.NDArray[np.float64], float]:
        weight = mask[:, :, 3] / 255
        rows, columns = np.indices(weight.shape)
        return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum(), float(weight.sum())

    (home_centre, home_area), (centre, area) = centre_and_area(at_home), centre_and_area(moved)
    assert centre == pytest.approx(linear @ (home_centre - 40) + shift, abs=1.0)
    assert area == pytest.approx(home_area * scale**2, rel=0.05)


def test_on_a_turned_head_the_middle_goes_with_the_nose_and_the_sides_against_it() -> None:
    straight, turned = TEMPLATE + 40, TEMPLATE + 40
    turned[2, 0] += 10
    tips, sides = [], []
    for landmarks in (straight, turned):
        alpha = mask_overlay(landmarks, (200, 200), "bandana", "white", np.random.default_rng(0))[:, :, 3]
        lowest = np.nonzero(alpha.any(axis=1))[0][-1]
        tips.append(np.nonzero(alpha[lowest - 3])[0].mean())
        sides.append(np.nonzero(alpha.any(axis=0))[0][-1])
    assert tips[1] - tips[0] == pytest.approx(5, abs=1)
    assert sides[1] < sides[0] - 3


def test_drawing_changes_only_what_is_covered_and_not_the_picture_given() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    before = picture.copy()
    drawn = draw_mask(picture, TEMPLATE, "cloth", "dots", np.random.default_rng(1))
    alpha = overlay("cloth", "dots", seed=1)[:, :, 3]
    assert np.array_equal(picture, before)
    assert np.array_equal(drawn[alpha == 0], picture[alpha == 0])
    assert (drawn[alpha == 255] != picture[alpha == 255]).any(axis=1).mean() > 0.9


def test_a_mask_in_the_dark_is_dark() -> None:
    dark, bright = (
        draw_mask(np.full((*SIZE, 3), value, np.uint8), TEMPLATE, "surgical", "white", np.random.default_rng(0))
        for value in (50, 125)
    )
    place = LEFT_MOUTH[1], LEFT_MOUTH[0]
    assert dark[place].mean() == pytest.approx(50 / 125 * bright[place].mean(), abs=1.5)


def test_a_face_outside_of_the_picture_leaves_it_as_it_is() -> None:
    picture = np.full((*SIZE, 3), 90, np.uint8)
    for away in (-1000, 1000, 1e7):
        assert np.array_equal(draw_mask(picture, TEMPLATE + away, "scarf", "pink", np.random.default_rng(0)), picture)


@pytest.mark.parametrize(
    ("landmarks", "shape", "texture", "message"),
    [
        (TEMPLATE, "balaclava", "blue", "no mask shape 'balaclava'; choose one of surgical"),
        (TEMPLATE, "n95", "tartan", "no mask texture 'tartan'; choose one of white"),
        (TEMPLATE[:4], "n95", "blue", r"finite \(5, 2\) array, not \(4, 2\)"),
        (TEMPLATE * np.nan, "n95", "blue", "finite"),
        (TEMPLATE * (-1, 1), "n95", "blue", "mirrored"),
        (TEMPLATE * (0.01, 1), "n95", "blue", "on a line"),
        (np.zeros((5, 2)), "n95", "blue", "on a line"),
    ],
)
def test_bad_input_gets_a_sentence(landmarks: npt.ArrayLike, shape: str, texture: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_overlay(landmarks, SIZE, shape, texture, np.random.default_rng(0))


def test_bad_pictures_get_a_sentence() -> None:
    with pytest.raises(ValueError, match="uint8 BGR picture, not"):
        draw_mask(np.zeros(SIZE, np.uint8), TEMPLATE, "n95", "blue", np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 1x1 pixel"):
        mask_overlay(TEMPLATE, (0, 10), "n95", "blue", np.random.default_rng(0))
