"""Learning in passing: what is proposed, what is refused, and that nobody's looks end up with somebody else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.gallery.learning import Learner, LearnerOptions, Observe, Postpone, Remember
from face_recognition_ros.gallery.matcher import Matcher, MatcherOptions
from face_recognition_ros.gallery.scrutiny import ALIKE, MAX_OBSERVED, place
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.gallery.templates import StoredTemplate
from face_recognition_ros.gallery.watched_track import LEARNED_PER_TRACK, QUARANTINE
from face_recognition_ros.types import FloatArray, IdentityStatus, Quality

from .robot import GOOD, MEDIOCRE, POOR, SIZE, People, Robot, templates, unit

OTHERS = 5

REMEMBERING = LearnerOptions(remember_unknown=True, unknown_max_age=1000.0)
SEEDS = st.integers(0, 10_000)


class Scene:
    """A robot that knows Anna, from one visit, and OTHERS others."""

    def __init__(self, seed: int = 0, options: LearnerOptions | None = None) -> None:
        self.people = People(seed)
        self.robot = Robot(options)
        self.others = [self.people.person() for _ in range(OTHERS)]
        for number, other in enumerate(self.others):
            self.robot.store.enroll(f"other {number}", templates(self.people.looks(other, 5)))
        self.anna = self.people.person()
        self.id = self.robot.store.enroll("Anna", templates(self.people.looks(self.anna, 5))).identity_id

    def looks(self, count: int, person: FloatArray | None = None) -> list[FloatArray]:
        return self.people.looks(self.anna if person is None else person, count)

    def learned(self, looks: list[FloatArray]) -> int:
        """How many of these are among Anna's observed templates."""
        return sum(any(np.allclose(one, look, atol=1e-5) for look in looks) for one in self.robot.observed(self.id))


def test_a_look_is_learned_after_its_quarantine() -> None:
    scene = Scene()
    looks = scene.looks(3 + QUARANTINE)
    decisions = scene.robot.show(looks[:-1], 1)
    assert [one.status is IdentityStatus.KNOWN for one in decisions] == [False, False] + [True] * QUARANTINE
    assert scene.robot.observed(scene.id) == [], "of the looks since she is known, one less than a quarantine followed"
    scene.robot.show(looks[-1:], 1)
    (learned,) = scene.robot.observed(scene.id)
    np.testing.assert_allclose(learned, looks[2], atol=1e-6, err_msg="the first look at which she was known")
    assert scene.robot.refused == []


def test_a_track_teaches_slowly_and_not_much() -> None:
    scene = Scene()
    scene.robot.show(scene.looks(3 + QUARANTINE + 4), 1)
    assert len(scene.robot.observed(scene.id)) == 1, "less than a second after the first one"
    scene.robot.show(scene.looks(100), 1)
    assert len(scene.robot.observed(scene.id)) == LEARNED_PER_TRACK


def test_every_frame_of_a_fast_camera_is_not_a_look_of_its_own() -> None:
    scene = Scene()
    for look in scene.looks(3 + 2 * QUARANTINE):
        scene.robot.see({1: look}, step=1 / 30)
    assert scene.robot.observed(scene.id) == [], "half a second is no quarantine"


@pytest.mark.parametrize("quality", [MEDIOCRE, POOR])
def test_only_looks_fit_to_be_enrolled_are_learned(quality: Quality) -> None:
    scene = Scene()
    scene.robot.show(scene.looks(3), 1)
    for look in scene.looks(20):
        scene.robot.see({1: look}, quality)
    assert scene.learned(scene.looks(0)) == 0
    assert len(scene.robot.observed(scene.id)) <= 1, "the good look that made her known, at most"


def test_nothing_is_learned_that_is_stored_already() -> None:
    scene = Scene()
    (known, *_) = scene.robot.store.identity_templates(scene.id)
    scene.robot.show([known.embedding] * 20, 1)
    assert scene.robot.observed(scene.id) == []


def test_somebody_known_but_not_beyond_doubt_is_not_learned_from() -> None:
    scene = Scene()
    today = scene.people.like(scene.anna, 0.70)
    decisions = scene.robot.show(scene.looks(30, today), 1)
    assert decisions[-1].identity is not None
    assert scene.robot.observed(scene.id) == []


