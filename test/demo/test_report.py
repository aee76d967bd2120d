"""The demo's verdict: every way of being right or wrong is counted as what it is."""

import numpy as np
import pytest

from face_recognition_ros.demo.answers import Answer
from face_recognition_ros.demo.cast import Portrait
from face_recognition_ros.demo.report import Shot, Summary, confidences, summarize, true_face, who
from face_recognition_ros.demo.scenes import TrueFace, truth_record
from face_recognition_ros.types import Candidate, Decision, Detection, IdentityStatus, Quality, RecognizedFace

BOXES = {"Ann": (10.0, 10.0, 60.0, 70.0), "Bo": (200.0, 10.0, 250.0, 70.0), "stranger": (400.0, 10.0, 450.0, 70.0)}
CAST = [Portrait(name, f"{name}.png", box, name != "stranger") for name, box in BOXES.items()]
ELSEWHERE = (500.0, 300.0, 550.0, 370.0)


def true(name: str, visible: float = 1.0) -> TrueFace:
    return TrueFace(name, name != "stranger", BOXES[name], visible)


def seen(
    box: tuple[float, ...], name: str = "", status: IdentityStatus = IdentityStatus.KNOWN, confidence: float = 0.9
) -> RecognizedFace:
    detection = Detection(np.array(box, np.float32) + 2, np.zeros((5, 2), np.float32), 1.0)
    candidates = (Candidate(f"p-{name}", name, 0.8, confidence),) if name else ()
    return RecognizedFace(1, detection, Quality(1, True, True), Decision(status, candidates), None)


def unknown(box: tuple[float, ...]) -> RecognizedFace:
    return seen(box, status=IdentityStatus.UNKNOWN)


def judged(truth: list[TrueFace], faces: list[RecognizedFace]) -> Summary:
    """After a first frame in which all was well."""
    everybody = [true("Ann"), true("Bo"), true("stranger")]
    well = [seen(BOXES["Ann"], "Ann"), seen(BOXES["Bo"], "Bo"), unknown(BOXES["stranger"])]
    shots = [Shot(0, 1_000_000_000, tuple(everybody)), Shot(1, 2_000_000_000, tuple(truth))]
    answers = [Answer(1_000_000_000, 1_010_000_000, tuple(well)), Answer(2_000_000_000, 2_030_000_000, tuple(faces))]
    return summarize(CAST, shots, answers)


def test_all_well() -> None:
    summary = judged([true("Ann")], [seen(BOXES["Ann"], "Ann")])
    assert summary.complaints() == []
    assert (summary.looks, summary.named_right, summary.named_wrong) == (3, {"Ann": 2, "Bo": 1}, 0)
    assert (summary.stranger_looks, summary.stranger_unknown, summary.stranger_named) == (1, 1, 0)
    assert (summary.frames_in, summary.frames_answered, summary.longest_silence_s) == (2, 2, 0.0)
    assert (summary.people, summary.strangers, summary.never_shown) == (("Ann", "Bo"), ("stranger",), ())
    assert summary.latency_p50_ms == pytest.approx(20)
    assert summary.latency_p95_ms == pytest.approx(29)
    assert summary.record()["succeeded"]


def test_a_wrong_name_fails() -> None:
    summary = judged([true("Ann")], [seen(BOXES["Ann"], "Bo")])
    assert summary.named_wrong == 1
    assert summary.complaints() == [
        "somebody was called by a wrong name 1 times",
        "  1.0 s: Ann at (12, 12) to (62, 72) was called Bo",
    ]


def test_a_name_for_what_is_no_face_fails() -> None:
    summary = judged([true("Ann")], [seen(ELSEWHERE, "Ann")])
    assert summary.complaints() == [
        "somebody was called by a wrong name 1 times",
        "  1.0 s: what is nobody at (502, 302) to (552, 372) was called Ann",
    ]


def test_a_wrong_name_counts_even_when_the_face_is_half_out_of_view() -> None:
    assert judged([true("Ann", 0.5)], [seen(BOXES["Ann"], "Bo")]).named_wrong == 1


def test_a_named_stranger_fails() -> None:
    summary = judged([true("stranger")], [seen(BOXES["stranger"], "Ann")])
    assert summary.stranger_named == 1
    assert summary.complaints() == [
        "a stranger was given a name 1 times",
        "  1.0 s: stranger at (402, 12) to (452, 72) was called Ann",
    ]


