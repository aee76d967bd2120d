"""Learning in passing as a person reads it: rates before and after, whose looks were learned, ids for passers-by."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from face_recognition_ros.evaluation import identification_numbers, learning, plots
from face_recognition_ros.evaluation.identification_numbers import MISSED, VideoResult, decision_rates, searches
from face_recognition_ros.evaluation.identification_report import DECISIONS
from face_recognition_ros.evaluation.learning import BLIND, SEEING, Outcome, Passer, Stream
from face_recognition_ros.evaluation.learning_stream import PASSES
from face_recognition_ros.evaluation.report import Cell, Figure, Report, Section, Table, picture
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.settings import Settings

SHOWN = 12
"""So many wrongly learned looks are shown with their pictures."""

DEFINITIONS = {
    "before, after": "rates as in `evaluate identification`, of the last video of each person, from which nothing is "
    "learned; after: once the stream was seen and learned from",
    "stream": f"the other videos, each played {PASSES} times, forwards and backwards by turns, a little "
    "turned, scaled and lit differently each time, the face always in the same place. An enrolled person's video is "
    "followed without a cut by a stranger's or another enrolled person's: a planted swap",
    SEEING: "as the robot has it; a face that contradicts its track starts a new one",
    BLIND: "one that takes no notice of faces: every swap stays on the track",
    "of_somebody_else": "learned looks at anybody but the person under whose name they were stored; must be 0",
    "passers_by": "everybody's videos but those enrolled from, in random order, each a visit on a track of its own, "
    "with remember_unknown; ids: how many remembered strangers were made of one person. Enrolled: all who were to be",
}


def evaluate_folder(settings: Settings, folder: Path, seed: int = 0) -> tuple[dict[str, Any], Report]:
    """Runs the protocol on the videos under `folder`: all numbers, ready for JSON, and the report.

    seed: of who is enrolled, who is a stranger, and the order of things. Raises what `learning.run` raises.
    """
    model, outcomes, failures = learning.run(settings, folder, seed)
    numbers = {"model": model, "seed": seed} | measure(outcomes, failures, folder)
    return numbers, build(numbers, outcomes, folder)


def measure(outcomes: Sequence[Outcome], failures: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """All numbers of `learning.run`, ready for JSON; paths are relative to the folder of videos.

    Raises ValueError where there is no search of one of the kinds.
    """
    return {
        "before": rates(before(outcomes)),
        "after": {
            name: rates(after(outcomes, name)) | learned([one.streams[name] for one in outcomes], folder)
            for name in (SEEING, BLIND)
        },
        "passers_by": passers_by(list(chain.from_iterable(one.passers for one in outcomes))),
        "failed_enrollments": dict(failures),
        "definitions": DEFINITIONS | identification_numbers.DEFINITIONS,
    }


def before(outcomes: Sequence[Outcome]) -> list[VideoResult]:
    """The probe videos of all rounds, when nothing was learned yet."""
    return [result for one in outcomes for result in one.before]


def after(outcomes: Sequence[Outcome], tracker: str) -> list[VideoResult]:
    """The same videos after the stream."""
    return [result for one in outcomes for result in one.streams[tracker].results]


def rates(results: Sequence[VideoResult]) -> dict[str, Any]:
    """The node's decisions, and what the similarities alone would allow."""
    return decision_rates(results) | {
        f"by_{name}": identification_numbers.identification_rates(searches(results, by_video=name == "video"))
        for name in ("frame", "video")
    }


def learned(streams: Sequence[Stream], folder: Path) -> dict[str, Any]:
    """What was learned, and how much of that under a wrong name."""
    looks = [look for stream in streams for look in stream.learned]
    wrong = [look for look in looks if look.person != look.filed_under]
    return {
        "swaps": sum(stream.swaps for stream in streams),
        "swaps_on_one_track": sum(stream.unnoticed for stream in streams),
        "learned": len(looks),
        "learned_people": len({look.filed_under for look in looks}),
        "of_somebody_else": [
            {"filed_under": look.filed_under, "person": look.person, "frame": look.frame.relative_to(folder).as_posix()}
            for look in wrong
        ],
    }


def passers_by(passers: Sequence[Passer]) -> dict[str, Any]:
    """How many ids people were given, by whether they were enrolled."""
    return {
        kind: {
            "people": len(group),
            "ids_per_person": {str(ids): count for ids, count in sorted(Counter(one.ids for one in group).items())},
            "visits": sum(one.visits for one in group),
            "visits_with_an_id": sum(one.recognized for one in group),
            "visits_with_anothers_id": sum(one.foreign for one in group),
        }
        for kind, group in (
            ("strangers", [one for one in passers if not one.enrolled]),
            ("enrolled", [one for one in passers if one.enrolled]),
        )
    }


def summary(numbers: Mapping[str, Any]) -> str:
    """The main numbers in a few lines for a person."""
    lines = [_stage("before", numbers["before"])]
    for name, one in numbers["after"].items():
        lines.append(_stage(f"after, {name}", one))
        wrong = len(one["of_somebody_else"])
        lines.append(
            f"  {one['learned']} looks learned of {one['learned_people']} people, {wrong} of them of somebody else; "
            f"{one['swaps']} swaps, {one['swaps_on_one_track']} of them on one track"
        )
    passers = numbers["passers_by"]
    lines += [
        f"{kind}: " + ", ".join(f"{count} with {ids} ids" for ids, count in one["ids_per_person"].items())
        + f"; another's id in {one['visits_with_anothers_id']} of {one['visits']} visits"
        for kind, one in passers.items()
    ]  # fmt: skip
    return "\n".join(lines)