def test_a_look_that_does_not_agree_with_those_around_it_is_not_learned() -> None:
    """Though it is near enough to what was enrolled, taken alone."""
    scene = Scene()
    odd = scene.people.like(scene.anna, 0.62)
    decisions = scene.robot.show([*scene.looks(2), odd, *scene.looks(QUARANTINE)], 1)
    assert decisions[2].identity is not None
    assert scene.robot.observed(scene.id) == []
    enrolled = unit(sum(one.embedding for one in scene.robot.store.identity_templates(scene.id)))
    assert odd @ enrolled > scene.robot.matcher.calibration.accept_similarity(1e-3, 1)


def test_streams_with_clocks_of_their_own_do_not_end_each_others_tracks() -> None:
    """Between every two frames, another camera's of hours later by that camera's clock."""
    scene = Scene()
    for look in scene.looks(3 + QUARANTINE):
        scene.robot.see({1: look})
        assert scene.robot.learner.watch((), scene.robot.stamp + 7200.0, stream=1) == ()
    assert len(scene.robot.observed(scene.id)) == 1


def test_what_is_switched_off_is_not_proposed() -> None:
    scene = Scene(options=LearnerOptions(learn_observed=False))
    scene.robot.show(scene.looks(20), 1)
    scene.robot.show(scene.looks(20, scene.people.person()), 2)
    assert scene.robot.observed(scene.id) == scene.robot.strangers() == []
    scene.robot.learner.options = REMEMBERING
    scene.robot.show(scene.looks(20), 3)
    scene.robot.show(scene.looks(20, scene.people.person()), 4)
    assert scene.robot.observed(scene.id)
    assert len(scene.robot.strangers()) == 1


def test_an_age_that_is_over_at_once_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"unknown_max_age must be over 0 seconds, not 0"):
        LearnerOptions(unknown_max_age=0)


def test_pictures_are_not_learned_from() -> None:
    scene = Scene(options=REMEMBERING)
    scene.robot.show(scene.looks(20), -1)
    scene.robot.show(scene.looks(20, scene.people.person()), -1)
    assert scene.robot.observed(scene.id) == scene.robot.strangers() == []


def test_nobody_is_there_twice() -> None:
    scene = Scene()
    for first, second in zip(scene.looks(30), scene.looks(30), strict=True):
        scene.robot.see({1: first, 2: second})
    assert scene.robot.observed(scene.id) == []


def test_purged_looks_are_gone_and_others_may_be_learned() -> None:
    scene = Scene()
    scene.robot.show(scene.looks(20), 1)
    before = len(scene.robot.observed(scene.id))
    assert scene.robot.store.purge_observed("Anna") == before > 0
    assert scene.robot.observed(scene.id) == []
    scene.robot.show(scene.looks(20), 2)
    assert scene.robot.observed(scene.id)


def test_the_bank_is_full_and_spreads() -> None:
    scene = Scene()
    spreads = []
    for track in range(1, 40):
        scene.robot.show(scene.looks(24), track)
        every = np.stack([one.embedding for one in scene.robot.store.identity_templates(scene.id)])
        assert len(scene.robot.observed(scene.id)) <= MAX_OBSERVED
        if len(scene.robot.observed(scene.id)) == MAX_OBSERVED:
            spreads.append(float((every @ every.T - 2 * np.eye(len(every)))[5:].max()))
    assert spreads == sorted(spreads, reverse=True), "the most similar of the observed templates become less so"
    assert spreads[0] > spreads[-1]
    assert len(scene.robot.store.identity_templates(scene.id)) == 5 + MAX_OBSERVED, "no enrolled one was replaced"


def stored(vectors: FloatArray, enrolled: int) -> list[StoredTemplate]:
    return [
        StoredTemplate(i, "enrolled" if i < enrolled else "observed", vector, 0.9, "", 0.0)
        for i, vector in enumerate(vectors)
    ]


def test_a_look_finds_its_place() -> None:
    basis = np.eye(SIZE, dtype=np.float32)
    few = stored(basis[:3], 1)
    assert place(basis[7], few) == ()
    assert place(unit(basis[1] + 0.4 * basis[7]), few) is None, f"over {ALIKE}"
    full = basis[: 1 + MAX_OBSERVED].copy()
    full[4] = unit(basis[5] + 0.8 * basis[4])
    assert place(basis[40], stored(full, 1)) in ((4,), (5,)), "one of the two that are alike"
    assert place(unit(basis[5] + 1.1 * basis[40]), stored(full, 1)) in ((4,), (5,))
    full[4] = unit(basis[5] + 3 * basis[4])
    assert place(unit(basis[7] + basis[40]), stored(full, 1)) is None, "it is more like another one than they are"


