"""Recognised faces and galleries as messages."""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from face_recognition_msgs.msg import FaceIdentity
from std_msgs.msg import Header

from face_recognition_ros.node.messages import (
    bgr_message,
    detections_message,
    face_message,
    gallery_message,
    identities_message,
    identity_message,
    seconds,
    time_message,
)
from face_recognition_ros.recognizer import FrameResult
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

ANNA = Candidate("p-1", "Anna", 0.75, 0.9)
BERT = Candidate("p-2", "Bert", 0.25, 0.125)
LANDMARKS = np.arange(10, dtype=np.float32).reshape(5, 2)


def face(
    status: IdentityStatus, candidates: tuple[Candidate, ...] = (), box: object = (10, 20, 40, 60)
) -> RecognizedFace:
    detection = Detection(np.array(box, np.float32), LANDMARKS, 0.5)
    quality = Quality(0.25, True, False, (QualityMeasure("size", 30.0, 0.25, "The face is small."),))
    return RecognizedFace(7, detection, quality, Decision(status, candidates, 0.5), None)


def test_a_known_face_has_a_name_and_all_values() -> None:
    message = face_message(face(IdentityStatus.KNOWN, (ANNA, BERT)), np.array([0.5, -0.25, 2.0], np.float32))
    assert (message.track_id, message.status) == (7, FaceIdentity.KNOWN)
    assert (message.identity_id, message.name) == ("p-1", "Anna")
    assert (message.similarity, message.margin, message.confidence) == (0.75, 0.5, 0.9)
    assert [(c.name, c.identity_id, c.similarity, c.confidence) for c in message.candidates] == [
        ("Anna", "p-1", 0.75, 0.9), ("Bert", "p-2", 0.25, 0.125),
    ]  # fmt: skip
    assert (message.box.x, message.box.y, message.box.width, message.box.height) == (10, 20, 30, 40)
    points = message.landmarks
    named = (points.left_eye, points.right_eye, points.nose, points.left_mouth, points.right_mouth)
    assert [(point.x, point.y) for point in named] == [tuple(pair) for pair in LANDMARKS.tolist()]
    assert (message.detection_score, message.quality) == (0.5, 0.25)
    assert list(message.quality_complaints) == ["The face is small."]
    assert message.has_position
    assert (message.position.x, message.position.y, message.position.z) == (0.5, -0.25, 2.0)


def test_only_a_known_face_has_a_name() -> None:
    for status in set(IdentityStatus) - {IdentityStatus.KNOWN}:
        message = face_message(face(status, (ANNA, BERT)))
        assert message.status == status
        assert (message.identity_id, message.name, message.has_position) == ("", "", False)
        assert message.candidates[0].name == "Anna"


def test_a_remembered_stranger_is_unknown_with_an_id() -> None:
    stranger = Candidate("p-3", "stranger 4", 0.75, 0.9, remembered=True)
    seen = face(IdentityStatus.UNKNOWN)
    decision = Decision(IdentityStatus.UNKNOWN, (stranger, BERT), 0.5, stranger)
    message = face_message(replace(seen, decision=decision))
    assert (message.status, message.identity_id, message.name) == (FaceIdentity.UNKNOWN, "p-3", "")
    assert message.remembered
    assert [(c.name, c.remembered) for c in message.candidates] == [("stranger 4", True), ("Bert", False)]
    assert not face_message(face(IdentityStatus.KNOWN, (ANNA,))).remembered


def test_no_candidate_means_zeros() -> None:
    message = face_message(face(IdentityStatus.UNKNOWN))
    assert (message.similarity, message.margin, message.confidence) == (0.0, 0.0, 0.0)


def test_no_message_carries_a_nan() -> None:
    nan = float("nan")
    candidate = Candidate("p-1", "Anna", nan, nan)
    message = face_message(face(IdentityStatus.AMBIGUOUS, (candidate,), (nan, 1, 2, np.inf)), np.array([nan, 1, 2]))
    assert "nan" not in str(message)
    assert "inf" not in str(message)
    assert not message.has_position