def _stage(name: str, numbers: Mapping[str, Any]) -> str:
    found = numbers["by_video"]["dir_at_fpir"].items()
    dirs = ", ".join(f"DIR {value:.1%} at FPIR {rate}" for rate, value in found if value is not None)
    return (
        f"{name}: a wrong name in {numbers['wrong_person_rate']:.2%} of the videos, a name for a stranger in "
        f"{numbers['strangers_named']:.2%} of theirs, the right name in {numbers['known_recall']:.2%} of the others"
        f"{'; by video ' + dirs if dirs else ''}"
    )


def build(numbers: Mapping[str, Any], outcomes: Sequence[Outcome], folder: Path) -> Report:
    """The report on what `learning.run` gave; `folder` holds the videos."""
    return Report(
        "Learning in passing: is it worth it, and is it safe?",
        summary(numbers),
        (
            Section("Before and after", _PROTOCOL, (_decisions(numbers), _looks(numbers)), _figures(outcomes)),
            Section("What was learned", _LEARNED, _lessons(numbers, folder)),
            Section("Strangers who are remembered", DEFINITIONS["passers_by"], (_passers(numbers),)),
            Section(
                "Failures",
                "Their searches count as missed.",
                (Table(("person", "why"), tuple(numbers["failed_enrollments"].items()), "People not enrolled"),),
            ),
        ),
    )


_PROTOCOL = (
    f"{DEFINITIONS['before, after']}. Half of the people are enrolled from one video each, the others are strangers; "
    f"then the halves change roles.\n\nThe stream: {DEFINITIONS['stream']}."
)
_LEARNED = "Looks that became observed templates. Whoever takes over a track must never be among them."


def _stages(numbers: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {"before": numbers["before"]} | {f"after, {name}": one for name, one in numbers["after"].items()}


def _decisions(numbers: Mapping[str, Any]) -> Table:
    stages = _stages(numbers)
    rows: list[tuple[Cell, ...]] = [
        (words, *(f"{one[name]:.2%} {_interval(one[f'{name}_wilson'])}" for one in stages.values()))
        for name, words in DECISIONS.items()
    ]
    for rate, value in numbers["before"]["by_video"]["dir_at_fpir"].items():
        if value is not None:
            dirs = [one["by_video"]["dir_at_fpir_intervals"][rate] for one in stages.values()]
            cells = (f"{one['dir']:.2%} {_interval(one['bootstrap'])}" for one in dirs)
            rows.append((f"DIR at FPIR {rate}, by video", *cells))
    return Table(("", *stages), tuple(rows), "With 95 % intervals: Wilson's, and for DIR the bootstrap's over people")


def _interval(ends: tuple[float, float]) -> str:
    return f"({ends[0]:.1%} to {ends[1]:.1%})"


def _looks(numbers: Mapping[str, Any]) -> Table:
    stages = _stages(numbers)
    frames = sorted({int(frame) for one in stages.values() for frame in one["looks_needed"]})
    rows = tuple(
        (str(frame), *(str(one["looks_needed"].get(str(frame), 0)) for one in stages.values())) for frame in frames
    )
    return Table(("frame", *stages), rows, "The frame at which an enrolled person was first named rightly, in videos")


def _figures(outcomes: Sequence[Outcome]) -> tuple[Figure, ...]:
    groups = {}
    for stage, results in (("before", before(outcomes)), ("after", after(outcomes, SEEING))):
        one = searches(results, by_video=True)
        for kind, mask in (("enrolled", one.mated), ("strangers", ~one.mated)):
            scores = one.scores[mask]
            groups[f"{kind}, {stage}"] = scores[scores > MISSED]
    found = {name: scores for name, scores in groups.items() if np.size(scores)}
    drawn = plots.boxes(found, "cosine similarity to the nearest person")
    return (Figure("scores", plots.png(drawn), "Searches by video that found the right person, and strangers'."),)


def _lessons(numbers: Mapping[str, Any], folder: Path) -> tuple[Table, ...]:
    rows = tuple(
        (name, str(one["swaps"]), str(one["swaps_on_one_track"]), str(one["learned"]), str(one["learned_people"]),
         str(len(one["of_somebody_else"])))
        for name, one in numbers["after"].items()
    )  # fmt: skip
    header = ("tracker", "swaps", "on one track", "looks learned", "of people", "of somebody else")
    wrong = [look for one in numbers["after"].values() for look in one["of_somebody_else"]]
    pictures = tuple(
        (look["filed_under"], look["person"] or "somebody in the background",
         picture(read_picture(folder / look["frame"]), look["frame"]))
        for look in wrong[:SHOWN]
    )  # fmt: skip
    caption = f"Looks under a wrong name: {len(wrong)}{f', the first {SHOWN}' if len(wrong) > SHOWN else ''}"
    return Table(header, rows), Table(("stored as", "shows", "frame"), pictures, caption)


def _passers(numbers: Mapping[str, Any]) -> Table:
    kinds = numbers["passers_by"]
    most = max((int(ids) for one in kinds.values() for ids in one["ids_per_person"]), default=0)
    rows: list[tuple[Cell, ...]] = [
        (f"people with {ids} ids", *(str(one["ids_per_person"].get(str(ids), 0)) for one in kinds.values()))
        for ids in range(most + 1)
    ]
    for key, words in (
        ("visits", "visits"),
        ("visits_with_an_id", "visits in which they had an id"),
        ("visits_with_anothers_id", "visits in which they had somebody else's"),
    ):
        rows.append((words, *(str(one[key]) for one in kinds.values())))
    return Table(("", *kinds), tuple(rows))
