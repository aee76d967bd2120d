"""One-to-one verification on a pairs file, through the whole pipeline: detect, align, embed, compare."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation import metrics
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.recognizer import FaceView, Recognizer
from face_recognition_ros.types import ByteArray, FloatArray

FALSE_ACCEPT_RATES = (1e-2, 1e-3)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, relative to the folder of images."""

    first: str
    second: str
    genuine: bool
    fold: int


def read_pairs(file: Path) -> list[Pair]:
    """LFW's pairs.txt: folds and pairs per kind, then per fold that many genuine and as many impostor lines.

    Raises ImageError where a line is neither.
    """
    header, *lines = file.read_text(encoding="utf-8").splitlines() or [""]
    if not re.fullmatch(r"\d+\s+[1-9]\d*\s*", header):
        raise ImageError(f"{file}, line 1: {header!r} must be the number of folds and of pairs per fold and kind")
    per_fold = 2 * int(header.split()[-1])
    pairs = []
    for number, line in enumerate(lines):
        match line.split("\t"):
            case [name, first, second]:
                pairs.append(Pair(_path(name, first), _path(name, second), True, number // per_fold))
            case [name, first, other, second]:
                pairs.append(Pair(_path(name, first), _path(other, second), False, number // per_fold))
            case _:
                raise ImageError(
                    f"{file}, line {number + 2}: {line!r} is not a pair; expected 3 or 4 fields between tabs"
                )
    return pairs


def _path(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}.jpg"


def central_embedding(recognizer: Recognizer, picture: ByteArray) -> FloatArray | None:
    """Embedding (D,) of the face nearest the middle of the picture; None where no face is found or aligned."""
    middle = np.array(picture.shape[1::-1]) / 2

    def distance(view: FaceView) -> float:
        return float(np.linalg.norm((view.detection.box[:2] + view.detection.box[2:]) / 2 - middle))

    views = [view for view in recognizer.view(picture) if view.embedding is not None]
    return min(views, key=distance).embedding if views else None


def pair_similarities(pairs: list[Pair], embeddings: Mapping[str, FloatArray | None]) -> npt.NDArray[np.float64]:
    """Cosine of each pair (N,); NaN where a face was not found."""
    found = ((embeddings[pair.first], embeddings[pair.second]) for pair in pairs)
    return np.array([np.nan if a is None or b is None else float(a @ b) for a, b in found])


def evaluate(pairs: list[Pair], embed: Callable[[str], FloatArray | None]) -> dict[str, Any]:
    """The protocol's numbers, ready for JSON; `embed` gives the embedding of a picture by its relative path.

    A face that was not found can be neither recognised nor mistaken: its pairs are rejected at every threshold. For
    accuracy and F1 they count as judged wrongly, whatever they are.

    Raises ImageError where the pairs make fewer than two folds.
    """
    if len({pair.fold for pair in pairs}) < 2:
        raise ImageError("the pairs make one fold; at least two are needed, as each is judged at the others' threshold")
    names = sorted({name for pair in pairs for name in (pair.first, pair.second)})
    embeddings = {name: embed(name) for name in tqdm(names, desc="embed", unit="picture")}
    similarities = pair_similarities(pairs, embeddings)
    genuine = np.array([pair.genuine for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    missed = np.isnan(similarities)
    similarities[missed] = -2.0
    accepted = np.where(missed, ~genuine, metrics.fold_decisions(similarities, genuine, folds))
    accuracies = [float(np.mean((accepted == genuine)[folds == fold])) for fold in np.unique(folds)]
    return {
        "pairs": len(pairs),
        "folds": len(accuracies),
        "accuracy": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies)),
        "threshold": metrics.best_threshold(similarities, genuine),
        "f1": metrics.f1_score(accepted, genuine),
        "auc": metrics.area_under_roc(similarities, genuine),
        "eer": metrics.equal_error_rate(similarities, genuine),
        "tar_at_far": {f"{far:g}": metrics.true_accept_rate(similarities, genuine, far) for far in FALSE_ACCEPT_RATES},
        "failed_detections": [name for name, embedding in embeddings.items() if embedding is None],
    }


def summary(numbers: Mapping[str, Any]) -> str:
    """The numbers of `evaluate` in a few lines for a person."""
    rates = ", ".join(f"{rate:.1%} at FAR {far}" for far, rate in numbers["tar_at_far"].items())
    return (
        f"{numbers['pairs']} pairs in {numbers['folds']} folds: "
        f"accuracy {numbers['accuracy']:.2%} (folds differ by {numbers['accuracy_std']:.2%}), F1 {numbers['f1']:.4f}\n"
        f"AUC {numbers['auc']:.4f}, EER {numbers['eer']:.2%}, TAR {rates}\n"
        f"faces not found: {len(numbers['failed_detections'])}"
    )


def evaluate_folder(recognizer: Recognizer, images: Path, pairs_file: Path) -> dict[str, Any]:
    """Runs the protocol of `pairs_file` on the pictures under `images` through the whole pipeline."""
    return evaluate(read_pairs(pairs_file), lambda name: central_embedding(recognizer, read_picture(images / name)))
