"""One face followed through time: where it is and how it moves, its good looks, and whom it was given."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.types import FloatArray, Quality

Matrix = npt.NDArray[np.float64]

VELOCITY_TIME = 0.1
"""Seconds over which a track's velocity is smoothed."""

SETTLING_LOOKS, DOUBT_LOOKS = 5, 3
"""A track is looked at in each frame until it has so many good looks, and so often again after a look that is unlike
the others: as many as the matcher needs to see that somebody else is there."""

ROUNDING = 1e-3
"""Seconds by which two stamps may differ from what a camera's rate makes of them."""


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
    box: Matrix
    """(4,) float64 where it was last seen: left, top, right, bottom in frame pixels."""
    first_seen: float
    last_seen: float
    """Seconds, of the frames' stamps."""
    velocity: Matrix = field(default_factory=lambda: np.zeros(2))
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

    def predict(self, stamp: float) -> Matrix:
        """(4,) the box at that time, moved on with constant velocity."""
        shift = self.velocity * (stamp - self.last_seen)
        return self.box + np.concatenate((shift, shift))

    def see(self, box: Matrix, stamp: float) -> None:
        """Take over the place in a new frame."""
        elapsed = stamp - self.last_seen
        if elapsed > 0:
            moved = (centres(box[None]) - centres(self.box[None]))[0] / elapsed
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


def centres(boxes: Matrix) -> Matrix:
    """(N, 2) centres of (N, 4) boxes."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2
