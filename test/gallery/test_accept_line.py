"""Monte Carlo proof: strangers are given a name no more often than was asked for, however large the gallery."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.matcher import Looks, Matcher, MatcherOptions
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.types import Decision, FloatArray, IdentityStatus

SIZE = 64
LOOKS = 4
SIZES = (10, 100, 1_000, 10_000)
STRANGERS = {1e-2: 5_000, 1e-3: 10_000}
"""How many are shown to the matcher at each target."""
SURE = 1e-3
"""With this probability a rate of just the target would fail; the seeds are fixed, so it always does or never."""


def most_accepts(target: float, strangers: int) -> int:
    """The count that a rate of the target exceeds with probability SURE: 73 of 5,000 at 1e-2, 21 of 10,000 at 1e-3.

    By the binomial distribution twice the target exceeds the former with 99.7 %, three times the latter with 95 %.
    """
    return int(binom.isf(SURE, strangers, target))


@pytest.fixture(scope="module")
def galleries(calibration: Calibration, synthetic: Any) -> Iterator[dict[int, tuple[GalleryStore, FloatArray]]]:
    """By size: a gallery of random people with four looks each, and the people."""
    drawn = synthetic(11)
    made = {}
    for size in SIZES:
        store = GalleryStore.open(None, "net-a", SIZE)
        people = drawn.people(size)
        for number, person in enumerate(people):
            store.enroll(f"person {number}", drawn.as_templates(drawn.looks(person, LOOKS)))
        made[size] = store, people
    yield made
    for store, _ in made.values():
        store.close()


def decide(matcher: Matcher, drawn: Any, people: FloatArray) -> list[Decision]:
    """What the matcher says of tracks of these people, four looks each."""
    looks = drawn.looks(np.repeat(people, LOOKS, axis=0), len(people) * LOOKS).reshape(-1, LOOKS, SIZE)
    weights = drawn.generator.uniform(0.2, 1.0, (len(people), LOOKS)).astype(np.float32)
    tracks = [Looks(*track) for track in zip(looks, weights, strict=True)]
    batches = range(0, len(tracks), 500)
    return [decision for at in batches for decision in matcher.decide_batch(tracks[at : at + 500]).decisions]


@pytest.mark.parametrize("target", STRANGERS)
@pytest.mark.parametrize("size", SIZES)
def test_strangers_are_named_at_most_at_the_target_rate(
    galleries: dict[int, tuple[GalleryStore, FloatArray]], calibration: Calibration, synthetic: Any, size: int,
    target: float,
) -> None:  # fmt: skip
    store, people = galleries[size]
    drawn = synthetic(size)
    # Without a margin: the line has to keep the promise alone.
    matcher = Matcher(store, calibration, MatcherOptions(target_false_accept_rate=target, min_margin=0.0))
    strangers = decide(matcher, drawn, drawn.people(STRANGERS[target]))
    accepted = sum(decision.status is IdentityStatus.KNOWN for decision in strangers)
    assert accepted <= most_accepts(target, len(strangers))
    if target / size >= calibration.impostor_far[-1]:  # where it was measured, the line is no higher than need be
        assert accepted >= binom.ppf(SURE, len(strangers), target / 2)
    enrolled = decide(matcher, drawn, people[:200])
    assert [known.identity is not None and known.identity.name for known in enrolled] == [
        f"person {number}" for number in range(len(enrolled))
    ]


@pytest.mark.parametrize("target", STRANGERS)
def test_remembered_strangers_are_judged_by_a_line_of_their_own(calibration: Calibration, synthetic: Any,
                                                                target: float) -> None:  # fmt: skip
    people, strangers = 20, 1_000
    drawn = synthetic(12)
    with GalleryStore.open(None, "net-a", SIZE) as store:
        matcher = Matcher(store, calibration, MatcherOptions(target_false_accept_rate=target, min_margin=0.0))
        named, remembered = drawn.people(people), drawn.people(strangers)
        for number, person in enumerate(named):
            store.enroll(f"person {number}", drawn.as_templates(drawn.looks(person, LOOKS)))
        lines = {
            False: calibration.accept_similarity(target, people),
            True: calibration.accept_similarity(target, strangers),
        }
        ids = [
            store.remember(drawn.as_templates(drawn.looks(person, LOOKS)), None).identity_id for person in remembered
        ]

        newcomers = decide(matcher, drawn, drawn.people(STRANGERS[target]))
        limit = most_accepts(target, len(newcomers))
        assert sum(decision.identity is not None for decision in newcomers) <= limit
        assert sum(decision.stranger is not None for decision in newcomers) <= limit
        for decision in newcomers:
            assert decision.accept_similarity == lines[decision.candidates[0].remembered]

        again = decide(matcher, drawn, np.concatenate((named, remembered[:200])))
        assert [known.identity and known.identity.name for known in again[:people]] == [
            f"person {n}" for n in range(people)
        ]
        assert [known.stranger and known.stranger.identity_id for known in again[people:]] == ids[:200]
        assert {known.status for known in again[people:]} == {IdentityStatus.UNKNOWN}
