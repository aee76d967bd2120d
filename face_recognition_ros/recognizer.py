"""One frame in, recognised faces out: the only place where the stages meet. It knows no ROS and does no I/O."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from face_recognition_ros.alignment import align_faces
from face_recognition_ros.detection.detector import FaceDetector, FaceRefiner, check_frame
from face_recognition_ros.gallery.matcher import Looks
from face_recognition_ros.quality import QualityLimits, assess
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.stages import Embedder, Judge, Track, Tracker
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
from face_recognition_ros.video import SearchSchedule, VideoOptions, alike, face_pattern

STILL_PICTURE = -1
"""The track id of a face in a single picture."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceView:
    """One face of one picture, before anybody asks who it is."""

    detection: Detection
    aligned: AlignedFace | None
    quality: Quality
    embedding: FloatArray | None
    """(D,) float32 unit vector; None where the face could not be aligned, or was not looked at anew."""
    settled: Track | None = None
    """The track that the face continues, by its place, and of which there are looks enough: no look was taken."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A frame in which the faces were found, on its way to their embeddings."""

    stamp: float
    detections: Sequence[Detection]
    patterns: Sequence[FloatArray]
    settled: Sequence[Track | None]
    aligned: Sequence[AlignedFace | None]
    qualities: Sequence[Quality]
    timings: dict[str, float]

    @property
    def crops(self) -> list[ByteArray]:
        """(112, 112, 3) uint8 BGR each: those to be embedded."""
        return [face.crop for face in self.aligned if face is not None]

    def views(self, embeddings: Sequence[FloatArray]) -> list[FaceView]:
        """The faces, with the embeddings of the crops."""
        vectors = iter(embeddings)
        return [
            FaceView(detection, face, quality, None if face is None else next(vectors), settled)
            for detection, face, quality, settled in zip(
                self.detections, self.aligned, self.qualities, self.settled, strict=True
            )
        ]


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What a frame showed."""

    faces: tuple[RecognizedFace, ...]
    gallery_revision: int
    """Of the gallery that all of these faces were matched against."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each stage."""
    gone: frozenset[str] = frozenset()
    """Ids of who has left the gallery since the frame before, of this stream or another of the same judge."""


