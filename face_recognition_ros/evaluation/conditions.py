"""Verification under changed conditions: the same pairs again, with masks drawn or the pictures made worse."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation import metrics, verification
from face_recognition_ros.evaluation.faces import central_view
from face_recognition_ros.evaluation.verification import Comparison, Pair, fold_accuracies, judge
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.recognizer import Recognizer
from face_recognition_ros.types import ByteArray, Detection, FloatArray

FALSE_ACCEPT_RATE = 0.01
"""That of the unchanged pairs sets the line, and TAR is given at it; some hundred pairs are enough to measure it."""
RATE_KEY = f"{FALSE_ACCEPT_RATE:g}"
"""Under tar_at_far."""

Change = Callable[[ByteArray, Detection, np.random.Generator], ByteArray]
"""(picture (H, W, 3) uint8 BGR, its face, random numbers) -> a new picture; ValueError where it cannot be done."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """What is kept of a picture's central face."""

    detection: Detection
    embedding: FloatArray
    """(D,) float32 unit vector."""


SeenFaces = Mapping[str, SeenFace | None]
"""By the picture's relative path; None where no face was found or aligned."""


def choose_pairs(pairs: Sequence[Pair], limit: int | None, seed: int) -> list[Pair]:
    """At most `limit` pairs, as many of each fold and kind as of every other, in the file's order; None keeps all.

    Raises ImageError where there are fewer than two folds, or the limit is below one pair of each fold and kind.
    """
    groups: dict[tuple[int, bool], list[int]] = {}
    for index, pair in enumerate(pairs):
        groups.setdefault((pair.fold, pair.genuine), []).append(index)
    if len({fold for fold, _ in groups}) < 2 or len({genuine for _, genuine in groups}) < 2:
        raise ImageError("the pairs must make at least two folds, of genuine and of impostor pairs")
    if limit is None:
        return list(pairs)
    if limit < len(groups):
        raise ImageError(f"a limit of {limit} pairs is too low: there are {len(groups)} groups of folds and kinds")
    rng = np.random.default_rng(seed)
    share = limit // len(groups)
    chosen = [rng.choice(group, min(share, len(group)), replace=False) for group in groups.values()]
    return [pairs[index] for index in sorted(np.concatenate(chosen).tolist())]


def find_face(recognizer: Recognizer, picture: ByteArray) -> SeenFace | None:
    """The central face of a picture; None where none is found or aligned."""
    view = central_view(recognizer.view(picture), picture)
    return None if view is None or view.embedding is None else SeenFace(view.detection, view.embedding)


def find_faces(recognizer: Recognizer, images: Path, names: Sequence[str]) -> dict[str, SeenFace | None]:
    """The central face of each picture under `images`."""
    return {
        name: find_face(recognizer, read_picture(images / name))
        for name in tqdm(names, "unchanged", unit="picture", disable=None)
    }


def find_changed_faces(
    recognizer: Recognizer,
    images: Path,
    faces: SeenFaces,
    names: Sequence[str],
    changes: Mapping[str, Change],
    seed: int,
) -> dict[str, dict[str, SeenFace | None]]:
    """For each change the central face of every changed picture, found anew in it.

    A picture whose face was not found unchanged, or that cannot be changed, has none either. The random numbers of a
    picture depend on the seed, its path and the change alone, so that any part of a run can be repeated.
    """
    found: dict[str, dict[str, SeenFace | None]] = {change: {} for change in changes}
    for name in tqdm(names, "changed", unit="picture", disable=None):
        picture, face = read_picture(images / name), faces[name]
        for change, apply in changes.items():
            changed = changed_picture(picture, face, apply, f"{change}/{name}", seed)
            found[change][name] = None if changed is None else find_face(recognizer, changed)
    return found


def changed_picture(picture: ByteArray, face: SeenFace | None, change: Change, key: str, seed: int) -> ByteArray | None:
    """The picture after the change, with random numbers by seed and key; None where it cannot be done."""
    if face is None:
        return None
    try:
        return change(picture, face.detection, np.random.default_rng([seed, zlib.crc32(key.encode())]))
    except ValueError:
        return None


def compare(pairs: Sequence[Pair], first: SeenFaces, second: SeenFaces) -> Comparison:
    """The pairs (N,), each with its first picture's face from one set and its second's from the other."""
    return verification.compare(pairs, embeddings_of(first), embeddings_of(second))


