"""Degradations do what their levels say, and worse pictures are recognised worse."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.evaluation import degradations, robustness
from face_recognition_ros.evaluation.conditions import SeenFace, compare
from face_recognition_ros.evaluation.degradations import DEGRADATIONS
from face_recognition_ros.evaluation.report import write
from face_recognition_ros.evaluation.verification import Pair
from face_recognition_ros.types import ByteArray, Detection

FACE = Detection(np.array([20, 30, 120, 150], np.float32), np.zeros((5, 2), np.float32), 1.0)
"""100 pixels wide."""


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def detail(picture: ByteArray) -> float:
    return float(cv2.Laplacian(picture, cv2.CV_64F).var())


def test_a_stop_is_half_the_light() -> None:
    grey = np.full((160, 160, 3), 200, np.uint8)
    darker = degradations.exposure(grey, FACE, -1, rng())
    assert np.unique(darker) == pytest.approx(200 * 0.5 ** (1 / 2.2), abs=0.5)
    assert degradations.exposure(grey, FACE, 2, rng()).min() == 255, "burnt out"
    assert np.array_equal(degradations.exposure(grey, FACE, 0, rng()), grey)


def test_side_light_falls_from_cheek_to_cheek() -> None:
    lit = degradations.side_light(np.full((160, 160, 3), 200, np.uint8), FACE, 4, rng())[0, :, 0].astype(int)
    edges = sorted([lit[20], lit[120]])
    assert edges == pytest.approx([200 * 0.5 ** (4 / 2.2), 200], abs=1)
    assert not {-1, 1} <= set(np.sign(np.diff(lit))), "it falls, or it rises"


def test_blur_spreads_a_point_by_its_sigma() -> None:
    point = np.zeros((161, 161, 3), np.uint8)
    point[80, 80] = 255
    spread = degradations.blur(np.repeat(np.repeat(point[76:85, 76:85], 9, 0), 9, 1), FACE, 5, rng())[..., 0].astype(
        float
    )
    ys = np.arange(81)
    weights = spread.sum(axis=1) / spread.sum()
    variance = (weights * (ys - (weights * ys).sum()) ** 2).sum()
    assert variance == pytest.approx(5**2 + (9**2 - 1) / 12, rel=0.1), "sigma of 5 % of 100 px, on a square of 9 px"


def test_motion_blur_keeps_light_and_reaches_as_far_as_the_path() -> None:
    assert np.unique(degradations.motion_blur(np.full((90, 90, 3), 77, np.uint8), FACE, 20, rng())) == 77
    line = np.zeros((91, 91, 3), np.uint8)
    line[45, 45] = 255
    ys, xs = np.nonzero(degradations.motion_blur(line, FACE, 20, rng())[..., 0])
    assert np.hypot(np.ptp(xs), np.ptp(ys)) == pytest.approx(20, abs=1.5)


def test_resolution_and_size(astronaut_bgr: ByteArray) -> None:
    small = degradations.size(astronaut_bgr, FACE, 25, rng())
    assert small.shape == (128, 128, 3)
    enlarged = degradations.low_resolution(astronaut_bgr, FACE, 25, rng())
    assert enlarged.shape == astronaut_bgr.shape
    assert detail(enlarged) < 0.1 * detail(astronaut_bgr)
    assert degradations.size(astronaut_bgr, FACE, 300, rng()).shape == astronaut_bgr.shape, "never enlarged"


def test_noise_jpeg_and_rotation(astronaut_bgr: ByteArray) -> None:
    grey = np.full((160, 160, 3), 128, np.uint8)
    assert degradations.noise(grey, FACE, 16, rng()).std() == pytest.approx(16, rel=0.05)
    coarse, fine = (
        np.abs(degradations.jpeg(astronaut_bgr, FACE, quality, rng()).astype(int) - astronaut_bgr).mean()
        for quality in (5, 90)
    )
    assert coarse > 2 * fine > 0
    marked = np.zeros((200, 200, 3), np.uint8)
    marked[88:93, 98:103] = 255  # 30 px right of the face's centre (70, 90)
    ys, xs = np.nonzero(degradations.rotation(marked, FACE, 90, rng())[..., 0] > 127)
    assert xs.mean() == pytest.approx(70, abs=0.6)
    assert abs(ys.mean() - 90) == pytest.approx(30, abs=0.6)


@pytest.mark.parametrize("way", DEGRADATIONS, ids=lambda way: way.name)
def test_every_level_can_be_applied_and_repeated(way: degradations.Degradation, astronaut_bgr: ByteArray) -> None:
    for level in way.levels:
        worse = way.apply(astronaut_bgr, FACE, level, rng())
        assert worse.dtype == np.uint8
        assert np.array_equal(worse, way.apply(astronaut_bgr, FACE, level, rng()))
        assert worse.shape != astronaut_bgr.shape or not np.array_equal(worse, astronaut_bgr)


def test_genuine_pairs_are_grouped_by_yaw() -> None:
    frontal = np.array([(38, 52), (74, 52), (56, 72), (42, 92), (71, 92)], np.float32)
    aside = frontal + np.array([(0, 0), (0, 0), (8, 0), (0, 0), (0, 0)], np.float32)
    same, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    faces = {
        "front": SeenFace(dataclasses.replace(FACE, landmarks=frontal), same),
        "near": SeenFace(dataclasses.replace(FACE, landmarks=frontal), same),
        "aside": SeenFace(dataclasses.replace(FACE, landmarks=aside), other),
        "blind": None,
    }
    pairs = [Pair("front", second, True, fold) for fold in range(2) for second in ("near", "aside", "blind")]
    bins = robustness.by_yaw(pairs, faces, compare(pairs, faces, faces), line=0.5)
    assert [(one["pairs"], one["tar"]) for one in bins] == [(2, 1.0), (2, 0.0)], "the blind pairs are in none"
    assert bins[0]["from"] == 0
    assert bins[1]["from"] >= 15, "the nose's tip is 8 of its 18 px aside: asin(8 / 18) is 26 degrees"


def test_worse_pictures_are_recognised_worse(
    assembly: Assembly, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"blur": (1.0, 8.0), "exposure": (-11.0,)}
    ways = tuple(dataclasses.replace(way, levels=kept[way.name]) for way in DEGRADATIONS if way.name in kept)
    monkeypatch.setattr(robustness, "DEGRADATIONS", ways)
    folder = pairs_folder / "images", pairs_folder / "pairs.txt"
    numbers, report = robustness.evaluate_folder(assembly.recognizer, *folder)
    assert numbers == robustness.evaluate_folder(assembly.recognizer, *folder)[0]
    slight, strong = (numbers["degradations"]["blur"][level] for level in ("1", "8"))
    similarities = [part["genuine_similarity"] for part in (numbers["unchanged"], slight, strong)]
    assert similarities[0] > 0.9
    assert similarities[1] > 0.8
    assert similarities[2] < similarities[1] - 0.1, "a slight blur costs next to nothing, a strong one much"
    dark = numbers["degradations"]["exposure"]["-11"]
    assert len(dark["failed_detections"]) == numbers["changed_pictures"], "in the dark nobody is found"
    assert (dark["accuracy"], dark["gmean"]) == (0, None)
    write(report, numbers, tmp_path / "robustness.json")
    assert json.loads((tmp_path / "robustness.json").read_text()) == numbers
    assert (tmp_path / "robustness_blur.png").stat().st_size > 5000