def test_header_and_revision_travel() -> None:
    header = Header(stamp=Time(sec=3, nanosec=5), frame_id="camera")
    message = identities_message(header, FrameResult((face(IdentityStatus.UNKNOWN),), 12))
    assert (message.header, message.gallery_revision, len(message.faces)) == (header, 12, 1)
    assert identities_message(header, FrameResult((), 12)).faces == []


def test_the_gallery_lists_everybody() -> None:
    people = [Identity("p-1", "Anna", 3, 1.5, 2.25), Identity("p-2", "Bert", 4, 0.0, 0.0)]
    message = gallery_message(Time(sec=9), 5, "net", people)
    assert (message.revision, message.model_id, message.templates) == (5, "net", 7)
    assert [(i.identity_id, i.name, i.templates) for i in message.identities] == [
        ("p-1", "Anna", 3),
        ("p-2", "Bert", 4),
    ]
    assert message.identities[0].created == Time(sec=1, nanosec=500_000_000)


def test_an_identity_says_how_and_for_how_long_it_is_kept() -> None:
    stranger = Identity("p-1", "stranger 1", 3, 0.0, 0.0, observed=2, remembered=True, consent="aloud", expires=9.5)
    message = identity_message(stranger)
    assert (message.remembered, message.observed, message.consent) == (True, 2, "aloud")
    assert message.expires == Time(sec=9, nanosec=500_000_000)
    assert identity_message(Identity("p-2", "Bert", 1, 0.0, 0.0)).expires == Time()
    assert identity_message(replace(stranger, expires=1e11)).expires == Time(sec=2**31 - 1), "as late as can be said"


def test_times_go_both_ways() -> None:
    assert time_message(1700000000.25) == Time(sec=1700000000, nanosec=250_000_000)
    assert time_message(0.9999999999) == Time(sec=1)
    assert seconds(Time(sec=2, nanosec=500_000_000)) == 2.5


def test_a_picture_becomes_a_bgr8_image() -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    message = bgr_message(Header(frame_id="camera"), picture[:, ::-1])  # not contiguous
    assert (message.height, message.width, message.step, message.encoding) == (2, 4, 12, "bgr8")
    np.testing.assert_array_equal(np.frombuffer(message.data, np.uint8).reshape(2, 4, 3), picture[:, ::-1])


def test_detections_have_the_track_and_only_known_people_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    # vision_msgs is not everywhere; these have the fields of its version 4, which Jazzy has.
    def detection(**values: Any) -> SimpleNamespace:
        centre = SimpleNamespace(position=SimpleNamespace(x=0.0, y=0.0), theta=0.0)
        return SimpleNamespace(bbox=SimpleNamespace(center=centre, size_x=0.0, size_y=0.0), results=[], **values)

    module = ModuleType("vision_msgs.msg")
    module.Detection2D = detection  # type: ignore[attr-defined]
    module.Detection2DArray = lambda **values: SimpleNamespace(detections=[], **values)  # type: ignore[attr-defined]
    module.ObjectHypothesisWithPose = lambda: SimpleNamespace(  # type: ignore[attr-defined]
        hypothesis=SimpleNamespace(class_id="", score=0.0)
    )
    monkeypatch.setitem(sys.modules, "vision_msgs", ModuleType("vision_msgs"))
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", module)
    header = Header(frame_id="camera")
    message = detections_message(header, [face(IdentityStatus.KNOWN, (ANNA,)), face(IdentityStatus.UNKNOWN, (ANNA,))])
    known, unknown = message.detections
    assert (message.header, known.header, known.id) == (header, header, "7")
    assert (known.bbox.center.position.x, known.bbox.center.position.y) == (25.0, 40.0)
    assert (known.bbox.size_x, known.bbox.size_y) == (30.0, 40.0)
    assert [(r.hypothesis.class_id, r.hypothesis.score) for r in known.results] == [("p-1", 0.9)]
    assert unknown.results == []