def test_silence_is_not_wrong_but_does_not_count_as_right() -> None:
    summary = judged([true("Ann")], [seen(BOXES["Ann"], "Ann", IdentityStatus.TENTATIVE)])
    assert (summary.named_right["Ann"], summary.named_wrong, summary.looks) == (1, 0, 3)


def test_somebody_who_is_never_named_fails() -> None:
    shots = [Shot(0, 1, (true("Ann"), true("stranger")))]
    summary = summarize([CAST[0], CAST[2]], shots, [Answer(1, 2, (unknown(BOXES["Ann"]),))])
    assert summary.complaints() == ["Ann was never named", "the stranger was never called unknown"]


def test_a_stranger_whom_no_answer_came_to_fails() -> None:
    """As when the node ends between the enrolled and the stranger."""
    shots = [Shot(0, 1, (true("Ann"),)), Shot(1, 2, (true("stranger"),))]
    summary = summarize([CAST[0], CAST[2]], shots, [Answer(1, 2, (seen(BOXES["Ann"], "Ann"),))])
    assert summary.stranger_looks == 0
    assert summary.complaints() == ["the stranger was never called unknown"]


def test_somebody_of_the_cast_who_is_never_fully_shown_fails() -> None:
    summary = summarize(CAST[:2], [Shot(0, 1, (true("Ann"), true("Bo", 0.5)))], [Answer(1, 2, ())])
    assert summary.complaints() == ["Bo was never fully in view", "Ann was never named", "Bo was never named"]


@pytest.mark.parametrize(
    ("answered", "silence"),
    [
        (range(0), 4.9),
        (range(25), 2.4),
        (range(25, 50), 2.4),
        ([*range(10), *range(40, 50)], 2.9),
        (range(0, 50, 5), 0.3),
        (range(49), 0.0),
    ],
    ids=["never", "first half", "second half", "not in the middle", "one of five", "all but the last"],
)
def test_frames_in_a_row_without_an_answer_fail_and_single_ones_do_not(answered: list[int], silence: float) -> None:
    shots = [Shot(i, i * 100_000_000, (true("Ann"),)) for i in range(50)]
    answers = [Answer(shots[i].stamp_ns, shots[i].stamp_ns + 1, (seen(BOXES["Ann"], "Ann"),)) for i in answered]
    summary = summarize(CAST[:1], shots, answers)
    assert (summary.frames_in, summary.frames_answered) == (50, len(answered))
    assert summary.longest_silence_s == pytest.approx(silence)
    assert any("no frame was answered for" in complaint for complaint in summary.complaints()) == (silence > 2)


def test_no_answer_at_all_fails() -> None:
    summary = summarize(CAST[:1], [Shot(0, 1, (true("Ann"),))], [])
    assert (summary.frames_in, summary.frames_answered) == (1, 0)
    assert summary.complaints() == ["Ann was never named"]
    assert summarize(CAST[:1], [], []).complaints() == ["Ann was never fully in view", "Ann was never named"]


def test_the_summary_reads_well() -> None:
    lines = judged([true("Ann")], [seen(BOXES["Ann"], "Ann")]).lines()
    assert "identities right     3 of 3 looks (Ann 2, Bo 1)" in lines
    assert "frames answered      2 (100%)" in lines


def test_a_detection_belongs_to_the_face_that_it_overlaps_most() -> None:
    faces = [true("Ann"), true("Bo")]
    assert true_face(np.array(BOXES["Bo"], np.float32) + 5, faces) == faces[1]
    assert true_face(np.array(ELSEWHERE, np.float32), faces) is None
    assert true_face(np.array(ELSEWHERE, np.float32), []) is None


def test_a_shot_is_read_from_the_cameras_record() -> None:
    faces = [true("Ann"), true("stranger", 0.4)]
    assert Shot.of(truth_record(7, 123, faces)) == Shot(7, 123, tuple(faces))


def test_who_is_seen_in_words() -> None:
    ann, bo = seen(BOXES["Ann"], "Ann", confidence=0.5), seen(BOXES["Bo"], "Bo", confidence=0.999)
    tentative = seen(BOXES["Ann"], "Ann", IdentityStatus.TENTATIVE)
    assert who([bo, unknown(BOXES["stranger"]), ann]) == "Ann, Bo, a stranger"
    assert who([]) == who([tentative]) == "nobody"
    assert who([seen(BOXES["Ann"], "Ann", IdentityStatus.AMBIGUOUS)]) == "Ann?"
    assert confidences([bo, unknown(BOXES["stranger"]), ann]) == "50%, >99%"
