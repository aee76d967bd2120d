"""Compares probes with everybody in the gallery at once: exact cosine to one prototype per identity."""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from face_recognition_ros.gallery.store import GalleryStore, IdentityTemplates
from face_recognition_ros.types import FloatArray, Identity

LEAST_WEIGHT = 1e-3
"""Of a look or template, whatever its quality, so that there is always something to fuse."""

_NO_DIRECTION = 1e-3
"""Length of a mean under which it is nothing but rounding."""

_BLOCK = 512
"""Similarities of which only the best is looked at first when the best of all are sought."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An identity of the gallery and how similar a probe is to it."""

    identity: Identity
    similarity: float
    """Cosine, -1 to 1."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What the gallery of one revision answered to some probes."""

    revision: int
    people: int
    """How many identities have a name."""
    strangers: int
    """How many are remembered strangers."""
    hits: tuple[tuple[Hit, ...], ...] = field(repr=False)
    """For each probe the most similar identities, best first; of equals the one with the smaller id first."""


class PrototypeIndex:
    """The gallery in memory, ready to be searched; follows a store change by change. May be used by several threads."""

    def __init__(self, embedding_size: int) -> None:
        self._lock = threading.Lock()
        self._revision: int | None = None
        # A column per identity: the product of a row of numbers with it reads the memory in one sweep.
        self._columns = np.zeros((embedding_size, 16), np.float32)
        self._identities: list[Identity] = []
        self._column_of: dict[str, int] = {}
        self._strangers = 0
        self._next_expiry = math.inf
        self._gone: set[str] = set()

    @property
    def embedding_size(self) -> int:
        """D."""
        return len(self._columns)

    @property
    def revision(self) -> int:
        """Of the gallery that it holds; -1 before the first update."""
        return -1 if self._revision is None else self._revision

    @property
    def people(self) -> int:
        """How many identities with a name it holds."""
        return len(self._identities) - self._strangers

    @property
    def strangers(self) -> int:
        """How many remembered strangers it holds."""
        return self._strangers

    def update(self, store: GalleryStore) -> None:
        """Takes over what has changed in the store since the last call; raises GalleryError where it cannot be read."""
        with self._lock:
            changes = store.changes_since(self._revision)
            if changes.complete:
                self._clear(len(changes.changed))
            for identity_id in changes.removed:
                self._remove(identity_id)
            for one in changes.changed:
                self._put(one)
            self._revision = changes.revision

    def drop_expired(self, now: float) -> None:
        """Leaves out whose time has passed at `now`, seconds since the epoch: the store may be late in forgetting."""
        if now < self._next_expiry:
            return
        with self._lock:
            due = {who.identity_id: who.expires for who in self._identities if who.expires is not None}
            for identity_id, expires in due.items():
                if expires <= now:
                    self._remove(identity_id)
            self._next_expiry = min((expires for expires in due.values() if expires > now), default=math.inf)

    def take_gone(self) -> frozenset[str]:
        """Ids of all who have gone since the last call: forgotten, merged or expired, by whatever process."""
        with self._lock:
            gone, self._gone = frozenset(self._gone), set()
            return gone

    def search(self, probes: FloatArray, count: int) -> SearchResult:
        """The `count` most similar identities for each of the probes (N, D) float32 unit vectors."""
        with self._lock:
            used = len(self._identities)
            similarities = probes @ self._columns[:, :used]
            hits = tuple(self._best(row, count) for row in similarities)
            return SearchResult(self.revision, self.people, self._strangers, hits)

    def similarity(self, identity_id: str, probe: FloatArray) -> float | None:
        """Cosine of a probe (D,) and an identity's prototype; None where the identity has no template or is gone."""
        with self._lock:
            column = self._column_of.get(identity_id)
            return None if column is None else cosine(probe, self._columns[:, column])

    def identity(self, identity_id: str) -> Identity | None:
        """Who has that id; None where the identity has no template or is gone."""
        with self._lock:
            column = self._column_of.get(identity_id)
            return None if column is None else self._identities[column]

    def _best(self, similarities: FloatArray, count: int) -> tuple[Hit, ...]:
        near = _nearest(similarities, min(count, len(similarities)))
        found = [Hit(self._identities[i], min(max(float(similarities[i]), -1.0), 1.0)) for i in near]
        return tuple(sorted(found, key=lambda hit: (-hit.similarity, hit.identity.identity_id))[:count])

    def _clear(self, expected: int) -> None:
        # Room for as many again: memory that nothing was written to takes no place yet, and growing means copying all.
        self._gone.update(self._column_of)
        self._columns = np.zeros((len(self._columns), max(16, 2 * expected)), np.float32)
        self._identities, self._column_of, self._strangers, self._next_expiry = [], {}, 0, math.inf

    def _put(self, one: IdentityTemplates) -> None:
        identity = one.identity
        if not len(one.embeddings):
            self._remove(identity.identity_id)
            return
        self._gone.discard(identity.identity_id)
        column = self._column_of.get(identity.identity_id)
        if column is None:
            column = len(self._identities)
            if column == self._columns.shape[1]:
                self._columns = np.hstack((self._columns, np.zeros_like(self._columns)))
            self._column_of[identity.identity_id] = column
            self._identities.append(identity)
        else:
            self._strangers -= self._identities[column].remembered
            self._identities[column] = identity
        self._strangers += identity.remembered
        self._next_expiry = min(self._next_expiry, math.inf if identity.expires is None else identity.expires)
        self._columns[:, column] = prototype(one.embeddings, one.qualities, one.observed)

    def _remove(self, identity_id: str) -> None:
        column = self._column_of.pop(identity_id, None)
        if column is None:
            return
        self._gone.add(identity_id)
        self._strangers -= self._identities[column].remembered
        last = self._identities.pop()
        if column < len(self._identities):  # the last one moves into the gap
            self._identities[column] = last
            self._column_of[last.identity_id] = column
            self._columns[:, column] = self._columns[:, len(self._identities)]


