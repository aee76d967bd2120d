"""Tracking: ids stay with people through misses and crossings, and never pass from one person to another."""

from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.track import Track, TrackerOptions
from face_recognition_ros.tracking import FaceTracker
from face_recognition_ros.types import Detection, FloatArray, Quality
from face_recognition_ros.video import ALIKE

GOOD = Quality(0.9, True, True)
POOR = Quality(0.1, False, False)
ANNA, BERT, CORA = np.eye(8, dtype=np.float32)[:3]
FRAME = 1 / 30


def face(x: float, y: float = 200.0, size: float = 80.0) -> Detection:
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
    return Detection(box, np.zeros((5, 2), np.float32), 0.9)


def look(person: FloatArray, seed: int = 0, similarity: float = 0.8) -> FloatArray:
    """A unit vector at about that cosine from the person."""
    noise = np.random.default_rng(seed).normal(size=person.size)
    noise -= noise @ person * person
    noise /= np.linalg.norm(noise)
    return (similarity * person + np.sqrt(1 - similarity**2) * noise).astype(np.float32)


def see(
    tracker: FaceTracker, stamp: float, *faces: tuple[float, FloatArray | None], quality: Quality = GOOD
) -> list[int]:
    """The ids of faces at these places with these embeddings."""
    return [track.id for track in see_tracks(tracker, stamp, *faces, quality=quality)]


def see_tracks(
    tracker: FaceTracker, stamp: float, *faces: tuple[float, FloatArray | None], quality: Quality = GOOD
) -> list[Track]:
    return tracker.update([face(x) for x, _ in faces], [e for _, e in faces], [quality] * len(faces), stamp)


def test_ids_start_at_one_and_answer_in_the_detections_order() -> None:
    tracker = FaceTracker()
    assert see(tracker, 0, (100, ANNA), (400, BERT)) == [1, 2]
    assert see(tracker, FRAME, (402, BERT), (101, ANNA)) == [2, 1]
    assert see(tracker, 2 * FRAME) == []


def test_newcomer_gets_a_new_id_and_takes_no_ones_place() -> None:
    tracker = FaceTracker()
    see(tracker, 0, (100, ANNA))
    assert see(tracker, FRAME, (300, BERT), (102, ANNA)) == [2, 1]


@pytest.mark.parametrize("embedded", [True, False])
def test_crossing_people_keep_their_ids(embedded: bool) -> None:
    """Two people walk through each other; while they overlap only the front one is found."""
    tracker = FaceTracker()
    for i in range(60):
        left, right = 100 + 6 * i, 460 - 6 * i
        people = [(left, look(ANNA, i) if embedded else None), (right, look(BERT, i) if embedded else None)]
        ids = [1, 2]
        if abs(left - right) < 50:
            people, ids = people[:1], ids[:1]
        assert see(tracker, i * FRAME, *people) == ids


def test_people_who_turn_back_at_the_meeting_are_told_apart_by_their_embeddings() -> None:
    """Motion alone would swap them: both stop, vanish behind a door for a moment and go back."""
    tracker = FaceTracker()
    for i in range(20):
        assert see(tracker, i * FRAME, (100 + 5 * i, look(ANNA, i)), (400 - 5 * i, look(BERT, i))) == [1, 2]
    for i in range(20):
        stamp = (23 + i) * FRAME
        assert see(tracker, stamp, (305 + 5 * i, look(BERT, 99 - i)), (195 - 5 * i, look(ANNA, 99 - i))) == [2, 1]


def test_of_two_possible_faces_the_more_similar_continues_the_track() -> None:
    tracker = FaceTracker()
    see(tracker, 0, (200, ANNA))
    sister = look(ANNA, similarity=0.4)
    assert see(tracker, FRAME, (205, sister), (225, look(ANNA, 1, similarity=0.9))) == [2, 1]


