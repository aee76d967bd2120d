"""Follows faces from frame to frame: detections and embeddings in, stable track ids and each track's good looks out."""

import itertools
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from face_recognition_ros.track import Matrix, Track, TrackerOptions, centres
from face_recognition_ros.types import Detection, FloatArray, Quality
from face_recognition_ros.video import ALIKE

FORBIDDEN_COST = 2.0
"""Cost of leaving a detection to a new track; no allowed pair costs more, so that any of them is better than none."""

REACH, REACH_PER_SECOND, MAX_REACH, MAX_BLIND_REACH = 0.5, 6.0, 3.0, 1.0
"""How far from its predicted place a face may turn up, in face widths: at once, more for each second unseen (a brisk
walk past the camera), at most, and at most where no embedding vouches for it."""

MAX_SIZE_RATIO = 2.0
"""By how much a face may grow or shrink between two sightings."""

SURE_OVERLAP, NO_OVERLAP = 0.5, 0.1
"""Intersection over union of a face and the predicted place of the only track that it can belong to, at least; and of
any other face with that place, or of any other track's with that face, at most."""


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

    def _start(self, box: Matrix, stamp: float) -> Track:
        track = Track(next(self._ids), box, first_seen=stamp, last_seen=stamp)
        self._tracks.append(track)
        return track

    def _assign(
        self, boxes: Matrix, looks: Sequence[FloatArray | None], views: Sequence[FloatArray | None], now: float
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


def _geometry(tracks: Matrix, boxes: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """(T, N) centre distance in mean face sizes, ratio of sizes (1 or more), and intersection over union."""
    sizes, box_sizes = (np.maximum(b[:, 2:] - b[:, :2], 1e-3) for b in (tracks, boxes))
    areas, box_areas = sizes.prod(axis=1)[:, None], box_sizes.prod(axis=1)[None]
    distance = np.linalg.norm(centres(tracks)[:, None] - centres(boxes)[None], axis=2)
    size_ratio = np.sqrt(np.maximum(areas / box_areas, box_areas / areas))
    shared = np.minimum(tracks[:, None, 2:], boxes[None, :, 2:]) - np.maximum(tracks[:, None, :2], boxes[None, :, :2])
    intersection = np.maximum(shared, 0).prod(axis=2)
    overlap = intersection / (areas + box_areas - intersection)
    return 2 * distance / (np.sqrt(areas) + np.sqrt(box_areas)), size_ratio, overlap


def _cosines(tracks: Sequence[FloatArray | None], faces: Sequence[FloatArray | None]) -> Matrix:
    """(T, N) cosine of each of the tracks' vectors with each of the faces'; NaN where either is missing."""
    cosines = np.full((len(tracks), len(faces)), np.nan)
    rows, columns = ([i for i, vector in enumerate(given) if vector is not None] for given in (tracks, faces))
    if rows and columns:
        cosines[np.ix_(rows, columns)] = np.array([tracks[i] for i in rows]) @ np.array([faces[i] for i in columns]).T
    return cosines
