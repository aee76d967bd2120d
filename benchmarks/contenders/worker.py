"""A contender's side of the comparison: frames are asked for on standard input, answers go to standard output.

One JSON object a line. It runs in each contender's own environment, so it needs nothing but numpy.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class UnavailableError(Exception):
    """A contender cannot take part; the message says why."""


class Contender(Protocol):
    """A face recognition pipeline."""

    def about(self) -> dict[str, Any]:
        """Versions, and what else a reader of its numbers should know."""

    def prepare(self, frame: np.ndarray) -> Any:
        """(H, W, 3) uint8 BGR to the kind of picture that the library takes; not timed."""

    def process(self, picture: Any, stamp: float) -> Any:
        """Detects, aligns, embeds and matches; the only part that is timed. stamp: seconds."""

    def faces(self, result: Any) -> list[dict[str, Any]]:
        """What `process` has found: `box` (left, top, right, bottom), `landmarks` (five points, or None); not timed."""


def serve(build: Callable[[dict[str, Any]], Contender]) -> None:
    """Builds the contender from the options in argv[1] and answers until standard input ends."""
    options = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the libraries print goes to the log
    try:
        contender = build(options)
    except UnavailableError as error:
        print(json.dumps({"unavailable": str(error)}), file=answers)
        return
    print(json.dumps({"about": contender.about()}), file=answers)
    for line in sys.stdin:
        print(json.dumps(answer(contender, json.loads(line))), file=answers)


def answer(contender: Contender, question: dict[str, Any]) -> dict[str, Any]:
    """One frame: {"frame": a .npy file, "stamp": seconds} to its time, its faces, and the memory needed so far."""
    picture = contender.prepare(np.load(question["frame"]))
    started = time.perf_counter()
    result = contender.process(picture, question["stamp"])
    milliseconds = 1e3 * (time.perf_counter() - started)
    return {"ms": milliseconds, "faces": contender.faces(result), "peak_mib": peak_memory_mib()}


def peak_memory_mib() -> float:
    """The largest resident set so far (VmHWM; getrusage's ru_maxrss would include the parent's at the fork)."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


class Templates:
    """A gallery as the peers have none of their own: unit vectors, compared by one matrix product."""

    def __init__(self, count: int, size: int) -> None:
        vectors = np.random.default_rng(0).standard_normal((count, size), np.float32)
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def nearest(self, probes: np.ndarray) -> np.ndarray:
        """(N, D) probes to the rows (N,) of their most similar templates."""
        probes = probes / np.linalg.norm(probes, axis=1, keepdims=True)
        return np.argmax(probes @ self.vectors.T, axis=1)


def as_lists(box: Any, landmarks: Any) -> dict[str, Any]:
    """A face for JSON."""
    points = None if landmarks is None else np.asarray(landmarks, float).reshape(5, 2).round(2).tolist()
    return {"box": np.asarray(box, float).round(2).tolist(), "landmarks": points}


def model_file(options: dict[str, Any], name: str, *patterns: str) -> Path:
    """The user's model file that the options name, or the first in their folder that fits; raises UnavailableError."""
    folder = Path(options.get("models") or "")
    given = [Path(options[name])] if options.get(name) else []
    found = given + [path for pattern in patterns for path in sorted(folder.glob(pattern)) if options.get("models")]
    existing = [path for path in found if path.is_file()]
    if not existing:
        raise UnavailableError(f"no model file {' or '.join(patterns)} (--models FOLDER)")
    return existing[0]
