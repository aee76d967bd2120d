"""Follows faces from frame to frame: detections and embeddings in, stable track ids and each track's good looks out."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.types import Detection, FloatArray, Quality
from face_recognition_ros.video import ALIKE

_Matrix = npt.NDArray[np.float64]

FORBIDDEN_COST = 2.0
"""Cost of leaving a detection to a new track; no allowed pair costs more, so that any of them is better than none."""

REACH, REACH_PER_SECOND, MAX_REACH, MAX_BLIND_REACH = 0.5, 6.0, 3.0, 1.0
"""How far from its predicted place a face may turn up, in face widths: at once, more for each second unseen (a brisk
walk past the camera), at most, and at most where no embedding vouches for it."""

MAX_SIZE_RATIO = 2.0
"""By how much a face may grow or shrink between two sightings."""

VELOCITY_TIME = 0.1
"""Seconds over which a track's velocity is smoothed."""

SETTLING_LOOKS, DOUBT_LOOKS = 5, 3
"""A track is looked at in each frame until it has so many good looks, and so often again after a look that is unlike
the others: as many as the matcher needs to see that somebody else is there."""

ROUNDING = 1e-3
"""Seconds by which two stamps may differ from what a camera's rate makes of them."""

SURE_OVERLAP, NO_OVERLAP = 0.5, 0.1
"""Intersection over union of a face and the predicted place of the only track that it can belong to, at least; and of
any other face with that place, or of any other track's with that face, at most."""


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """How long tracks live and what they accept.

    Raises:
        SettingsError: a value is out of its range.
    """

    max_age: float = 1.0
    """Seconds a track waits unseen before it ends; a clock that steps back by more than this ends all tracks."""
    contradiction_similarity: float = 0.2
    """Cosine of a look and a track's mean below which they are two people; take it from the model's statistics."""
    usual_similarity: float = 0.5
    """Cosine of two looks at one person, from the network's statistics: taken for a pair that cannot be compared, and
    wanted of a look at a face that from afar, too, looks unlike the track's."""
    max_looks: int = 20
    """How many good looks a track keeps: the latest."""

    def __post_init__(self) -> None:
        if not self.max_age > 0:
            raise SettingsError(f"max_age is {self.max_age:g} s; it must be over 0")
        if not -1 <= self.contradiction_similarity <= 1:
            raise SettingsError(f"contradiction_similarity is {self.contradiction_similarity:g}; a cosine is -1 to 1")
        if self.max_looks < 1:
            raise SettingsError(f"max_looks is {self.max_looks}; a track keeps at least 1")


NO_LOOK = Quality(0.0, usable_for_matching=False, usable_for_enrollment=False)