def test_survives_misses_up_to_max_age_by_the_stamps() -> None:
    tracker = FaceTracker(TrackerOptions(max_age=1.0))
    assert see(tracker, 10.0, (100, None)) == [1]
    assert see(tracker, 11.0, (105, None)) == [1]
    for i in range(50):
        see(tracker, 11.0 + i / 50)
    assert see(tracker, 12.0, (110, None)) == [1]
    assert see(tracker, 13.01, (110, None)) == [2]


def test_a_moving_face_is_found_again_where_it_went() -> None:
    tracker = FaceTracker()
    for i in range(15):
        see(tracker, i * FRAME, (100 + 12 * i, None))
    assert see(tracker, 24 * FRAME, (100 + 12 * 24, None)) == [1]
    assert see(tracker, 33 * FRAME, (100 + 12 * 24 - 300, None)) == [2]


def test_another_person_at_the_same_place_starts_a_new_track() -> None:
    tracker = FaceTracker()
    for i in range(10):
        assert see(tracker, i * FRAME, (200, look(ANNA, i))) == [1]
    assert see(tracker, 10 * FRAME, (200, look(BERT, 10))) == [2]
    assert see(tracker, 11 * FRAME, (200, look(BERT, 11))) == [2]
    anna, bert = tracker.tracks
    assert anna.evidence()[0].shape == (10, 8)
    assert (bert.evidence()[0] @ BERT > 0.7).all()


def test_two_people_who_swap_places_keep_their_ids_or_get_new_ones() -> None:
    tracker = FaceTracker()
    for i in range(10):
        see(tracker, i * FRAME, (200, look(ANNA, i)), (300, look(BERT, i)))
    near = see_tracks(tracker, 10 * FRAME, (200, look(BERT, 50)), (300, look(ANNA, 50)))
    assert near[0].id != 1
    assert near[1].id != 2
    for track in tracker.tracks:
        embeddings, _ = track.evidence()
        assert (embeddings @ embeddings.T > 0.2).all(), "two people on one track"


def test_a_poor_look_goes_on_with_the_track_without_becoming_evidence() -> None:
    tracker = FaceTracker()
    see(tracker, 0, (200, look(ANNA)))
    (track,) = see_tracks(tracker, FRAME, (201, look(ANNA, 1, similarity=0.5)), quality=POOR)
    assert track.id == 1
    assert track.evidence()[0].shape == (1, 8)


def test_not_even_a_poor_look_wears_the_name_of_the_person_beside() -> None:
    tracker = FaceTracker()
    see(tracker, 0, (200, look(ANNA)))
    (track,) = see_tracks(tracker, FRAME, (201, look(BERT, 1)), quality=POOR)
    assert track.id == 2
    assert track.evidence()[0].shape == (0, 0)
    assert see(tracker, 2 * FRAME, (202, look(ANNA, 2))) == [1], "and nobody's track is broken by it"


def test_one_contradicting_good_look_does_not_end_the_track() -> None:
    tracker = FaceTracker()
    see(tracker, 0, (200, look(ANNA)))
    assert see(tracker, FRAME, (200, look(BERT, 1))) == [2]
    assert see(tracker, 2 * FRAME, (200, look(ANNA, 3))) == [1]


@pytest.mark.parametrize(("similarity", "expected"), [(0.45, [1]), (0.35, [2])])
def test_contradiction_similarity_is_the_line(similarity: float, expected: list[int]) -> None:
    tracker = FaceTracker(TrackerOptions(contradiction_similarity=0.4))
    see(tracker, 0, (200, ANNA))
    assert see(tracker, FRAME, (200, look(ANNA, similarity=similarity))) == expected


