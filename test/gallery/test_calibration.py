import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_recognition_ros.errors import ModelError
from face_recognition_ros.gallery.calibration import SIMILARITY_CAP, Calibration, Tail, effective_count

# One point a decade on a straight line in log FAR: every value between and beyond can be computed by hand.
LINE = Calibration((1e-1, 1e-2, 1e-3), (0.1, 0.2, 0.3), 0.7, 0.1, 20.0, -8.0)
# The same with a tail of its own: FAR = 1e-3 (1 + 5 (s - 0.3))^-2.
HEAVY = Calibration((1e-1, 1e-2, 1e-3), (0.1, 0.2, 0.3), 0.7, 0.1, 20.0, -8.0, Tail(0.5, 0.1))


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


@pytest.mark.parametrize("calibration", [LINE, HEAVY], ids=["without tail", "with tail"])
@given(far=st.floats(1e-4, 0.0999))
def test_false_accept_rate_is_the_inverse(calibration: Calibration, far: float) -> None:
    assert calibration.false_accept_rate(calibration.accept_similarity(far, 1)) == pytest.approx(far, rel=1e-6)


def test_false_accept_rate_below_the_table_is_one_and_never_rises() -> None:
    assert LINE.false_accept_rate(0.0999) == 1.0
    rates = [LINE.false_accept_rate(similarity) for similarity in np.linspace(-1, 1, 401)]
    assert np.all(np.diff(rates) <= 0)


def test_the_generalised_pareto_tail_by_hand() -> None:
    assert HEAVY.accept_similarity(1e-3 / 9, 1) == pytest.approx(0.3 + 0.1 * (math.sqrt(9) - 1) / 0.5)
    assert HEAVY.false_accept_rate(0.5) == pytest.approx(1e-3 / 2**2)
    exponential = Calibration((1e-1, 1e-2), (0.1, 0.2), 0.7, 0.1, 20.0, -8.0, Tail(0.0, 0.1))
    assert exponential.accept_similarity(1e-2 / math.e, 1) == pytest.approx(0.3)


def test_without_a_tail_the_line_through_the_last_decade_goes_on() -> None:
    bent = Calibration((1e-1, 1e-2, 10**-2.5, 1e-3), (0.0, 0.2, 0.26, 0.3), 0.7, 0.1, 20.0, -8.0)
    assert bent.accept_similarity(1e-5, 1) == pytest.approx(0.5)


def test_confidence_is_the_logistic_curve() -> None:
    assert LINE.confidence(0.4) == pytest.approx(0.5)
    assert LINE.confidence(0.5) == pytest.approx(1 / (1 + math.exp(-2)))
    assert LINE.confidence(-1) == pytest.approx(math.exp(-28), rel=1e-3, abs=1e-13)
    assert Calibration((0.1, 0.01), (0.1, 0.2), 0.7, 0.1, 1e6, 0.0).confidence(-1.0) == 0.0


def cosines(count: int, seed: int) -> npt.NDArray[np.float64]:
    """Of random 64-D vectors and a fixed one, ascending: their tail is shorter than an exponential's."""
    vectors = np.random.default_rng(seed).normal(size=(count, 64))
    return np.sort(vectors[:, 0] / np.linalg.norm(vectors, axis=1))


def test_measured_points_are_the_quantiles_of_the_scores(calibration: Calibration) -> None:
    assert calibration.impostor_far[0] == pytest.approx(0.1, rel=0.02)
    assert calibration.impostor_far[-1] <= 5e-5
    fresh = cosines(400_000, 99)
    for far in (0.1, 0.01, 0.001):
        assert np.mean(fresh > calibration.accept_similarity(far, 1)) == pytest.approx(far, rel=0.2)


GENUINE = np.linspace(0.5, 0.9, 100)


def normal(random: np.random.Generator, size: tuple[int, ...]) -> npt.NDArray[np.float64]:
    return random.normal(0, 0.1, size)


def exponential(random: np.random.Generator, size: tuple[int, ...]) -> npt.NDArray[np.float64]:
    return random.exponential(0.05, size)