@dataclass(slots=True, eq=False)
class Track:
    """One face followed through time; the tracker changes it with every update."""

    id: int
    """Positive, and never given to another track of the same tracker."""
    box: _Matrix
    """(4,) float64 where it was last seen: left, top, right, bottom in frame pixels."""
    first_seen: float
    last_seen: float
    """Seconds, of the frames' stamps."""
    velocity: _Matrix = field(default_factory=lambda: np.zeros(2))
    """(2,) float64 of the box's centre, in pixels per second."""
    mean_embedding: FloatArray | None = None
    """(D,) float32, the weighted mean of the good looks: its product with a look is their mean cosine to it. It is not
    brought to length 1, which would raise a stranger's cosine, too. None before the first look."""
    quality: Quality = NO_LOOK
    """Of the latest look, good or not."""
    pattern: FloatArray | None = None
    """What the face looked like from afar at the latest look; see video.face_pattern."""
    looked_at: float = -np.inf
    """Seconds; stamp of the latest look, good or not."""
    doubts: int = 0
    """So many more times it is to be looked at in each frame, after an odd look."""
    holder: str = ""
    """Id of the identity that the track was last given, so that a name does not flicker; empty where there is none."""
    _holders: set[str] = field(default_factory=set)
    """Everybody whom it was ever given since its first look."""
    _embeddings: FloatArray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    _weights: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))

    def evidence(self) -> tuple[FloatArray, FloatArray]:
        """The good looks: (K, D) float32 unit embeddings and (K,) float32 quality weights; (0, 0) and (0,) if none."""
        return self._embeddings, self._weights

    def predict(self, stamp: float) -> _Matrix:
        """(4,) the box at that time, moved on with constant velocity."""
        shift = self.velocity * (stamp - self.last_seen)
        return self.box + np.concatenate((shift, shift))

    def see(self, box: _Matrix, stamp: float) -> None:
        """Take over the place in a new frame."""
        elapsed = stamp - self.last_seen
        if elapsed > 0:
            moved = (_centres(box[None]) - _centres(self.box[None]))[0] / elapsed
            self.velocity = self.velocity + (moved - self.velocity) * elapsed / (elapsed + VELOCITY_TIME)
        self.box, self.last_seen = box, stamp

    def look(
        self, embedding: FloatArray, quality: Quality, pattern: FloatArray | None, options: TrackerOptions
    ) -> None:
        """Take note of a look at where the track was just seen; a good one is kept."""
        self.quality, self.pattern, self.looked_at = quality, pattern, self.last_seen
        if not quality.usable_for_matching:
            return
        is_odd = self.mean_embedding is not None and float(self.mean_embedding @ embedding) < options.usual_similarity
        self.doubts = DOUBT_LOOKS if is_odd else max(self.doubts - 1, 0)
        self.remember(embedding, quality.score, options.max_looks)

    @property
    def is_doubtful(self) -> bool:
        """Whether one of the latest looks was so odd that it may have been at somebody else."""
        return self.doubts > 0

    def is_settled(self, stamp: float, interval: float) -> bool:
        """Whether a look at that time could wait: enough were good, none of the latest was odd, and one was taken
        less than `interval` seconds before.
        """
        known = len(self._weights) >= SETTLING_LOOKS and not self.is_doubtful
        return known and 0 <= stamp - self.looked_at < interval - ROUNDING

    def remember(self, embedding: FloatArray, weight: float, max_looks: int) -> None:
        """Keep a good look; of too many, the oldest goes.

        Not the poorest: where somebody has slipped into a track unnoticed, the track must become theirs within
        max_looks good looks, however well the one before them was seen.
        """
        embeddings = [*self._embeddings, embedding][-max_looks:]
        self._embeddings = np.array(embeddings, np.float32)
        self._weights = np.append(self._weights, np.float32(max(weight, 1e-3)))[-max_looks:]
        self.mean_embedding = self._weights @ self._embeddings / self._weights.sum()

    def give(self, identity_id: str) -> None:
        """Note whom the track is given; an empty id: nobody."""
        self.holder = identity_id
        self._holders.add(identity_id)

    def was_given(self, identity_ids: Collection[str]) -> bool:
        """Whether any of these was ever its holder: some of its looks may be theirs, whoever holds it now."""
        return not self._holders.isdisjoint(identity_ids)

    def forget_looks(self) -> None:
        """Drop what was seen so far; the track goes on, and its person must be judged anew."""
        self._embeddings, self._weights = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        self._holders, self.mean_embedding, self.holder = set(), None, ""
        self.doubts = 0