@pytest.mark.parametrize(
    ("similarity", "from_afar", "expected"),
    [(0.4, 1.0, [1]), (0.4, ALIKE + 0.01, [1]), (0.4, ALIKE - 0.01, [2]), (0.6, ALIKE - 0.01, [1]), (0.4, None, [1])],
)
def test_who_looks_another_from_afar_needs_the_usual_similarity(
    similarity: float, from_afar: float | None, expected: list[int]
) -> None:
    tracker = FaceTracker(TrackerOptions(usual_similarity=0.5, contradiction_similarity=0.2))
    tracker.update([face(100)], [ANNA], [GOOD], 0.0, [BERT])
    then = [] if from_afar is None else [look(BERT, 1, from_afar)]
    tracks = tracker.update([face(101)], [look(ANNA, 1, similarity)], [GOOD], FRAME, then)
    assert [track.id for track in tracks] == expected


def test_without_an_embedding_no_one_takes_over_a_track_far_away() -> None:
    tracker = FaceTracker()
    see(tracker, 0, (200, ANNA))
    assert see(tracker, 0.5, (400, None)) == [2]
    assert see(tracker, 0.5 + FRAME, (400, ANNA)) == [2]
    tracker.reset()
    see(tracker, 0, (200, ANNA))
    assert see(tracker, 0.5, (400, look(ANNA))) == [3]


def test_a_face_of_another_size_is_another_face() -> None:
    tracker = FaceTracker()
    tracker.update([face(200, size=40)], [None], [GOOD], 0)
    near = tracker.update([face(200, size=100)], [None], [GOOD], FRAME)
    assert near[0].id == 2


def test_clock_that_jumps_back_resets_and_a_late_frame_does_not() -> None:
    tracker = FaceTracker(TrackerOptions(max_age=1.0))
    see(tracker, 100.0, (200, ANNA))
    assert see(tracker, 99.9, (200, ANNA)) == [1]
    assert see(tracker, 5.0, (200, ANNA)) == [2]
    assert see(tracker, 5.1, (200, ANNA)) == [2]
    assert see(tracker, 5000.0, (200, ANNA)) == [3]


def test_trackers_that_share_their_ids_give_none_twice_not_even_after_they_were_given_up() -> None:
    ids = count(1)
    front, back = FaceTracker(ids=ids), FaceTracker(ids=ids)
    assert see(front, 0, (100, ANNA), (400, BERT)) == [1, 2]
    assert see(back, 0, (100, ANNA)) == [3]
    assert see(front, FRAME, (102, ANNA), (700, CORA)) == [1, 4]
    after = front.successor()
    assert see(after, 2 * FRAME, (102, ANNA)) == [5]
    assert see(back, 2 * FRAME, (102, ANNA), (400, BERT)) == [3, 6]


def test_reset_ends_tracks_but_repeats_no_id() -> None:
    tracker = FaceTracker()
    see(tracker, 0, (200, ANNA))
    tracker.reset()
    assert tracker.tracks == ()
    assert see(tracker, 0, (200, ANNA)) == [2]


def test_evidence_keeps_the_latest_good_looks_and_their_weights() -> None:
    tracker = FaceTracker(TrackerOptions(max_looks=3))
    (track,) = see_tracks(tracker, 0, (200, None))
    assert [part.shape for part in track.evidence()] == [(0, 0), (0,)]
    for i, score in enumerate([0.5, 0.9, 0.4, 0.7, 0.5, 0.3]):
        tracker.update([face(200)], [look(ANNA, i)], [Quality(score, True, False)], (i + 1) * FRAME)
    embeddings, weights = track.evidence()
    assert embeddings.dtype == weights.dtype == np.float32
    np.testing.assert_allclose(weights, [0.7, 0.5, 0.3], rtol=1e-6)
    np.testing.assert_array_equal(embeddings, [look(ANNA, 3), look(ANNA, 4), look(ANNA, 5)])
    mean = (0.7 * embeddings[0] + 0.5 * embeddings[1] + 0.3 * embeddings[2]) / 1.5
    assert track.mean_embedding is not None
    np.testing.assert_allclose(track.mean_embedding, mean, rtol=1e-5)


