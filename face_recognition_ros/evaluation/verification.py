"""One-to-one verification on a pairs file, through the whole pipeline: detect, align, embed, compare."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation import metrics
from face_recognition_ros.evaluation.faces import OURS, FaceFinder
from face_recognition_ros.types import FloatArray

FALSE_ACCEPT_RATES = (1e-2, 1e-3, 1e-4)

NEVER_ACCEPTED = -2.0
"""The similarity of a pair in which a face was not found: below any cosine."""

INTERVALS = (
    "tar_at_far: null where the rate allows not even one of the impostor pairs, so that it cannot be measured here. "
    "wilson: 95 % interval of TAR at the given threshold, pairs taken as independent. bootstrap: 95 % percentile "
    f"interval over {metrics.BOOTSTRAP_ROUNDS} draws of the people, the threshold found anew each time."
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, relative to the folder of images."""

    first: str
    second: str
    genuine: bool
    fold: int

    @property
    def people(self) -> tuple[str, str]:
        """Who is on the two pictures."""
        return self.first.split("/")[0], self.second.split("/")[0]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What one network makes of all pairs (N,)."""

    similarities: npt.NDArray[np.float64]
    """NEVER_ACCEPTED where a face was not found."""
    genuine: npt.NDArray[np.bool_]
    folds: npt.NDArray[np.int64]
    people: tuple[tuple[str, str], ...]

    @property
    def missed(self) -> npt.NDArray[np.bool_]:
        """The pairs in which a face was not found."""
        missed: npt.NDArray[np.bool_] = self.similarities == NEVER_ACCEPTED
        return missed


def read_pairs(file: Path) -> list[Pair]:
    """LFW's pairs.txt: folds and pairs per kind, then per fold that many genuine and as many impostor lines.

    Raises ImageError where a line is neither, or there are fewer than two folds, or a kind is missing.
    """
    header, *lines = file.read_text(encoding="utf-8").splitlines() or [""]
    if not re.fullmatch(r"\d+\s+[1-9]\d*\s*", header):
        raise ImageError(f"{file}, line 1: {header!r} must be the number of folds and of pairs per fold and kind")
    per_fold = 2 * int(header.split()[-1])
    pairs = []
    for number, line in enumerate(lines):
        match line.split("\t"):
            case [name, first, second] if first.isdigit() and second.isdigit():
                pairs.append(Pair(_path(name, first), _path(name, second), True, number // per_fold))
            case [name, first, other, second] if first.isdigit() and second.isdigit():
                pairs.append(Pair(_path(name, first), _path(other, second), False, number // per_fold))
            case _:
                raise ImageError(
                    f"{file}, line {number + 2}: {line!r} is not a pair; expected 3 or 4 fields between tabs"
                )
    if len({pair.fold for pair in pairs}) < 2:
        raise ImageError(f"{file} has fewer than two folds; each is judged at the others' threshold")
    if len({pair.genuine for pair in pairs}) < 2:
        raise ImageError(f"{file} has pairs of one kind only; genuine and impostor pairs are needed")
    return pairs


def _path(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}.jpg"


def pictures_of(pairs: Iterable[Pair]) -> list[str]:
    """The relative paths of all pictures, each once, sorted."""
    return sorted({name for pair in pairs for name in (pair.first, pair.second)})


def compare(
    pairs: Sequence[Pair],
    embeddings: Mapping[str, FloatArray | None],
    second_embeddings: Mapping[str, FloatArray | None] | None = None,
) -> Comparison:
    """Cosine of each pair, from the embeddings (D,) of the pictures; None where a face was not found.

    second_embeddings: of the pairs' second pictures, where these are others than `embeddings`, such as changed ones.
    """
    seconds = embeddings if second_embeddings is None else second_embeddings
    found = ((embeddings[pair.first], seconds[pair.second]) for pair in pairs)
    return Comparison(
        np.array([NEVER_ACCEPTED if a is None or b is None else float(a @ b) for a, b in found]),
        np.array([pair.genuine for pair in pairs]),
        np.array([pair.fold for pair in pairs]),
        tuple(pair.people for pair in pairs),
    )


def judge(comparison: Comparison, thresholds: metrics.Scores | float) -> metrics.Mask:
    """Which pairs (N,) are taken for genuine: those at or over the threshold, one for all or one for each.

    A face that was not found can be neither recognised nor mistaken: its pairs count as judged wrongly, whatever they
    are.
    """
    return np.where(comparison.missed, ~comparison.genuine, comparison.similarities >= thresholds)


def fold_accuracies(accepted: metrics.Mask, comparison: Comparison) -> list[float]:
    """The part of each fold's pairs that was judged rightly."""
    right = accepted == comparison.genuine
    return [float(right[comparison.folds == fold].mean()) for fold in np.unique(comparison.folds)]


