"""From single times to the numbers of the report: percentiles, ratios, what a face costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OURS = "ours"

Times = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]
"""Contender, resolution, number of faces -> median_ms and so on."""


def statistics(milliseconds: Sequence[float], found: Sequence[int]) -> dict[str, float]:
    """Of one contender in one condition; found: how many faces it saw in each frame."""
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {
        "median_ms": float(p50),
        "p95_ms": float(p95),
        "mean_ms": float(np.mean(milliseconds)),
        "min_ms": float(np.min(milliseconds)),
        "frames": len(milliseconds),
        "faces_found": float(np.mean(found)),
    }


def ratios(
    times: Times, peers: Sequence[str], ours: str = OURS, what: str = "median_ms"
) -> dict[str, dict[str, dict[str, float]]]:
    """Our time divided by the peer's: [peer][resolution][faces], where both were measured."""
    return {
        peer: {
            size: {
                faces: times[ours][size][faces][what] / theirs[what]
                for faces, theirs in by_faces.items()
                if faces in times.get(ours, {}).get(size, {})
            }
            for size, by_faces in times[peer].items()
        }
        for peer in peers
        if peer in times
    }


def costs(by_size: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, Any]]:
    """Of one contender at each resolution: a frame without faces, and each further face (least squares line)."""
    result: dict[str, dict[str, Any]] = {}
    for size, by_faces in by_size.items():
        counts = [float(faces) for faces in by_faces]
        medians = [entry["median_ms"] for entry in by_faces.values()]
        slope = float(np.polyfit(counts, medians, 1)[0]) if len(set(counts)) > 1 else None
        result[size] = {"no_face_ms": by_faces.get("0", {}).get("median_ms"), "further_face_ms": slope}
    return result