def embeddings_of(faces: SeenFaces) -> dict[str, FloatArray | None]:
    """(D,) by the picture's relative path; None where no face was found or aligned."""
    return {name: None if face is None else face.embedding for name, face in faces.items()}


def together(comparisons: Sequence[Comparison]) -> Comparison:
    """All their pairs in one."""
    return Comparison(
        np.concatenate([one.similarities for one in comparisons]),
        np.concatenate([one.genuine for one in comparisons]),
        np.concatenate([one.folds for one in comparisons]),
        tuple(people for one in comparisons for people in one.people),
    )


def accept_line(unchanged: Comparison) -> float:
    """The lowest similarity that accepts no more than FALSE_ACCEPT_RATE of the impostor pairs.

    A system set up under good conditions would ask for it under all.
    """
    _, (threshold,) = metrics.tar_at_far(unchanged.similarities, unchanged.genuine, [FALSE_ACCEPT_RATE])
    return float(threshold) if np.isfinite(threshold) else float(unchanged.similarities.max()) + 1.0


def measure(comparison: Comparison, line: float) -> dict[str, Any]:
    """How well the pairs are told apart, ready for JSON.

    Distances are 1 - cosine. GMean and IMean are the means of the genuine and of the impostor distances, as in Damer et
    al., "The effect of wearing a mask on face recognition performance", BIOSIG 2020; the gap is IMean - GMean. They are
    of the pairs whose faces were found. For all rates, pairs with a face that was not found count as rejected, and for
    accuracy as judged wrongly. Accuracy is by LFW's protocol, each fold at the others' best threshold; `at_line` holds
    the rates at the similarity `line`. What cannot be measured on these pairs is None.
    """
    values, genuine, found = comparison.similarities, comparison.genuine, ~comparison.missed
    thresholds = metrics.fold_thresholds(values, genuine, comparison.folds, comparison.missed)
    (tar,), _ = metrics.tar_at_far(values, genuine, [FALSE_ACCEPT_RATE])
    measurable = FALSE_ACCEPT_RATE * (~genuine).sum() >= 1
    return {
        "pairs": len(values),
        "pairs_not_found": int((~found).sum()),
        **averages(1 - values[found & genuine], 1 - values[found & ~genuine]),
        "accuracy": float(np.mean(fold_accuracies(judge(comparison, thresholds), comparison))),
        "auc": metrics.area_under_roc(values, genuine),
        "eer": metrics.equal_error_rate(values, genuine),
        "tar_at_far": {RATE_KEY: float(tar) if measurable else None},
        "at_line": {
            "tar": float((values[genuine] >= line).mean()),
            "far": float((values[~genuine] >= line).mean()),
            "accuracy": float((judge(comparison, line) == genuine).mean()),
        },
    }


def averages(genuine: metrics.Scores, impostor: metrics.Scores) -> dict[str, float | None]:
    """Means and medians of distances, and of the similarities 1 - distance; None where there is no such pair."""
    gmean, imean = (float(part.mean()) if len(part) else None for part in (genuine, impostor))
    gmedian, imedian = (float(np.median(part)) if len(part) else None for part in (genuine, impostor))
    return {
        "gmean": gmean,
        "imean": imean,
        "gmedian": gmedian,
        "imedian": imedian,
        "gap": None if gmean is None or imean is None else imean - gmean,
        "median_gap": None if gmedian is None or imedian is None else imedian - gmedian,
        "genuine_similarity": None if gmean is None else 1 - gmean,
        "impostor_similarity": None if imean is None else 1 - imean,
    }


def missing(faces: SeenFaces) -> list[str]:
    """The pictures in which no face was found or aligned."""
    return [name for name, face in faces.items() if face is None]


def central_crop(picture: ByteArray, box: FloatArray, side: int = 160) -> ByteArray:
    """A square (side, side, 3) around the box (4,) of a face, with room for hair and chin, to be looked at."""
    scale = side / (1.8 * float(max(box[2:] - box[:2])))
    centre = (box[:2] + box[2:]) / 2
    offset = (side - 1) / 2 - scale * centre
    matrix = np.array([(scale, 0, offset[0]), (0, scale, offset[1])], np.float64)
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def decimal(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    """With one digit, or a dash."""
    return "-" if value is None else f"{value:.1%}"
