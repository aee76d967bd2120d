"""Decides who somebody is: evidence of several looks against the gallery, with an accept line and a margin."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.index import Hit, PrototypeIndex, SearchResult, fuse
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.types import Candidate, Decision, FloatArray, IdentityStatus

KEEP_RATE = 10.0
"""By how much the false accept rate may exceed the target for a name that a track has already: hysteresis."""
KEEP_MARGIN = 0.5
"""The part of min_margin that such a name needs."""
LATEST_LOOKS = 3
"""So many looks together must not speak against the name that all of them give."""
TURNED_FALSE_ACCEPT_RATE = 0.02
"""They do where they resemble the person less than all but this part of strangers do."""


@dataclass(frozen=True, slots=True)
class MatcherOptions:
    """How sure the matcher must be. A value out of its range raises SettingsError."""

    target_false_accept_rate: float = 0.001
    """The part of strangers that may be given somebody's name, 0 to 1 (both excluded)."""
    min_margin: float = 0.08
    """How much more similar than the runner-up the best identity must be, 0 to 2."""
    min_looks: int = 3
    """Looks at a track before it is judged."""
    max_candidates: int = 5
    """How many candidates a decision lists; at least 2, as the margin is taken between them."""

    def __post_init__(self) -> None:
        if not 0 < self.target_false_accept_rate < 1:
            raise SettingsError(
                "target_false_accept_rate must lie between 0 and 1, both excluded, "
                f"not {self.target_false_accept_rate}."
            )
        if not 0 <= self.min_margin <= 2:
            raise SettingsError(f"min_margin must lie between 0 and 2, not {self.min_margin}.")
        if self.min_looks < 1:
            raise SettingsError(f"min_looks must be 1 or more, not {self.min_looks}.")
        if self.max_candidates < 2:
            raise SettingsError(f"max_candidates must be 2 or more, not {self.max_candidates}.")


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """The good looks at one track."""

    embeddings: FloatArray
    """(K, D) float32 unit vectors, oldest first; D does not matter where K is 0."""
    weights: FloatArray
    """(K,) float32, 0 or more: quality scores. A look of weight 0 does not count."""
    holder: str = ""
    """The identity id that the track was last given; empty where there is none."""


@dataclass(frozen=True, slots=True)
class FrameDecisions:
    """What was decided on the tracks of one frame, all against the same gallery."""

    revision: int
    """Of the gallery that was used."""
    decisions: tuple[Decision, ...]
    gone: frozenset[str] = frozenset()
    """Ids of who has left the gallery since the frame before: no look that was taken for them may count any more."""


class Matcher:
    """Judges looks against the gallery in a store. May be used from several threads.

    Each call looks once whether the store has changed, and uses that one revision throughout: what was enrolled is
    recognised, and what was forgotten is not, from the next call on.
    """

    def __init__(self, store: GalleryStore, calibration: Calibration, options: MatcherOptions | None = None) -> None:
        self.calibration = calibration
        self.options = options or MatcherOptions()
        self._store = store
        self._refreshing = threading.Lock()
        self._index = PrototypeIndex(store.embedding_size)
        self._index.update(store)

    @property
    def revision(self) -> int:
        """Of the gallery that the latest call used."""
        return self._index.revision

    def refresh(self) -> PrototypeIndex:
        """The index, which has taken over all that has changed in the store, and holds nobody who has expired."""
        with self._refreshing:
            if self._index.revision != self._store.revision:
                self._index.update(self._store)
            self._index.drop_expired(self._store.clock())
            return self._index

    def decide(self, embeddings: FloatArray, weights: FloatArray) -> Decision:
        """Who the person is of whom there are these looks: embeddings (K, D) and weights (K,), as in `Looks`."""
        return self.decide_batch([Looks(embeddings, weights)]).decisions[0]

    def decide_single(self, embedding: FloatArray) -> Decision:
        """Who the person is on a still picture, of whom there is one look: embedding (D,) float32 unit vector."""
        return self.decide_stills([Looks(embedding[None, :], np.ones(1, np.float32))]).decisions[0]

    def decide_stills(self, people: Sequence[Looks]) -> FrameDecisions:
        """Who the people of a picture are, each judged by what looks there are; without any they stay tentative."""
        return self._decide(people, replace(self.options, min_looks=1))

    def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
        """Who the people on these tracks are, each by itself."""
        return replace(self._decide(tracks, self.options), gone=self._index.take_gone())

    def _decide(self, tracks: Sequence[Looks], options: MatcherOptions) -> FrameDecisions:
        index = self.refresh()
        counted = [int(np.count_nonzero(looks.weights > 0)) for looks in tracks]
        seen = [evidence(looks) for looks, count in zip(tracks, counted, strict=True) if count]
        found = index.search(np.stack(seen) if seen else np.empty((0, index.embedding_size), np.float32),
                             options.max_candidates)  # fmt: skip
        rows = iter(found.hits)
        judge = _Judge(self.calibration, options, found, index)
        decisions = [
            judge.decide(looks, next(rows), count) if count else judge.nothing_seen
            for looks, count in zip(tracks, counted, strict=True)
        ]
        return FrameDecisions(found.revision, tuple(decisions))