def pareto(random: np.random.Generator, size: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Heavier than an exponential, with a shape of 0.1; a few in a million reach 1."""
    return 0.2 * (random.uniform(size=size) ** -0.1 - 1)


@pytest.mark.parametrize("draw", [normal, exponential, pareto])
def test_far_beyond_the_fitted_data_the_false_accept_rate_stays_under_the_target(draw: Callable[..., Any]) -> None:
    """Each line is fitted to 20,000 pairs; two million others show what it lets pass, down to one in a million."""
    random = np.random.default_rng(3)
    unseen = np.sort(draw(random, (2_000_000,)))
    fitted = [Calibration.from_scores(GENUINE, draw(random, (20_000,)).clip(-1, 1)) for _ in range(10)]
    for target in (1e-4, 1e-5, 1e-6):
        lines = [calibration.accept_similarity(target, 1) for calibration in fitted]
        passed = 1 - np.searchsorted(unseen, lines, "right") / len(unseen)
        assert np.mean(passed <= target) >= 0.9
        assert np.mean(passed) <= target


def resembling_pairs(random: np.random.Generator, people: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """All pairs among people of whom some resemble everybody more than others do; pairs that share people depend."""
    resemblance = random.gamma(1.0, 0.05, people)
    first, second = np.triu_indices(people, 1)
    scores = random.normal(0, 0.1, len(first)) + resemblance[first] + resemblance[second]
    return scores.clip(-1, 0.99), np.stack([first, second], axis=1)


def test_pairs_that_share_people_count_for_less() -> None:
    """Taken for independent, pairs among 150 people promise too much; once the people are known, they hold back."""
    random = np.random.default_rng(8)
    unseen = np.sort(resembling_pairs(random, 1000)[0])
    samples = [resembling_pairs(random, 150) for _ in range(10)]

    for target in (1e-2, 1e-3, 1e-4):
        lines = np.array(
            [
                [Calibration.from_scores(GENUINE, s, known).accept_similarity(target, 1) for known in (None, people)]
                for s, people in samples
            ]
        )
        passed = 1 - np.searchsorted(unseen, lines, "right") / len(unseen)
        assert np.all(lines[:, 1] > lines[:, 0])
        assert passed[:, 1].mean() < 0.75 * target
        assert np.mean(passed[:, 1] <= target) >= 0.8


def test_the_effective_count_by_hand() -> None:
    """All pairs among 40 people, 20 of them beyond: of 20 pairs of people, or all of them the pairs of one person."""
    people = np.stack(np.triu_indices(40, 1), axis=1)
    strangers = (people[:, 0] % 2 == 0) & (people[:, 1] == people[:, 0] + 1)
    assert effective_count(strangers, people) == 20
    lamb = (people[:, 0] == 0) & (people[:, 1] <= 20)
    assert effective_count(lamb, people) == pytest.approx(20**2 / (19**2 + 19 - 20))
    assert effective_count(np.zeros(len(people), bool), people) == 1


def test_a_few_impostors_who_are_taken_for_the_same_keep_the_line_above_them() -> None:
    """A network that gives some faces one and the same embedding: no smooth tail may hide it."""
    scores = cosines(200_000, 4)
    scores[-20:] = np.linspace(0.98, 0.99, 20)
    calibration = Calibration.from_scores(GENUINE, scores)
    assert calibration.accept_similarity(5e-5, 1) > 0.97
    assert calibration.accept_similarity(1e-6, 1) == SIMILARITY_CAP


def test_a_cosine_that_rounding_carries_beyond_1_is_1() -> None:
    scores = np.concatenate((cosines(20_000, 4), np.full(30, 1 + 1e-7)))
    assert Calibration.from_scores(GENUINE, scores).impostor_similarity[-1] == 1


def test_people_must_be_two_for_each_pair() -> None:
    with pytest.raises(ModelError, match="two people for each impostor pair"):
        Calibration.from_scores(GENUINE, cosines(3000, 0), np.zeros((2999, 2), int))


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
    with pytest.raises(ModelError, match="similarities that differ"):
        Calibration.from_scores([0.5, 0.6], np.zeros(3000))
    with pytest.raises(ModelError, match="finite"):
        Calibration.from_scores([0.5, math.nan], np.linspace(0, 1, 3000))


def test_a_calibration_survives_json(calibration: Calibration) -> None:
    assert calibration.impostor_tail is not None
    assert Calibration.from_dict(json.loads(json.dumps(LINE.to_dict()))) == LINE, "a file without a tail"
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
        ("impostor", "tail", {"shape": -0.1, "scale": 0.05}, "shape of 0 or more"),
        ("impostor", "tail", {"shape": 0.1, "scale": 0.0}, "scale above 0"),
        ("impostor", "tail", {"shape": 0.1}, "no entry 'scale'"),
        ("impostor", "tail", 0.1, "wrong kind"),
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
