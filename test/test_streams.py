"""Several streams at once: one embedding call, tracks of their own, and what one meets costs the others nothing."""

from collections.abc import Collection, Sequence
from itertools import count

import numpy as np
import pytest

from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.errors import BackendError, ImageError
from face_recognition_ros.gallery.matcher import FrameDecisions, Looks
from face_recognition_ros.quality import QualityLimits
from face_recognition_ros.recognizer import FrameResult, Recognizer
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.streams import StreamFrame, process_together
from face_recognition_ros.tracking import FaceTracker
from face_recognition_ros.types import ByteArray, Decision, Detection, FloatArray, IdentityStatus

PICTURE = np.random.default_rng(0).integers(60, 190, (480, 640, 3), dtype=np.uint8)


class Faces:
    """Finds faces at these places, or fails."""

    name = "listed"
    backend = BackendChoice("auto", "none", "a list")

    def __init__(self, *places: float) -> None:
        self.places = places
        self.failure: Exception | None = None

    def detect(self, frame: ByteArray) -> list[Detection]:
        if self.failure is not None:
            raise self.failure
        points = [np.asarray(TEMPLATE + (x, 50), np.float32) for x in self.places]
        boxes = [np.array([x, 50, x + 112, 162], np.float32) for x in self.places]
        return [Detection(box, landmarks, 0.9) for box, landmarks in zip(boxes, points, strict=True)]


class Embedder:
    """Embeds crop i of a call as the i-th unit vector; refuses calls with more crops than it has memory for."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.memory = 8

    def embed(self, crops: ByteArray) -> FloatArray:
        self.batches.append(len(crops))
        if len(crops) > self.memory:
            raise BackendError("There is no memory for so many crops.")
        return np.eye(8, dtype=np.float32)[: len(crops)]


class Judge:
    """Knows nobody; says once of whom it has heard that they are gone."""

    def __init__(self) -> None:
        self.gone: frozenset[str] = frozenset()

    def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
        gone, self.gone = self.gone, frozenset()
        return FrameDecisions(7, tuple(Decision(IdentityStatus.UNKNOWN) for _ in tracks), gone)

    def decide_stills(self, people: Sequence[Looks]) -> FrameDecisions:
        return FrameDecisions(7, tuple(Decision(IdentityStatus.UNKNOWN) for _ in people))


class Bench:
    """Streams with one, two and three faces in view."""

    def __init__(self) -> None:
        ids = count(1)
        self.detectors = [Faces(20), Faces(20, 220), Faces(20, 220, 420)]
        self.embedder, self.judge = Embedder(), Judge()
        self.trackers = [FaceTracker(ids=ids) for _ in self.detectors]
        self.recognizers = [
            Recognizer(detector, self.embedder, tracker, self.judge, QualityLimits())
            for detector, tracker in zip(self.detectors, self.trackers, strict=True)
        ]

    def process(self, stamp: float, streams: Collection[int] = (0, 1, 2)) -> dict[int, FrameResult | Exception]:
        return process_together(self.recognizers, {stream: StreamFrame(PICTURE, stamp) for stream in streams})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ids(result: FrameResult | Exception) -> list[int]:
    assert isinstance(result, FrameResult), result
    return [face.track_id for face in result.faces]


def looks(result: FrameResult | Exception) -> list[int]:
    """Which vectors the faces were given."""
    assert isinstance(result, FrameResult), result
    return [int(np.argmax(face.embedding)) for face in result.faces if face.embedding is not None]


def test_all_faces_are_embedded_in_one_call_and_every_stream_has_its_own_tracks(bench: Bench) -> None:
    for stamp in (0.0, 1 / 30):
        results = bench.process(stamp)
        assert [ids(results[stream]) for stream in range(3)] == [[1], [2, 3], [4, 5, 6]], "no id is given twice"
        assert [looks(results[stream]) for stream in range(3)] == [[0], [1, 2], [3, 4, 5]]
    some = bench.process(2 / 30, [2, 0])
    assert (some.keys(), looks(some[2]), looks(some[0])) == ({0, 2}, [0, 1, 2], [3])
    assert bench.embedder.batches == [6, 6, 4]
    result = results[1]
    assert isinstance(result, FrameResult)
    assert set(result.timings) == {"detection", "alignment", "embedding", "tracking", "matching"}


def test_a_stream_that_fails_costs_the_others_nothing(bench: Bench) -> None:
    bench.detectors[1].failure = BackendError("The GPU is gone.")
    failed = bench.process(0.0)
    assert failed[1] is bench.detectors[1].failure
    assert (ids(failed[0]), ids(failed[2])) == ([1], [2, 3, 4])
    bench.detectors[1].failure = None
    no_picture = StreamFrame(np.zeros((4, 4), np.uint8), 0.1)
    results = process_together(bench.recognizers, {0: no_picture, 1: StreamFrame(PICTURE, 0.1)})
    assert isinstance(results[0], ImageError)
    assert ids(results[1]) == [5, 6]


def test_a_stream_whose_stamps_make_no_sense_fails_alone(bench: Bench) -> None:
    frames = {0: StreamFrame(PICTURE, float("nan")), 1: StreamFrame(PICTURE, 0.0)}
    results = process_together(bench.recognizers, frames)
    assert isinstance(results[0], ValueError)
    assert len(ids(results[1])) == 2


def test_where_embedding_together_fails_each_stream_has_its_own_chance(bench: Bench) -> None:
    bench.embedder.memory = 2
    results = bench.process(0.0)
    assert bench.embedder.batches == [6, 1, 2, 3]
    assert (len(ids(results[0])), len(ids(results[1]))) == (1, 2)
    assert isinstance(results[2], BackendError)


def test_one_stream_that_cannot_be_embedded_is_not_tried_twice(bench: Bench) -> None:
    bench.embedder.memory = 0
    assert isinstance(bench.process(0.0, [2])[2], BackendError)
    assert bench.embedder.batches == [3]


def test_who_is_gone_is_forgotten_on_all_streams(bench: Bench) -> None:
    """Whoever hears of it first, and whether or not the stream has a frame at that moment."""
    bench.process(0.0)
    tracks = [tracker.tracks[0] for tracker in bench.trackers]
    for track in tracks:
        track.give("p-1")
        assert len(track.evidence()[0]) == 1
    bench.judge.gone = frozenset({"p-1"})
    bench.process(1 / 30, [0, 2])
    assert [len(track.evidence()[0]) for track in tracks] == [0, 0, 0]


def test_a_clock_that_jumps_back_resets_its_own_stream_only(bench: Bench) -> None:
    bench.process(100.0)
    frames = {0: StreamFrame(PICTURE, 1.0), 1: StreamFrame(PICTURE, 100.1)}
    results = process_together(bench.recognizers, frames)
    assert (ids(results[0]), ids(results[1])) == ([7], [2, 3])
