"""What is told of the difference between two replays: who, when, how much."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.replay.expectation import compare, read_records, same_faces


def face(name: str = "Anna", similarity: float = 0.81, left: float = 100.0, **values: Any) -> dict[str, Any]:
    status = "unknown" if name == "unknown" else "known"
    box = [left, 50.0, left + 80, 150.0]
    known = {"track_id": 3, "status": status, "name": name if status == "known" else None, "similarity": similarity}
    return {**known, "box": box, "accept_similarity": 0.65, **values}


def frame(milliseconds: int, *faces: dict[str, Any]) -> dict[str, Any]:
    sec, rest = divmod(milliseconds, 1000)
    return {"stamp": {"sec": 1_700_000_000 + sec, "nanosec": rest * 1_000_000}, "frame_id": "", "faces": list(faces)}


def test_the_same_is_as_expected() -> None:
    records = [frame(0), frame(100, face()), frame(200, face(), face("unknown", 0.3, left=300))]
    comparison = compare(records, records, 0.0)
    assert comparison.is_equal
    assert comparison.lines() == ["as expected: 3 frames, 3 faces"]


def test_somebody_else_is_told_with_time_track_and_similarities() -> None:
    expected = [frame(0), frame(12_300, face())]
    got = [frame(0), frame(12_300, face("unknown", 0.62))]
    assert compare(expected, got, 0.01).lines() == [
        "not as expected: 1 difference in 2 frames, 1 faces",
        "     1 x Anna, taken for unknown, at 12.300 s, similarity off by up to 0.1900",
        "  at 12.300 s track 3: expected Anna (similarity 0.81), got unknown (similarity 0.62, accept line 0.65)",
    ]


def test_remembered_strangers_are_told_apart() -> None:
    one, other = (
        face("unknown", remembered=True, candidates=[{"name": name}]) for name in ("stranger 1", "stranger 2")
    )
    assert compare([frame(0, one)], [frame(0, one)], 0.0).is_equal
    (difference,) = compare([frame(0, one)], [frame(0, other)], 0.0).differences
    assert difference.who == "unknown (stranger 1), taken for unknown (stranger 2)"


def test_similarities_may_differ_by_the_tolerance_and_not_more() -> None:
    expected, got = [frame(0, face(similarity=0.81))], [frame(0, face(similarity=0.80))]
    assert compare(expected, got, 0.01).is_equal
    (difference,) = compare(expected, got, 0.009).differences
    assert difference.sentence.endswith("0.0100 apart, 0.009 allowed")


def test_faces_are_paired_by_their_place_not_by_their_track() -> None:
    expected = [frame(0, face("Anna", track_id=1), face("Bert", left=300, track_id=2))]
    got = [frame(0, face("Bert", left=305, track_id=7), face("Anna", left=98, track_id=9))]
    assert compare(expected, got, 0.01).is_equal


def test_missing_and_additional_faces_and_frames_are_told() -> None:
    expected = [frame(0, face()), frame(100, face()), frame(200)]
    got = [frame(0), frame(200, face("Bert")), frame(300)]
    sentences = [one.sentence for one in compare(expected, got, 0.01).differences]
    assert sentences == [
        "at 0.000 s track 3: expected Anna (similarity 0.81), found no face",
        "at 0.100 s: the frame is missing",
        "at 0.200 s track 3: expected nobody there, got Bert (similarity 0.81)",
        "at 0.300 s: there should be no frame",
    ]


def test_frames_of_the_same_stamp_are_compared_one_by_one() -> None:
    expected = [frame(0, face("Anna")), frame(0, face("Bert"))]
    assert compare(expected, expected, 0.0).is_equal
    assert len(compare(expected, expected[:1], 0.0).differences) == 1


def test_the_first_twenty_are_told_after_a_summary() -> None:
    expected = [frame(100 * number, face()) for number in range(50)]
    got = [frame(100 * number, face("unknown", 0.5)) for number in range(50)]
    lines = compare(expected, got, 0.01).lines()
    assert lines[1] == "    50 x Anna, taken for unknown, at 0.000 s to 4.900 s, similarity off by up to 0.3100"
    assert len(lines) == 2 + 20 + 1
    assert lines[-1] == "  ... and 30 more"


boxes = st.lists(
    st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(1, 200), st.floats(1, 200)).map(
        lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
    ),
    max_size=6,
    unique=True,
)


@given(boxes)
def test_every_box_is_the_same_as_itself(drawn: list[tuple[float, ...]]) -> None:
    pairs = same_faces(drawn, drawn)
    assert sorted(pairs) == sorted(pairs.values()) == list(range(len(drawn)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}", r"line 1: not what a replay writes"),
        (json.dumps(frame(0)) + "\nnonsense\n", "line 2: not what"),
        (json.dumps(frame(0, {"status": "known"})), "line 1: not what"),
        (json.dumps(frame(0, face(similarity=float("nan")))), "line 1: not what"),
        (json.dumps(frame(0, face(similarity="much"))), "line 1: not what"),
        (json.dumps(frame(0, face(box=[1, 2, 3]))), "line 1: not what"),
        (json.dumps(frame(0, face("unknown", accept_similarity="high"))), "line 1: not what"),
        (json.dumps(frame(0, face(remembered=True, candidates=[]))), "line 1: not what"),
    ],
)
def test_a_file_that_is_no_expectation_is_named_with_its_line(content: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "expected.jsonl"
    path.write_text(content)
    with pytest.raises(FaceRecognitionError, match=sentence):
        read_records(path)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaceRecognitionError, match="there is no file"):
        read_records(tmp_path / "none")
    (tmp_path / "picture").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(FaceRecognitionError, match="is no text"):
        read_records(tmp_path / "picture")