class FaceTracker:
    """Gives every face of a frame its track. The only state is the tracks alive; the same calls give the same ids.

    Assignment is optimal over a cost of place (overlap and centre distance to a constant-velocity prediction) and
    appearance (cosine to the track's mean embedding). A look that contradicts a track is never given to it, not even a
    poor one: the face would wear the name of whoever is beside it until the next good look. Where the face looks unlike
    the track's from afar, too, a look contradicts sooner: nobody changes so much from one moment to the next.
    Knowing people again after a long absence is the gallery's task.
    """

    def __init__(self, options: TrackerOptions | None = None, ids: Iterator[int] | None = None) -> None:
        """ids: what tracks are numbered by; trackers that share it never give the same id. None: 1, 2, 3 ..."""
        self._options = options or TrackerOptions()
        self._ids = itertools.count(1) if ids is None else ids
        self._tracks: list[Track] = []
        self._now = -np.inf
        self._has_successor = False

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks alive, those unseen in the last frame included, oldest first."""
        return tuple(self._tracks)

    def reset(self) -> None:
        """End all tracks, as when the clock or the camera changes. Ids go on: none is used twice."""
        self._tracks, self._now = [], -np.inf

    def successor(self) -> "FaceTracker":
        """An empty tracker whose ids go on from here, for when this one is left to a thread that hangs.

        This one takes no further frame: no id is given twice, and what that thread returns late goes no further.
        """
        self._has_successor = True
        return FaceTracker(self._options, self._ids)

    def forget(self, identity_ids: Collection[str]) -> None:
        """Drop the looks of tracks that were ever given one of these; nothing seen before counts any more."""
        for track in self._tracks:
            if track.was_given(identity_ids):
                track.forget_looks()

    def in_view(self, stamp: float) -> FloatArray:
        """(T, 4) float32: where the faces of the latest frame are to be looked for at that time.

        In whole pixels: what stamps lack in precision, a billion seconds from their origin, must change no answer.
        """
        places = [track.predict(stamp) for track in self._tracks if track.last_seen == self._now]
        return np.round(np.array(places, np.float32).reshape(-1, 4))

    def foresee(self, detections: Sequence[Detection], stamp: float) -> list[Track | None]:
        """The track that each face continues, by its place alone; None unless it is the only one in question.

        Only tracks of the latest frame are foreseen: who was out of sight may come back as somebody else.
        """
        if not self._tracks or not detections:
            return [None] * len(detections)
        boxes = np.array([d.box for d in detections], np.float64)
        overlap = _geometry(np.array([track.predict(stamp) for track in self._tracks]), boxes)[2]
        near = overlap > NO_OVERLAP
        fits = (overlap >= SURE_OVERLAP) & (near.sum(axis=0) == 1)[None] & (near.sum(axis=1) == 1)[:, None]
        fits &= np.array([[track.last_seen == self._now] for track in self._tracks])
        return [self._tracks[int(np.argmax(column))] if column.any() else None for column in fits.T]

    def update(
        self,
        detections: Sequence[Detection],
        embeddings: Sequence[FloatArray | None],
        qualities: Sequence[Quality],
        stamp: float,
        patterns: Sequence[FloatArray] = (),
    ) -> list[Track]:
        """Take one frame's faces and return the track of each, in their order.

        Args:
            detections: the faces, N of them.
            embeddings: N times a (D,) float32 unit vector, or None where the face was not embedded.
            qualities: N; only looks usable for matching become a track's evidence.
            stamp: seconds, the frame's own time, not the wall clock's. A stamp that is a little older than the last
                is taken for the same time; one that is older by more than max_age resets the tracker.
            patterns: N, what each face looks like from afar (see video.face_pattern), or none at all.

        Raises:
            ValueError: the sequences differ in length, or the stamp is not finite.
            RuntimeError: the tracker has a successor.
        """
        if self._has_successor:
            raise RuntimeError("the tracker was given up; its successor takes the frames")
        views: Sequence[FloatArray | None] = patterns or [None] * len(detections)
        if not len(detections) == len(embeddings) == len(qualities) == len(views) or not np.isfinite(stamp):
            lengths = (
                f"{len(detections)} detections, {len(embeddings)} embeddings, {len(qualities)} qualities, "
                f"{len(views)} patterns"
            )
            raise ValueError(f"each face needs one of each, and a finite stamp; got {lengths} at {stamp}")
        if stamp < self._now - self._options.max_age:
            self.reset()
        self._now = now = max(stamp, self._now)
        self._tracks = [track for track in self._tracks if now - track.last_seen <= self._options.max_age]

        boxes = np.array([d.box for d in detections], np.float64).reshape(-1, 4)
        taken = self._assign(boxes, embeddings, views, now)
        seen = [taken[i] if i in taken else self._start(boxes[i], now) for i in range(len(detections))]
        for track, box, look, quality, view in zip(seen, boxes, embeddings, qualities, views, strict=True):
            track.see(box, now)
            if look is not None:
                track.look(look, quality, view, self._options)
        return seen

    def _start(self, box: _Matrix, stamp: float) -> Track:
        track = Track(next(self._ids), box, first_seen=stamp, last_seen=stamp)
        self._tracks.append(track)
        return track

    def _assign(
        self, boxes: _Matrix, looks: Sequence[FloatArray | None], views: Sequence[FloatArray | None], now: float
    ) -> dict[int, Track]:
        """The track of each detection that continues one, by the detection's index."""
        if not self._tracks or not len(boxes):
            return {}
        predicted = np.array([track.predict(now) for track in self._tracks])
        unseen = np.array([[now - track.last_seen] for track in self._tracks])
        cosines = _cosines([track.mean_embedding for track in self._tracks], looks)
        compared = np.isfinite(cosines)
        unlike = _cosines([track.pattern for track in self._tracks], views) < ALIKE
        reach = np.minimum(REACH + REACH_PER_SECOND * unseen, np.where(compared, MAX_REACH, MAX_BLIND_REACH))
        distance, size_ratio, overlap = _geometry(predicted, boxes)
        usual, least = self._options.usual_similarity, self._options.contradiction_similarity
        appearance = np.clip(1 - np.where(compared, cosines, usual), 0, 1)
        cost = (1 - overlap) / 2 + distance / reach / 2 + appearance
        contradicts = compared & (cosines < np.where(unlike, max(usual, least), least))
        allowed = (distance <= reach) & (size_ratio <= MAX_SIZE_RATIO) & ~contradicts
        rows, columns = linear_sum_assignment(np.where(allowed, cost, FORBIDDEN_COST))
        return {int(c): self._tracks[r] for r, c in zip(rows, columns, strict=True) if allowed[r, c]}


