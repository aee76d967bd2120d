"""What the command line prints says neither more nor less than was recognised."""

import json
from dataclasses import replace

import numpy as np
import pytest

from face_recognition_ros.records import face_line, face_record, identity_record, identity_table, json_text
from face_recognition_ros.types import (
    Candidate,
    Decision,
    Detection,
    Identity,
    IdentityStatus,
    Quality,
    QualityMeasure,
    RecognizedFace,
)

CANDIDATES = (Candidate("p-1", "Ann", 0.71239, 0.98765), Candidate("p-2", "Bo", 0.2, 0.01))
POINTS = np.array([[20, 30], [40, 30], [30, 40], [22, 50], [38, 50]], np.float32)


def face(status: IdentityStatus, candidates: tuple[Candidate, ...] = CANDIDATES) -> RecognizedFace:
    detection = Detection(np.array([10.04, 20, 50, 70], np.float32), POINTS, 0.999)
    quality = Quality(0.5, True, False, (QualityMeasure("size", 30.0, 0.5, "the face is 30 px wide"),))
    return RecognizedFace(-1, detection, quality, Decision(status, candidates), None)


def test_a_known_face_has_a_name() -> None:
    record = json.loads(json_text(face_record(face(IdentityStatus.KNOWN))))
    assert (record["status"], record["name"], record["identity_id"]) == ("known", "Ann", "p-1")
    assert (record["similarity"], record["confidence"], record["margin"]) == (0.7124, 0.9877, 0.5124)
    assert record["box"] == [10.0, 20.0, 50.0, 70.0]
    assert record["landmarks"]["nose"] == [30.0, 40.0]
    assert record["quality_complaints"] == ["the face is 30 px wide"]
    assert [candidate["name"] for candidate in record["candidates"]] == ["Ann", "Bo"]
    assert record["remembered"] is False


@pytest.mark.parametrize("status", [s for s in IdentityStatus if s is not IdentityStatus.KNOWN])
def test_no_other_face_has_a_name(status: IdentityStatus) -> None:
    record = face_record(face(status))
    assert (record["status"], record["name"], record["identity_id"]) == (status.name.lower(), None, None)


def test_a_remembered_stranger_has_an_id_and_no_name() -> None:
    stranger = Candidate("p-3", "stranger 4", 0.6, 0.9, remembered=True)
    decision = Decision(IdentityStatus.UNKNOWN, (stranger, *CANDIDATES), stranger=stranger)
    seen = replace(face(IdentityStatus.UNKNOWN), decision=decision)
    record = face_record(seen)
    assert (record["status"], record["identity_id"], record["name"]) == ("unknown", "p-3", None)
    assert record["remembered"] is True
    assert [candidate["remembered"] for candidate in record["candidates"]] == [True, False, False]
    assert face_line(seen).startswith("unknown, seen before as stranger 4, at (10, 20)")


def test_without_candidates_all_numbers_are_0() -> None:
    record = face_record(face(IdentityStatus.UNKNOWN, ()))
    assert (record["similarity"], record["confidence"], record["margin"], record["candidates"]) == (0.0, 0.0, 0.0, [])


def test_an_ambiguous_face_may_have_one_candidate_only() -> None:
    assert face_line(face(IdentityStatus.AMBIGUOUS, CANDIDATES[:1])).startswith("ambiguous: Ann, at")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (IdentityStatus.KNOWN, "Ann (confidence 99%), at (10, 20) to (50, 70)"),
        (IdentityStatus.UNKNOWN, "unknown (nearest: Ann, similarity 0.71), at"),
        (IdentityStatus.AMBIGUOUS, "ambiguous: Ann or Bo, at"),
        (IdentityStatus.TENTATIVE, "not judged: the face is 30 px wide, at"),
    ],
)
def test_a_line_says_who_and_where(status: IdentityStatus, words: str) -> None:
    assert face_line(face(status)).startswith(words)


def test_people_are_listed_with_times_in_utc() -> None:
    person = Identity("p-1", "Ann", 3, 0.0, 3600.0, observed=1)
    assert identity_record(person) == {
        "identity_id": "p-1",
        "name": "Ann",
        "remembered": False,
        "templates": 3,
        "observed": 1,
        "consent": "",
        "expires": None,
        "created": "1970-01-01T00:00:00+00:00",
        "updated": "1970-01-01T01:00:00+00:00",
    }
    heading, line = identity_table([person])
    assert heading.split() == ["id", "name", "templates", "observed", "updated", "expires", "consent"]
    assert line.split() == ["p-1", "Ann", "3", "1", "1970-01-01T01:00:00+00:00", "never"]


def test_people_are_listed_with_what_they_agreed_to() -> None:
    person = Identity("p-1", "Ann", 3, 0.0, 0.0, consent="until Sunday, aloud", expires=7200.0)
    record = identity_record(person)
    assert (record["consent"], record["expires"]) == ("until Sunday, aloud", "1970-01-01T02:00:00+00:00")
    heading, line = identity_table([person])
    assert line[heading.index("expires") :].split(maxsplit=1) == ["1970-01-01T02:00:00+00:00", "until Sunday, aloud"]
    assert line.index("until Sunday") == heading.index("consent")
