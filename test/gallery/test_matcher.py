from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.index import fuse
from face_recognition_ros.gallery.matcher import Looks, Matcher, MatcherOptions, evidence
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.types import FloatArray, IdentityStatus

SIZE = 64
ONES = np.ones(3, np.float32)


@pytest.fixture
def people(store: GalleryStore, faces: Any) -> FloatArray:
    """Three people, of each of whom the gallery has four looks."""
    people = faces.people(3)
    for name, person in zip(("Anna", "Bob", "Cleo"), people, strict=True):
        store.enroll(name, faces.as_templates(faces.looks(person, 4)))
    return people


@pytest.fixture
def matcher(store: GalleryStore, calibration: Calibration, people: FloatArray) -> Matcher:
    return Matcher(store, calibration)


def test_an_enrolled_person_is_known_and_a_stranger_is_not(matcher: Matcher, people: FloatArray, faces: Any) -> None:
    decision = matcher.decide(faces.looks(people[1], 3), ONES)
    assert decision.status is IdentityStatus.KNOWN
    assert decision.identity is not None
    assert decision.identity.name == "Bob"
    assert decision.similarity > decision.accept_similarity
    assert decision.identity.confidence == pytest.approx(matcher.calibration.confidence(decision.similarity))
    assert [c.similarity for c in decision.candidates] == sorted(
        (c.similarity for c in decision.candidates), reverse=True
    )
    stranger = matcher.decide(faces.looks(faces.people(1)[0], 3), ONES)
    assert stranger.status is IdentityStatus.UNKNOWN
    assert stranger.identity is None
    assert len(stranger.candidates) == 3


def test_before_enough_looks_it_is_tentative(matcher: Matcher, people: FloatArray, faces: Any) -> None:
    looks = faces.looks(people[0], 3)
    decision = matcher.decide(looks[:2], ONES[:2])
    assert decision.status is IdentityStatus.TENTATIVE
    assert decision.candidates[0].name == "Anna"
    assert matcher.decide(looks, np.array([1, 1, 0], np.float32)).status is IdentityStatus.TENTATIVE
    nothing = matcher.decide(looks[:0], ONES[:0])
    assert (nothing.status, nothing.candidates) == (IdentityStatus.TENTATIVE, ())


def test_a_track_without_a_look_does_not_disturb_the_others(matcher: Matcher, people: FloatArray, faces: Any) -> None:
    unseen = Looks(np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
    before, known, after = matcher.decide_batch([unseen, Looks(faces.looks(people[2], 3), ONES), unseen]).decisions
    assert known.identity is not None
    assert known.identity.name == "Cleo"
    assert before.status is after.status is IdentityStatus.TENTATIVE


def test_a_still_picture_is_judged_by_its_only_look(matcher: Matcher, people: FloatArray) -> None:
    decision = matcher.decide_single(people[2])
    assert decision.identity is not None
    assert decision.identity.name == "Cleo"


def test_between_two_people_nobody_is_named(
    store: GalleryStore, calibration: Calibration, faces: Any, people: FloatArray
) -> None:
    store.enroll("Anna's twin", faces.as_templates(faces.looks(people[0], 4)))
    decision = Matcher(store, calibration).decide(faces.looks(people[0], 3), ONES)
    assert decision.status is IdentityStatus.AMBIGUOUS
    assert decision.identity is None
    assert {candidate.name for candidate in decision.candidates[:2]} == {"Anna", "Anna's twin"}


def test_several_templates_of_one_person_are_no_runner_up(store: GalleryStore, calibration: Calibration) -> None:
    row = np.eye(2, SIZE, dtype=np.float32)
    store.enroll("Anna", [*_templates(row[:1]), *_templates(row[:1])])
    store.enroll("Bob", _templates(row[1:]))
    assert Matcher(store, calibration).decide_single(row[0]).margin == pytest.approx(1.0)


def test_the_margin_decides_exactly(store: GalleryStore, calibration: Calibration) -> None:
    row = np.eye(2, SIZE, dtype=np.float32)
    store.enroll("Anna", _templates(row[:1]))
    store.enroll("Bob", _templates(row[1:]))
    probe = np.zeros(SIZE, np.float32)
    probe[:2] = 0.8, 0.6
    for margin, status in ((0.19, IdentityStatus.KNOWN), (0.21, IdentityStatus.AMBIGUOUS)):
        decision = Matcher(store, calibration, MatcherOptions(min_margin=margin)).decide_single(probe)
        assert decision.status is status
        assert decision.margin == pytest.approx(0.2, abs=1e-6)


def _templates(embeddings: FloatArray) -> list[Any]:
    return [Template(embedding, 1.0) for embedding in embeddings]


def test_an_empty_gallery_knows_nobody(store: GalleryStore, calibration: Calibration, faces: Any) -> None:
    matcher = Matcher(store, calibration)
    looks = faces.people(3)
    assert matcher.decide(looks, ONES).status is IdentityStatus.UNKNOWN
    assert matcher.decide(looks[:1], ONES[:1]).status is IdentityStatus.TENTATIVE
    assert matcher.decide_single(looks[0]).candidates == ()


def test_evidence_weighs_by_quality_and_not_by_order(faces: Any) -> None:
    looks, weights = faces.people(5), np.array([0.9, 0.1, 0.5, 0.0, 0.3], np.float32)
    expected = weights @ looks
    order = faces.generator.permutation(5)
    found = evidence(Looks(looks, weights))
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)
    np.testing.assert_allclose(evidence(Looks(looks[order], weights[order])), found, atol=1e-6)