# Strangers who take over a track that nobody notices.

LOOKALIKE = st.floats(0.0, 0.6)


@settings(max_examples=60)
@given(seed=SEEDS, cosine=LOOKALIKE, before=st.integers(0, 40), after=st.integers(1, 40))
def test_whoever_takes_over_a_track_is_not_learned(seed: int, cosine: float, before: int, after: int) -> None:
    scene = Scene(seed)
    stranger = scene.people.like(scene.anna, cosine)
    hers, foreign = scene.looks(before), scene.looks(after, stranger)
    scene.robot.show(hers + foreign, 1)
    assert scene.learned(foreign) == 0
    assert scene.learned(hers) == len(scene.robot.observed(scene.id))


@settings(max_examples=100)
@given(
    seed=SEEDS,
    cosine=st.sampled_from([0.3, 0.5, 0.6]),
    visits=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=4, max_size=6),
)
def test_who_comes_and_goes_on_a_track_is_not_learned(seed: int, cosine: float, visits: list[tuple[int, int]]) -> None:
    scene = Scene(seed)
    stranger = scene.people.like(scene.anna, cosine)
    foreign = []
    for own, others in visits:
        scene.robot.show(scene.looks(own), 1)
        foreign += scene.looks(others, stranger)
        scene.robot.show(foreign[-others:], 1)
    scene.robot.show(scene.looks(12), 1)
    assert scene.learned(foreign) == 0


@settings(max_examples=40)
@given(seed=SEEDS, cosine=LOOKALIKE, before=st.integers(0, 30), after=st.integers(1, 30))
def test_two_people_of_the_gallery_who_change_places_teach_nothing_wrong(
    seed: int, cosine: float, before: int, after: int
) -> None:
    scene = Scene(seed)
    bea = scene.people.like(scene.anna, cosine)
    beas_id = scene.robot.store.enroll("Bea", templates(scene.looks(5, bea))).identity_id
    hers, beas = scene.looks(before + after), scene.looks(before + after, bea)
    for number in range(before + after):
        swapped = number >= before
        scene.robot.see({1 + swapped: hers[number], 2 - swapped: beas[number]})
    assert scene.learned(beas) == 0
    assert not any(np.allclose(one, look, atol=1e-5) for one in scene.robot.observed(beas_id) for look in hers)


@settings(max_examples=40)
@given(seed=SEEDS, cosine=st.floats(0.0, 0.5), steps=st.integers(1, 60))
def test_a_slow_blend_into_somebody_else_does_not_carry_the_name_along(seed: int, cosine: float, steps: int) -> None:
    scene = Scene(seed)
    stranger = scene.people.like(scene.anna, cosine)
    enrolled = unit(sum(one.embedding for one in scene.robot.store.identity_templates(scene.id)))
    scene.robot.show(scene.looks(8), 1)
    blend = [unit((1 - part) * scene.anna + part * stranger) for part in np.linspace(0, 1, steps + 1)]
    scene.robot.show([scene.people.look(face) for face in blend], 1)
    foreign = scene.looks(20, stranger)
    scene.robot.show(foreign, 1)
    assert scene.learned(foreign) == 0
    line = scene.robot.matcher.calibration.accept_similarity(1e-3, 1)
    assert all(one @ enrolled >= line for one in scene.robot.observed(scene.id))
    decisions = scene.robot.show(scene.looks(20, stranger), 2)
    assert all(one.identity_id != scene.id for one in decisions)


def test_a_long_drift_does_not_lead_away() -> None:
    """From visit to visit she changes a little, until she is somebody else."""
    scene = Scene(4)
    enrolled = unit(sum(one.embedding for one in scene.robot.store.identity_templates(scene.id)))
    away = scene.people.like(scene.anna, 0.0)
    last_known = 0.0
    for track, angle in enumerate(np.linspace(0, np.pi / 2, 180), start=1):
        today = unit(np.cos(angle) * scene.anna + np.sin(angle) * away)
        if scene.robot.show(scene.looks(16, today), track)[-1].identity:
            last_known = float(angle)
    observed = scene.robot.observed(scene.id)
    assert len(observed) > 3
    assert min(float(one @ enrolled) for one in observed) >= 0.536, "the line for single looks"
    assert last_known < np.radians(65), "half of the prototype is what was enrolled, whatever was learned"
    assert scene.robot.show(scene.looks(20, away), 999)[-1].identity is None
    scene.robot.store.purge_observed()
    assert scene.robot.show(scene.looks(10), 1000)[-1].identity is not None


