"""What a similarity means: the network's measured impostor and genuine statistics, which ship beside the model."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv, ndtri

from face_recognition_ros.errors import ModelError

SIMILARITY_CAP = 0.999
"""No accept line is higher: a probe that equals its template must be accepted."""
_LEAST_IMPOSTOR_PAIRS = 2000
_LEAST_PAIRS_BEYOND = 10
"""The table of measured FARs ends where fewer impostor pairs than that lie beyond a similarity."""
_TAIL_FAR = 1e-2
"""The tail is fitted to the impostor pairs above the similarity that so large a part of them exceeds."""
_CONFIDENCE = 0.95
"""How surely a true rate lies at or under the stored one (one-sided)."""


@dataclass(frozen=True, slots=True)
class Tail:
    """How FAR falls beyond the last measured point (u, f): f (1 + shape (similarity - u) / scale)^(-1 / shape).

    The generalised Pareto distribution of excesses over a high threshold (Pickands 1975); f exp(-(similarity - u) /
    scale) where shape is 0. Cosines end at 1, which calls for a negative shape; none is allowed, since it sets FAR to
    0 beyond an end point that is itself only a guess.
    """

    shape: float
    """0 or more: the larger, the more slowly FAR falls."""
    scale: float
    """Greater than 0, in units of similarity."""

    def __post_init__(self) -> None:
        if not (0 <= self.shape < math.inf and 0 < self.scale < math.inf):
            raise ModelError(
                "The calibration's impostor tail must have a shape of 0 or more and a scale above 0, "
                f"not {self.shape} and {self.scale}."
            )

    def excess(self, ratio: float) -> float:
        """How far beyond u FAR has fallen to f / ratio, ratio >= 1."""
        return self.scale * (math.expm1(self.shape * math.log(ratio)) / self.shape if self.shape else math.log(ratio))

    def survival(self, excess: float) -> float:
        """FAR / f so far beyond u: the inverse of `excess`."""
        return math.exp(
            -(math.log1p(self.shape * excess / self.scale) / self.shape if self.shape else excess / self.scale)
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """Statistics of one network's cosine similarities, for comparisons of one probe with one template."""

    impostor_far: tuple[float, ...]
    """Q >= 2 false accept rates, descending, in (0, 1): upper confidence limits, where `from_scores` measured them."""
    impostor_similarity: tuple[float, ...]
    """The similarities that no larger part of the impostor pairs exceeds, ascending, in [-1, 1]."""
    genuine_mean: float
    genuine_std: float
    logistic_slope: float
    """Of log odds over similarity, greater than 0."""
    logistic_intercept: float
    impostor_tail: Tail | None = None
    """Beyond the last point; None in older files: there log FAR goes on along the line through the last decade."""

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
        interpolated; beyond the last one `impostor_tail` goes on. Never above SIMILARITY_CAP, nor below the first
        measured point.
        """
        if not 0 < target_false_accept_rate < 1:
            raise ValueError(f"target_false_accept_rate must lie within (0, 1), not {target_false_accept_rate}")
        far = -math.expm1(math.log1p(-target_false_accept_rate) / max(comparisons, 1))
        if far >= self.impostor_far[-1]:
            similarity = float(np.interp(-math.log(far), -np.log(self.impostor_far), self.impostor_similarity))
        else:
            similarity = self.impostor_similarity[-1] + self._tail().excess(self.impostor_far[-1] / far)
        return min(similarity, SIMILARITY_CAP)

    def false_accept_rate(self, similarity: float) -> float:
        """The part of impostor pairs (one comparison) above that similarity: the inverse of `accept_similarity`.

        Below the first measured point it is 1, as nothing better is known there.
        """
        if similarity < self.impostor_similarity[0]:
            return 1.0
        beyond = similarity - self.impostor_similarity[-1]
        if beyond > 0:
            return self.impostor_far[-1] * self._tail().survival(beyond)
        return math.exp(float(np.interp(similarity, self.impostor_similarity, np.log(self.impostor_far))))

    def confidence(self, similarity: float) -> float:
        """The probability that the two are one person, where before the look both answers were equally likely."""
        return float(_sigmoid(np.float64(self.logistic_slope * similarity + self.logistic_intercept)))

    def _tail(self) -> Tail:
        """`impostor_tail`, or the exponential through the last point and the one a decade before it (or the first)."""
        if self.impostor_tail is not None:
            return self.impostor_tail
        fars = np.array(self.impostor_far)
        decade = int(np.flatnonzero((fars >= 10 * fars[-1] * (1 - 1e-9)) | (np.arange(len(fars)) == 0))[-1])
        rise = self.impostor_similarity[-1] - self.impostor_similarity[decade]
        return Tail(0.0, rise / math.log(fars[decade] / fars[-1]))

    @classmethod
    def from_scores(cls, genuine: npt.ArrayLike, impostor: npt.ArrayLike, people: npt.ArrayLike | None = None) -> Self:
        """Measures the statistics on the similarities of genuine (G,) and impostor (M,) pairs.

        `people` (M, 2) says who the two of each impostor pair are, as whole numbers; without it the pairs are taken
        for independent, which they are not where faces occur in several.

        The stored FARs are upper confidence limits (95 %) and run from 1e-1 to 1e-6, eight a decade, as far as at
        least ten impostor pairs lie beyond. Raises ModelError where there are too few pairs, or the two kinds do not
        differ.
        """
        same, other = np.asarray(genuine, np.float64).ravel(), np.asarray(impostor, np.float64).ravel()
        if len(same) < 2 or len(other) < _LEAST_IMPOSTOR_PAIRS:
            raise ModelError(
                f"A calibration needs at least 2 genuine and {_LEAST_IMPOSTOR_PAIRS} impostor pairs, "
                f"not {len(same)} and {len(other)}."
            )
        if not (np.all(np.isfinite(same)) and np.all(np.isfinite(other))):
            raise ModelError("A calibration needs finite similarities; some of these are not.")
        other = other.clip(-1.0, 1.0)  # the product of two unit vectors may be a rounding error beyond
        impostors = _Impostors(other, None if people is None else np.asarray(people, np.int64))
        fars, similarities = impostors.upper_limits()
        slope, intercept = _fit_logistic(same, other)
        return cls(
            tuple(fars.tolist()), tuple(similarities.tolist()), float(same.mean()), float(same.std()), slope, intercept,
            impostors.tail(float(similarities[-1])),
        )  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From the `calibration` object of a model's metadata; raises ModelError where it is wrong."""
        try:
            tail = data["impostor"].get("tail")
            return cls(
                tuple(float(value) for value in data["impostor"]["far"]),
                tuple(float(value) for value in data["impostor"]["similarity"]),
                float(data["genuine"]["mean"]), float(data["genuine"]["std"]),
                float(data["logistic"]["slope"]), float(data["logistic"]["intercept"]),
                None if tail is None else Tail(float(tail["shape"]), float(tail["scale"])),
            )  # fmt: skip
        except KeyError as error:
            raise ModelError(f"The model's calibration has no entry {error}.") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelError(f"The model's calibration has an entry of the wrong kind: {error}.") from error

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads; only numbers and lists, ready for JSON."""
        impostor: dict[str, Any] = {"far": list(self.impostor_far), "similarity": list(self.impostor_similarity)}
        if self.impostor_tail is not None:
            impostor["tail"] = asdict(self.impostor_tail)
        return {
            "impostor": impostor,
            "genuine": {"mean": self.genuine_mean, "std": self.genuine_std},
            "logistic": {"slope": self.logistic_slope, "intercept": self.logistic_intercept},
        }


def effective_count(beyond: npt.NDArray[np.bool_], people: npt.NDArray[np.int64]) -> float:
    """How many independent pairs would say as much about FAR as those of `beyond` (M,) do; at least 1.

    `people` (M, 2) numbers the two of each impostor pair from 0. Pairs share people, and some people resemble many
    others (the lambs and wolves of Doddington et al. 1998). If person p is in d_p of the N pairs beyond, and would be
    in e_p of them were all people alike, N varies between choices of people by about sum (d_p - e_p)^2 - N: the
    dyadic cluster-robust variance (Aronow, Samii and Assenova 2015). Independent pairs would have N.
    """
    count = int(np.count_nonzero(beyond))
    exposure = np.bincount(people.ravel())
    expected = exposure * (count / max(len(beyond), 1))
    taken = np.bincount(people[beyond].ravel(), minlength=len(exposure))
    variance = float(((taken - expected) ** 2).sum()) - count
    return max(count**2 / max(variance, count, 1), 1.0)


class _Impostors:
    """Impostor similarities (M,) with the people of each pair (M, 2), as far as they are known."""

    def __init__(self, similarities: npt.NDArray[np.float64], people: npt.NDArray[np.int64] | None) -> None:
        self.similarities = similarities
        self.people = None
        if people is not None:
            if people.shape != (len(similarities), 2):
                raise ModelError(f"There must be two people for each impostor pair, not an array {people.shape}.")
            self.people = np.unique(people, return_inverse=True)[1].reshape(people.shape)

    def effective_count(self, similarity: float) -> float:
        """Of the pairs above this similarity; all of them count where nothing is known of people."""
        beyond = self.similarities > similarity
        if self.people is None:
            return max(float(beyond.sum()), 1.0)
        return effective_count(beyond, self.people)

    def upper_limits(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Upper confidence limits of FAR, descending, and their similarities: Garwood's for Poisson counts (1936)."""
        fars = 10.0 ** -np.arange(1, 6 + 1e-9, 1 / 8)
        fars = fars[fars * len(self.similarities) >= _LEAST_PAIRS_BEYOND * (1 - 1e-9)]
        quantiles = np.quantile(self.similarities, 1 - fars, method="higher")
        counts = np.array([self.effective_count(quantile) for quantile in quantiles])
        limits = fars * gammaincinv(counts + 1, _CONFIDENCE) / counts
        rising = np.concatenate(([True], np.diff(quantiles) > 0))  # ties would make the table no function
        falling = limits > np.concatenate((np.maximum.accumulate(limits[::-1])[::-1][1:], [0.0]))
        return limits[rising & falling], quantiles[rising & falling]

    def tail(self, last: float) -> Tail:
        """The tail beyond the similarity `last`, from all pairs above the quantile of _TAIL_FAR.

        Its shape is the upper confidence limit of the maximum-likelihood one, by the latter's asymptotic variance
        (1 + shape)^2 / N (Smith 1987), and 0 where that is negative; the scale is the likeliest to this shape.
        """
        from scipy.stats import genpareto  # here, as its import takes a second that the node need not wait

        start = float(np.quantile(self.similarities, 1 - _TAIL_FAR, method="higher"))
        excesses = self.similarities[self.similarities > start] - start
        if len(excesses) < _LEAST_PAIRS_BEYOND:
            raise ModelError(f"A calibration needs impostor similarities that differ; no ten of these exceed {start}.")
        shape = max(float(genpareto.fit(excesses, floc=0)[0]), -0.5)  # below, that variance does not hold
        shape = max(0.0, shape + float(ndtri(_CONFIDENCE)) * (1 + shape) / math.sqrt(self.effective_count(start)))
        scale = float(genpareto.fit(excesses, f0=shape, floc=0)[2]) if shape else float(excesses.mean())
        return Tail(shape, scale + shape * max(last - start, 0.0))


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
