"""How light, blur, low resolution, noise, rotation, distance and pose change what is recognised, as curves.

One picture of each pair is made worse in steps and goes through the whole pipeline again. Pose is not synthesised: the
genuine pairs are grouped by how differently their two photographs' heads are turned, as the landmarks show.

`face-recognition evaluate robustness --images DIR --pairs FILE [--limit N] [--json OUT]`
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np

from face_recognition_ros.evaluation import metrics, plots
from face_recognition_ros.evaluation.conditions import (
    FALSE_ACCEPT_RATE,
    RATE_KEY,
    Change,
    SeenFace,
    SeenFaces,
    accept_line,
    central_crop,
    changed_picture,
    choose_pairs,
    compare,
    decimal,
    find_changed_faces,
    find_faces,
    measure,
    missing,
    percent,
)
from face_recognition_ros.evaluation.degradations import DEGRADATIONS, Degradation
from face_recognition_ros.evaluation.report import Figure, Picture, Report, Section, Table, picture
from face_recognition_ros.evaluation.verification import Comparison, Pair, pictures_of, read_pairs
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.quality import head_pose
from face_recognition_ros.recognizer import Recognizer
from face_recognition_ros.types import ByteArray, Detection

YAW_BINS = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 180.0)
"""Degrees between the yaws of a pair's two faces."""

HEADER = ("", f"TAR at FAR {FALSE_ACCEPT_RATE:.0%}", "accuracy", "TAR at line", "FAR at line", "genuine similarity",
          "impostor similarity", "faces not found")  # fmt: skip


def evaluate_folder(
    recognizer: Recognizer, images: Path, pairs_file: Path, limit: int | None = None, seed: int = 0
) -> tuple[dict[str, Any], Report]:
    """Runs the pairs of `pairs_file` on the pictures under `images`, their second pictures made worse in every way.

    Args:
        recognizer: the whole pipeline.
        images: holds NAME/NAME_0001.jpg.
        pairs_file: in the format of LFW's pairs.txt.
        limit: how many pairs; None for all.
        seed: of the choice of pairs, and of noise and directions.

    Raises:
        ImageError: a picture or the pairs file cannot be used, or there are fewer than two folds.
    """
    pairs = choose_pairs(read_pairs(pairs_file), limit, seed)
    names, seconds = pictures_of(pairs), sorted({pair.second for pair in pairs})
    faces = find_faces(recognizer, images, names)
    unchanged = compare(pairs, faces, faces)
    line = accept_line(unchanged)
    result: dict[str, Any] = {
        "pairs": len(pairs),
        "pictures": len(names),
        "changed_pictures": len(seconds),
        "seed": seed,
        "line": line,
        "unchanged": measure(unchanged, line) | {"failed_detections": missing(faces)},
        "face_width": float(np.median([face.detection.width for face in faces.values() if face] or [0.0])),
    }
    changes = {key(way, level): change(way, level) for way in DEGRADATIONS for level in way.levels}
    changed = find_changed_faces(recognizer, images, faces, seconds, changes, seed)
    result["degradations"] = {
        way.name: {
            f"{level:g}": level_numbers(compare(pairs, faces, changed[key(way, level)]), changed[key(way, level)], line)
            for level in way.levels
        }
        for way in DEGRADATIONS
    }
    result["yaw_difference"] = by_yaw(pairs, faces, unchanged, line)
    return result, report(result, example_rows(images, seconds, faces, seed))


def key(way: Degradation, level: float) -> str:
    """Names a step; the random numbers of a picture depend on it."""
    return f"{way.name} {level:g}"


def change(way: Degradation, level: float) -> Change:
    """One step of a degradation."""

    def apply(image: ByteArray, face: Detection, rng: np.random.Generator) -> ByteArray:
        return way.apply(image, face, level, rng)

    return apply


def level_numbers(comparison: Comparison, changed: SeenFaces, line: float) -> dict[str, Any]:
    """See conditions.measure; failed detections are those of the changed pictures."""
    return measure(comparison, line) | {"failed_detections": missing(changed)}


