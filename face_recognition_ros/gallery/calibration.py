"""What a similarity means: the network's measured impostor and genuine statistics, which ship beside the model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import ModelError

SIMILARITY_CAP = 0.999
"""No accept line is higher: a probe that equals its template must be accepted."""
_LEAST_PAIRS_BEYOND = 100
"""A quantile is trusted where at least so many impostor pairs lie beyond it: its FAR is then known to about a tenth."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Statistics of one network's cosine similarities, for comparisons of one probe with one template."""

    impostor_far: tuple[float, ...]
    """Q >= 2 false accept rates, descending, in (0, 1)."""
    impostor_similarity: tuple[float, ...]
    """The similarities that so large a part of the impostor pairs exceeds, ascending, in [-1, 1]."""
    genuine_mean: float
    genuine_std: float
    logistic_slope: float
    """Of log odds over similarity, greater than 0."""
    logistic_intercept: float

    def __post_init__(self) -> None:
        far, similarity = np.array(self.impostor_far), np.array(self.impostor_similarity)
        if len(far) < 2 or len(far) != len(similarity):
            raise ModelError(
                "The calibration's impostor far and similarity must be two lists of one length, 2 or more; "
                f"they have {len(far)} and {len(similarity)} entries."
            )
        if not (np.all((far > 0) & (far < 1)) and np.all(np.diff(far) < 0)):
            raise ModelError(f"The calibration's impostor far must descend within (0, 1), not {self.impostor_far}.")
        if not (np.all(np.abs(similarity) <= 1) and np.all(np.diff(similarity) > 0)):
            raise ModelError(
                f"The calibration's impostor similarity must ascend within [-1, 1], not {self.impostor_similarity}."
            )
        if not (abs(self.genuine_mean) <= 1 and 0 <= self.genuine_std <= 1):
            raise ModelError(
                "The calibration's genuine mean must lie within [-1, 1] and its std within [0, 1], "
                f"not {self.genuine_mean} and {self.genuine_std}."
            )
        if not (0 < self.logistic_slope < math.inf and math.isfinite(self.logistic_intercept)):
            raise ModelError(
                "The calibration's logistic slope must be a number above 0 and its intercept a number, "
                f"not {self.logistic_slope} and {self.logistic_intercept}."
            )

    def accept_similarity(self, target_false_accept_rate: float, comparisons: int) -> float:
        """The similarity above which a probe is accepted, so that a stranger who is compared with that many templates
        is taken for any of their owners at most at the target rate (0 to 1).

        One comparison may then err at the rate 1 - (1 - target)^(1 / comparisons), about target / comparisons: exact
        for independent templates, conservative for several of one person. Between measured points log FAR is
        interpolated. Beyond the last one it goes on along the straight line through the last decade, which is
        conservative: the tails of cosine similarities fall faster than an exponential. Never above SIMILARITY_CAP,
        nor below the first measured point.
        """
        if not 0 < target_false_accept_rate < 1:
            raise ValueError(f"target_false_accept_rate must lie within (0, 1), not {target_false_accept_rate}")
        log_far = math.log(-math.expm1(math.log1p(-target_false_accept_rate) / max(comparisons, 1)))
        log_fars = np.log(self.impostor_far)
        if log_far >= log_fars[-1]:
            similarity = float(np.interp(-log_far, -log_fars, self.impostor_similarity))
        else:
            similarity = self.impostor_similarity[-1] + (log_far - float(log_fars[-1])) / self._tail_slope()
        return min(similarity, SIMILARITY_CAP)

    def false_accept_rate(self, similarity: float) -> float:
        """The part of impostor pairs (one comparison) above that similarity: the inverse of `accept_similarity`.

        Below the first measured point it is 1, as nothing better is known there.
        """
        if similarity < self.impostor_similarity[0]:
            return 1.0
        log_fars = np.log(self.impostor_far)
        beyond = similarity - self.impostor_similarity[-1]
        if beyond > 0:
            return math.exp(float(log_fars[-1]) + beyond * self._tail_slope())
        return math.exp(float(np.interp(similarity, self.impostor_similarity, log_fars)))

    def confidence(self, similarity: float) -> float:
        """The probability that the two are one person, where before the look both answers were equally likely."""
        return float(_sigmoid(np.float64(self.logistic_slope * similarity + self.logistic_intercept)))

    def _tail_slope(self) -> float:
        """Of log FAR over similarity through the last point and the one a decade before it (or the first); < 0."""
        fars = np.array(self.impostor_far)
        decade = int(np.flatnonzero((fars >= 10 * fars[-1] * (1 - 1e-9)) | (np.arange(len(fars)) == 0))[-1])
        rise = math.log(fars[-1] / fars[decade])
        return rise / (self.impostor_similarity[-1] - self.impostor_similarity[decade])

    @classmethod
    def from_scores(cls, genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> Self:
        """Measures the statistics on the similarities of genuine (G,) and impostor (M,) pairs.

        FARs run from 1e-1 to 1e-5, eight a decade, as far as at least a hundred impostor pairs lie beyond. Raises
        ModelError where there are too few pairs, or the two kinds do not differ.
        """
        same, other = np.asarray(genuine, np.float64).ravel(), np.asarray(impostor, np.float64).ravel()
        if len(same) < 2 or len(other) < 20 * _LEAST_PAIRS_BEYOND:
            raise ModelError(
                f"A calibration needs at least 2 genuine and {20 * _LEAST_PAIRS_BEYOND} impostor pairs, "
                f"not {len(same)} and {len(other)}."
            )
        if not (np.all(np.isfinite(same)) and np.all(np.isfinite(other))):
            raise ModelError("A calibration needs finite similarities; some of these are not.")
        fars = 10.0 ** -np.arange(1, 5 + 1e-9, 1 / 8)
        fars = fars[fars * len(other) >= _LEAST_PAIRS_BEYOND * (1 - 1e-9)]
        quantiles = np.quantile(other, 1 - fars, method="higher")
        rising = np.concatenate(([True], np.diff(quantiles) > 0))  # ties would make the table no function
        slope, intercept = _fit_logistic(same, other)
        return cls(
            tuple(fars[rising].tolist()), tuple(quantiles[rising].tolist()),
            float(same.mean()), float(same.std()), slope, intercept,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From the `calibration` object of a model's metadata; raises ModelError where it is wrong."""
        try:
            return cls(
                tuple(float(value) for value in data["impostor"]["far"]),
                tuple(float(value) for value in data["impostor"]["similarity"]),
                float(data["genuine"]["mean"]), float(data["genuine"]["std"]),
                float(data["logistic"]["slope"]), float(data["logistic"]["intercept"]),
            )  # fmt: skip
        except KeyError as error:
            raise ModelError(f"The model's calibration has no entry {error}.") from error
        except (TypeError, ValueError) as error:
            raise ModelError(f"The model's calibration has an entry of the wrong kind: {error}.") from error

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads; only numbers and lists, ready for JSON."""
        return {
            "impostor": {"far": list(self.impostor_far), "similarity": list(self.impostor_similarity)},
            "genuine": {"mean": self.genuine_mean, "std": self.genuine_std},
            "logistic": {"slope": self.logistic_slope, "intercept": self.logistic_intercept},
        }


def _sigmoid(log_odds: npt.NDArray[np.float64] | np.float64) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * log_odds))  # equal to 1 / (1 + exp(-x)), without overflow


def _fit_logistic(same: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of the log odds of 'same person', both kinds weighing one half (equal priors).

    Newton's method on the logistic loss with Platt's smoothed targets (Platt 1999, "Probabilistic outputs for support
    vector machines"), which keep the slope finite where the two kinds do not overlap.
    """
    x = np.column_stack((np.concatenate((same, other)), np.ones(len(same) + len(other))))
    count = np.repeat([len(same), len(other)], [len(same), len(other)])
    target = np.where(np.arange(len(x)) < len(same), (count + 1) / (count + 2), 1 / (count + 2))
    weight = 0.5 / count

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        log_odds = x @ parameters
        return float(weight @ (np.logaddexp(0.0, log_odds) - target * log_odds))

    parameters = np.zeros(2)
    for _ in range(100):
        probability = _sigmoid(x @ parameters)
        gradient = x.T @ (weight * (probability - target))
        hessian = (x * (weight * probability * (1 - probability))[:, None]).T @ x + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while loss(parameters - step) > loss(parameters) and np.abs(step).max() > 1e-9:
            step = step / 2  # a full Newton step may overshoot
        parameters = parameters - step
        if np.abs(step).max() < 1e-9:
            break
    return float(parameters[0]), float(parameters[1])
