"""The demo's film shows what its ground truth says, and all that the demo promises."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from face_recognition_ros.assembly import build_detector
from face_recognition_ros.demo.cast import Portrait
from face_recognition_ros.demo.scenes import HEIGHT, WIDTH, Film, standard_length, truth_record
from face_recognition_ros.settings import Settings

FRAMES = 200


@pytest.fixture(scope="module")
def portraits(astronaut_path: Path, grace_hopper_path: Path) -> list[Portrait]:
    """Grace Hopper plays the stranger here; the boxes are those of the detector, rounded."""
    return [
        Portrait("the stranger", str(grace_hopper_path), (164, 106, 348, 344), False),
        Portrait("Eileen Collins", str(astronaut_path), (180, 61, 268, 172), True),
        Portrait("Grace Hopper", str(grace_hopper_path), (164, 106, 348, 344), True),
    ]


@pytest.fixture(scope="module")
def film(portraits: list[Portrait]) -> Film:
    return Film(portraits, FRAMES)


def fully_seen(film: Film, index: int) -> list[str]:
    return [face.name for face in film.truth(index) if face.visible == 1]


def test_all_scenes_occur(film: Film) -> None:
    """One face, both, the stranger, the stranger in company, and nobody."""
    scenes = {tuple(fully_seen(film, index)) for index in range(FRAMES)}
    assert {
        (),
        ("Eileen Collins",),
        ("Grace Hopper",),
        ("Eileen Collins", "Grace Hopper"),
        ("the stranger",),
        ("Eileen Collins", "Grace Hopper", "the stranger"),
    } <= scenes


def test_it_starts_and_ends_with_a_bare_wall(film: Film) -> None:
    assert film.truth(0) == film.truth(FRAMES - 1) == []


def test_the_standard_length_is_24_seconds_for_two_people_and_a_stranger(portraits: list[Portrait]) -> None:
    assert standard_length(portraits) == 24


@pytest.mark.parametrize(("known", "strangers"), [(1, 0), (3, 0), (6, 1)])
def test_everybody_has_their_time_in_a_film_of_the_standard_length(
    portraits: list[Portrait], known: int, strangers: int
) -> None:
    enrolled = [True] * known + [False] * strangers
    cast = [replace(portraits[1], name=str(i), enrolled=yes) for i, yes in enumerate(enrolled)]
    rate = 10
    film = Film(cast, round(standard_length(cast) * rate))
    alone = Counter(names[0] for index in range(film.frames) if len(names := fully_seen(film, index)) == 1)
    for portrait in cast:
        assert 2.5 < alone[portrait.name] / rate < 6


def test_faces_are_large_enough_to_be_found(film: Film) -> None:
    widths = [face.box[2] - face.box[0] for index in range(FRAMES) for face in film.truth(index)]
    assert min(widths) > 50
    assert max(widths) > 150


def test_frames_are_pictures_and_the_same_every_time(film: Film, portraits: list[Portrait]) -> None:
    again = Film(portraits, FRAMES)
    for index in (0, 60, 130, FRAMES - 1):
        frame = film.frame(index)
        assert (frame.shape, frame.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
        np.testing.assert_array_equal(frame, again.frame(index))


def test_the_view_moves_and_the_light_changes(film: Film) -> None:
    brightness = [film.frame(index).mean() for index in range(0, FRAMES, 10)]
    assert max(brightness) > 1.5 * min(brightness)
    assert not np.array_equal(film.frame(60), film.frame(61))


def test_the_true_box_is_where_the_face_is(film: Film) -> None:
    """Where one face is in view, the detector finds it at the place that the truth gives."""
    detector = build_detector(Settings())
    alone = [index for index in range(FRAMES) if len(film.truth(index)) == len(fully_seen(film, index)) == 1]
    assert len(alone) > 20
    for index in alone[::12]:
        (truth,) = film.truth(index)
        (detection,) = detector.detect(film.frame(index))
        assert np.abs(detection.box - np.array(truth.box)).max() < 0.2 * detection.width


def test_a_record_holds_what_is_true(film: Film) -> None:
    index = next(index for index in range(FRAMES) if fully_seen(film, index) == ["Eileen Collins"])
    record = truth_record(index, 123, film.truth(index))
    assert (record["index"], record["stamp_ns"]) == (index, 123)
    assert (record["faces"][0]["name"], record["faces"][0]["enrolled"]) == ("Eileen Collins", True)