def measure(comparison: Comparison) -> dict[str, Any]:
    """The protocol's numbers, ready for JSON; a pair with a face that was not found is rejected at every threshold.

    For accuracy, precision, recall and F1 it counts as judged wrongly: see `judge`.
    """
    similarities, genuine = comparison.similarities, comparison.genuine
    thresholds = metrics.fold_thresholds(similarities, genuine, comparison.folds, comparison.missed)
    accepted = judge(comparison, thresholds)
    accuracies = fold_accuracies(accepted, comparison)
    precision, recall, f1 = metrics.precision_recall_f1(accepted, genuine)
    points = metrics.operating_points(similarities, genuine, comparison.people, FALSE_ACCEPT_RATES)
    return {
        "accuracy": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies)),
        "fold_accuracies": accuracies,
        "f1": f1,
        "f1_threshold": float(np.mean(thresholds)),
        "precision": precision,
        "recall": recall,
        "auc": metrics.area_under_roc(similarities, genuine),
        "eer": metrics.equal_error_rate(similarities, genuine),
        "tar_at_far": {rate: point.tar if point else None for rate, point in points.items()},
        "tar_at_far_intervals": {rate: point.record() if point else None for rate, point in points.items()},
    }


def evaluate(pairs: list[Pair], finder: FaceFinder) -> tuple[dict[str, Any], dict[str, Comparison]]:
    """The numbers, ready for JSON, and what each network made of the pairs.

    Detection and alignment are done once for all networks; a second network's numbers stand under reference_network.
    """
    names = pictures_of(pairs)
    faces = {name: finder(name) for name in tqdm(names, desc="embed", unit="picture", disable=None)}
    comparisons = {
        network: compare(pairs, {name: face.embeddings[network] if face else None for name, face in faces.items()})
        for network in finder.networks
    }
    measured = {network: measure(comparison) for network, comparison in comparisons.items()}
    genuine = comparisons[OURS].genuine
    numbers = {
        "pairs": len(pairs),
        "genuine_pairs": int(genuine.sum()),
        "impostor_pairs": int((~genuine).sum()),
        "folds": len({pair.fold for pair in pairs}),
        "pictures": len(names),
        **measured.pop(OURS),
        "intervals": INTERVALS,
        "failed_detections": [name for name, face in faces.items() if face is None],
    }
    return numbers | {network.replace(" ", "_"): value for network, value in measured.items()}, comparisons


def summary(numbers: Mapping[str, Any]) -> str:
    """The numbers of `evaluate` in a few lines for a person."""
    lines = [
        f"{numbers['pairs']} pairs in {numbers['folds']} folds, {numbers['pictures']} pictures, "
        f"{len(numbers['failed_detections'])} faces not found",
        _line("", numbers),
    ]
    if "reference_network" in numbers:
        lines.append(_line("the reference network: ", numbers["reference_network"]))
    return "\n".join(lines)


def _line(whose: str, numbers: Mapping[str, Any]) -> str:
    rates = [f"{tar:.1%} at FAR {far}" for far, tar in numbers["tar_at_far"].items() if tar is not None]
    unknown = [far for far, tar in numbers["tar_at_far"].items() if tar is None]
    if unknown:
        rates.append(f"not measurable at {' and '.join(unknown)} with so few impostor pairs")
    return (
        f"{whose}accuracy {numbers['accuracy']:.2%} (folds differ by {numbers['accuracy_std']:.2%}), "
        f"F1 {numbers['f1']:.4f} at a similarity of {numbers['f1_threshold']:.3f} "
        f"(precision {numbers['precision']:.2%}, recall {numbers['recall']:.2%}), "
        f"AUC {numbers['auc']:.4f}, EER {numbers['eer']:.2%}; TAR {', '.join(rates)}"
    )
