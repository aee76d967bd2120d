"""Compares the node's answers with what was truly to be seen, and puts it into words."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np

from face_recognition_ros.demo.answers import Answer
from face_recognition_ros.demo.cast import Portrait
from face_recognition_ros.demo.scenes import TrueFace
from face_recognition_ros.types import FloatArray, IdentityStatus, RecognizedFace

SAME_FACE_OVERLAP = 0.3
"""Intersection over union from which on a detection is a true face."""

FULLY_VISIBLE = 0.95
"""Share of a face inside the frame from which on it has to be found."""

LONGEST_SILENCE = 2.0
"""Seconds of film for which frames may go without an answer. A slow machine passes over single frames, never so many
in a row; a node that hangs does."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame that the camera published, and who was in it."""

    index: int
    stamp_ns: int
    faces: tuple[TrueFace, ...]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Shot":
        """From a line of the camera's ground truth."""
        faces = tuple(TrueFace(**(face | {"box": tuple(face["box"])})) for face in record["faces"])
        return cls(record["index"], record["stamp_ns"], faces)


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of the demo."""

    frames_in: int
    frames_answered: int
    people: tuple[str, ...]
    """Everybody who is enrolled."""
    strangers: tuple[str, ...]
    """Everybody else who was to be seen."""
    never_shown: tuple[str, ...]
    """Who of all these was fully visible in no frame, answered or not."""
    longest_silence_s: float
    """From the first to the last of the frames in a row that were not answered, where that was longest."""
    looks: int
    """Fully visible faces of enrolled people, in all frames that were answered."""
    named_right: Mapping[str, int]
    """By person: how often somebody was called by their own name."""
    named_wrong: int
    """How often anybody but a stranger, or something that is no face, was called by a wrong name."""
    stranger_looks: int
    """Fully visible faces of strangers, in all frames that were answered."""
    stranger_unknown: int
    """How often a stranger was called unknown."""
    stranger_named: int
    """How often a stranger was called by somebody's name."""
    mistakes: tuple[str, ...]
    """Each wrong name in words."""
    latency_p50_ms: float
    latency_p95_ms: float
    """From the frame's stamp, just before it is published, to the answer's arrival in another process."""

    def complaints(self) -> list[str]:
        """Why the demo failed; empty where it succeeded."""
        found = [f"{name} was never fully in view" for name in self.never_shown]
        found += [f"{name} was never named" for name in self.people if not self.named_right.get(name)]
        if self.longest_silence_s > LONGEST_SILENCE:
            found.append(f"no frame was answered for {self.longest_silence_s:.1f} s; the node hangs or is too slow")
        if self.named_wrong:
            found.append(f"somebody was called by a wrong name {self.named_wrong} times")
        if self.stranger_named:
            found.append(f"a stranger was given a name {self.stranger_named} times")
        found += [f"  {mistake}" for mistake in self.mistakes]
        if self.strangers and not self.stranger_unknown:
            found.append("the stranger was never called unknown")
        return found

    def lines(self) -> list[str]:
        """A table for people."""
        right = sum(self.named_right.values())
        share = f" ({self.frames_answered / self.frames_in:.0%})" if self.frames_in else ""
        per_person = ", ".join(f"{name} {self.named_right.get(name, 0)}" for name in self.people)
        return [
            f"frames in            {self.frames_in}",
            f"frames answered      {self.frames_answered}{share}",
            f"longest silence      {self.longest_silence_s:.1f} s",
            f"identities right     {right} of {self.looks} looks ({per_person})",
            f"identities wrong     {self.named_wrong}",
            f"stranger unknown     {self.stranger_unknown} of {self.stranger_looks} looks",
            f"stranger named       {self.stranger_named}",
            f"latency p50 / p95    {self.latency_p50_ms:.1f} / {self.latency_p95_ms:.1f} ms",
        ]

    def record(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "succeeded": not self.complaints(), "complaints": self.complaints()}


