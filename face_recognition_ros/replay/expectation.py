"""Compares what a replay saw with what is expected: who, when and how much, the most important first."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.replay.sources import NANOSECONDS

SAME_FACE = 0.3
"""Two boxes that overlap by this part (intersection over union) or more show the same face."""
SHOWN = 20
"""So many differences are told one by one."""

Record = Mapping[str, Any]
Moment = tuple[int, int]
"""Of a frame: nanoseconds, and how many frames before it have the same stamp."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One face, or one frame, that is not as expected."""

    seconds: float
    """Since the first expected frame."""
    kind: str
    """identity, similarity, missing, additional, frame."""
    who: str
    """Expected and got, for the summary."""
    sentence: str
    amount: float = 0.0
    """How far the similarities are apart."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences, in the order of time."""

    frames: int
    """Expected."""
    faces: int
    """Expected."""
    differences: tuple[Difference, ...] = field(default=())

    @property
    def is_equal(self) -> bool:
        return not self.differences

    def lines(self, shown: int = SHOWN) -> list[str]:
        """A summary, then the first differences."""
        if self.is_equal:
            return [f"as expected: {self.frames} frames, {self.faces} faces"]
        groups: dict[str, list[Difference]] = defaultdict(list)
        for one in self.differences:
            groups[one.who].append(one)
        many = f"{len(self.differences)} difference{'s' if len(self.differences) > 1 else ''}"
        lines = [f"not as expected: {many} in {self.frames} frames, {self.faces} faces"]
        lines += [_group_line(who, group) for who, group in sorted(groups.items(), key=lambda item: -len(item[1]))]
        lines += [f"  {one.sentence}" for one in self.differences[:shown]]
        if len(self.differences) > shown:
            lines.append(f"  ... and {len(self.differences) - shown} more")
        return lines


def read_records(path: Path) -> list[dict[str, Any]]:
    """The frames of an identities.jsonl; raises FaceRecognitionError that names the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise FaceRecognitionError(f"there is no file {path}; an earlier replay's identities.jsonl is one") from error
    except UnicodeDecodeError as error:
        raise FaceRecognitionError(f"{path} is no text, so no identities.jsonl") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            _moment(record)
            for face in record["faces"]:
                _check(face)
        except (ValueError, LookupError, TypeError) as error:
            raise FaceRecognitionError(
                f"{path}, line {number}: not what a replay writes to identities.jsonl ({type(error).__name__}: {error})"
            ) from error
        records.append(record)
    return records


def compare(expected: Sequence[Record], got: Sequence[Record], tolerance: float) -> Comparison:
    """Frames are compared by their stamps, faces by their place in the frame, people by status and name.

    tolerance: by which similarities may differ.
    """
    start = _moment(expected[0]) if expected else 0
    wanted, found = _by_moment(expected), _by_moment(got)
    differences: list[Difference] = []
    for moment in sorted(wanted.keys() | found.keys()):
        seconds = (moment[0] - start) / NANOSECONDS
        if moment not in found:
            sentence = f"at {seconds:.3f} s: the frame is missing"
            differences.append(Difference(seconds, "frame", "frames that are missing", sentence))
        elif moment not in wanted:
            sentence = f"at {seconds:.3f} s: there should be no frame"
            differences.append(Difference(seconds, "frame", "frames that should not be there", sentence))
        else:
            differences += _compare_faces(wanted[moment]["faces"], found[moment]["faces"], seconds, tolerance)
    return Comparison(len(expected), sum(len(record["faces"]) for record in expected), tuple(differences))


def _compare_faces(
    expected: Sequence[Record], got: Sequence[Record], seconds: float, tolerance: float
) -> Iterable[Difference]:
    pairs = same_faces([face["box"] for face in expected], [face["box"] for face in got])
    for i, face in enumerate(expected):
        where = f"at {seconds:.3f} s track {face['track_id']}: expected {_described(face)}"
        if i not in pairs:
            yield Difference(seconds, "missing", f"{_who(face)}, where no face was found", f"{where}, found no face")
            continue
        other = got[pairs[i]]
        apart = abs(face["similarity"] - other["similarity"])
        sentence = f"{where}, got {_described(other, with_line=True)}"
        if _who(face) != _who(other):
            yield Difference(seconds, "identity", f"{_who(face)}, taken for {_who(other)}", sentence, apart)
        elif round(apart, 4) > tolerance:
            sentence += f": {apart:.4f} apart, {tolerance:g} allowed"
            yield Difference(seconds, "similarity", f"{_who(face)}, of another similarity", sentence, apart)
    for i in sorted(set(range(len(got))) - set(pairs.values())):
        where = f"at {seconds:.3f} s track {got[i]['track_id']}"
        sentence = f"{where}: expected nobody there, got {_described(got[i], with_line=True)}"
        yield Difference(seconds, "additional", f"{_who(got[i])}, where no face was expected", sentence)


def same_faces(expected: Sequence[Sequence[float]], got: Sequence[Sequence[float]]) -> dict[int, int]:
    """Which expected box (left, top, right, bottom) is which of those that were got, by their overlap."""
    if not expected or not got:
        return {}
    first, second = np.array(expected, np.float64)[:, None], np.array(got, np.float64)[None]
    shared = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    intersection = np.maximum(shared, 0).prod(axis=-1)
    areas = [np.maximum(boxes[..., 2:] - boxes[..., :2], 1e-6).prod(axis=-1) for boxes in (first, second)]
    overlap = intersection / (areas[0] + areas[1] - intersection)
    rows, columns = linear_sum_assignment(-overlap)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= SAME_FACE}


def _group_line(who: str, group: Sequence[Difference]) -> str:
    times = f"{group[0].seconds:.3f} s" if len(group) == 1 else f"{group[0].seconds:.3f} s to {group[-1].seconds:.3f} s"
    most = max(one.amount for one in group)
    amount = f", similarity off by up to {most:.4f}" if most > 0 else ""
    return f"{len(group):6} x {who}, at {times}{amount}"


def _described(face: Record, with_line: bool = False) -> str:
    line = face.get("accept_similarity")
    accept = f", accept line {line:.2f}" if with_line and line is not None and face["status"] != "known" else ""
    return f"{_who(face)} (similarity {face['similarity']:.2f}{accept})"


def _who(face: Record) -> str:
    """Name or status; of a remembered stranger both, as strangers are told apart as well."""
    if face.get("remembered"):
        return f"{face['status']} ({face['candidates'][0]['name']})"
    return str(face["name"]) if face["status"] == "known" else str(face["status"])


def _check(face: Record) -> None:
    """Raises ValueError, LookupError or TypeError for what cannot be compared."""
    _described(face, with_line=True)
    left, top, right, bottom = face["box"]
    if not np.isfinite([left, top, right, bottom, face["similarity"], int(face["track_id"])]).all():
        raise ValueError("a number that is none")


def _moment(record: Record) -> int:
    return int(record["stamp"]["sec"]) * NANOSECONDS + int(record["stamp"]["nanosec"])


def _by_moment(records: Iterable[Record]) -> dict[Moment, Record]:
    seen: dict[int, int] = defaultdict(int)
    found = {}
    for record in records:
        stamp = _moment(record)
        found[stamp, seen[stamp]] = record
        seen[stamp] += 1
    return found
