"""Whether a contender has seen the faces that are there: recall by size of the face, false alarms, landmark error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from comparison.frames import Face

BINS = (20.0, 40.0, 60.0, 100.0, float("inf"))
"""Pixels of a face's size; each bin holds its lower end."""
SMALLEST_OVERLAP = 0.35
"""Intersection over union by which a box counts as found: libraries disagree on how much of a head is the face."""


@dataclass(frozen=True)
class Sighting:
    """A face that was there, and what a contender made of it."""

    size: float
    found: bool
    landmark_error: float | None
    """Mean distance of its five landmarks, as part of the distance between the eyes; None without landmarks."""


def bin_name(size: float) -> str:
    """Such as `40-60`, or `100+`; sizes under the first bin belong to it."""
    index = max(int(np.searchsorted(BINS, size, side="right")) - 1, 0)
    low, high = BINS[index], BINS[index + 1]
    return f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}+"


BIN_NAMES = tuple(bin_name(low) for low in BINS[:-1])


def overlaps(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(N, 4) and (M, 4) boxes to (N, M) intersections over unions."""
    one, other = np.reshape(first, (-1, 1, 4)).astype(float), np.reshape(second, (1, -1, 4)).astype(float)
    shared = np.prod(
        np.clip(np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2]), 0, None), -1
    )
    area, other_area = np.prod(one[..., 2:] - one[..., :2], -1), np.prod(other[..., 2:] - other[..., :2], -1)
    return np.asarray(shared / np.maximum(area + other_area - shared, 1e-9))


def compare(truth: Sequence[Face], found: Sequence[dict[str, Any]]) -> tuple[list[Sighting], int]:
    """Each true face with the box that overlaps it most, no box twice; and how many boxes are no face."""
    table = overlaps([face.box for face in truth], [face["box"] for face in found])
    pairs = {
        int(row): int(column)
        for row, column in zip(*linear_sum_assignment(-table), strict=True)
        if table[row, column] >= SMALLEST_OVERLAP
    }
    sightings = [
        Sighting(
            face.size, row in pairs, landmark_error(face, found[pairs[row]]["landmarks"]) if row in pairs else None
        )
        for row, face in enumerate(truth)
    ]
    return sightings, len(found) - len(pairs)


def landmark_error(face: Face, landmarks: Sequence[Sequence[float]] | None) -> float | None:
    """See Sighting."""
    if landmarks is None:
        return None
    between_eyes = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
    return float(np.linalg.norm(np.asarray(landmarks) - face.landmarks, axis=1).mean() / between_eyes)


def judge(
    truths: Sequence[Sequence[Face]], found: Mapping[str, Sequence[Sequence[dict[str, Any]]]]
) -> dict[str, dict[str, Any]]:
    """What each contender made of the same frames: `summary`, and the landmark error on the faces that all found."""
    pairs = {name: [compare(*one) for one in zip(truths, theirs, strict=True)] for name, theirs in found.items()}
    sightings = {name: [face for faces, _ in frames for face in faces] for name, frames in pairs.items()}
    common = common_landmark_errors(sightings)
    return {
        name: summary(sightings[name], sum(false_alarms for _, false_alarms in frames), len(truths))
        | {"landmark_error_common": common.get(name)}
        for name, frames in pairs.items()
    }


def summary(sightings: Sequence[Sighting], false_alarms: int, frames: int) -> dict[str, Any]:
    """Numbers for JSON: recall and count of each bin, and over all faces of 40 pixels or more; landmark error."""
    by_bin = {name: [one.found for one in sightings if bin_name(one.size) == name] for name in BIN_NAMES}
    large = [one for one in sightings if one.size >= BINS[1]]
    errors = [one.landmark_error for one in large if one.landmark_error is not None]
    return {
        "recall": {name: share(found) for name, found in by_bin.items()},
        "faces": {name: len(found) for name, found in by_bin.items()},
        "recall_40_and_more": share([one.found for one in large]),
        "false_alarms_per_frame": false_alarms / max(frames, 1),
        "landmark_error_median": float(np.median(errors)) if errors else None,
        "landmark_error_p95": float(np.percentile(errors, 95)) if errors else None,
    }


def common_landmark_errors(sightings: Mapping[str, Sequence[Sighting]]) -> dict[str, float]:
    """Median error of each contender that gives landmarks, on those faces of 40 pixels or more that all of them found.

    So nobody's error grows by the difficult faces that only he has found.
    """
    able = {name: seen for name, seen in sightings.items() if any(one.landmark_error is not None for one in seen)}
    large = [[one for one in seen if one.size >= BINS[1]] for seen in able.values()]
    errors = np.array([[one.landmark_error for one in seen] for seen in large], float)  # None becomes nan
    common = errors[:, np.isfinite(errors).all(axis=0)] if errors.size else np.empty((len(able), 0))
    return dict(zip(able, np.median(common, axis=1).tolist(), strict=True)) if common.size else {}


def share(found: Sequence[bool]) -> float | None:
    """The part that is true; None of nothing."""
    return float(np.mean(found)) if found else None
