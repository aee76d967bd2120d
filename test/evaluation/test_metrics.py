"""Measures of verification against values worked out by hand."""

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
    thresholds = metrics.fold_thresholds(similarities, genuine, folds, np.zeros(4, bool))
    assert thresholds == pytest.approx([0.3, 0.3, 0.8, 0.8])


def test_pairs_without_a_face_have_no_say_in_the_threshold() -> None:
    # To accept everything, the three that were missed, too, would judge four pairs of the second fold rightly.
    similarities = np.array([1.0, 1.0, 0.0, -2.0, -2.0, -2.0, 1.0, 0.0])
    genuine = np.array([True, True, False, True, True, True, True, False])
    folds = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    assert metrics.fold_thresholds(similarities, genuine, folds, similarities == -2) == pytest.approx(0.5)
    blind = metrics.fold_thresholds(similarities, genuine, folds, folds == 1)
    assert (blind[:3] > 1).all(), "nothing is known, nothing accepted"


def test_one_fold_has_no_others() -> None:
    with pytest.raises(ValueError, match="two folds"):
        metrics.fold_thresholds(SIMILARITIES, GENUINE, np.zeros(6, np.int64), np.zeros(6, bool))


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


@pytest.mark.parametrize(
    ("far", "tar", "threshold"),
    [(0.0, 2 / 3, 0.8), (0.33, 2 / 3, 0.8), (1 / 3, 1.0, 0.3), (0.5, 1.0, 0.3), (1.0, 1.0, 0.1)],
)
def test_true_accept_rate(far: float, tar: float, threshold: float) -> None:
    # One of the three impostors lies over the lowest genuine pair: a third of them must be allowed to accept it.
    tars, thresholds = metrics.tar_at_far(SIMILARITIES, GENUINE, [far])
    assert tars == pytest.approx([tar])
    assert thresholds == pytest.approx([threshold])


def test_an_impostor_over_all_genuine_pairs_leaves_nothing_to_accept() -> None:
    tars, thresholds = metrics.tar_at_far(np.array([0.5, 0.9, 0.1]), np.array([True, False, False]), [0.1])
    assert (tars[0], thresholds[0]) == (0.0, np.inf)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_a_weight_counts_like_so_many_equal_pairs(pairs: list[tuple[int, bool, int]]) -> None:
    similarities = np.array([value for value, _, _ in pairs], float)
    genuine = np.array([same for _, same, _ in pairs])
    weights = np.array([count for _, _, count in pairs])
    if not weights[genuine].any() or not weights[~genuine].any():
        return
    rates = [0.0, 0.1, 0.4]
    repeated = metrics.tar_at_far(np.repeat(similarities, weights), np.repeat(genuine, weights), rates)
    weighted = metrics.tar_at_far(similarities, genuine, rates, weights.astype(float))
    assert weighted[0] == pytest.approx(repeated[0])


def test_equal_error_rate() -> None:
    assert metrics.equal_error_rate(SIMILARITIES, GENUINE) == pytest.approx(1 / 3)


def test_precision_recall_f1() -> None:
    # At 0.25: three right of four accepted, and three of three genuine ones are among them.
    assert metrics.precision_recall_f1(SIMILARITIES >= 0.25, GENUINE) == pytest.approx((3 / 4, 1.0, 6 / 7))
    assert metrics.precision_recall_f1(np.zeros(6, bool), GENUINE) == (0.0, 0.0, 0.0)


def test_wilson_interval() -> None:
    # 8 of 10, z = 1.96: (0.8 + z^2/20 ± z sqrt(0.016 + z^2/400)) / (1 + z^2/10)
    z = 1.959964
    middle, half, whole = 0.8 + z**2 / 20, z * np.sqrt(0.016 + z**2 / 400), 1 + z**2 / 10
    assert metrics.wilson(8, 10) == pytest.approx(((middle - half) / whole, (middle + half) / whole), abs=1e-6)


def test_pairs_that_share_a_person_are_drawn_together() -> None:
    weights = metrics.person_weights([("a", "a"), ("b", "b"), ("a", "b")], rounds=50)
    own_a, own_b, both = weights.T
    assert weights.shape == (50, 3)
    assert (own_a + own_b == 2).all()
    assert (both == own_a * own_b).all()
    assert len(set(own_a)) == 3, "0, 1 and 2 draws all occur"
    assert (metrics.person_weights([("a", "a"), ("b", "b"), ("a", "b")], rounds=50) == weights).all()


def test_bootstrap_spans_what_people_differ_by() -> None:
    # Two of four people are always recognised, two never: TAR is the share of the former among those drawn.
    similarities = np.array([0.9, 0.9, 0.1, 0.1, 0.5, 0.5])
    genuine = np.array([True, True, True, True, False, False])
    people = [("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"), ("a", "b"), ("c", "d")]
    ((low, high),) = metrics.bootstrap_tar(similarities, genuine, metrics.person_weights(people, 400), [0.0])
    assert (low, high) == (0.0, 1.0)
    sure = metrics.bootstrap_tar(np.where(genuine, 1.0, 0.0), genuine, metrics.person_weights(people, 400), [0.0])
    assert sure.tolist() == [[1.0, 1.0]]


def test_a_rate_below_one_impostor_pair_is_not_measured() -> None:
    similarities = np.concatenate([np.linspace(0.5, 1, 20), np.linspace(0, 0.6, 100)])
    genuine = np.arange(120) < 20
    people = [(f"p{i}", f"p{i}") for i in range(20)] + [(f"p{i % 20}", f"p{(i + 1) % 20}") for i in range(100)]
    points = metrics.operating_points(similarities, genuine, people, (0.01, 0.001), rounds=100)
    assert points["0.001"] is None
    point = points["0.01"]
    assert point is not None
    # One impostor pair, at 0.6, may be accepted, the next lies at 0.594: four genuine pairs lie below 0.594.
    assert (point.false_accepts, point.impostors) == (1, 100)
    assert point.tar == pytest.approx(16 / 20)
    assert point.wilson == metrics.wilson(16, 20)
    assert point.bootstrap[0] < point.tar < point.bootstrap[1]