# What is proposed is done only if it still holds.


def pending(scene: Scene) -> tuple[Observe, ...]:
    """Anna on track 1, until a look at her is proposed; nothing is applied."""
    for look in scene.looks(20):
        proposals = scene.robot.watch({1: look})[1]
        if proposals:
            assert all(isinstance(one, Observe) for one in proposals)
            return proposals  # type: ignore[return-value]
    raise AssertionError("nothing was proposed")


def test_a_proposal_is_followed_once() -> None:
    scene = Scene()
    proposals = pending(scene)
    revision = scene.robot.store.revision
    assert scene.robot.learner.apply(proposals) == ()
    assert scene.robot.store.revision == revision + 1
    (refusal,) = scene.robot.learner.apply(proposals)
    assert refusal == "A look at 'Anna' is not learned: it adds nothing to the templates."
    assert scene.robot.store.revision == revision + 1


def test_nothing_is_learned_of_somebody_who_is_gone() -> None:
    scene = Scene()
    proposals = pending(scene)
    scene.robot.store.forget("Anna")
    (refusal,) = scene.robot.learner.apply(proposals)
    assert refusal.startswith("Nothing is learned of somebody who is gone.")


def test_nothing_is_learned_of_somebody_who_has_another_name_now() -> None:
    scene = Scene()
    proposals = pending(scene)
    scene.robot.store.rename("Anna", "Johanna")
    assert scene.robot.learner.apply(proposals) == ("'Anna' is 'Johanna' by now: nothing seen before that is learned.",)


def test_nothing_is_learned_of_somebody_who_was_merged_into_another() -> None:
    scene = Scene()
    proposals = pending(scene)
    scene.robot.store.merge("other 1", "Anna")
    (refusal,) = scene.robot.learner.apply(proposals)
    assert refusal.startswith("Nothing is learned of somebody who is gone.")


def test_a_look_is_judged_by_the_gallery_as_it_is() -> None:
    scene = Scene()
    proposals = pending(scene)
    scene.robot.store.enroll("Anna's twin", templates(scene.looks(5)))
    (refusal,) = scene.robot.learner.apply(proposals)
    assert refusal == "A look at 'Anna' is not learned: it resembles somebody else as much."


@pytest.mark.parametrize("how", ["forget", "reset"])
def test_nothing_that_was_seen_before_is_learned_after_forgetting(how: str) -> None:
    scene = Scene()
    proposals = pending(scene)
    if how == "forget":
        scene.robot.learner.forget(["somebody"])
    else:
        scene.robot.learner.reset()
    (refusal,) = scene.robot.learner.apply(proposals)
    assert refusal.startswith("Somebody was forgotten since")
    scene.robot.show(scene.looks(20), 2)
    assert scene.robot.observed(scene.id), "but what is seen afterwards is"


def test_a_withdrawn_name_drops_what_was_pending() -> None:
    scene = Scene()
    scene.robot.show(scene.looks(3 + QUARANTINE - 4), 1)
    scene.robot.show(scene.looks(25, scene.people.person()), 1)
    assert scene.robot.observed(scene.id) == []
    hers = scene.looks(20)
    scene.robot.show(hers, 1)
    assert scene.learned(hers) == len(scene.robot.observed(scene.id)) > 0


# Strangers.


def test_a_stranger_gets_an_id_after_three_agreeing_looks() -> None:
    scene = Scene(options=REMEMBERING)
    visit = scene.people.person()
    looks = scene.looks(5, visit)
    scene.robot.show(looks[:2], 1)
    assert scene.robot.strangers() == []
    scene.robot.show(looks[2:3], 1)
    (stranger,) = scene.robot.strangers()
    identity = scene.robot.store.resolve(stranger)
    assert (identity.templates, identity.observed, identity.remembered) == (3, 0, True)
    assert identity.expires == pytest.approx(scene.robot.now + 1000)
    (decision,) = scene.robot.show(looks[3:4], 1)
    assert decision.status is IdentityStatus.UNKNOWN
    assert decision.stranger is not None
    assert decision.stranger.identity_id == stranger
    scene.robot.store.rename(stranger, "Zoe")
    assert scene.robot.show(looks[4:], 1)[0].identity is not None