def by_yaw(pairs: Sequence[Pair], faces: SeenFaces, unchanged: Comparison, line: float) -> list[dict[str, Any]]:
    """The genuine pairs of each of YAW_BINS: their number, mean similarity and TAR at the line with its interval."""
    found = unchanged.genuine & ~unchanged.missed
    difference = np.array([yaw_difference(faces[pair.first], faces[pair.second]) for pair in pairs])
    bins = []
    for low, high in pairwise(YAW_BINS):
        inside = unchanged.similarities[found & (difference >= low) & (difference < high)]
        if len(inside):
            accepted = int((inside >= line).sum())
            bins.append({
                "from": low, "to": high, "pairs": len(inside), "genuine_similarity": float(inside.mean()),
                "tar": accepted / len(inside), "wilson": list(metrics.wilson(accepted, len(inside))),
            })  # fmt: skip
    return bins


def yaw_difference(first: SeenFace | None, second: SeenFace | None) -> float:
    """Degrees between the yaws of two faces, good to about ten; NaN where one was not found."""
    if first is None or second is None:
        return float("nan")
    return abs(head_pose(first.detection.landmarks)[0] - head_pose(second.detection.landmarks)[0])


def example_rows(images: Path, names: Sequence[str], faces: SeenFaces, seed: int) -> dict[str, list[Picture]]:
    """What the first face that was found looks like at each level of each degradation, exactly as it was measured."""
    name, face = next(((name, faces[name]) for name in names if faces[name] is not None), ("", None))
    if face is None:
        return {way.name: [] for way in DEGRADATIONS}
    image = read_picture(images / name)
    rows: dict[str, list[Picture]] = {}
    for way in DEGRADATIONS:
        steps = ((level, changed_picture(image, face, change(way, level), f"{key(way, level)}/{name}", seed))
                 for level in way.levels)  # fmt: skip
        rows[way.name] = [
            # A smaller picture is shown at the size of the others.
            picture(
                central_crop(worse, face.detection.box * (worse.shape[1] / image.shape[1])), f"{way.title} {level:g}"
            )
            for level, worse in steps
            if worse is not None
        ]
    return rows


def summary(result: Mapping[str, Any]) -> str:
    """The numbers in a few lines for a person: each degradation's worst level."""
    clean = result["unchanged"]
    lines = [
        f"{result['pairs']} pairs, the second picture of each made worse; unchanged: accuracy {clean['accuracy']:.1%}, "
        f"TAR {percent(clean['tar_at_far'][RATE_KEY])} at FAR {FALSE_ACCEPT_RATE:.0%}"
    ]
    for way in DEGRADATIONS:
        steps = result["degradations"][way.name]
        level = min(steps, key=lambda step: float(steps[step]["accuracy"]))
        worst = steps[level]
        lines.append(
            f"{way.title}, {way.axis} {level}: accuracy {worst['accuracy']:.1%}, genuine similarity "
            f"{decimal(worst['genuine_similarity'])}, {len(worst['failed_detections'])} of "
            f"{result['changed_pictures']} faces not found"
        )
    return "\n".join(lines)


def report(result: Mapping[str, Any], examples: Mapping[str, Sequence[Picture]]) -> Report:
    """The page for a person; `examples` are pictures of the levels by degradation."""
    text = (
        f"{result['pairs']} pairs of {result['pictures']} pictures, chosen with seed {result['seed']}. The second "
        "picture of each pair is made worse; in it the face is detected, aligned and embedded anew. A face that is not "
        "found counts as rejected in all rates and as judged wrongly for accuracy; it has no similarity. The line is "
        f"the similarity that accepts {FALSE_ACCEPT_RATE:.0%} of the unchanged impostors, {result['line']:.3f}. "
        f"The median face is {result['face_width']:.0f} pixels wide."
    )
    unchanged = Table(HEADER, (table_row("unchanged", result["unchanged"], result["pictures"]),))
    sections = [Section("Unchanged", text, (unchanged,))]
    sections += [degradation_section(way, result, examples[way.name]) for way in DEGRADATIONS]
    return Report("Robustness", summary(result), (*sections, yaw_section(result)))


