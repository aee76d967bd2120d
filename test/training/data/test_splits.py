"""Splits keep identities whole, or every identity in training; selections keep what was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_recognition_ros.training.data.splits import select_faces, split_identities, split_images

LABELS = st.lists(st.integers(0, 30), min_size=1, max_size=200).map(np.array)
NAMES = st.lists(st.sampled_from(["", "ann", "bo", "cy", "di", "eve"]), min_size=1, max_size=60)
SEEDS = st.integers(0, 1000)


@given(LABELS, SEEDS)
def test_parts_share_no_identity_and_lose_no_face(labels: np.ndarray, seed: int) -> None:
    parts = split_identities(labels, (0.7, 0.2, 0.1), seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    people = [set(labels[rows].tolist()) for rows in parts]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]


@given(LABELS, LABELS, SEEDS)
def test_new_identities_move_nobody(labels: np.ndarray, more: np.ndarray, seed: int) -> None:
    before = split_identities(labels, (0.6, 0.3), seed)
    after = split_identities(np.concatenate([labels, more + 100]), (0.6, 0.3), seed)
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old, new[new < len(labels)])


def test_parts_have_about_their_fraction_and_seeds_differ() -> None:
    labels = np.arange(5000)
    training, test = split_identities(labels, (0.8, 0.1), seed=3)
    assert len(training) == pytest.approx(4000, abs=100)
    assert len(test) == pytest.approx(500, abs=80)
    assert not np.array_equal(training, split_identities(labels, (0.8, 0.1), seed=4)[0])
    assert np.array_equal(training, split_identities(labels, (0.8, 0.1), seed=3)[0])


def test_the_split_is_the_same_on_every_machine() -> None:
    (rows,) = split_identities([f"n{number:06d}" for number in range(12)], (0.5,), seed=0)
    assert rows.tolist() == [1, 2, 3, 7, 9], "whose SHA-256 of 0:n000001 ... begins with a hexadecimal digit below 8"


@pytest.mark.parametrize("fractions", [(0.9, 0.2), (-0.1, 0.5)])
def test_fractions_of_identities_must_make_sense(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="add up to at most 1"):
        split_identities([1, 2], fractions, seed=0)


@given(LABELS, SEEDS)
def test_every_identity_is_learned_when_images_are_held_out(labels: np.ndarray, seed: int) -> None:
    parts = split_images(labels, (0.5, 0.3), seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert set(labels[parts[0]].tolist()) == set(labels.tolist())
    assert all(np.array_equal(a, b) for a, b in zip(parts, split_images(labels, (0.5, 0.3), seed), strict=True))


def test_images_are_held_out_by_their_fraction() -> None:
    training, validation, test = split_images(np.repeat(np.arange(100), 50), (0.2, 0.0), seed=1)
    assert len(validation) == pytest.approx(1000, abs=100)
    assert len(training) + len(validation) == 5000
    assert len(test) == 0
    with pytest.raises(ValueError, match="add up to less than 1"):
        split_images([1, 1], (0.5, 0.5), seed=0)


@given(NAMES, st.integers(1, 5), st.integers(1, 5))
def test_a_selection_keeps_its_limits(names: list[str], least: int, most: int) -> None:
    counts = {name: names.count(name) for name in set(names) - {""}}
    expected = sorted(name for name, count in counts.items() if count >= least)
    if not expected:
        with pytest.raises(ValueError, match=f"{least} or more faces"):
            select_faces(names, least, most)
        return
    selection = select_faces(names, least, most)
    assert list(selection.names) == expected
    assert [selection.names[label] for label in selection.labels] == [names[row] for row in selection.rows]
    assert np.bincount(selection.labels).tolist() == [min(counts[name], most) for name in expected]
    for label, name in enumerate(expected):
        first = [row for row, other in enumerate(names) if other == name][:most]
        assert selection.rows[selection.labels == label].tolist() == first


def test_a_selection_of_identities_that_are_not_there_is_refused() -> None:
    assert select_faces(["bo", "ann", "bo"], only=["bo"]).rows.tolist() == [0, 2]
    with pytest.raises(ValueError, match="2 of the identities asked for have no face, the first of them 'cy'"):
        select_faces(["bo", "ann"], only=["di", "cy", "bo"])
    with pytest.raises(ValueError, match="must be 1 or more"):
        select_faces(["bo"], min_images=0)
