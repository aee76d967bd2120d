import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_recognition_ros.errors import ModelError
from face_recognition_ros.gallery.calibration import SIMILARITY_CAP, Calibration

# One point a decade on a straight line in log FAR: every value between and beyond can be computed by hand.
LINE = Calibration((1e-1, 1e-2, 1e-3), (0.1, 0.2, 0.3), 0.7, 0.1, 20.0, -8.0)


def test_the_accept_line_by_hand() -> None:
    assert LINE.accept_similarity(1e-2, 1) == pytest.approx(0.2)
    assert LINE.accept_similarity(10**-2.5, 1) == pytest.approx(0.25)
    per_comparison = 1 - (1 - 1e-2) ** (1 / 10)  # within the table
    assert LINE.accept_similarity(1e-2, 10) == pytest.approx(-0.1 * math.log10(per_comparison))
    per_comparison = 1 - (1 - 1e-3) ** (1 / 1000)  # three decades beyond it
    assert LINE.accept_similarity(1e-3, 1000) == pytest.approx(-0.1 * math.log10(per_comparison))
    assert LINE.accept_similarity(1e-3, 10**9) == SIMILARITY_CAP
    assert LINE.accept_similarity(0.5, 1) == 0.1  # nothing is known below the table
    assert LINE.accept_similarity(1e-2, 0) == LINE.accept_similarity(1e-2, 1)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, math.nan])
def test_a_target_out_of_range_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="within"):
        LINE.accept_similarity(target, 1)


@given(st.floats(1e-9, 0.9), st.floats(1e-9, 0.9), st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_accept_line_rises_with_gallery_size_and_falls_with_the_target(a: float, b: float, m: int, n: int) -> None:
    assert LINE.accept_similarity(min(a, b), m) >= LINE.accept_similarity(max(a, b), m)
    assert LINE.accept_similarity(a, max(m, n)) >= LINE.accept_similarity(a, min(m, n))


@given(st.floats(1e-8, 0.0999))
def test_false_accept_rate_is_the_inverse(far: float) -> None:
    assert LINE.false_accept_rate(LINE.accept_similarity(far, 1)) == pytest.approx(far, rel=1e-6)


def test_false_accept_rate_below_the_table_is_one_and_never_rises() -> None:
    assert LINE.false_accept_rate(0.0999) == 1.0
    rates = [LINE.false_accept_rate(similarity) for similarity in np.linspace(-1, 1, 401)]
    assert np.all(np.diff(rates) <= 0)


def test_the_tail_is_the_line_through_the_last_decade() -> None:
    bent = Calibration((1e-1, 1e-2, 10**-2.5, 1e-3), (0.0, 0.2, 0.26, 0.3), 0.7, 0.1, 20.0, -8.0)
    assert bent.accept_similarity(1e-5, 1) == pytest.approx(0.5)


def test_confidence_is_the_logistic_curve() -> None:
    assert LINE.confidence(0.4) == pytest.approx(0.5)
    assert LINE.confidence(0.5) == pytest.approx(1 / (1 + math.exp(-2)))
    assert LINE.confidence(-1) == pytest.approx(math.exp(-28), rel=1e-3, abs=1e-13)
    assert Calibration((0.1, 0.01), (0.1, 0.2), 0.7, 0.1, 1e6, 0.0).confidence(-1.0) == 0.0


def test_measured_points_are_the_quantiles_of_the_scores(calibration: Calibration) -> None:
    random = np.random.default_rng(99)
    fresh = random.normal(size=(400_000, 64))
    cosines = fresh[:, 0] / np.linalg.norm(fresh, axis=1)  # of a random vector and a fixed one
    assert calibration.impostor_far[0] == pytest.approx(0.1)
    assert calibration.impostor_far[-1] <= 2.7e-4
    for far in (0.1, 0.01, 0.001):
        measured = np.mean(cosines > calibration.accept_similarity(far, 1))
        assert measured == pytest.approx(far, rel=0.15)


def test_beyond_the_measured_tail_the_line_errs_on_the_safe_side() -> None:
    random = np.random.default_rng(3)
    cosines = np.sort(random.normal(size=2_000_000) / 8)
    rough = Calibration.from_scores(random.normal(0.7, 0.1, 1000), cosines[::100])  # 20,000 pairs: known to FAR 5e-3
    assert rough.impostor_far[-1] >= 5e-3 * (1 - 1e-9)
    for far in (1e-4, 1e-5):
        assert np.mean(cosines > rough.accept_similarity(far, 1)) <= far


def test_the_logistic_curve_recovers_the_true_odds() -> None:
    """Two normal distributions of equal spread s have log odds (m1 - m0) / s^2 (x - (m0 + m1) / 2), exactly."""
    random = np.random.default_rng(5)
    fitted = Calibration.from_scores(random.normal(0.5, 0.15, 200_000), random.normal(0.1, 0.15, 50_000))
    assert fitted.logistic_slope == pytest.approx(0.4 / 0.15**2, rel=0.03)
    assert -fitted.logistic_intercept / fitted.logistic_slope == pytest.approx(0.3, abs=0.005)
    assert (fitted.genuine_mean, fitted.genuine_std) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.15, rel=0.02))


def test_scores_without_overlap_give_a_finite_curve() -> None:
    fitted = Calibration.from_scores(np.linspace(0.8, 0.9, 100), np.linspace(-0.2, 0.2, 3000))
    assert fitted.confidence(0.85) > 0.9
    assert fitted.confidence(0.1) < 0.1
    assert math.isfinite(fitted.logistic_slope)


def test_too_few_or_senseless_scores_are_refused() -> None:
    with pytest.raises(ModelError, match="at least 2 genuine and 2000"):
        Calibration.from_scores([0.5, 0.6], np.zeros(1999))
    with pytest.raises(ModelError, match=r"ascending|2 or more"):
        Calibration.from_scores([0.5, 0.6], np.zeros(3000))
    with pytest.raises(ModelError, match="finite"):
        Calibration.from_scores([0.5, math.nan], np.linspace(0, 1, 3000))


def test_a_calibration_survives_json(calibration: Calibration) -> None:
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


@pytest.mark.parametrize(
    ("part", "entry", "value", "sentence"),
    [
        ("impostor", "far", [0.1], "one length, 2 or more"),
        ("impostor", "far", [0.001, 0.01, 0.1], "far must descend"),
        ("impostor", "far", [1.5, 0.01, 0.001], "far must descend"),
        ("impostor", "far", [math.nan, 0.01, 0.001], "far must descend"),
        ("impostor", "similarity", [0.3, 0.2, 0.1], "similarity must ascend"),
        ("impostor", "similarity", [0.1, 0.2, 3.0], "similarity must ascend"),
        ("impostor", "similarity", "high", "wrong kind"),
        ("genuine", "mean", 2.0, "genuine mean"),
        ("genuine", "std", -0.1, "genuine mean"),
        ("genuine", "std", None, "wrong kind"),
        ("logistic", "slope", 0.0, "slope must be"),
        ("logistic", "intercept", math.inf, "intercept"),
    ],
)
def test_a_wrong_entry_gets_a_sentence(part: str, entry: str, value: Any, sentence: str) -> None:
    data = LINE.to_dict()
    data[part][entry] = value
    with pytest.raises(ModelError, match=sentence):
        Calibration.from_dict(data)


@pytest.mark.parametrize("part", ["impostor", "genuine", "logistic"])
def test_a_missing_entry_is_named(part: str) -> None:
    data = LINE.to_dict()
    del data[part]
    with pytest.raises(ModelError, match=f"no entry '{part}'"):
        Calibration.from_dict(data)