def test_looks_that_do_not_agree_make_nobody() -> None:
    scene = Scene(options=REMEMBERING)
    for _ in range(10):
        scene.robot.show([scene.people.person()], 1)
    assert scene.robot.strangers() == []


@pytest.mark.parametrize("quality", [MEDIOCRE, POOR])
def test_looks_unfit_for_enrolment_make_nobody(quality: Quality) -> None:
    scene = Scene(options=REMEMBERING)
    for look in scene.looks(10, scene.people.person()):
        scene.robot.see({1: look}, quality)
    assert scene.robot.strangers() == []


def test_who_is_in_the_gallery_or_nearly_so_makes_no_stranger() -> None:
    scene = Scene(options=REMEMBERING)
    twin = scene.robot.store.enroll("Anna's twin", templates(scene.looks(5))).identity_id
    decisions = scene.robot.show(scene.looks(20), 1)
    assert decisions[-1].status is IdentityStatus.AMBIGUOUS
    scene.robot.store.forget(twin)
    similar = scene.people.like(scene.anna, 0.55)
    assert all(one.status is not IdentityStatus.KNOWN for one in scene.robot.show(scene.looks(12, similar), 2))
    assert scene.robot.strangers() == [], "0.55 is too little for the name and too much for somebody new"


def test_two_faces_of_one_frame_are_two_people() -> None:
    scene = Scene(options=REMEMBERING)
    first, second = scene.people.person(), scene.people.person()
    for one, other in zip(scene.looks(6, first), scene.looks(6, second), strict=True):
        scene.robot.see({1: one, 2: other})
    assert len(scene.robot.strangers()) == 2


def test_two_proposals_in_flight_make_one_person_once() -> None:
    scene = Scene(options=REMEMBERING)
    visit = scene.people.person()
    proposals: list[Remember | Observe | Postpone] = []
    for track in (1, 2):
        for look in scene.looks(3, visit):
            proposals += scene.robot.watch({track: look})[1]
    assert [type(one) for one in proposals] == [Remember, Remember]
    (refusal,) = scene.robot.learner.apply(proposals)
    assert refusal == "A stranger is not remembered: by now the gallery has somebody who looks like that."
    assert len(scene.robot.strangers()) == 1


@settings(max_examples=40)
@given(seed=SEEDS, before=st.integers(1, 20), after=st.integers(1, 20))
def test_two_strangers_on_one_track_are_not_one_person(seed: int, before: int, after: int) -> None:
    scene = Scene(seed, REMEMBERING)
    first, second = (scene.looks(count, scene.people.person()) for count in (before, after))
    scene.robot.show(first + second, 1)
    for stranger in scene.robot.strangers():
        kept = [one.embedding for one in scene.robot.store.identity_templates(stranger)]
        of_first = sum(any(np.allclose(one, look, atol=1e-5) for look in first) for one in kept)
        assert of_first in (0, len(kept))


def test_passers_by_are_told_apart_and_known_again() -> None:
    """Thirty people come four times each, in any order; each visit is one of two lights, and a new track."""
    scene = Scene(3, REMEMBERING)
    everybody = [scene.people.person() for _ in range(30)]
    made: dict[int, int] = dict.fromkeys(range(30), 0)
    seen: dict[str, int] = {}
    order = scene.people.generator.permutation(np.repeat(np.arange(30), 4)).tolist()
    for track, who in enumerate(order, start=1):
        before = set(scene.robot.strangers())
        decisions = scene.robot.show(scene.looks(10, scene.people.visit(everybody[who])), track)
        new = set(scene.robot.strangers()) - before
        made[who] += len(new)
        seen |= dict.fromkeys(new, who)
        assert all(seen[one.stranger.identity_id] == who for one in decisions if one.stranger), "never another's id"
        assert all(one.identity is None for one in decisions)
    counts = list(made.values())
    assert max(counts) < 3, "no passer-by becomes three people"
    assert counts.count(1) >= 24
    assert counts.count(0) <= 3


