"""Weak groups: rates and intervals by hand, groups by what index.csv and UTKFace's names say."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
pytest.importorskip("torch", reason=REASON)
pytest.importorskip("timm", reason=REASON)

from face_recognition_ros.detection import FaceDetector  # noqa: E402
from face_recognition_ros.training import groups  # noqa: E402
from face_recognition_ros.types import ByteArray, Detection  # noqa: E402

X, Y = [1.0, 0.0], [0.0, 1.0]


def test_rates_of_a_group_by_hand() -> None:
    embeddings = np.array([X, X, Y, X], np.float32)
    result = groups.judge("g", embeddings, np.array([0, 0, 0, 1]), line=0.5)
    assert (result.faces, result.people) == (4, 2)
    assert result.false_match is not None
    assert (result.false_match.value, result.false_match.pairs) == (pytest.approx(2 / 3), 3)
    assert result.true_match is not None
    assert (result.true_match.value, result.true_match.pairs) == (pytest.approx(1 / 3), 3)
    assert groups.judge("g", embeddings[:1], np.array([0]), 0.5).false_match is None
    across = groups.between("b", embeddings, np.array([0, 0, 0, 1]), ["s", "s", "t", "t"], line=0.5)
    assert across.false_match is not None
    assert (across.false_match.value, across.false_match.pairs) == (1.0, 2)


def test_wilsons_interval() -> None:
    rate = groups.wilson(0.1, 100, 100)  # the textbook's example: 10 of 100
    assert (rate.low, rate.high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    assert groups.wilson(0.0, 50, 50).low == 0.0


def test_the_interval_is_wider_where_one_person_makes_all_matches() -> None:
    people = np.stack(np.triu_indices(40, 1), axis=1)
    spread = (people[:, 0] % 2 == 0) & (people[:, 1] == people[:, 0] + 1)
    lamb = (people[:, 0] == 0) & (people[:, 1] <= 20)
    a, b = groups.false_match(spread, people), groups.false_match(lamb, people)
    assert a is not None
    assert b is not None
    assert a.value == b.value
    assert b.high - b.low > 2 * (a.high - a.low)
    none = groups.false_match(np.zeros(len(people), bool), people)
    assert none is not None
    assert none.high > 0.1, "20 pairs of people who share nobody say little"
    person = np.repeat(np.arange(20), 5)
    mixed = np.random.default_rng(0).permutation(person < 10)
    alone = groups.true_match(np.arange(100) % 4 == 0, np.zeros(100, int))
    assert alone is not None
    assert alone.high - alone.low > 0.5, "one person says little"
    together, apart = groups.true_match(person < 10, person), groups.true_match(mixed, person)
    assert together is not None
    assert apart is not None
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_bands_hold_every_value_once() -> None:
    masks = groups.bands(np.array([5.0, 10.0, 35.0, 90.0]), (10, 20, 40), "age")
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "age under 10": [True, False, False, False],
        "age 10 to 20": [False, True, False, False],
        "age 20 to 40": [False, False, True, False],
        "age 40 or more": [False, False, False, True],
    }


def test_groups_of_the_index() -> None:
    row = {"identity": "", "source_pixels_per_crop_pixel": "0.5", "detection_score": "0.83"}
    rows = [
        {**row, "key": "0", "source": "facemask12k"},
        {**row, "key": "1", "source": "utkface", "source_pixels_per_crop_pixel": "2.0"},
        {**row, "key": "2", "source": "celeba299", "identity": "celeba:1"},
    ]
    results = {result.name: result for result in groups.report_shards(np.array([X, Y, X], np.float32), rows, 0.5)}
    assert results["all whose identity is known"].faces == 1
    assert results["sources with masks *"].faces == 1
    assert results["source utkface *"].faces == 1
    assert results["low resolution"].faces == 1, "only where it is known who they are"
    assert results["detection score 0.8 to 0.85"].faces == 1
    across = results["pairs between sources *"].false_match
    assert across is not None
    assert (across.value, across.pairs) == (pytest.approx(1 / 3), 3)


def test_utkfaces_names() -> None:
    assert groups.utkface_labels("61_1_3_20170109150557335.jpg.chip.jpg") == (61, "female", "Indian")
    assert groups.utkface_labels("1_0_2_20161219.jpg") == (1, "male", "Asian")
    assert groups.utkface_labels("39_1_20170116174525125.jpg") is None
    assert groups.utkface_labels("README.md") is None


class OneFace:
    """Finds its landmarks in every picture that is not black."""

    def detect(self, frame: ByteArray) -> list[Detection]:
        landmarks = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [71, 92]], np.float32)
        return [Detection(np.array([10, 10, 110, 120], np.float32), landmarks, 0.9)] if frame.any() else []


def test_pictures_with_utkfaces_names_are_aligned_and_reported(tmp_path: Path) -> None:
    for name, brightness in (("8_0_0_1.png", 200), ("9_1_4_2.png", 90), ("30_1_2_3.png", 0), ("notes.png", 50)):
        cv2.imwrite(str(tmp_path / name), np.full((120, 120, 3), brightness, np.uint8))
    detector: FaceDetector = OneFace()
    crops, labels = groups.utkface_crops(tmp_path, detector)
    assert crops.shape == (2, 112, 112, 3)
    assert labels == [(8, "male", "White"), (9, "female", "other")]
    results = {result.name: result for result in groups.report_utkface(np.array([X, X], np.float32), labels, 0.5)}
    assert results["age under 10"].false_match is not None
    assert results["age under 10"].false_match.value == 1.0
    assert results["male"].faces == 1
    assert "Asian" not in results
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="as UTKFace names them"):
        groups.utkface_crops(tmp_path / "empty", detector)


def test_the_table_has_a_row_for_each_group() -> None:
    result = groups.judge("everybody", np.array([X, X, Y], np.float32), np.array([0, 0, 1]), 0.5)
    header, rule, row = groups.table([result]).splitlines()
    assert header.count("|") == rule.count("|") == row.count("|") == 6
    assert row.startswith("| everybody | 3 | 2 | 0 (0 to ")


def test_the_command_writes_its_numbers(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (shards / "index.csv").read_text().splitlines()
    (tmp_path / "shards").mkdir()
    for tar in shards.glob("faces-*.tar"):
        (tmp_path / "shards" / tar.name).symlink_to(tar)
    header = f"{lines[0]},detection_score,source_pixels_per_crop_pixel"
    (tmp_path / "shards" / "index.csv").write_text("\n".join([header, *(f"{line},0.8,1.0" for line in lines[1:])]))
    released = Path(groups.__file__).parents[1] / "models" / "face_embedding.onnx"
    arguments = ["--model", released, "--shards", tmp_path / "shards", "--work", tmp_path, "--held-out", "0.4"]
    monkeypatch.setattr(sys, "argv", ["groups", *map(str, arguments), "--json", str(tmp_path / "groups.json")])
    groups.main()
    numbers = json.loads((tmp_path / "groups.json").read_text())
    assert 0 < numbers["accept_similarity"] < 1
    assert numbers["groups"][0]["name"] == "all whose identity is known"
    assert numbers["groups"][0]["false_match"]["pairs"] > 0
