"""Recall by size, landmark error, ratios, what a face costs."""

import numpy as np
import pytest
from comparison import accuracy, numbers
from comparison.accuracy import Sighting
from comparison.frames import Face

LANDMARKS = np.array([[10.0, 10.0], [30.0, 10.0], [20.0, 20.0], [12.0, 30.0], [28.0, 30.0]])


def face(left: float, side: float) -> Face:
    return Face(np.array([left, 0.0, left + side, side]), LANDMARKS + [left, 0])


def test_bins() -> None:
    assert accuracy.BIN_NAMES == ("20-40", "40-60", "60-100", "100+")
    assert [accuracy.bin_name(size) for size in (5, 20, 39.9, 40, 99, 100, 500)] == [
        "20-40", "20-40", "20-40", "40-60", "60-100", "100+", "100+",
    ]  # fmt: skip


def test_each_box_counts_once_and_the_rest_are_false_alarms() -> None:
    truth = [face(0, 50), face(100, 50), face(300, 50)]
    shifted = (LANDMARKS + [2, 0]).tolist()
    found = [
        {"box": [2, 0, 52, 50], "landmarks": shifted},
        {"box": [0, 0, 45, 50], "landmarks": shifted},
        {"box": [100, 0, 150, 50], "landmarks": None},
        {"box": [500, 0, 550, 50], "landmarks": shifted},
    ]
    sightings, false_alarms = accuracy.compare(truth, found)
    assert [one.found for one in sightings] == [True, True, False]
    assert false_alarms == 2
    assert sightings[0].landmark_error == pytest.approx(2 / 20)
    assert sightings[1].landmark_error is None


def test_nothing_there_and_nothing_found() -> None:
    assert accuracy.compare([], []) == ([], 0)
    assert accuracy.compare([], [{"box": [0, 0, 9, 9], "landmarks": None}]) == ([], 1)
    assert accuracy.compare([face(0, 50)], [])[0] == [Sighting(50.0, False, None)]


def test_summary_counts_by_bin() -> None:
    sightings = [
        Sighting(30, False, None),
        Sighting(45, True, 0.04),
        Sighting(50, False, None),
        Sighting(120, True, 0.02),
    ]
    result = accuracy.summary(sightings, false_alarms=3, frames=2)
    assert result["recall"] == {"20-40": 0.0, "40-60": 0.5, "60-100": None, "100+": 1.0}
    assert result["faces"] == {"20-40": 1, "40-60": 2, "60-100": 0, "100+": 1}
    assert result["recall_40_and_more"] == pytest.approx(2 / 3)
    assert result["false_alarms_per_frame"] == 1.5
    assert result["landmark_error_median"] == pytest.approx(0.03)


def test_landmark_errors_are_compared_on_the_faces_that_all_have_found() -> None:
    sees_all = [Sighting(50, True, 0.02), Sighting(50, True, 0.30), Sighting(30, True, 0.5)]
    sees_one = [Sighting(50, True, 0.03), Sighting(50, False, None), Sighting(30, True, 0.4)]
    no_landmarks = [Sighting(50, True, None), Sighting(50, True, None), Sighting(30, False, None)]
    errors = accuracy.common_landmark_errors({"a": sees_all, "b": sees_one, "c": no_landmarks})
    assert errors == {"a": pytest.approx(0.02), "b": pytest.approx(0.03)}
    assert accuracy.common_landmark_errors({"c": no_landmarks}) == {}


def test_statistics_of_times() -> None:
    result = numbers.statistics([10.0, 20.0, 90.0], [4, 4, 1])
    assert result["median_ms"] == 20
    assert result["p95_ms"] == pytest.approx(83)
    assert result["faces_found"] == 3
    assert result["frames"] == 3


def test_ratios_are_ours_over_theirs_by_resolution_and_faces() -> None:
    times = {
        "ours": {"640x480": {"1": {"median_ms": 7.0}, "4": {"median_ms": 12.0}}},
        "peer": {"640x480": {"1": {"median_ms": 70.0}, "4": {"median_ms": 48.0}, "8": {"median_ms": 99.0}}},
    }
    assert numbers.ratios(times, ["peer", "absent"]) == {"peer": {"640x480": {"1": 0.1, "4": 0.25}}}
    assert numbers.ratios({"peer": times["peer"]}, ["peer"]) == {"peer": {"640x480": {}}}


def test_costs_are_the_empty_frame_and_the_slope() -> None:
    times = {"640x480": {str(faces): {"median_ms": 5.0 + 2.0 * faces} for faces in (0, 1, 4)}}
    assert numbers.costs(times)["640x480"] == {"no_face_ms": 5.0, "further_face_ms": pytest.approx(2.0)}
    assert numbers.costs({"640x480": {"1": {"median_ms": 7.0}}})["640x480"] == {
        "no_face_ms": None, "further_face_ms": None,
    }  # fmt: skip