def _centres(boxes: _Matrix) -> _Matrix:
    """(N, 2) centres of (N, 4) boxes."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _geometry(tracks: _Matrix, boxes: _Matrix) -> tuple[_Matrix, _Matrix, _Matrix]:
    """(T, N) centre distance in mean face sizes, ratio of sizes (1 or more), and intersection over union."""
    sizes, box_sizes = (np.maximum(b[:, 2:] - b[:, :2], 1e-3) for b in (tracks, boxes))
    areas, box_areas = sizes.prod(axis=1)[:, None], box_sizes.prod(axis=1)[None]
    distance = np.linalg.norm(_centres(tracks)[:, None] - _centres(boxes)[None], axis=2)
    size_ratio = np.sqrt(np.maximum(areas / box_areas, box_areas / areas))
    shared = np.minimum(tracks[:, None, 2:], boxes[None, :, 2:]) - np.maximum(tracks[:, None, :2], boxes[None, :, :2])
    intersection = np.maximum(shared, 0).prod(axis=2)
    overlap = intersection / (areas + box_areas - intersection)
    return 2 * distance / (np.sqrt(areas) + np.sqrt(box_areas)), size_ratio, overlap


def _cosines(tracks: Sequence[FloatArray | None], faces: Sequence[FloatArray | None]) -> _Matrix:
    """(T, N) cosine of each of the tracks' vectors with each of the faces'; NaN where either is missing."""
    cosines = np.full((len(tracks), len(faces)), np.nan)
    rows, columns = ([i for i, vector in enumerate(given) if vector is not None] for given in (tracks, faces))
    if rows and columns:
        cosines[np.ix_(rows, columns)] = np.array([tracks[i] for i in rows]) @ np.array([faces[i] for i in columns]).T
    return cosines
