"""Which looks differ, and what is asked for."""

import math

import numpy as np
import pytest

from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.gallery.looks import Look, differs, mean_similarity, next_pose, remedy
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.quality import head_pose
from face_recognition_ros.types import FloatArray, Quality, QualityMeasure

ALIKE = 0.7
ONE = np.array([1, 0, 0], np.float32)
LEFT, RIGHT = "Turn your head a little to the left.", "Turn your head a little to the right."
UP, DOWN = "Lift your chin a little.", "Lower your chin a little."
LIGHT = "Turn a little towards the light, or away from it."


def look(yaw: float = 0.0, pitch: float = 0.0, brightness: float = 120.0, embedding: FloatArray = ONE) -> Look:
    return Look(Template(embedding, 0.9), yaw, pitch, brightness)


@pytest.mark.parametrize(
    ("other", "different"),
    [
        (look(), False),
        (look(yaw=9.0), False),
        (look(yaw=-10.0), True),
        (look(yaw=7.0, pitch=-8.0), True),
        (look(pitch=-11.0), True),
        (look(brightness=139.0), False),
        (look(brightness=100.0), True),
        (look(embedding=np.array([0.8, 0.6, 0], np.float32)), False),
        (look(embedding=np.array([0.6, 0.8, 0], np.float32)), True),
    ],
)
def test_looks_differ_in_pose_in_light_or_in_what_the_network_sees(other: Look, different: bool) -> None:
    assert differs(other, [look()], ALIKE) is different
    assert differs(other, [look(), other], ALIKE) is False
    assert differs(other, [], ALIKE)


def test_a_look_without_measures_is_judged_by_its_embedding() -> None:
    unmeasured = Look.of(Template(ONE, 0.9), Quality(0.9, True, True))
    assert math.isnan(unmeasured.yaw)
    assert not differs(unmeasured, [look(yaw=20)], ALIKE)
    assert next_pose([unmeasured]) == "Look straight at the camera."


def test_a_look_knows_its_pose_and_light() -> None:
    values = (("size", 90), ("yaw", -12), ("pitch", 5), ("roll", 3), ("exposure", 130))
    quality = Quality(0.9, True, True, tuple(QualityMeasure(name, value, 1.0, "") for name, value in values))
    measured = Look.of(Template(ONE, 0.9), quality)
    assert (measured.yaw, measured.pitch, measured.brightness) == (-12, 5, 130)


def test_the_pose_asked_for_is_one_that_is_missing() -> None:
    kept: list[Look] = []
    asked = []
    for yaw, pitch in ((0, 2), (16, 0), (2, 14), (-13, -1), (0, -14)):
        asked.append(next_pose(kept))
        kept.append(look(yaw, pitch))
    assert asked == ["Look straight at the camera.", LEFT, UP, RIGHT, DOWN]
    assert next_pose(kept) == LIGHT


def test_who_does_not_turn_is_asked_for_another_pose_after_each_look() -> None:
    assert [next_pose([look()] * count) for count in range(1, 6)] == [LEFT, RIGHT, UP, DOWN, LEFT]


def test_the_remedy_is_for_the_worst_measure() -> None:
    measures = (
        QualityMeasure("sharpness", 0.01, 0.5, "the face is slightly blurred; hold still, or clean the lens"),
        QualityMeasure("size", 30, 0.1, "the face is 30 px wide; come closer, 60 px are needed to enrol"),
        QualityMeasure("yaw", 3, 0.9, ""),
    )
    assert remedy(Quality(0.1, True, False, measures)) == "Come closer, please."
    assert remedy(Quality(0.9, True, False, measures[2:])) == ""


def test_the_mean_similarity_is_weighted_by_quality_and_not_that_of_the_fused_looks() -> None:
    looks = [Template(ONE, 0.9), Template(np.array([0, 1, 0], np.float32), 0.3), Template(ONE, 0.0)]
    assert mean_similarity(ONE, looks) == pytest.approx((0.9 + 0.001) / (0.9 + 0.3 + 0.001))


@pytest.mark.parametrize(
    ("nose", "asked"),
    [((5, 0), LEFT), ((-5, 0), RIGHT), ((0, -5), UP), ((0, 5), DOWN)],
    ids=["left", "right", "up", "down"],
)
def test_who_does_what_is_asked_fills_the_gap(nose: tuple[float, float], asked: str) -> None:
    """The nose of somebody who looks into the camera and turns to the left moves to the image's right."""
    turned = TEMPLATE.astype(np.float64)
    turned[2] += nose
    yaw, pitch, _ = np.subtract(head_pose(turned), head_pose(TEMPLATE))
    others = {LEFT: look(yaw=15), RIGHT: look(yaw=-15), UP: look(pitch=15), DOWN: look(pitch=-15)}
    del others[asked]
    kept = [look(), *others.values()]
    assert next_pose(kept) == asked
    assert next_pose([*kept, look(yaw, pitch)]) == LIGHT