def degradation_section(way: Degradation, result: Mapping[str, Any], examples: Sequence[Picture]) -> Section:
    """Curves, pictures and numbers of one degradation."""
    steps = result["degradations"][way.name]
    unchanged = result["face_width"] if way.unchanged is None else way.unchanged
    known = sorted([(unchanged, result["unchanged"], result["pictures"])] + [
        (float(level), step, result["changed_pictures"]) for level, step in steps.items()
    ], key=lambda item: item[0])  # fmt: skip
    x = np.array([level for level, _, _ in known])

    def line(label: str, values: Sequence[float | None]) -> plots.Curve:
        return plots.Curve(label, x, np.array([np.nan if value is None else value for value in values]))

    lines = (
        line(HEADER[1], [part["tar_at_far"][RATE_KEY] for _, part, _ in known]),
        line("accuracy", [part["accuracy"] for _, part, _ in known]),
        line("TAR at the line", [part["at_line"]["tar"] for _, part, _ in known]),
        line("mean genuine similarity", [part["genuine_similarity"] for _, part, _ in known]),
        line("faces not found", [len(part["failed_detections"]) / count for _, part, count in known]),
    )
    figure = draw([curve for curve in lines if not np.isnan(curve.y).all()], way.axis)
    rows = tuple(table_row(f"{level:g}", part, count) for level, part, count in known)
    pictures = (Table(("",) * len(examples), (tuple(examples),)),) if examples else ()
    caption = f"{way.title}: {way.axis}; {unchanged:g} is unchanged."
    return Section(
        way.title, "", (*pictures, Table((way.axis, *HEADER[1:]), rows)),
        (Figure(way.name, plots.png(figure), caption),),
    )  # fmt: skip


def yaw_section(result: Mapping[str, Any]) -> Section:
    """Curves and numbers by difference in pose."""
    bins = result["yaw_difference"]
    text = (
        "Genuine pairs as they were photographed, by how far the yaws of the two heads lie apart; yaw is estimated "
        "from five landmarks and good to about ten degrees. Other differences grow with it: this is no pure measure."
    )
    rows = tuple(
        (f"{one['from']:g} to {one['to']:g}", str(one["pairs"]), percent(one["tar"]),
         " to ".join(percent(end) for end in one["wilson"]), decimal(one["genuine_similarity"]))
        for one in bins
    )  # fmt: skip
    table = Table(("yaw difference", "pairs", "TAR at line", "95 % interval", "genuine similarity"), rows)
    if not bins:
        return Section("Pose", text, (table,))
    values = partial(np.array, dtype=np.float64)
    x = values([one["from"] for one in bins])
    curves = (
        plots.Curve("TAR at the line", x, values([one["tar"] for one in bins]),
                    values([one["wilson"][0] for one in bins]), values([one["wilson"][1] for one in bins])),
        plots.Curve("mean genuine similarity", x, values([one["genuine_similarity"] for one in bins])),
    )  # fmt: skip
    figure = draw(curves, "yaw difference in degrees, from")
    return Section("Pose", text, (table,), (Figure("yaw_difference", plots.png(figure), "With its 95 % interval."),))


def draw(lines: Sequence[plots.Curve], axis: str) -> matplotlib.figure.Figure:
    """Curves of shares and cosines, with the legend below, as they leave no corner free."""
    figure = plots.curves(lines, axis, "share, or cosine", y_limits=(-0.02, 1.02), markers=True)
    axes = figure.axes[0]
    if legend := axes.get_legend():
        legend.remove()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    return figure


def table_row(label: str, part: Mapping[str, Any], pictures: int) -> tuple[str, ...]:
    """A line of the tables; `pictures` is of how many the failed detections are."""
    return (
        label,
        percent(part["tar_at_far"][RATE_KEY]),
        percent(part["accuracy"]),
        percent(part["at_line"]["tar"]),
        percent(part["at_line"]["far"]),
        decimal(part["genuine_similarity"]),
        decimal(part["impostor_similarity"]),
        f"{len(part['failed_detections'])} of {pictures}",
    )
