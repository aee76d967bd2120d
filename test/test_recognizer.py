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
from face_recognition_ros.stages import Embedder, Judge
from face_recognition_ros.track import TrackerOptions
from face_recognition_ros.tracking import FaceTracker
from face_recognition_ros.types import ByteArray, Candidate, Decision, Detection, FloatArray, IdentityStatus
from face_recognition_ros.video import VideoOptions

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


class FollowedFaces(ListedFaces):
    """Lists its faces when searched; when it is asked to follow, those that are at the places it is given."""

    def __init__(self, faces: list[Detection]) -> None:
        super().__init__(faces)
        self.calls = ""

    def detect(self, frame: ByteArray) -> list[Detection]:
        self.calls += "S"
        return self.faces

    def refine(self, frame: ByteArray, boxes: FloatArray) -> list[Detection]:
        self.calls += "f"
        centres = [(box[0] + box[2]) / 2 for box in boxes]
        return [one for one in self.faces if any(abs(one.box[0] + 56 - x) < 40 for x in centres)]


class Person:
    """Embeds every crop as who is there."""

    def __init__(self, vector: FloatArray) -> None:
        self.vector = vector
        self.calls = 0

    def embed(self, crops: ByteArray) -> FloatArray:
        self.calls += 1
        return np.repeat(self.vector[None], len(crops), axis=0)


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


EVERYTHING_USABLE = QualityLimits(
    matching=replace(QualityLimits().matching, min_sharpness=0.0, max_clipped=1.0),
    enrollment=QualityLimits().enrollment,
)
RATE = 1 / 30


def video_recognizer(detector: FaceDetector, embedder: Embedder, judge: Judge | None = None) -> Recognizer:
    tracker = FaceTracker(TrackerOptions(usual_similarity=0.5))
    options = VideoOptions(detection_interval=6, embedding_interval=0.2)
    return Recognizer(detector, embedder, tracker, judge or AlwaysUnknown([]), EVERYTHING_USABLE, options)


def test_in_video_known_faces_are_followed_between_searches() -> None:
    detector = FollowedFaces([face_at(20)])
    recognizer = video_recognizer(detector, OneVectorPerCrop())
    ids = [recognizer.process(FRAME, n * RATE).faces[0].track_id for n in range(9)]
    assert detector.calls == "SffSffSff"
    assert set(ids) == {1}


def test_a_lost_face_is_searched_for_in_the_same_frame() -> None:
    detector = FollowedFaces([face_at(20)])
    recognizer = video_recognizer(detector, OneVectorPerCrop())
    recognizer.process(FRAME, 0.0)
    detector.faces = [face_at(400)]
    (face,) = recognizer.process(FRAME, RATE).faces
    assert detector.calls == "SfS"
    assert face.detection.box[0] == 400
    recognizer.process(FRAME, 2 * RATE)
    assert detector.calls == "SfSf", "the next search is counted from there"


def test_newcomers_are_found_within_the_interval() -> None:
    detector = FollowedFaces([face_at(20)])
    recognizer = video_recognizer(detector, OneVectorPerCrop())
    for entered in range(1, 12):
        recognizer.reset_tracks()
        detector.faces = [face_at(20)]
        start = entered * 10.0
        for n in range(entered):
            recognizer.process(FRAME, start + n * RATE)
        detector.faces = [face_at(20), face_at(400)]
        waited = 1
        while len(recognizer.process(FRAME, start + (entered + waited) * RATE).faces) < 2:
            waited += 1
        assert waited <= 6


def test_a_detector_that_cannot_follow_searches_every_frame() -> None:
    searches: list[int] = []

    class Counted(ListedFaces):
        def detect(self, frame: ByteArray) -> list[Detection]:
            searches.append(1)
            return self.faces

    recognizer = video_recognizer(Counted([face_at(20)]), OneVectorPerCrop())
    for n in range(5):
        assert len(recognizer.process(FRAME, n * RATE).faces) == 1
    assert len(searches) == 5


def test_a_face_of_which_there_are_looks_enough_is_embedded_at_the_interval_only() -> None:
    person = Person(np.eye(8, dtype=np.float32)[0])
    recognizer = video_recognizer(FollowedFaces([face_at(20)]), person)
    embedded = []
    for n in range(30):
        (face,) = recognizer.process(FRAME, n * RATE).faces
        embedded.append(face.embedding is not None)
        assert face.decision.status is IdentityStatus.UNKNOWN, "judged in every frame all the same"
        assert face.quality.usable_for_matching
        assert (face.crop is None) == (face.embedding is None)
    assert [n for n, anew in enumerate(embedded) if anew] == [0, 1, 2, 3, 4, 10, 16, 22, 28]
    assert person.calls == 9


