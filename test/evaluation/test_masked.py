"""Masked faces: the numbers by hand, and the whole way on two portraits with drawn masks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation import masked
from face_recognition_ros.evaluation.conditions import SeenFace, accept_line, choose_pairs, compare, measure
from face_recognition_ros.evaluation.report import write
from face_recognition_ros.evaluation.verification import Pair
from face_recognition_ros.masks import SHAPES
from face_recognition_ros.types import Detection

FACE = Detection(np.array([10, 10, 50, 60], np.float32), np.zeros((5, 2), np.float32), 1.0)
PAIRS = [
    Pair(f"{first}/{fold}", f"{second}/{fold}b", first == second, fold)
    for fold in range(2)
    for first, second in (("Ada", "Ada"), ("Bea", "Bea"), ("Ada", "Bea"), ("Bea", "Ada"))
]


def turned(degrees: float) -> SeenFace:
    angle = np.radians(degrees)
    return SeenFace(FACE, np.array([np.cos(angle), np.sin(angle)], np.float32))


def people(ada: float, bea: float) -> dict[str, SeenFace | None]:
    """Ada's and Bea's faces at these angles, their second pictures at 0 and at 90 degrees."""
    faces: dict[str, SeenFace | None] = {}
    for fold in range(2):
        faces |= {f"Ada/{fold}": turned(ada), f"Ada/{fold}b": turned(0)}
        faces |= {f"Bea/{fold}": turned(bea), f"Bea/{fold}b": turned(90)}
    return faces


def test_distances_by_hand() -> None:
    comparison = compare(PAIRS, people(0, 90), people(0, 90))
    numbers = measure(comparison, line=0.5)
    assert (numbers["gmean"], numbers["imean"], numbers["gap"]) == pytest.approx((0, 1, 1), abs=1e-6)
    assert (numbers["accuracy"], numbers["auc"], numbers["eer"]) == (1, 1, 0)
    assert numbers["tar_at_far"] == {"0.01": None}, "four impostor pairs cannot measure a rate of 1 %"


def test_a_mask_that_turns_faces_towards_each_other_narrows_the_gap() -> None:
    bare, worn = people(0, 90), people(30, 60)
    numbers = masked.measure_all(masked.compare_all(PAIRS, bare, {"cloth": worn}))
    cos30, sin30 = np.cos(np.radians(30)), 0.5
    one = numbers["conditions"]["masked-unmasked"]
    assert (one["gmean"], one["imean"]) == pytest.approx((1 - cos30, 1 - sin30), abs=1e-6)
    assert one["gap_share"] == pytest.approx(cos30 - sin30, abs=1e-6)
    assert numbers["conditions"]["unmasked-unmasked"]["gap_share"] == pytest.approx(1)
    assert numbers["by_mask_type"]["cloth"]["masked-unmasked"] == one, "of one kind of mask all is that kind"


def test_a_masked_face_that_is_not_found_is_an_error_of_all_its_pairs() -> None:
    bare, worn = people(0, 90), people(0, 90)
    worn["Ada/0"] = None
    one = masked.measure_all(masked.compare_all(PAIRS, bare, {"cloth": worn}))["conditions"]["masked-unmasked"]
    assert one["pairs_not_found"] == 2
    assert one["accuracy"] == pytest.approx(6 / 8), "its impostor pair is no success either"
    assert one["at_line"]["tar"] == pytest.approx(3 / 4)
    assert one["gmean"] == pytest.approx(0, abs=1e-6), "a face that is not found has no distance"


def test_numbers_without_any_genuine_face_are_none() -> None:
    blind = dict.fromkeys(people(0, 90))
    numbers = measure(compare(PAIRS, blind, blind), line=0.5)
    assert (numbers["gmean"], numbers["gap"], numbers["accuracy"]) == (None, None, 0)


def test_the_line_accepts_no_impostor_beyond_the_rate() -> None:
    pairs = [Pair("a", "b", genuine, fold) for fold in range(2) for genuine in (True, False) for _ in range(100)]
    comparison = compare(pairs, {"a": turned(0)}, {"b": turned(0)})
    scores = np.random.default_rng(0).normal(np.where(comparison.genuine, 0.6, 0.0), 0.2)
    spread = type(comparison)(scores, comparison.genuine, comparison.folds, comparison.people)
    line = accept_line(spread)
    assert (scores[~comparison.genuine] >= line).sum() == 2
    assert (scores[~comparison.genuine] >= scores[scores < line].max()).sum() == 3, "the next lower one accepts more"


def test_pairs_are_chosen_evenly_and_by_seed() -> None:
    pairs = [Pair(f"{n}", "x", genuine, fold) for fold in range(3) for genuine in (True, False) for n in range(50)]
    chosen = choose_pairs(pairs, 24, seed=1)
    counts = {(fold, genuine): 0 for fold in range(3) for genuine in (True, False)}
    for pair in chosen:
        counts[pair.fold, pair.genuine] += 1
    assert set(counts.values()) == {4}
    assert chosen == choose_pairs(pairs, 24, seed=1)
    assert chosen != choose_pairs(pairs, 24, seed=2)
    assert choose_pairs(pairs, None, seed=1) == pairs
    with pytest.raises(ImageError, match="limit of 5"):
        choose_pairs(pairs, 5, seed=1)
    with pytest.raises(ImageError, match="two folds"):
        choose_pairs(pairs[:100], None, seed=1)


@pytest.fixture(scope="module", autouse=True)
def two_kinds() -> Iterator[None]:
    """Two kinds of mask are enough to see what more would show."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masked, "SHAPES", SHAPES[:2])
        yield


@pytest.fixture(scope="module")
def measured(assembly: Assembly, pairs_folder: Path) -> tuple[dict[str, Any], Any]:
    return masked.evaluate_folder(assembly.recognizer, pairs_folder / "images", pairs_folder / "pairs.txt")


def test_masks_cost_similarity_through_the_whole_pipeline(measured: tuple[dict[str, Any], Any]) -> None:
    numbers, report = measured
    conditions = numbers["conditions"]
    assert conditions["unmasked-unmasked"]["gmean"] < conditions["unmasked-unmasked"]["imean"]
    assert conditions["masked-unmasked"]["gmean"] > conditions["unmasked-unmasked"]["gmean"]
    assert conditions["masked-unmasked"]["gap_share"] < 1
    assert list(numbers["by_mask_type"]) == list(SHAPES[:2])
    assert numbers["failed_detections"]["unmasked"] == []
    assert "masked-masked: GMean" in report.summary


def test_the_run_can_be_repeated_and_is_written(
    measured: tuple[dict[str, Any], Any], assembly: Assembly, pairs_folder: Path, tmp_path: Path
) -> None:
    folder = pairs_folder / "images", pairs_folder / "pairs.txt"
    numbers, report = measured
    assert masked.evaluate_folder(assembly.recognizer, *folder)[0] == numbers
    assert masked.evaluate_folder(assembly.recognizer, *folder, seed=1)[0]["conditions"] != numbers["conditions"]
    write(report, numbers, tmp_path / "masked.json")
    assert json.loads((tmp_path / "masked.json").read_text()) == numbers
    assert {"masked_boxes.png", "masked_examples.png", "masked.html"} <= {path.name for path in tmp_path.iterdir()}
