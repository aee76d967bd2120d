"""Gathers, frame by frame, who was there when, and the best looks at everybody, for contact sheets and summary."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from face_recognition_ros.drawing import draw_faces
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.replay.sources import NANOSECONDS, SourceFrame
from face_recognition_ros.types import ByteArray, IdentityStatus, RecognizedFace

VISIT_GAP = 1.0
"""Who is not seen for more seconds than this has left, and comes back."""
LOOKS = 24
"""At most so many looks at a person are kept,"""
TRACK_LOOKS = 4
"""and at most so many of each track that stays unknown,"""
TRACKS = 60
"""of at most so many such tracks: those that were seen in the most frames."""
FIRST_BUCKET = 0.5
"""Seconds, of which only the best look is kept; doubled whenever there are too many looks."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A face at one moment."""

    seconds: float
    """Since the first frame."""
    stamp_ns: int
    similarity: float
    quality: float
    crop: ByteArray
    """(112, 112, 3) uint8 BGR."""


class Album:
    """The best looks, spread over time; of a long time it keeps no more than of a short one."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._bucket = FIRST_BUCKET
        self._best: dict[int, Look] = {}

    def add(self, look: Look) -> None:
        self._keep(look)
        while len(self._best) > self._places:
            looks, self._best = self.looks, {}
            self._bucket *= 2
            for one in looks:
                self._keep(one)

    @property
    def looks(self) -> list[Look]:
        """In the order of time."""
        return [look for _, look in sorted(self._best.items())]

    @property
    def best(self) -> Look | None:
        return max(self._best.values(), key=lambda look: look.quality, default=None)

    def _keep(self, look: Look) -> None:
        place = int(look.seconds // self._bucket)
        if place not in self._best or look.quality > self._best[place].quality:
            self._best[place] = look


@dataclass(slots=True, eq=False)
class Presence:
    """When somebody was there."""

    name: str
    kind: str
    """known, remembered, unknown, ambiguous or tentative."""
    identity_id: str = ""
    album: Album = field(default_factory=lambda: Album(LOOKS))
    seconds: list[float] = field(default_factory=list)
    """Since the first frame, one for each face, in the order of frames."""
    similarities: list[float] = field(default_factory=list)
    accept_lines: list[float] = field(default_factory=list)
    tracks: set[int] = field(default_factory=set)

    def see(self, face: RecognizedFace, seconds: float, stamp_ns: int, keep: bool = True) -> None:
        """keep: also take the look into the album."""
        self.seconds.append(seconds)
        self.similarities.append(face.decision.similarity)
        self.accept_lines.append(face.decision.accept_similarity)
        self.tracks.add(face.track_id)
        if keep and face.crop is not None:
            similarity = face.decision.similarity
            self.album.add(Look(seconds, stamp_ns, similarity, face.quality.score, face.crop))

    @property
    def visits(self) -> list[tuple[float, float]]:
        """Start and end of each, in seconds since the first frame."""
        times = np.unique(np.array(self.seconds))
        ends = np.flatnonzero(np.diff(times) > VISIT_GAP)
        starts, stops = np.append(0, ends + 1), np.append(ends, len(times) - 1)
        return [(float(times[i]), float(times[j])) for i, j in zip(starts, stops, strict=True)] if len(times) else []


def counted(number: int, one: str, several: str = "") -> str:
    """The word for so many: `one`, or else `several`, which is `one` with an s where it is not given."""
    return one if number == 1 else several or f"{one}s"


class Gathering:
    """A Sink that keeps no more than people can look at, however long the replay is."""

    def __init__(self) -> None:
        self.frames = 0
        self.faces = 0
        self.start_ns = 0
        self.end_ns = 0
        self.revisions: list[int] = []
        """The gallery's at the first frame, and at the latest."""
        self.statuses: Counter[str] = Counter()
        """How many faces had each."""
        self.people: dict[str, Presence] = {}
        """Known people and remembered strangers, by id, in the order in which they appeared."""
        self.others: dict[str, Presence] = {}
        """unknown, ambiguous and tentative."""
        self.unknown_tracks: dict[int, Presence] = {}
        self.best_frame: ByteArray | None = None
        """The annotated frame in which the most people were named, and named most surely.

        Where nobody is named, the one with the most faces, and most of them judged.
        """
        self._merit = (0, 0, 0.0)

    @property
    def duration(self) -> float:
        """Seconds from the earliest to the latest stamp."""
        return (self.end_ns - self.start_ns) / NANOSECONDS if self.frames else 0.0

    def take(self, frame: SourceFrame, result: FrameResult) -> None:
        if not self.frames:
            self.start_ns = self.end_ns = frame.stamp_ns
            self.revisions = [result.gallery_revision] * 2
        self.frames += 1
        self.faces += len(result.faces)
        self.end_ns = max(self.end_ns, frame.stamp_ns)
        self.revisions[1] = result.gallery_revision
        seconds = (frame.stamp_ns - self.start_ns) / NANOSECONDS
        for face in result.faces:
            self.statuses[face.decision.status.name.lower()] += 1
            self._take_face(face, seconds, frame.stamp_ns)
        self._keep_frame(frame, result)

    def close(self) -> None:
        """Nothing is open."""

    def _take_face(self, face: RecognizedFace, seconds: float, stamp_ns: int) -> None:
        decision = face.decision
        somebody = decision.identity or decision.stranger
        if somebody is not None:
            kind = "remembered" if decision.stranger else "known"
            known = self.people.setdefault(somebody.identity_id, Presence(somebody.name, kind, somebody.identity_id))
            known.see(face, seconds, stamp_ns)
            return
        status = decision.status.name.lower()
        self.others.setdefault(status, Presence(status, status)).see(face, seconds, stamp_ns, keep=False)
        if decision.status is IdentityStatus.UNKNOWN:
            track = Presence(f"track {face.track_id}", "unknown", album=Album(TRACK_LOOKS))
            self.unknown_tracks.setdefault(face.track_id, track).see(face, seconds, stamp_ns)
            if len(self.unknown_tracks) > TRACKS:
                older = [number for number in self.unknown_tracks if number != face.track_id]
                del self.unknown_tracks[min(older, key=lambda number: len(self.unknown_tracks[number].seconds))]

    def _keep_frame(self, frame: SourceFrame, result: FrameResult) -> None:
        named = [face for face in result.faces if face.decision.identity is not None]
        judged = sum(face.decision.status is not IdentityStatus.TENTATIVE for face in result.faces)
        surely = sum(face.decision.similarity for face in named)
        merit = (len(named), len(named) - len(result.faces), surely) if named else (0, len(result.faces), judged)
        if frame.picture is not None and (self.best_frame is None or merit > self._merit):
            self._merit = merit
            self.best_frame = draw_faces(frame.picture, result.faces)
