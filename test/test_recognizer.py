"""How the stages meet, with small stand-ins for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.detection.detector import FaceDetector
from face_recognition_ros.errors import BackendError
from face_recognition_ros.gallery.matcher import FrameDecisions, Looks
from face_recognition_ros.quality import QualityLimits
from face_recognition_ros.recognizer import STILL_PICTURE, Recognizer
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.tracking import FaceTracker
from face_recognition_ros.types import ByteArray, Candidate, Decision, Detection, FloatArray, IdentityStatus

FRAME = np.random.default_rng(0).integers(60, 190, (480, 640, 3), dtype=np.uint8)


def face_at(x: float, landmarks: FloatArray | None = None) -> Detection:
    points = np.asarray(TEMPLATE + (x, 50) if landmarks is None else landmarks, np.float32)
    return Detection(np.array([x, 50, x + 112, 162], np.float32), points, 0.9)


class ListedFaces:
    name = "listed"
    backend = BackendChoice("auto", "none", "a list")

    def __init__(self, faces: list[Detection]) -> None:
        self.faces = faces

    def detect(self, frame: ByteArray) -> list[Detection]:
        return self.faces


class OneVectorPerCrop:
    """Embeds crop i of a call as the i-th unit vector, and counts its calls."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed(self, crops: ByteArray) -> FloatArray:
        self.batches.append(len(crops))
        return np.eye(8, dtype=np.float32)[: len(crops)]


@dataclass
class AlwaysUnknown:
    judged: list[int]

    def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
        self.judged.append(len(tracks))
        return FrameDecisions(7, tuple(Decision(IdentityStatus.UNKNOWN) for _ in tracks))

    def decide_stills(self, people: Sequence[Looks]) -> FrameDecisions:
        return FrameDecisions(8, tuple(Decision(IdentityStatus.UNKNOWN) for _ in people))


def recognizer_of(detector: FaceDetector) -> tuple[Recognizer, OneVectorPerCrop, AlwaysUnknown]:
    embedder, judge = OneVectorPerCrop(), AlwaysUnknown([])
    return Recognizer(detector, embedder, FaceTracker(), judge, QualityLimits()), embedder, judge


def test_all_faces_of_a_frame_are_embedded_in_one_call() -> None:
    recognizer, embedder, _ = recognizer_of(ListedFaces([face_at(20), face_at(220), face_at(420)]))
    result = recognizer.process(FRAME, 0.0)
    assert embedder.batches == [3]
    assert [face.track_id for face in result.faces] == [1, 2, 3]
    assert [int(np.argmax(face.embedding)) for face in result.faces if face.embedding is not None] == [0, 1, 2]
    assert result.gallery_revision == 7
    assert set(result.timings) == {"detection", "alignment", "embedding", "tracking", "matching"}


def test_a_face_that_cannot_be_aligned_is_reported_without_an_embedding() -> None:
    crushed = face_at(220, np.full((5, 2), 300, np.float32))
    recognizer, embedder, _ = recognizer_of(ListedFaces([face_at(20), crushed, face_at(420)]))
    first, second, third = recognizer.process(FRAME, 0.0).faces
    assert embedder.batches == [2]
    assert second.embedding is None
    assert not second.quality.usable_for_matching
    assert second.quality.complaints
    assert second.decision.status is IdentityStatus.TENTATIVE, "nobody's name, though it is on a track"
    assert first.embedding is not None
    assert third.embedding is not None
    assert int(np.argmax(third.embedding)) == 1


def test_an_empty_frame_is_an_empty_result_and_costs_no_embedding() -> None:
    recognizer, embedder, _ = recognizer_of(ListedFaces([]))
    assert recognizer.process(FRAME, 0.0).faces == ()
    assert embedder.batches == []


def test_a_single_picture_leaves_the_tracks_alone() -> None:
    recognizer, _, judge = recognizer_of(ListedFaces([face_at(20)]))
    assert recognizer.process(FRAME, 0.0).faces[0].track_id == 1
    assert [face.track_id for face in recognizer.recognize(FRAME).faces] == [STILL_PICTURE]
    assert recognizer.process(FRAME, 0.1).faces[0].track_id == 1
    assert judge.judged == [1, 1]


def test_reset_starts_new_tracks() -> None:
    recognizer, _, _ = recognizer_of(ListedFaces([face_at(20)]))
    assert recognizer.process(FRAME, 0.0).faces[0].track_id == 1
    recognizer.reset_tracks()
    assert recognizer.process(FRAME, 0.1).faces[0].track_id == 2


def test_a_failing_stage_is_the_callers_to_handle() -> None:
    class Broken(ListedFaces):
        def detect(self, frame: ByteArray) -> list[Detection]:
            raise BackendError("out of memory")

    recognizer, _, _ = recognizer_of(Broken([]))
    with pytest.raises(BackendError):
        recognizer.process(FRAME, 0.0)


def test_a_track_carries_whom_it_was_given_until_that_one_is_forgotten() -> None:
    class Remembers(AlwaysUnknown):
        answer = Decision(IdentityStatus.KNOWN, (Candidate("p-1", "Anna", 0.9, 0.9),))

        def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
            self.seen = [(looks.holder, len(looks.weights)) for looks in tracks]
            return FrameDecisions(7, tuple(self.answer for _ in tracks))

    judge, limits = Remembers([]), QualityLimits()
    easy = replace(limits.matching, min_sharpness=0.0, max_clipped=1.0)
    recognizer = Recognizer(
        ListedFaces([face_at(20)]), OneVectorPerCrop(), FaceTracker(), judge, replace(limits, matching=easy)
    )
    holders = []
    for number in range(2):
        (face,) = recognizer.process(FRAME, number / 10).faces
        holders += judge.seen
    assert holders == [("", 1), ("p-1", 2)]
    recognizer.forget({"p-2"})
    judge.answer = Decision(IdentityStatus.UNKNOWN)  # she is gone from the gallery, and a frame comes before `forget`
    recognizer.process(FRAME, 0.2)
    recognizer.forget({"p-1"})
    recognizer.process(FRAME, 0.3)
    assert judge.seen == [("", 1)], "no look of before counts"
    assert face.crop is not None
    assert face.crop.shape == (112, 112, 3)


def test_looks_of_who_has_left_the_gallery_count_no_more() -> None:
    class Forgets(AlwaysUnknown):
        gone: frozenset[str] = frozenset()

        def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
            self.judged.append(sum(len(looks.weights) for looks in tracks))
            known = Decision(IdentityStatus.KNOWN, (Candidate("p-1", "Anna", 0.9, 0.9),))
            return FrameDecisions(7, tuple(known for _ in tracks), self.gone)

    judge, limits = Forgets([]), QualityLimits()
    easy = replace(limits.matching, min_sharpness=0.0, max_clipped=1.0)
    recognizer = Recognizer(
        ListedFaces([face_at(20)]), OneVectorPerCrop(), FaceTracker(), judge, replace(limits, matching=easy)
    )
    for number, judge.gone in enumerate((frozenset(), frozenset({"p-2"}), frozenset({"p-1"}), frozenset())):
        recognizer.process(FRAME, number / 10)
    assert judge.judged == [1, 2, 3, 1]