def test_a_stranger_who_returns_is_learned_from_and_is_not_forgotten() -> None:
    scene = Scene(options=REMEMBERING)
    visit = scene.people.person()
    scene.robot.show(scene.looks(20, visit), 1)
    (stranger,) = scene.robot.strangers()
    assert scene.robot.observed(stranger)
    first = scene.robot.store.resolve(stranger).expires
    assert first is not None
    scene.robot.now += 90
    revision = scene.robot.store.revision
    scene.robot.learner.options = LearnerOptions(False, True, 1000.0)
    scene.robot.show(scene.looks(10, visit), 2)
    assert scene.robot.store.resolve(stranger).expires == first, "less than a tenth of the time has passed"
    assert scene.robot.store.revision == revision
    scene.robot.now += 90
    scene.robot.show(scene.looks(10, visit), 3)
    assert scene.robot.store.resolve(stranger).expires == pytest.approx(scene.robot.now + 1000, abs=2)
    assert scene.robot.store.revision == revision + 1, "once"
    scene.robot.now += 1001
    assert [one.identity_id for one in scene.robot.store.expire()] == [stranger]


def test_a_persons_expiry_is_not_put_off() -> None:
    scene = Scene(options=REMEMBERING)
    scene.robot.store.set_consent("Anna", "for today", scene.robot.now + 50)
    until = scene.robot.store.resolve("Anna").expires
    scene.robot.show(scene.looks(10), 1)
    assert scene.robot.store.resolve("Anna").expires == until


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("looks", [2, 12])
def test_who_was_forgotten_does_not_come_back_from_the_same_track(told: bool, looks: int) -> None:
    """Also where another process did it, and where she was not known yet but on the way to it."""
    scene = Scene(options=REMEMBERING)
    scene.robot.show(scene.looks(looks), 1)
    scene.robot.store.forget("Anna")
    if told:
        scene.robot.learner.forget([scene.id])
    scene.robot.tracks[1].looks.clear()
    scene.robot.show(scene.looks(40), 1)
    assert scene.robot.strangers() == []
    scene.robot.show(scene.looks(5), 2)
    assert len(scene.robot.strangers()) == 1, "on another track she is a stranger like any other"


def test_a_forgotten_stranger_does_not_come_back_either() -> None:
    scene = Scene(options=REMEMBERING)
    visit = scene.people.person()
    scene.robot.show(scene.looks(5, visit), 1)
    (stranger,) = scene.robot.store.forget_strangers()
    scene.robot.learner.forget([stranger.identity_id])
    scene.robot.show(scene.looks(40, visit), 1)
    assert scene.robot.strangers() == []


def test_a_strangers_crops_are_kept_where_they_can_be() -> None:
    encoded: list[int] = []

    def encode(crop: object) -> bytes:
        encoded.append(1)
        return b"picture"

    people, robot = People(0), Robot(REMEMBERING, encode_crop=encode)
    robot.show(people.looks(people.person(), 3), 1)
    assert (len(robot.strangers()), len(encoded)) == (1, 3)
    robot.learner.reset()
    plain = Robot(REMEMBERING)
    plain.show(people.looks(people.person(), 3), 1)
    assert len(plain.strangers()) == 1


@pytest.mark.parametrize("at_once", [False, True])
def test_two_processes_on_one_file_do_not_remember_twice(
    tmp_path: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People(0)
    robots = [Robot(REMEMBERING), Robot(REMEMBERING)]
    for robot in robots:
        robot.store = GalleryStore.open(tmp_path / "gallery.db", "net", SIZE)
        robot.matcher = Matcher(robot.store, robot.matcher.calibration, MatcherOptions())
        robot.learner = Learner(robot.store, robot.matcher, REMEMBERING)
    visit = people.person()
    proposals = [robot.watch({1: look})[1] for look in people.looks(visit, 3) for robot in robots]
    first, second = proposals[-2:]
    if at_once:
        remember = robots[1].store.remember

        def overtaken(*arguments: Any) -> Any:
            assert robots[0].learner.apply(first) == ()
            return remember(*arguments)

        monkeypatch.setattr(robots[1].store, "remember", overtaken)
    else:
        assert robots[0].learner.apply(first) == ()
    assert len(robots[1].learner.apply(second)) == 1
    assert len(robots[1].strangers()) == 1
    for robot in robots:
        robot.store.close()


def test_good_is_what_the_other_tests_take_for_granted() -> None:
    assert GOOD.usable_for_enrollment
    assert not MEDIOCRE.usable_for_enrollment
    assert not POOR.usable_for_matching