def test_a_lookalike_who_slips_in_does_not_live_on_the_evidence_of_the_one_before() -> None:
    tracker = FaceTracker()
    for i in range(40):
        see(tracker, i * FRAME, (200, look(ANNA, i, similarity=0.95)))
    stranger = look(ANNA, 99, similarity=0.5)
    fair = Quality(0.5, True, False)
    for i in range(20):
        (track,) = see_tracks(tracker, (40 + i) * FRAME, (200, stranger), quality=fair)
    embeddings, weights = track.evidence()
    assert weights @ embeddings @ ANNA / weights.sum() == pytest.approx(0.5, abs=1e-5)


def test_evidence_outlives_the_callers_arrays() -> None:
    tracker = FaceTracker()
    embedding = ANNA.copy()
    (track,) = see_tracks(tracker, 0, (200, embedding))
    embedding[:] = 0
    np.testing.assert_array_equal(track.evidence()[0], [ANNA])


def test_velocity_follows_a_steady_motion() -> None:
    tracker = FaceTracker()
    for i in range(40):
        (track,) = see_tracks(tracker, i * FRAME, (100 + 4 * i, None))
    np.testing.assert_allclose(track.velocity, (4 / FRAME, 0), rtol=0.01, atol=0.01)
    np.testing.assert_allclose(track.predict(40 * FRAME), face(260).box, atol=0.5)


frames = st.lists(
    st.lists(st.tuples(st.floats(0, 640), st.sampled_from([ANNA, BERT, CORA, None])), max_size=5), max_size=25
)


@settings(max_examples=60)
@given(frames, st.floats(0.01, 0.7))
def test_invariants_hold_for_any_sequence(sequence: list[list[tuple[float, FloatArray | None]]], step: float) -> None:
    tracker, twin = FaceTracker(), FaceTracker()
    born: list[int] = []
    for i, people in enumerate(sequence):
        ids = see(tracker, i * step, *people)
        assert ids == see(twin, i * step, *people), "the same calls give the same ids"
        assert len(ids) == len(set(ids)) == len(people)
        new = sorted(set(ids) - set(born))
        assert new == list(range(len(born) + 1, len(born) + 1 + len(new))), "ids count up, none is used twice"
        born += new
        for track in tracker.tracks:
            embeddings, weights = track.evidence()
            assert len(embeddings) == len(weights) <= 20
            assert len(np.unique(embeddings, axis=0)) <= 1, "two people on one track"


@pytest.mark.parametrize(
    ("arguments", "stamp"), [(([face(0)], [], [GOOD]), 0.0), (([face(0)], [None], []), 0.0), (([], [], []), np.nan)]
)
def test_calls_that_do_not_fit_are_refused(arguments: tuple[list, list, list], stamp: float) -> None:
    with pytest.raises(ValueError, match="each face needs one of each"):
        FaceTracker().update(*arguments, stamp)
    with pytest.raises(ValueError, match="1 patterns"):
        FaceTracker().update([], [], [], 0.0, [ANNA])


@pytest.mark.parametrize("wrong", [{"max_age": 0.0}, {"contradiction_similarity": 1.5}, {"max_looks": 0}])
def test_options_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        TrackerOptions(**wrong)


def test_where_to_look_for_the_faces_of_the_latest_frame() -> None:
    tracker = FaceTracker()
    assert tracker.in_view(0.0).shape == (0, 4)
    for number in range(6):
        see(tracker, number * FRAME, (100 + 4 * number, ANNA), (400, BERT))
    moving, resting = tracker.in_view(6 * FRAME)
    np.testing.assert_allclose(resting, face(400).box)
    assert face(120).box[0] < moving[0] <= face(124).box[0] + 1, "moved on with its velocity"
    see(tracker, 6 * FRAME, (124, ANNA))
    assert len(tracker.in_view(7 * FRAME)) == 1, "who was out of sight is to be searched for"


