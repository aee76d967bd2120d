"""Verification measures against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from face_recognition_ros.evaluation import metrics

SIMILARITIES = np.array([0.9, 0.8, 0.3, 0.6, 0.2, 0.1])
GENUINE = np.array([True, True, True, False, False, False])


def test_best_threshold_lies_between_the_pairs_that_it_parts() -> None:
    assert metrics.best_threshold(SIMILARITIES, GENUINE) in (pytest.approx(0.7), pytest.approx(0.25))
    judged = metrics.best_threshold(SIMILARITIES, GENUINE) <= SIMILARITIES
    assert (judged == GENUINE).sum() == 5


def test_best_threshold_never_parts_equal_similarities() -> None:
    similarities = np.array([0.5, 0.5, 0.5, 0.5])
    genuine = np.array([True, True, True, False])
    assert ((similarities >= metrics.best_threshold(similarities, genuine)) == genuine).sum() == 3


def test_each_fold_is_judged_at_the_others_threshold() -> None:
    # Each fold alone is perfectly separable, but at a threshold that the other fold gets wrong.
    similarities = np.array([0.9, 0.7, 0.4, 0.2])
    genuine = np.array([True, False, True, False])
    folds = np.array([0, 0, 1, 1])
    assert metrics.fold_decisions(similarities, genuine, folds).tolist() == [True, True, False, False]


def test_one_fold_has_no_others() -> None:
    with pytest.raises(ValueError, match="two folds"):
        metrics.fold_decisions(SIMILARITIES, GENUINE, np.zeros(6, np.int64))


def test_area_under_roc_counts_ordered_pairs() -> None:
    assert metrics.area_under_roc(SIMILARITIES, GENUINE) == pytest.approx(8 / 9)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_area_under_roc_is_the_rank_statistic(pairs: list[tuple[int, bool]]) -> None:
    similarities = np.array([value for value, _ in pairs], float)
    genuine = np.array([same for _, same in pairs])
    if genuine.all() or not genuine.any():
        return
    expected = mannwhitneyu(similarities[genuine], similarities[~genuine]).statistic
    assert metrics.area_under_roc(similarities, genuine) == pytest.approx(expected / (genuine.sum() * (~genuine).sum()))


@pytest.mark.parametrize(("far", "tar"), [(0.0, 2 / 3), (0.34, 1.0), (1.0, 1.0)])
def test_true_accept_rate(far: float, tar: float) -> None:
    assert metrics.true_accept_rate(SIMILARITIES, GENUINE, far) == pytest.approx(tar)


def test_equal_error_rate() -> None:
    assert metrics.equal_error_rate(SIMILARITIES, GENUINE) == pytest.approx(1 / 3)


def test_f1_score() -> None:
    assert metrics.f1_score(SIMILARITIES >= 0.7, GENUINE) == pytest.approx(2 * 2 / (2 * 2 + 1))
