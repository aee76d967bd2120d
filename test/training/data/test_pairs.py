"""Pairs are true to their label, balanced, capped, repeatable, and masked where they should be."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from face_recognition_ros.training.data.pairs import Pairs, build_pairs

LABELS = st.lists(st.integers(0, 8), min_size=2, max_size=80).map(np.array)
SEEDS = st.integers(0, 1000)


def genuine_of(pairs: Pairs) -> list[tuple[int, int]]:
    sides = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.different.tolist(), strict=True)
    return [(first, second) for first, second, different in sides if not different]


@given(LABELS, SEEDS, st.integers(1, 25))
def test_pairs_are_true_balanced_capped_and_repeatable(labels: np.ndarray, seed: int, cap: int) -> None:
    counts = Counter(labels.tolist())
    assume(len(counts) > 1 and max(counts.values()) > 1)
    pairs = build_pairs(labels, seed, cap)
    assert np.array_equal(labels[pairs.first] != labels[pairs.second], pairs.different)
    assert pairs.different.sum() * 2 == len(pairs)
    expected = {person: min(cap, count * (count - 1) // 2) for person, count in counts.items() if count > 1}
    for kind in (False, True):
        assert Counter(labels[pairs.first[pairs.different == kind]].tolist()) == expected, "each person in both kinds"
    genuine = {frozenset(pair) for pair in genuine_of(pairs)}
    assert len(genuine) == len(pairs) // 2, "no pair twice, and no face with itself"
    assert all(len(pair) == 2 for pair in genuine)
    assert not pairs.first_masked.any()
    assert not pairs.second_masked.any()
    again = build_pairs(labels, seed, cap)
    assert all(np.array_equal(getattr(pairs, name), getattr(again, name)) for name in ("first", "second", "different"))


def test_all_pairs_come_where_the_cap_allows() -> None:
    genuine = genuine_of(build_pairs([7, 7, 3, 7, 7], seed=0, per_identity=6))
    assert {frozenset(pair) for pair in genuine} == {
        frozenset(p) for p in [(0, 1), (0, 3), (0, 4), (1, 3), (1, 4), (3, 4)]
    }


def test_draws_are_even_and_another_seed_gives_other_pairs() -> None:
    labels = np.repeat([0, 1], 200)
    pairs = build_pairs(labels, seed=1, per_identity=4000)
    uses = np.bincount([row for pair in genuine_of(pairs) for row in pair], minlength=400)
    assert uses.min() > 15, "each face is in 40 pairs of 4000, give or take six"
    assert uses.max() < 70
    assert np.mean([first < second for first, second in genuine_of(pairs)]) == pytest.approx(0.5, abs=0.03)
    assert not np.array_equal(pairs.first, build_pairs(labels, seed=2, per_identity=4000).first)


def test_strangers_are_as_often_of_a_small_identity_as_of_a_large_one() -> None:
    labels = np.array([0] * 60 + [1] * 60 + [2] * 2)
    pairs = build_pairs(labels, seed=0, per_identity=500)
    met = np.bincount(labels[pairs.second[pairs.different & (labels[pairs.first] == 0)]])
    assert met[2] / met.sum() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ("none", {(False, False)}),
        ("one", {(True, False), (False, True)}),
        ("both", {(True, True)}),
        ("mixed", {(True, False), (False, True), (True, True), (False, False)}),
    ],
)
def test_masks_are_asked_for_on_the_sides_named(masks: str, expected: set[tuple[bool, bool]]) -> None:
    pairs = build_pairs(np.repeat(np.arange(10), 5), 0, masks=masks)  # type: ignore[arg-type]
    for kind in (False, True):
        sides = (pairs.first_masked[pairs.different == kind], pairs.second_masked[pairs.different == kind])
        assert set(zip(*(side.tolist() for side in sides), strict=True)) == expected


def test_a_face_can_be_paired_with_its_own_masked_version() -> None:
    pairs = build_pairs([0, 1, 2, 2], seed=0, masks="one", with_itself=True)
    assert {frozenset(pair) for pair in genuine_of(pairs)} == {frozenset(p) for p in [(0,), (1,), (2,), (3,), (2, 3)]}
    assert (pairs.first_masked ^ pairs.second_masked).all()
    assert (pairs.first != pairs.second)[pairs.different].all()


@given(LABELS, SEEDS, st.data())
def test_real_masks_are_paired_with_bare_faces(labels: np.ndarray, seed: int, data: st.DataObject) -> None:
    worn = np.array(data.draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels))))
    both_ways = set(labels[worn].tolist()) & set(labels[~worn].tolist())
    assume(both_ways and len(set(labels[~worn].tolist())) > 1)
    pairs = build_pairs(labels, seed, 7, worn=worn)
    assert worn[pairs.first].all()
    assert not worn[pairs.second].any()
    assert np.array_equal(labels[pairs.first] != labels[pairs.second], pairs.different)
    assert not pairs.first_masked.any(), "these masks are real, none is drawn"
    expected = {p: min(7, int((worn & (labels == p)).sum() * (~worn & (labels == p)).sum())) for p in both_ways}
    assert Counter(labels[pairs.first[~pairs.different]].tolist()) == expected
    assert len(set(genuine_of(pairs))) == len(pairs) // 2


@pytest.mark.parametrize(
    ("labels", "options", "sentence"),
    [
        ([1, 2, 3], {}, "no identity has two faces"),
        ([1, 1, 1], {}, "at least two identities"),
        ([1, 1, 2], {"per_identity": 0}, "per_identity must be 1 or more"),
        ([1, 1, 2], {"masks": "all"}, "masks one of none, one, both, mixed"),
        ([1, 1, 2], {"with_itself": True}, 'needs masks to be "one"'),
        ([1, 1, 2], {"masks": "one", "worn": [True, False, False]}, 'masks must be "none"'),
        ([1, 1, 2], {"worn": [True, True, False]}, "one masked and one not"),
        ([], {}, "no identity has two faces"),
    ],
)
def test_what_makes_no_pairs_is_refused(labels: list[int], options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_pairs(labels, 0, **options)  # type: ignore[arg-type]
