"""Verification against several reference images."""

from pathlib import Path

import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation.faces import FaceFinder
from face_recognition_ros.evaluation.references import (
    COUNTS,
    Collection,
    evaluate,
    fuse,
    largest_count,
    measure,
    section,
)


@pytest.mark.parametrize(
    ("similarities", "vote"),
    [([0.4], 0.4), ([0.4, 0.8], 0.4), ([0.4, 0.8, 0.6], 0.6), ([0.1, 0.2, 0.8, 0.9], 0.2)],
)
def test_a_vote_passes_where_more_than_half_of_the_references_do(similarities: list[float], vote: float) -> None:
    column = np.array(similarities)[:, None]
    references, probes = np.ones((len(similarities), 2), np.float32), np.ones((1, 2), np.float32)
    score = fuse(column, references, probes, "vote")
    assert score == pytest.approx([vote])
    assert (column >= score).sum() > len(similarities) / 2
    assert (column > score).sum() <= len(similarities) / 2
    assert fuse(column, references, probes, "nearest") == pytest.approx([max(similarities)])


def test_the_mean_of_references_has_length_one() -> None:
    references = np.array([[1, 0], [0, 1]], np.float32)
    probes = np.array([[1, 0], [0.6, 0.8]], np.float32)
    scores = fuse(references @ probes.T, references, probes, "mean")
    assert scores == pytest.approx([1 / np.sqrt(2), 1.4 / np.sqrt(2)])


def test_the_largest_count_is_one_that_enough_people_exceed() -> None:
    assert largest_count([3] * 10) == 2
    assert largest_count([2] * 10 + [33] * 9) == 1
    assert largest_count([9] * 5 + [33] * 10) == 32
    with pytest.raises(ImageError, match="two faces"):
        largest_count([1] * 100)


def noisy_people(people: int, pictures: int, size: int = 16) -> dict[str, Collection]:
    """Random directions, and pictures scattered widely around each."""
    rng = np.random.default_rng(1)
    made = {}
    for person in range(people):
        vectors = rng.normal(size=size) + rng.normal(scale=1.2, size=(pictures, size))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        made[f"p{person}"] = Collection(unit.astype(np.float32), missed=0)
    return made


def test_more_references_help_and_the_comparisons_stay_the_same() -> None:
    numbers = measure(noisy_people(12, 10), 8, np.random.default_rng(0))
    assert numbers["people"] == 12
    assert (numbers["genuine_comparisons"], numbers["impostor_comparisons"]) == (12 * 5 * 2, 12 * 5 * 11)
    assert numbers["by_count"]["16"] is None
    assert numbers["by_count"]["32"] is None
    by_count = numbers["by_count"]
    one = by_count["1"]
    assert one["mean"]["eer"] == one["vote"]["eer"] == one["nearest"]["eer"], "with one reference all are the same"
    assert by_count["8"]["mean"]["eer"] < one["mean"]["eer"]
    assert by_count["8"]["mean"]["tar_at_far"]["0.01"] > one["mean"]["tar_at_far"]["0.01"]

    shown = section(numbers)
    assert "n = 16, 32" in shown.text
    assert len(shown.tables[0].rows) == 4 * 3
    assert [figure.name for figure in shown.figures] == ["references"]


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals are not what is tested here."""
    monkeypatch.setattr("face_recognition_ros.evaluation.references.BOOTSTRAP_ROUNDS", 20)


def test_a_probe_without_a_face_is_never_accepted() -> None:
    rng = np.random.default_rng(0)
    people = noisy_people(12, 4)
    blind = {name: Collection(one.embeddings, missed=2) for name, one in people.items()}
    seen = measure(people, 2, np.random.default_rng(0))["by_count"]["2"]["nearest"]
    numbers = measure(blind, 2, rng)
    assert numbers["genuine_comparisons"] == 12 * 5 * (2 + 2)
    missed = numbers["by_count"]["2"]["nearest"]
    assert missed["tar_at_far"]["0.01"] == pytest.approx(seen["tar_at_far"]["0.01"] / 2)


def test_too_few_people_are_refused_before_any_work(pairs_folder: Path, assembly: Assembly) -> None:
    with pytest.raises(ImageError, match="10 people"):
        evaluate(FaceFinder(assembly.recognizer, pairs_folder / "images"))


def test_real_pictures(pairs_folder: Path, assembly: Assembly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_recognition_ros.evaluation.references.MIN_PEOPLE", 2)
    numbers, _ = evaluate(FaceFinder(assembly.recognizer, pairs_folder / "images"))
    assert [count for count in map(str, COUNTS) if numbers["by_count"][count]] == ["1", "2"], "4 have 5, one is blank"