def fuse(embeddings: FloatArray, weights: npt.ArrayLike) -> FloatArray:
    """One unit vector (D,) float32 of several, (K, D): their weighted mean, brought to length 1; 0 if they cancel out.

    The cosine of two fused vectors is distributed among strangers as that of two single looks is (decision 13), while
    two fused vectors of one person are nearer to each other than two of the looks.
    """
    weights = np.asarray(weights, np.float64)
    mean = weights @ embeddings.astype(np.float64) / weights.sum()
    norm = float(np.linalg.norm(mean))
    fused: FloatArray = (mean / norm if norm > _NO_DIRECTION else np.zeros_like(mean)).astype(np.float32)
    return fused


def prototype(embeddings: FloatArray, qualities: FloatArray, observed: npt.NDArray[np.bool_]) -> FloatArray:
    """An identity's templates (T, D) fused by quality; the observed ones together weigh at most what the enrolled do.

    qualities: (T,) float32. observed: (T,) whether a template was learned in passing.
    """
    weights = np.maximum(qualities.astype(np.float64), LEAST_WEIGHT)
    trusted, learned = float(weights[~observed].sum()), float(weights[observed].sum())
    if trusted and learned > trusted:
        weights = np.where(observed, weights * (trusted / learned), weights)
    return fuse(embeddings, weights)


def cosine(first: FloatArray, second: FloatArray) -> float:
    """Of two unit vectors (D,), within -1 and 1 whatever the rounding."""
    return min(max(float(first @ second), -1.0), 1.0)


def _nearest(similarities: FloatArray, count: int) -> Iterable[int]:
    """Where the largest `count` of them are, and any that equal the smallest of these.

    A block whose best is under the count best blocks' bests holds none of them: a million similarities are read once
    and not partitioned.
    """
    if count == 0:
        return ()
    blocks = len(similarities) // _BLOCK
    if blocks < 2 * count:
        line = np.partition(similarities, -count)[-count]
    else:
        maxima = similarities[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        line = np.partition(maxima, -count)[-count]
    near: list[int] = np.flatnonzero(similarities >= line).tolist()
    return near