def summarize(cast: Sequence[Portrait], shots: Sequence[Shot], answers: Iterable[Answer]) -> Summary:
    """Judges each answer by the shot of the same stamp, and whether everybody of the cast had their turn."""
    by_stamp = {answer.stamp_ns: answer for answer in answers}
    counts: Counter[str] = Counter()
    right: Counter[str] = Counter()
    latencies: list[float] = []
    mistakes: list[str] = []
    for shot in shots:
        answer = by_stamp.get(shot.stamp_ns)
        if answer is None:
            continue
        latencies.append((answer.received_ns - answer.stamp_ns) / 1e6)
        for face in shot.faces:
            if face.visible >= FULLY_VISIBLE:
                counts["looks" if face.enrolled else "stranger_looks"] += 1
        for recognized in answer.faces:
            verdict = judge(recognized, true_face(recognized.detection.box, shot.faces))
            if verdict == "right":
                right[recognized.decision.candidates[0].name] += 1
            counts[verdict] += 1
            if verdict in ("wrong", "stranger named"):
                mistakes.append(_mistake(shot, shots[0], recognized))
    p50, p95 = np.percentile(latencies, [50, 95]) if latencies else (np.nan, np.nan)
    shown = {face.name for shot in shots for face in shot.faces if face.visible >= FULLY_VISIBLE}
    return Summary(
        frames_in=len(shots),
        frames_answered=len(latencies),
        people=tuple(portrait.name for portrait in cast if portrait.enrolled),
        strangers=tuple(portrait.name for portrait in cast if not portrait.enrolled),
        never_shown=tuple(portrait.name for portrait in cast if portrait.name not in shown),
        longest_silence_s=longest_silence([shot.stamp_ns for shot in shots], by_stamp),
        looks=counts["looks"],
        named_right=dict(right),
        named_wrong=counts["wrong"],
        stranger_looks=counts["stranger_looks"],
        stranger_unknown=counts["stranger unknown"],
        stranger_named=counts["stranger named"],
        mistakes=tuple(mistakes),
        latency_p50_ms=float(p50),
        latency_p95_ms=float(p95),
    )


def longest_silence(stamps_ns: Iterable[int], answered_ns: Container[int]) -> float:
    """Seconds from the first to the last frame of the longest stretch of frames that were not answered."""
    runs = [list(run) for answered, run in groupby(stamps_ns, answered_ns.__contains__) if not answered]
    return max(((run[-1] - run[0]) / 1e9 for run in runs), default=0.0)


def judge(recognized: RecognizedFace, truth: TrueFace | None) -> str:
    """'right', 'wrong', 'stranger named', 'stranger unknown' or 'open' (no name where there might be one)."""
    person = recognized.decision.identity
    if truth is not None and not truth.enrolled:
        if person is not None:
            return "stranger named"
        return "stranger unknown" if recognized.decision.status is IdentityStatus.UNKNOWN else "open"
    if person is None:
        return "open"
    return "right" if truth is not None and person.name == truth.name else "wrong"


def true_face(box: FloatArray, faces: Sequence[TrueFace]) -> TrueFace | None:
    """The true face that a detection is of; None where it is of none."""
    overlap, best = max(((_overlap(box, face.box), i) for i, face in enumerate(faces)), default=(0.0, -1))
    return faces[best] if overlap >= SAME_FACE_OVERLAP else None


def who(faces: Sequence[RecognizedFace]) -> str:
    """Who is seen, in words that do not change from frame to frame; faces not judged yet are left out."""
    return ", ".join(sorted(filter(None, map(_word, faces)))) or "nobody"


def confidences(faces: Sequence[RecognizedFace]) -> str:
    """How sure the node is of those it names; empty where it names nobody."""
    named = sorted((who.name, who.percentage) for face in faces if (who := face.decision.identity))
    return ", ".join(percentage for _, percentage in named)


def _mistake(shot: Shot, first: Shot, recognized: RecognizedFace) -> str:
    """When it was, who was called what, and where."""
    truth = true_face(recognized.detection.box, shot.faces)
    seconds = (shot.stamp_ns - first.stamp_ns) / 1e9
    left, top, right, bottom = np.rint(recognized.detection.box).astype(int)
    return (
        f"{seconds:.1f} s: {truth.name if truth else 'what is nobody'} at ({left}, {top}) to ({right}, {bottom}) "
        f"was called {recognized.decision.candidates[0].name}"
    )


def _word(face: RecognizedFace) -> str:
    names = [candidate.name for candidate in face.decision.candidates[:2]]
    match face.decision.status:
        case IdentityStatus.KNOWN:
            return names[0]
        case IdentityStatus.UNKNOWN:
            return "a stranger"
        case IdentityStatus.AMBIGUOUS:
            return f"{' or '.join(names)}?"
        case IdentityStatus.TENTATIVE:
            return ""


def _overlap(a: FloatArray, b: tuple[float, float, float, float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / union)
