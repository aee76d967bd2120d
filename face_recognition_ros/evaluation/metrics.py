"""Measures of verification and identification: pure functions of similarities and of which pairs are genuine."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import det_curve, precision_recall_fscore_support, roc_auc_score, roc_curve

Scores = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BOOTSTRAP_ROUNDS = 1000
CONFIDENCE = 0.95
"""Of all intervals."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The genuine pairs accepted by the lowest threshold that accepts no more of the impostor pairs than allowed."""

    far: float
    """The false accept rate that was allowed."""
    threshold: float
    """Accepted is what is at or over it."""
    tar: float
    impostors: int
    false_accepts: int
    """How many of the impostor pairs are accepted: at most far times their number, rounded down."""
    wilson: tuple[float, float]
    """Interval of the TAR at this threshold (Wilson 1927); it takes pairs as independent and the threshold as given."""
    bootstrap: tuple[float, float]
    """Interval of the TAR over people drawn anew, the threshold found anew each time: see `bootstrap_tar`."""

    def record(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def best_threshold(similarities: Scores, genuine: Mask) -> float:
    """The threshold, halfway between two similarities, that judges most pairs (N,) rightly (at or over it: genuine)."""
    order = np.argsort(similarities, kind="stable")
    ascending = similarities[order]
    accepted_right = genuine.sum() - np.concatenate([[0], np.cumsum(genuine[order])])
    rejected_right = np.concatenate([[0], np.cumsum(~genuine[order])])
    possible = np.concatenate([[True], ascending[1:] > ascending[:-1], [True]])  # not between two equal ones
    best = int(np.argmax(np.where(possible, accepted_right + rejected_right, -1)))
    edges = np.concatenate([[ascending[0] - 1], ascending, [ascending[-1] + 1]])
    return float((edges[best] + edges[best + 1]) / 2)


def fold_thresholds(similarities: Scores, genuine: Mask, folds: npt.NDArray[np.int64], missed: Mask) -> Scores:
    """The threshold (N,) for each pair: the one that is best on the pairs of all folds but its own.

    The protocol of LFW (Huang et al. 2007). `missed` pairs, in which a face was not found, have no say: they are judged
    wrongly at any threshold. Where there are no others, nothing is accepted. Raises ValueError where there are fewer
    than two folds.
    """
    if len(np.unique(folds)) < 2:
        raise ValueError("at least two folds are needed: each is judged at the others' threshold")
    thresholds = np.full(len(folds), float(similarities.max()) + 1.0)
    for fold in np.unique(folds):
        inside, others = folds == fold, (folds != fold) & ~missed
        if others.any():
            thresholds[inside] = best_threshold(similarities[others], genuine[others])
    return thresholds


def area_under_roc(similarities: Scores, genuine: Mask) -> float:
    """Probability that a genuine pair is more similar than an impostor one, ties half."""
    return float(roc_auc_score(genuine, similarities))


def equal_error_rate(similarities: Scores, genuine: Mask) -> float:
    """Where the rates of accepted impostors and rejected genuine pairs meet: their mean where they are nearest."""
    accepted, rejected, _ = det_curve(genuine, similarities)
    nearest = int(np.argmin(np.abs(rejected - accepted)))
    return float((rejected[nearest] + accepted[nearest]) / 2)


def precision_recall_f1(accepted: Mask, genuine: Mask) -> tuple[float, float, float]:
    """Of the pairs (N,) that were taken for genuine; 0 where none was."""
    precision, recall, f1, _ = precision_recall_fscore_support(genuine, accepted, average="binary", zero_division=0.0)
    return float(precision), float(recall), float(f1)


def tar_at_far(
    similarities: Scores, genuine: Mask, rates: Sequence[float], weights: Scores | None = None
) -> tuple[Scores, Scores]:
    """TAR (R,) and threshold (R,) at each of the false accept rates (R,).

    The threshold is the lowest that accepts no larger part of the impostor pairs; infinite where it accepts nothing.
    weights: (N,), how often each pair counts.
    """
    far, tar, thresholds = roc_curve(genuine, similarities, sample_weight=weights, drop_intermediate=False)
    at = np.searchsorted(far, np.asarray(rates) + 1e-12, side="right") - 1
    return tar[at], thresholds[at]


def operating_points(
    similarities: Scores,
    genuine: Mask,
    people: Sequence[tuple[str, str]],
    rates: Sequence[float],
    rounds: int = BOOTSTRAP_ROUNDS,
) -> dict[str, OperatingPoint | None]:
    """By rate ("0.001"); None for a rate at which not even one of the impostor pairs may be accepted.

    There TAR would be that at no false accept, whatever the rate, and say nothing about it.
    people: of whom each pair (N,) is, the same name twice for a genuine pair. rounds: of the bootstrap.
    """
    impostors = similarities[~genuine]
    measurable = [rate for rate in rates if rate * len(impostors) >= 1 - 1e-9]
    points: dict[str, OperatingPoint | None] = {f"{rate:g}": None for rate in rates}
    if not measurable:
        return points
    intervals = bootstrap_tar(similarities, genuine, person_weights(people, rounds), measurable)
    found = zip(measurable, *tar_at_far(similarities, genuine, measurable), intervals, strict=True)
    for rate, tar, threshold, (low, high) in found:
        finite = float(threshold) if np.isfinite(threshold) else float(similarities.max()) + 1.0
        points[f"{rate:g}"] = OperatingPoint(
            rate, finite, float(tar), len(impostors), int((impostors >= finite).sum()),
            wilson(int((similarities[genuine] >= finite).sum()), int(genuine.sum())), (float(low), float(high)),
        )  # fmt: skip
    return points


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a rate; raises ValueError without a trial."""
    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def person_weights(people: Sequence[tuple[str, str]], rounds: int = BOOTSTRAP_ROUNDS, seed: int = 0) -> Scores:
    """How often each pair counts, (rounds, N), when as many people as there are are drawn with replacement.

    A pair of two people counts as often as the product of their draws, a genuine one as often as its person was drawn
    (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007): pairs that share a person vary together.
    """
    names, index = np.unique(np.array(people), return_inverse=True)
    first, second = index.reshape(-1, 2).T
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), rounds)
    return np.where(first == second, drawn[:, first], drawn[:, first] * drawn[:, second]).astype(np.float64)


def bootstrap_tar(similarities: Scores, genuine: Mask, weights: Scores, rates: Sequence[float]) -> Scores:
    """Percentile interval (R, 2) of the TAR at each rate (R,), over rounds (B, N) of the pairs' weights.

    Rounds that drew no genuine or no impostor pair are left out.
    """
    drawn = [row for row in weights if row[genuine].any() and row[~genuine].any()]
    rounds = [tar_at_far(similarities, genuine, rates, row)[0] for row in drawn]
    ends = 50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)
    interval: Scores = np.percentile(rounds, ends, axis=0).T
    return interval