class _Judge:
    """The rules for the tracks of one frame."""

    def __init__(
        self, calibration: Calibration, options: MatcherOptions, found: SearchResult, index: PrototypeIndex
    ) -> None:
        target = options.target_false_accept_rate
        lenient = min(KEEP_RATE * target, 0.5)
        line = calibration.accept_similarity
        # The more people a stranger is compared with, the higher the line; whom the robot merely remembers gives
        # nobody a name, and so does not raise the line for those who have one.
        sizes = {False: found.people, True: found.strangers}
        self._accept = {remembered: line(target, size) for remembered, size in sizes.items()}
        self._keep = {remembered: line(lenient, size) for remembered, size in sizes.items()}
        self._turned = line(TURNED_FALSE_ACCEPT_RATE, 1)
        self._calibration = calibration
        self._options = options
        self._index = index

    @property
    def nothing_seen(self) -> Decision:
        return Decision(IdentityStatus.TENTATIVE, (), self._accept[False])

    def decide(self, looks: Looks, hits: tuple[Hit, ...], count: int) -> Decision:
        candidates = tuple(self._candidate(hit) for hit in hits)
        best = candidates[0] if candidates else None
        accept = self._accept[best.remembered if best else False]
        undecided = Decision(IdentityStatus.TENTATIVE, candidates, accept)
        if count < self._options.min_looks:
            return undecided
        status = self._status(undecided, looks) if best else IdentityStatus.UNKNOWN
        if best and best.remembered and status is IdentityStatus.KNOWN:
            return replace(undecided, status=IdentityStatus.UNKNOWN, stranger=best)
        return replace(undecided, status=status)

    def _status(self, undecided: Decision, looks: Looks) -> IdentityStatus:
        best, min_margin = undecided.candidates[0], self._options.min_margin
        if best.identity_id == looks.holder:
            line, min_margin = self._keep[best.remembered], KEEP_MARGIN * min_margin
        else:
            line = undecided.accept_similarity
        if best.similarity < line or self._has_turned(best, looks):
            return IdentityStatus.UNKNOWN
        return IdentityStatus.KNOWN if undecided.margin >= min_margin else IdentityStatus.AMBIGUOUS

    def _has_turned(self, best: Candidate, looks: Looks) -> bool:
        """Whether the latest looks are at somebody else, for whom the older ones must not speak."""
        counting = looks.weights > 0
        latest = Looks(looks.embeddings[counting][-LATEST_LOOKS:], looks.weights[counting][-LATEST_LOOKS:])
        similarity = self._index.similarity(best.identity_id, evidence(latest))
        return similarity is None or similarity < self._turned

    def _candidate(self, hit: Hit) -> Candidate:
        who, similarity = hit.identity, hit.similarity
        return Candidate(who.identity_id, who.name, similarity, self._calibration.confidence(similarity),
                         who.remembered)  # fmt: skip


def evidence(looks: Looks) -> FloatArray:
    """One probe of several looks, (D,) float32 unit vector: fused by quality; their order does not matter."""
    return fuse(looks.embeddings, looks.weights)