def test_in_full_searches_and_embeds_whatever_the_options_say() -> None:
    detector, person = FollowedFaces([face_at(20)]), Person(np.eye(8, dtype=np.float32)[0])
    recognizer = video_recognizer(detector, person)
    for n in range(12):
        assert recognizer.process(FRAME, n * RATE, in_full=True).faces[0].embedding is not None
    assert (detector.calls, person.calls) == ("S" * 12, 12)


@pytest.mark.parametrize("likeness", [0.0, 0.35], ids=["stranger", "look-alike"])
def test_who_takes_over_a_place_does_not_keep_the_name_beyond_the_interval(likeness: float) -> None:
    """Somebody else stands in the same place from one frame to the next, at any moment between two looks."""

    class KnowsTheFirst(AlwaysUnknown):
        def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
            return FrameDecisions(1, tuple(self.decide(looks.embeddings[-3:].mean(axis=0)) for looks in tracks))

        def decide(self, look: FloatArray) -> Decision:
            similarity = float(look[0])
            status = IdentityStatus.KNOWN if similarity > 0.6 else IdentityStatus.UNKNOWN
            return Decision(status, (Candidate("p-1", "Anna", similarity, 0.9),))

    first = np.eye(8, dtype=np.float32)[0]
    second = likeness * first + np.sqrt(1 - likeness**2) * np.eye(8, dtype=np.float32)[1]
    for swap in range(20, 28):
        person = Person(first)
        recognizer = video_recognizer(FollowedFaces([face_at(20)]), person, KnowsTheFirst([]))
        named = []
        for n in range(40):
            person.vector = first if n < swap else second.astype(np.float32)
            named.append(recognizer.process(FRAME, n * RATE).faces[0].decision.status is IdentityStatus.KNOWN)
        assert all(named[:swap])
        wrong = sum(named[swap:])
        assert wrong <= 6 + 2, "the interval, and the looks that a doubt takes"
        assert not any(named[swap + wrong :]), "and it does not come back"


def test_a_track_on_which_the_looks_disagree_gets_no_new_name() -> None:
    """Two looks at Anna and one at somebody like her outvote that one; a name that is there already stays."""

    class NamesEverybody(AlwaysUnknown):
        def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
            count = max(len(looks.weights) for looks in tracks)
            known = Decision(IdentityStatus.KNOWN, (Candidate("p-1", "Anna", 0.7, 0.9),))
            return FrameDecisions(1, (known if count >= 3 else Decision(IdentityStatus.TENTATIVE),))

    anna, other = np.eye(8, dtype=np.float32)[:2]
    like_her = (0.35 * anna + np.sqrt(1 - 0.35**2) * other).astype(np.float32)

    def statuses(*looks: FloatArray) -> list[str]:
        person = Person(looks[0])
        recognizer = video_recognizer(FollowedFaces([face_at(20)]), person, NamesEverybody([]))
        answers = []
        for n, person.vector in enumerate(looks):
            answers.append(recognizer.process(FRAME, n * RATE, in_full=True).faces[0].decision.status.name)
        return answers

    assert statuses(anna, anna, like_her, like_her)[2:] == ["TENTATIVE", "TENTATIVE"]
    assert statuses(anna, anna, anna, like_her)[2:] == ["KNOWN", "KNOWN"], "it is the matcher that withdraws it"
    assert statuses(anna, like_her, anna, anna, anna)[2:] == ["TENTATIVE", "TENTATIVE", "KNOWN"]


def test_the_first_frame_after_a_reset_is_searched() -> None:
    detector = FollowedFaces([face_at(20)])
    recognizer = video_recognizer(detector, OneVectorPerCrop())
    for n in range(2):
        recognizer.process(FRAME, n * RATE)
    recognizer.reset_tracks()
    assert len(recognizer.process(FRAME, 2 * RATE).faces) == 1
    assert detector.calls == "SfS"


def test_faces_that_meet_are_embedded_in_every_frame() -> None:
    detector, person = FollowedFaces([face_at(20), face_at(400)]), Person(np.eye(8, dtype=np.float32)[0])
    recognizer = video_recognizer(detector, person)
    for n in range(8):
        recognizer.process(FRAME, n * RATE)
    assert person.calls == 5
    for n in range(8, 14):
        detector.faces = [face_at(20), face_at(100)]
        faces = recognizer.process(FRAME, n * RATE).faces
    assert person.calls == 11
    assert all(face.embedding is not None for face in faces)
