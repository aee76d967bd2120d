"""Decides who somebody is: evidence of several looks against the gallery, with an accept line and a margin."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.index import TemplateIndex
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.types import Candidate, Decision, FloatArray, IdentityStatus


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
    """(K, D) float32 unit vectors; D does not matter where K is 0."""
    weights: FloatArray
    """(K,) float32, 0 or more: quality scores. A look of weight 0 does not count."""


@dataclass(frozen=True, slots=True)
class FrameDecisions:
    """What was decided on the tracks of one frame, all against the same gallery."""

    revision: int
    """Of the gallery that was used."""
    decisions: tuple[Decision, ...]


class Matcher:
    """Judges looks against the gallery in a store. May be used from several threads.

    Each call looks once whether the store has changed, and uses that one revision throughout: what was enrolled is
    recognised, and what was forgotten is not, from the next call on.
    """

    def __init__(self, store: GalleryStore, calibration: Calibration, options: MatcherOptions | None = None) -> None:
        self.calibration = calibration
        self.options = options or MatcherOptions()
        self._store = store
        self._lock = threading.Lock()
        self._index = TemplateIndex.of(store)

    @property
    def revision(self) -> int:
        """Of the gallery that the latest call used."""
        return self._index.revision

    def refresh(self) -> TemplateIndex:
        """The index of the store's present revision, built anew only where that has changed."""
        with self._lock:
            if self._index.revision != self._store.revision:
                self._index = TemplateIndex.of(self._store)
            return self._index

    def decide(self, embeddings: FloatArray, weights: FloatArray) -> Decision:
        """Who the person is of whom there are these looks: embeddings (K, D) and weights (K,), as in `Looks`."""
        return self.decide_batch([Looks(embeddings, weights)]).decisions[0]

    def decide_single(self, embedding: FloatArray) -> Decision:
        """Who the person is on a still picture, of whom there is one look: embedding (D,) float32 unit vector."""
        return self.decide_stills([Looks(embedding[None, :], np.ones(1, np.float32))]).decisions[0]

    def decide_stills(self, people: Sequence[Looks]) -> FrameDecisions:
        """Who the people of a picture are, each judged by what looks there are; without any they stay tentative."""
        return self._decide(people, self.refresh(), min_looks=1)

    def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
        """Who the people on these tracks are, each by itself."""
        return self._decide(tracks, self.refresh(), self.options.min_looks)

    def _decide(self, tracks: Sequence[Looks], index: TemplateIndex, min_looks: int) -> FrameDecisions:
        options = self.options
        accept = self.calibration.accept_similarity(options.target_false_accept_rate, index.templates)
        counts = [int(np.count_nonzero(looks.weights > 0)) for looks in tracks]
        seen = [evidence(looks) for looks, count in zip(tracks, counts, strict=True) if count]
        rows = iter(index.similarities(np.stack(seen)) if seen else ())
        decisions = []
        for count in counts:
            candidates = self._candidates(index, next(rows)) if count else ()
            status = _status(candidates, accept, options.min_margin) if count >= min_looks else IdentityStatus.TENTATIVE
            decisions.append(Decision(status, candidates, accept))
        return FrameDecisions(index.revision, tuple(decisions))

    def _candidates(self, index: TemplateIndex, similarities: FloatArray) -> tuple[Candidate, ...]:
        """The most similar identities, best first; of equals the one with the smaller id first."""
        count = min(self.options.max_candidates, len(similarities))
        if count == 0:
            return ()
        line = np.partition(similarities, -count)[-count]
        near = np.flatnonzero(similarities >= line)
        best = near[np.argsort(-similarities[near], kind="stable")][:count]
        cosines = np.clip(similarities[best], -1.0, 1.0).tolist()  # rounding may lead beyond
        people = [(index.identities[i], cosine) for i, cosine in zip(best, cosines, strict=True)]
        confidence = self.calibration.confidence
        return tuple(Candidate(who.identity_id, who.name, cosine, confidence(cosine)) for who, cosine in people)


def evidence(looks: Looks) -> FloatArray:
    """One probe (D,) of several looks: their weighted mean; their order does not matter.

    Its product with a template is the mean of the looks' cosines. It is not brought to length 1: that would raise every
    similarity by what the looks differ among themselves, a stranger's too, beyond the statistics of single looks from
    which the accept line follows.
    """
    weights = looks.weights.astype(np.float64)
    mean: FloatArray = (weights @ looks.embeddings.astype(np.float64) / weights.sum()).astype(np.float32)
    return mean


def _status(candidates: tuple[Candidate, ...], accept_similarity: float, min_margin: float) -> IdentityStatus:
    decision = Decision(IdentityStatus.UNKNOWN, candidates)  # for its similarity and margin
    if not candidates or decision.similarity < accept_similarity:
        return IdentityStatus.UNKNOWN
    return IdentityStatus.KNOWN if decision.margin >= min_margin else IdentityStatus.AMBIGUOUS