class Recognizer:
    """Finds, aligns, judges, embeds, tracks and matches the faces of frames. One thread at a time may use it."""

    def __init__(
        self,
        detector: FaceDetector,
        embedder: Embedder,
        tracker: Tracker,
        judge: Judge,
        limits: QualityLimits,
        video: VideoOptions | None = None,
    ) -> None:
        self._detector = detector
        self._refiner = detector if isinstance(detector, FaceRefiner) else None
        self._embedder = embedder
        self._tracker = tracker
        self._judge = judge
        self._limits = limits
        self._video = video or VideoOptions()
        self._schedule = SearchSchedule(self._video.detection_interval)

    @property
    def detector_backend(self) -> BackendChoice:
        """What runs the detector now, and why."""
        return self._detector.backend

    def process(self, frame: ByteArray, stamp: float, in_full: bool = False, behind: bool = False) -> FrameResult:
        """The next frame of a stream: (H, W, 3) uint8 BGR, taken at `stamp` seconds.

        in_full: search it, and look at every face, whatever the VideoOptions say. behind: frames before it were lost
        to the load. Raises ImageError for an array that is no such picture, BackendError where a network fails.
        """
        glance = self.glance(frame, stamp, in_full, behind)
        with timed(glance.timings, "embedding"):
            embeddings = embed_together(self._embedder, glance.crops)
        return self.conclude(glance, embeddings)

    def glance(self, frame: ByteArray, stamp: float, in_full: bool = False, behind: bool = False) -> Glance:
        """The first half of `process`: finds the faces, and says which crops are to be embedded."""
        check_frame(frame)
        timings: dict[str, float] = {}
        with timed(timings, "detection"):
            detections = self._find(frame, stamp, in_full, behind)
            patterns = [face_pattern(frame, detection.box) for detection in detections]
            settled = self._settled(detections, patterns, stamp, in_full)
        with timed(timings, "alignment"):
            aligned, qualities = self._align(frame, detections, settled)
        return Glance(stamp, detections, patterns, settled, aligned, qualities, timings)

    def conclude(self, glance: Glance, embeddings: Sequence[FloatArray]) -> FrameResult:
        """The second half of `process`, with an embedding for each of the crops of the first."""
        views, timings = glance.views(embeddings), glance.timings
        with timed(timings, "tracking"):
            tracks = self._tracker.update(
                [view.detection for view in views],
                [view.embedding for view in views],
                [view.quality for view in views],
                glance.stamp,
                glance.patterns,
            )
        with timed(timings, "matching"):
            judged = self._judge.decide_batch([Looks(*track.evidence(), track.holder) for track in tracks])
        decisions = [settled_name(decision, track) for track, decision in zip(tracks, judged.decisions, strict=True)]
        for track, decision in zip(tracks, decisions, strict=True):
            track.give(decision.identity_id)
        if judged.gone:
            self._tracker.forget(judged.gone)
        faces = tuple(
            recognized(track.id, view, vouched(decision, view, track))
            for view, track, decision in zip(views, tracks, decisions, strict=True)
        )
        return FrameResult(faces, judged.revision, timings, judged.gone)

    @property
    def embedder(self) -> Embedder:
        """What makes embeddings of its crops."""
        return self._embedder

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
        """Starts anew, as after a jump of the clock, and searches the next frame; the gallery stays."""
        self._tracker.reset()
        self._schedule = SearchSchedule(self._video.detection_interval)

    def forget(self, identity_ids: Collection[str]) -> None:
        """Drops all looks that were taken for these identities; their tracks go on and are judged by new looks."""
        self._tracker.forget(identity_ids)

    def _find(self, frame: ByteArray, stamp: float, in_full: bool, behind: bool) -> list[Detection]:
        """All faces of the frame, or, where that will do, those of the frame before."""
        places = self._tracker.in_view(stamp)
        due = self._schedule.is_due(frame, stamp, len(places), behind)
        if not (due or in_full or self._refiner is None):
            known = self._refiner.refine(frame, places)
            if len(known) == len(places):
                return known
        if not due:
            self._schedule.searched()
        return self._detector.detect(frame)

    def _settled(
        self, detections: Sequence[Detection], patterns: Sequence[FloatArray], stamp: float, in_full: bool
    ) -> list[Track | None]:
        """The track of each face that needs not be looked at anew, as it is surely there and looks as it did."""
        interval = self._video.embedding_interval
        if in_full or not interval:
            return [None] * len(detections)
        return [
            track if track and track.is_settled(stamp, interval) and alike(pattern, track.pattern) else None
            for track, pattern in zip(self._tracker.foresee(detections, stamp), patterns, strict=True)
        ]

    def _view(self, frame: ByteArray, timings: dict[str, float]) -> list[FaceView]:
        with timed(timings, "detection"):
            detections = self._detector.detect(frame)
        with timed(timings, "alignment"):
            anew = [None] * len(detections)
            aligned, qualities = self._align(frame, detections, anew)
        glance = Glance(0.0, detections, (), anew, aligned, qualities, timings)
        with timed(timings, "embedding"):
            return glance.views(embed_together(self._embedder, glance.crops))

    def _align(
        self, frame: ByteArray, detections: Sequence[Detection], settled: Sequence[Track | None]
    ) -> tuple[list[AlignedFace | None], list[Quality]]:
        """Aligned faces and their qualities; of settled tracks no face, and the quality of the latest look."""
        anew = [detection for detection, track in zip(detections, settled, strict=True) if track is None]
        faces = iter(align_faces(frame, anew))
        aligned = [next(faces) if track is None else None for track in settled]
        qualities = [
            assess(detection, face, self._limits) if track is None else track.quality
            for detection, face, track in zip(detections, aligned, settled, strict=True)
        ]
        return aligned, qualities


def embed_together(embedder: Embedder, crops: Sequence[ByteArray]) -> Sequence[FloatArray]:
    """(D,) float32 unit vectors of (112, 112, 3) crops, in one call, or in none where there are no crops."""
    return list(embedder.embed(np.stack(crops))) if crops else []


def still_looks(view: FaceView) -> Looks:
    """The one look that a picture gives of a face, or none where it is too poor to be matched."""
    if view.embedding is None or not view.quality.usable_for_matching:
        return Looks(np.empty((0, 0), np.float32), np.empty(0, np.float32))
    return Looks(view.embedding[None], np.ones(1, np.float32))


def recognized(track_id: int, view: FaceView, decision: Decision) -> RecognizedFace:
    """The face of a view with what was decided on it."""
    crop = None if view.aligned is None else view.aligned.crop
    return RecognizedFace(track_id, view.detection, view.quality, decision, view.embedding, crop)


def settled_name(decision: Decision, track: Track) -> Decision:
    """The decision, unless it is a new name for a track whose latest looks may be at two people."""
    if track.is_doubtful and decision.identity_id not in ("", track.holder):
        return replace(decision, status=IdentityStatus.TENTATIVE, stranger=None)
    return decision


def vouched(decision: Decision, view: FaceView, track: Track) -> Decision:
    """The track's decision, unless nothing says that this face is the same person.

    That is so where it could not be embedded, or was not because it seemed to continue another track.
    """
    return decision if view.embedding is not None or view.settled is track else Decision(IdentityStatus.TENTATIVE)


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Adds the seconds that the block takes to timings[stage]."""
    started = time.perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - started
