"""Measures of verification: pure functions of similarities and of which pairs are genuine."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Scores = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


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


def fold_decisions(similarities: Scores, genuine: Mask, folds: npt.NDArray[np.int64]) -> Mask:
    """Which pairs (N,) are taken for genuine, each fold at the threshold that is best on all others.

    The protocol of LFW (Huang et al. 2007). Raises ValueError where there are fewer than two folds.
    """
    if len(np.unique(folds)) < 2:
        raise ValueError("at least two folds are needed: each is judged at the others' threshold")
    accepted = np.zeros(len(folds), bool)
    for fold in np.unique(folds):
        inside = folds == fold
        accepted[inside] = similarities[inside] >= best_threshold(similarities[~inside], genuine[~inside])
    return accepted


def area_under_roc(similarities: Scores, genuine: Mask) -> float:
    """Probability that a genuine pair is more similar than an impostor one, ties half (Mann and Whitney 1947)."""
    positives, negatives = int(genuine.sum()), int((~genuine).sum())
    rank_sum = rankdata(similarities)[genuine].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def true_accept_rate(similarities: Scores, genuine: Mask, false_accept_rate: float) -> float:
    """TAR at FAR: genuine pairs accepted by the lowest threshold that accepts no more of the impostor pairs."""
    impostors = np.sort(similarities[~genuine])[::-1]
    allowed = int(np.floor(false_accept_rate * len(impostors) + 1e-9))
    threshold = impostors[allowed] if allowed < len(impostors) else -np.inf
    return float(np.mean(similarities[genuine] > threshold))


def equal_error_rate(similarities: Scores, genuine: Mask) -> float:
    """Where the rates of accepted impostors and rejected genuine pairs meet: their mean where they are nearest."""
    thresholds = np.unique(similarities)
    rejected = np.searchsorted(np.sort(similarities[genuine]), thresholds) / genuine.sum()
    accepted = 1 - np.searchsorted(np.sort(similarities[~genuine]), thresholds) / (~genuine).sum()
    nearest = int(np.argmin(np.abs(rejected - accepted)))
    return float((rejected[nearest] + accepted[nearest]) / 2)


def f1_score(accepted: Mask, genuine: Mask) -> float:
    """2 TP / (2 TP + FP + FN) of the pairs (N,) that were taken for genuine."""
    true_positives = int((accepted & genuine).sum())
    wrong = int((accepted != genuine).sum())
    return 2 * true_positives / max(2 * true_positives + wrong, 1)