@pytest.mark.parametrize(
    ("places", "foreseen"),
    [
        ((100, 400), [1, 2]),
        ((404, 96), [2, 1]),
        ((160,), [None]),
        ((100, 160), [None, None]),
        ((250,), [None]),
        ((), []),
    ],
    ids=["as before", "other order", "too far", "a newcomer beside", "nobody there", "nobody at all"],
)
def test_a_track_is_foreseen_where_no_other_is_in_question(places: tuple[int, ...], foreseen: list[int | None]) -> None:
    tracker = FaceTracker()
    see(tracker, 0, (100, ANNA), (400, BERT))
    found = tracker.foresee([face(x) for x in places], FRAME)
    assert [track and track.id for track in found] == foreseen


def test_who_was_out_of_sight_is_not_foreseen_nor_who_stands_where_they_were() -> None:
    tracker = FaceTracker()
    see(tracker, 0, (100, ANNA), (150, BERT))
    see(tracker, FRAME, (100, ANNA))
    assert tracker.foresee([face(150)], 2 * FRAME) == [None], "two tracks are near"
    assert tracker.foresee([face(100)], 2 * FRAME) == [None], "Bert may have stepped there"


def settled_after(looks: list[FloatArray], qualities: list[Quality]) -> int | None:
    """Number of looks after which a track needs none for a while; None if it still does after the last."""
    tracker = FaceTracker(TrackerOptions(usual_similarity=0.5))
    for number, (one, quality) in enumerate(zip(looks, qualities, strict=True)):
        (track,) = see_tracks(tracker, number * FRAME, (100, one), quality=quality)
        if track.is_settled((number + 1) * FRAME, 0.2):
            return number + 1
    return None


def test_a_track_settles_after_five_good_looks() -> None:
    same = [look(ANNA, seed, 0.9) for seed in range(9)]
    assert settled_after(same, [GOOD] * 9) == 5
    assert settled_after(same, [POOR] * 9) is None, "nothing is known of who that is"
    assert settled_after(same, [POOR, GOOD] * 4 + [GOOD]) == 9


def test_a_settled_track_is_looked_at_again_after_the_interval_and_thrice_after_an_odd_look() -> None:
    tracker = FaceTracker(TrackerOptions(usual_similarity=0.5, contradiction_similarity=0.2))
    for number in range(5):
        (track,) = see_tracks(tracker, number * FRAME, (100, look(ANNA, number, 0.95)))
    last = 4 * FRAME
    assert track.is_settled(last + 0.19, 0.2)
    assert not track.is_settled(last + 0.2, 0.2)
    assert not track.is_settled(last, 0.0)
    assert not track.is_settled(last - 0.1, 0.2), "the clock was set back"
    odd = look(ANNA, 9, 0.4)
    (same,) = see_tracks(tracker, 5 * FRAME, (100, odd))
    assert same is track
    settled = []
    for number in range(6, 10):
        see(tracker, number * FRAME, (100, look(ANNA, number, 0.95)))
        settled.append(track.is_settled(number * FRAME, 0.2))
    assert settled == [False, False, True, True], "after three looks that are as ever"


def test_a_face_that_was_not_looked_at_keeps_the_looks_and_the_quality_of_before() -> None:
    tracker = FaceTracker()
    (track,) = see_tracks(tracker, 0, (100, ANNA))
    see(tracker, FRAME, (100, None), quality=POOR)
    assert track.quality is GOOD
    assert track.looked_at == 0
    assert track.last_seen == FRAME
    tracker.update([face(100)], [look(ANNA, 1)], [POOR], 2 * FRAME)
    assert track.quality is POOR
    assert len(track.evidence()[1]) == 1


def test_a_track_whose_looks_were_forgotten_is_looked_at_anew() -> None:
    tracker = FaceTracker()
    for number in range(5):
        (track,) = see_tracks(tracker, number * FRAME, (100, ANNA))
    track.give("p-1")
    assert track.is_settled(5 * FRAME, 0.2)
    tracker.forget({"p-1"})
    assert not track.is_settled(5 * FRAME, 0.2)