def test_looks_that_cancel_out_are_no_evidence(matcher: Matcher, people: FloatArray) -> None:
    opposed = np.stack([people[0], -people[0], people[1], -people[1]])
    assert matcher.decide(opposed, np.ones(4, np.float32)).status is IdentityStatus.UNKNOWN


def test_changes_count_from_the_next_call_on(
    matcher: Matcher, store: GalleryStore, faces: Any, people: FloatArray
) -> None:
    dan = faces.people(1)[0]
    assert matcher.decide_single(dan).status is IdentityStatus.UNKNOWN
    before = matcher.revision
    store.enroll("Dan", faces.as_templates(faces.looks(dan, 2)))
    assert matcher.decide_single(dan).status is IdentityStatus.KNOWN
    assert matcher.revision == store.revision == before + 1
    store.forget("Dan")
    assert all(candidate.name != "Dan" for candidate in matcher.decide_single(dan).candidates)


def test_an_unchanged_gallery_is_not_read_again(
    matcher: Matcher, store: GalleryStore, people: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("the gallery was read")

    monkeypatch.setattr(store, "changes_since", read)
    assert matcher.decide_single(people[0]).identity is not None


def between(first: FloatArray, second: FloatArray, similarity: float) -> FloatArray:
    """A unit vector of that cosine to the first one, the rest of it towards the second."""
    rest = second - (second @ first) * first
    mixed = similarity * first + np.sqrt(1 - similarity**2) * rest / np.linalg.norm(rest)
    return np.asarray(mixed, np.float32)


def test_a_name_is_kept_where_it_would_not_be_given(matcher: Matcher, people: FloatArray, store: GalleryStore) -> None:
    anna = store.resolve("Anna").identity_id
    index = matcher.refresh()
    target = matcher.options.target_false_accept_rate
    accept = matcher.calibration.accept_similarity(target, 3)
    keep = matcher.calibration.accept_similarity(10 * target, 3)
    own = np.stack([template.embedding for template in store.identity_templates(anna)])
    middle = between(fuse(own, np.ones(len(own))), -people[1] - people[2], (accept + keep) / 2)
    assert keep < (index.similarity(anna, middle) or 0) < accept
    looks = np.stack([middle] * 3)
    fresh, held, other = matcher.decide_batch(
        [Looks(looks, ONES), Looks(looks, ONES, anna), Looks(looks, ONES, store.resolve("Bob").identity_id)]
    ).decisions
    assert fresh.status is other.status is IdentityStatus.UNKNOWN
    assert held.identity is not None
    assert held.identity.name == "Anna"


def test_a_name_is_taken_back_when_the_latest_looks_turn(
    matcher: Matcher, people: FloatArray, store: GalleryStore, faces: Any
) -> None:
    anna = store.resolve("Anna").identity_id
    before, stranger = faces.looks(people[0], 12), faces.looks(faces.people(1)[0], 3)
    weights = np.ones(15, np.float32)
    assert matcher.decide_batch([Looks(before, weights[:12], anna)]).decisions[0].identity is not None
    turned = matcher.decide_batch([Looks(np.vstack((before, stranger)), weights, anna)]).decisions[0]
    assert turned.candidates[0].name == "Anna"
    assert turned.similarity > turned.accept_similarity, "the older looks alone would still give the name"
    assert turned.status is IdentityStatus.UNKNOWN
    poor = np.where(np.arange(15) < 12, 1, 0).astype(np.float32)
    assert matcher.decide_batch([Looks(np.vstack((before, stranger)), poor, anna)]).decisions[0].identity is not None


def test_who_is_gone_keeps_no_name(matcher: Matcher, people: FloatArray, store: GalleryStore, faces: Any) -> None:
    anna = store.resolve("Anna").identity_id
    store.forget("Anna")
    held = matcher.decide_batch([Looks(faces.looks(people[0], 3), ONES, anna)]).decisions[0]
    assert held.status is IdentityStatus.UNKNOWN
    assert anna not in [candidate.identity_id for candidate in held.candidates]


def test_who_has_expired_is_not_named_even_before_the_store_forgets(calibration: Calibration, faces: Any) -> None:
    now = [1000.0]
    anna, bob = faces.people(2)
    with GalleryStore.open(None, "net-a", SIZE, clock=lambda: now[0]) as store:
        store.enroll("Anna", faces.as_templates(anna[None]), expires=1010.0)
        store.enroll("Bob", faces.as_templates(bob[None]), expires=1020.0)
        matcher = Matcher(store, calibration)
        for now[0], expected in ((1009.0, {"Anna", "Bob"}), (1010.0, {"Bob"}), (1030.0, set())):
            known = {
                decision.identity.name for decision in map(matcher.decide_single, (anna, bob)) if decision.identity
            }
            assert known == expected
        assert store.revision == 2, "it only reads"


def test_a_remembered_stranger_is_told_but_not_named(matcher: Matcher, store: GalleryStore, faces: Any) -> None:
    passer_by = faces.people(1)[0]
    stranger = store.remember(faces.as_templates(faces.looks(passer_by, 3)), expires=None)
    decision = matcher.decide(faces.looks(passer_by, 3), ONES)
    assert (decision.status, decision.identity) == (IdentityStatus.UNKNOWN, None)
    assert decision.stranger is not None
    assert decision.stranger.remembered
    assert decision.identity_id == stranger.identity_id
    store.rename(stranger.identity_id, "Dan")
    named = matcher.decide(faces.looks(passer_by, 3), ONES)
    assert (named.status, named.stranger) == (IdentityStatus.KNOWN, None)
    assert named.identity_id == stranger.identity_id


def test_remembered_strangers_do_not_raise_the_line_for_people(
    matcher: Matcher, store: GalleryStore, faces: Any, people: FloatArray
) -> None:
    before = matcher.decide_single(people[0])
    for passer_by in faces.people(40):
        store.remember(faces.as_templates(passer_by[None]), expires=None)
    assert matcher.decide_single(people[0]).accept_similarity == before.accept_similarity


def test_a_frame_is_judged_at_one_revision(
    matcher: Matcher, store: GalleryStore, faces: Any, people: FloatArray
) -> None:
    tracks = [Looks(faces.looks(person, 3), ONES) for person in people]
    frame = matcher.decide_batch(tracks)
    assert frame.revision == store.revision
    assert [decision.candidates[0].name for decision in frame.decisions] == ["Anna", "Bob", "Cleo"]
    for looks, together in zip(tracks, frame.decisions, strict=True):
        alone = matcher.decide(looks.embeddings, looks.weights)
        assert (alone.status, alone.accept_similarity) == (together.status, together.accept_similarity)
        assert alone.similarity == pytest.approx(together.similarity, abs=1e-6)
    assert matcher.decide_batch([]).decisions == ()


def test_candidates_are_the_best_ones(store: GalleryStore, calibration: Calibration, faces: Any) -> None:
    people = faces.people(30)
    for i, person in enumerate(people):
        store.enroll(f"person {i}", faces.as_templates(person[None]))
    probe = faces.people(1)[0]
    decision = Matcher(store, calibration, MatcherOptions(max_candidates=4)).decide_single(probe)
    best = np.argsort(-(people @ probe))[:4]
    assert [candidate.name for candidate in decision.candidates] == [f"person {i}" for i in best]


@pytest.mark.parametrize("size", [10, 100, 2000])
@pytest.mark.parametrize("templates_each", [1, 3])
def test_strangers_are_named_at_most_at_the_target_rate(
    store: GalleryStore, calibration: Calibration, faces: Any, size: int, templates_each: int
) -> None:
    """Without a margin, so that the accept line alone must hold the rate."""
    target, probes = 0.01, 4000
    embeddings = faces.people(size * templates_each).reshape(size, templates_each, SIZE)
    for i, own in enumerate(embeddings):
        store.enroll(f"person {i}", faces.as_templates(own))
    options = MatcherOptions(target_false_accept_rate=target, min_margin=0.0, min_looks=1)
    matcher = Matcher(store, calibration, options)
    frame = matcher.decide_batch([Looks(probe[None], ONES[:1]) for probe in faces.people(probes)])
    named = sum(decision.identity is not None for decision in frame.decisions)
    assert named <= target * probes + 3 * np.sqrt(target * probes)  # three standard deviations of the count


@pytest.mark.parametrize(
    ("option", "value"),
    [("target_false_accept_rate", 0.0), ("target_false_accept_rate", 1.0), ("min_margin", -0.1), ("min_margin", 2.1),
     ("min_looks", 0), ("max_candidates", 1)],
)  # fmt: skip
def test_an_option_out_of_range_is_refused(option: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"{option} must .*, not {value}"):
        MatcherOptions(**{option: value})
