"""Identification as a person reads it: rates with their intervals, the trade-off as a curve, and every confusion."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.metrics import roc_curve

from face_recognition_ros.evaluation import identification, plots
from face_recognition_ros.evaluation.identification_numbers import MISSED, VideoResult, measure, searches, summary
from face_recognition_ros.evaluation.report import Cell, Figure, Report, Section, Table, picture
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.settings import Settings

SHOWN = 12
"""So many confusions are shown with their pictures."""

DECISIONS = {
    "wrong_person_rate": "videos in which somebody got a wrong name",
    "wrong_person_rate_frames": "frames in which somebody got a wrong name",
    "known_called_another": "enrolled people's videos in which somebody got a wrong name",
    "strangers_named": "strangers' videos in which somebody got a name",
    "known_recall": "enrolled people's videos in which they got their name",
}


def evaluate_folder(settings: Settings, folder: Path, seed: int = 0) -> tuple[dict[str, Any], Report]:
    """Runs the protocol on the videos under `folder`: all numbers, ready for JSON, and the report.

    seed: of who is enrolled and who is a stranger. Raises what `identification.run` raises.
    """
    model, results, failures = identification.run(settings, folder, seed)
    numbers = {"model": model, "seed": seed} | measure(results, failures, folder)
    return numbers, build(numbers, results, folder)


def build(numbers: Mapping[str, Any], results: Sequence[VideoResult], folder: Path) -> Report:
    """The report on what `identification.run` gave; `folder` holds the videos."""
    return Report(
        "Identification: who is it, or a stranger?",
        summary(numbers),
        (
            Section("The node's decisions", _DECISIONS, (_decisions(numbers), _looks(numbers))),
            Section("Similarities alone", _SCORES, (_rates(numbers),), _figures(results)),
            Section(
                "Confusions",
                "The first frame of each video in which a wrong name was given.",
                _confusions(numbers, folder),
            ),
            Section("Failures", "All of them count as errors.", _failures(numbers)),
        ),
    )


_DECISIONS = (
    "Half of the people, drawn by seed, are enrolled from one video each, as `face-recognition enroll` does it; their "
    "other videos and all videos of the other half are shown to the whole pipeline as streams, with tracking, quality "
    "and the decision by several looks. Then the halves change roles, so that everybody is a stranger once. A wrong "
    "name for any face of a frame counts."
)
_SCORES = (
    "Apart from the node's decision: a search is answered by the most similar person of the gallery. DIR at FPIR is "
    "the part of the enrolled people's searches answered rightly at or over the threshold that so large a part of the "
    "strangers' searches reach. Frames of one video resemble each other, so the numbers of searches look larger than "
    "they are: trust the interval over people more than the other, and a rate that allows one or two false positives "
    "little. A rate that allows none is left open."
)


def _decisions(numbers: Mapping[str, Any]) -> Table:
    rows = tuple(
        (words, f"{numbers[name]:.2%}", _interval(numbers[f"{name}_wilson"]), str(numbers[f"{name}_of"]))
        for name, words in DECISIONS.items()
    )
    return Table(("", "share", "Wilson 95 %", "of"), rows)


def _looks(numbers: Mapping[str, Any]) -> Table:
    rows = tuple((frame, str(count)) for frame, count in numbers["looks_needed"].items())
    return Table(("frame", "videos"), rows, "The frame at which an enrolled person was first named rightly")


def _rates(numbers: Mapping[str, Any]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name in ("by_frame", "by_video"):
        one, words = numbers[name], name.replace("_", " ")
        hits = f"{one['mated_searches']} searches"
        rows.append((words, "rank 1", f"{one['rank1']:.2%}", _interval(one["rank1_wilson"]), "", "", hits))
        for rate, point in one["dir_at_fpir_intervals"].items():
            label = f"DIR at FPIR {rate}"
            if point is None:
                rows.append((words, label, "not measurable", "", "", "", f"of {one['non_mated_searches']}"))
                continue
            rows.append((
                words, label, f"{point['dir']:.2%}", _interval(point["wilson"]), _interval(point["bootstrap"]),
                f"{point['threshold']:.3f}", f"{point['false_positives']} of {point['non_mated_searches']}",
            ))  # fmt: skip
    header = ("", "", "rate", "Wilson 95 %", "bootstrap over people 95 %", "threshold", "false positives")
    return Table(header, tuple(rows))


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.1%} to {ends[1]:.1%}"


def _figures(results: Sequence[VideoResult]) -> tuple[Figure, ...]:
    curves = []
    for name, by_video in (("by frame", False), ("by video", True)):
        one = searches(results, by_video)
        fpir, rate, thresholds = roc_curve(one.mated, one.scores, drop_intermediate=False)
        reached = thresholds > MISSED  # at the lowest threshold everything passes, the missed searches, too
        curves.append(plots.Curve(name, fpir[reached], rate[reached]))
    drawn = plots.roc(curves)
    drawn.axes[0].set(xlabel="false positive identification rate", ylabel="detection and identification rate")
    one = searches(results, by_video=False)
    groups = {"enrolled, found rightly": one.scores[one.mated], "strangers": one.scores[~one.mated]}
    found = {name: scores[scores > MISSED] for name, scores in groups.items()}
    return (
        Figure("dir_fpir", plots.png(drawn), "What a lower threshold wins and costs."),
        Figure("scores", plots.png(plots.histogram(found, "cosine similarity to the nearest person")),
               "Similarities of single frames to the nearest person of the gallery."),
    )  # fmt: skip


def _confusions(numbers: Mapping[str, Any], folder: Path) -> tuple[Table, ...]:
    found = numbers["confusions"]
    rows = tuple(
        (f"{one['person']}, video {one['video']}{', a stranger' if one['stranger'] else ''}", one["named"],
         f"{one['similarity_of_frame']:.3f}" if one["similarity_of_frame"] is not None else "no face in the middle",
         picture(read_picture(folder / one["frame"]), one["frame"]))
        for one in found[:SHOWN]
    )  # fmt: skip
    caption = f"{len(found)} videos{f', the first {SHOWN}; the JSON file lists all' if len(found) > SHOWN else ''}"
    return (Table(("who it was", "was called", "similarity in that frame", "frame"), rows, caption),)


def _failures(numbers: Mapping[str, Any]) -> tuple[Table, ...]:
    people = tuple(numbers["failed_enrollments"].items())
    frames = tuple((path,) for path in numbers["failed_detections"][:SHOWN])
    count = len(numbers["failed_detections"])
    more = f", the first {SHOWN}; the JSON file lists all" if count > SHOWN else ""
    return (
        Table(("person", "why"), people, f"People who could not be enrolled: {len(people)}"),
        Table(("frame",), frames, f"Frames in which no face was found: {count}{more}"),
    )
