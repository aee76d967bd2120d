"""One frame in, recognised faces out: the only place where the stages meet. It knows no ROS and does no I/O."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from face_recognition_ros.alignment import align_faces
from face_recognition_ros.detection.detector import FaceDetector
from face_recognition_ros.gallery.matcher import FrameDecisions, Looks
from face_recognition_ros.quality import QualityLimits, assess
from face_recognition_ros.types import (
    AlignedFace,
    ByteArray,
    Decision,
    Detection,
    FloatArray,
    IdentityStatus,
    Quality,
    RecognizedFace,
)

STILL_PICTURE = -1
"""The track id of a face in a single picture."""


class Embedder(Protocol):
    """Aligned crops to unit vectors."""

    def embed(self, crops: ByteArray) -> FloatArray:
        """(N, 112, 112, 3) uint8 BGR -> (N, D) float32 unit vectors."""


class Track(Protocol):
    """A face followed through frames, with its good looks."""

    @property
    def id(self) -> int:
        """Positive, never used twice."""

    @property
    def holder(self) -> str:
        """Id of the identity that the track was last given; empty where there is none."""

    def give(self, identity_id: str) -> None:
        """Makes that identity its holder; empty: nobody."""

    def evidence(self) -> tuple[FloatArray, FloatArray]:
        """Embeddings (K, D) float32 and weights (K,) float32 of the good looks so far."""


class Tracker(Protocol):
    """Detections to tracks."""

    def update(
        self,
        detections: Sequence[Detection],
        embeddings: Sequence[FloatArray | None],
        qualities: Sequence[Quality],
        stamp: float,
    ) -> Sequence[Track]:
        """The track of each detection, in their order; stamp in seconds."""

    def reset(self) -> None:
        """Forgets all tracks; their ids are not used again."""

    def forget(self, identity_ids: Collection[str]) -> None:
        """Drops the looks of tracks that were ever given one of these identities."""


class Judge(Protocol):
    """Looks at people to decisions on who they are."""

    def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
        """Decisions on the tracks of one frame."""

    def decide_stills(self, people: Sequence[Looks]) -> FrameDecisions:
        """Decisions on people of whom there will be no more looks than these."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceView:
    """One face of one picture, before anybody asks who it is."""

    detection: Detection
    aligned: AlignedFace | None
    quality: Quality
    embedding: FloatArray | None
    """(D,) float32 unit vector; None where the face could not be aligned."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What a frame showed."""

    faces: tuple[RecognizedFace, ...]
    gallery_revision: int
    """Of the gallery that all of these faces were matched against."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each stage."""


class Recognizer:
    """Finds, aligns, judges, embeds, tracks and matches the faces of frames. One thread at a time may use it."""

    def __init__(
        self, detector: FaceDetector, embedder: Embedder, tracker: Tracker, judge: Judge, limits: QualityLimits
    ) -> None:
        self._detector = detector
        self._embedder = embedder
        self._tracker = tracker
        self._judge = judge
        self._limits = limits

    def process(self, frame: ByteArray, stamp: float) -> FrameResult:
        """The next frame of a stream: (H, W, 3) uint8 BGR, taken at `stamp` seconds.

        Raises ImageError for an array that is no such picture, BackendError where a network fails.
        """
        timings: dict[str, float] = {}
        views = self._view(frame, timings)
        with timed(timings, "tracking"):
            tracks = self._tracker.update(
                [view.detection for view in views],
                [view.embedding for view in views],
                [view.quality for view in views],
                stamp,
            )
        with timed(timings, "matching"):
            judged = self._judge.decide_batch([Looks(*track.evidence(), track.holder) for track in tracks])
        for track, decision in zip(tracks, judged.decisions, strict=True):
            track.give(decision.identity_id)
        if judged.gone:
            self._tracker.forget(judged.gone)
        faces = tuple(
            recognized(track.id, view, vouched(decision, view))
            for view, track, decision in zip(views, tracks, judged.decisions, strict=True)
        )
        return FrameResult(faces, judged.revision, timings)

    def view(self, picture: ByteArray) -> list[FaceView]:
        """The faces of a single picture, (H, W, 3) uint8 BGR, best detection first, without asking who they are."""
        return self._view(picture, {})

    def recognize(self, picture: ByteArray) -> FrameResult:
        """The faces of a single picture and who they are; nothing of it touches the tracks of the stream.

        Every face has the track id STILL_PICTURE. One too poor to be matched stays tentative.
        """
        timings: dict[str, float] = {}
        views = self._view(picture, timings)
        with timed(timings, "matching"):
            judged = self._judge.decide_stills([still_looks(view) for view in views])
        faces = tuple(
            recognized(STILL_PICTURE, view, decision) for view, decision in zip(views, judged.decisions, strict=True)
        )
        return FrameResult(faces, judged.revision, timings)

    def reset_tracks(self) -> None:
        """Starts anew, as after a jump of the clock; the gallery stays."""
        self._tracker.reset()

    def forget(self, identity_ids: Collection[str]) -> None:
        """Drops all looks that were taken for these identities; their tracks go on and are judged by new looks."""
        self._tracker.forget(identity_ids)

    def _view(self, frame: ByteArray, timings: dict[str, float]) -> list[FaceView]:
        with timed(timings, "detection"):
            detections = self._detector.detect(frame)
        with timed(timings, "alignment"):
            aligned = align_faces(frame, detections)
            qualities = [
                assess(detection, face, self._limits) for detection, face in zip(detections, aligned, strict=True)
            ]
        with timed(timings, "embedding"):
            embeddings = self._embed(aligned)
        return [FaceView(*parts) for parts in zip(detections, aligned, qualities, embeddings, strict=True)]

    def _embed(self, aligned: Sequence[AlignedFace | None]) -> list[FloatArray | None]:
        crops = [face.crop for face in aligned if face is not None]
        if not crops:
            return [None] * len(aligned)
        vectors: Iterator[FloatArray] = iter(self._embedder.embed(np.stack(crops)))
        return [None if face is None else next(vectors) for face in aligned]


def still_looks(view: FaceView) -> Looks:
    """The one look that a picture gives of a face, or none where it is too poor to be matched."""
    if view.embedding is None or not view.quality.usable_for_matching:
        return Looks(np.empty((0, 0), np.float32), np.empty(0, np.float32))
    return Looks(view.embedding[None], np.ones(1, np.float32))


def recognized(track_id: int, view: FaceView, decision: Decision) -> RecognizedFace:
    """The face of a view with what was decided on it."""
    crop = None if view.aligned is None else view.aligned.crop
    return RecognizedFace(track_id, view.detection, view.quality, decision, view.embedding, crop)


def vouched(decision: Decision, view: FaceView) -> Decision:
    """The track's decision, unless this face could not be embedded: nothing then says that it is the same person."""
    return decision if view.embedding is not None else Decision(IdentityStatus.TENTATIVE)


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the seconds that the block takes to timings[stage]."""
    started = time.perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - started
