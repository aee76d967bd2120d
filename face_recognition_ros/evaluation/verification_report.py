"""Verification as a person reads it: curves, numbers with their intervals, and the pairs that were judged worst."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import det_curve, roc_curve

from face_recognition_ros.evaluation import plots, references
from face_recognition_ros.evaluation.faces import OURS, FaceFinder
from face_recognition_ros.evaluation.report import Cell, Figure, Report, Section, Table, picture
from face_recognition_ros.evaluation.verification import Comparison, Pair, evaluate, pictures_of, read_pairs, summary
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.recognizer import Recognizer
from face_recognition_ros.stages import Embedder

WORST = 10
"""So many pairs of each kind of error are shown, and so many pictures without a face."""


def evaluate_folder(
    recognizer: Recognizer,
    images: Path,
    pairs_file: Path,
    reference: Embedder | None = None,
    several_references: bool = False,
) -> tuple[dict[str, Any], Report]:
    """Runs the protocol of `pairs_file` on the pictures under `images`: all numbers, ready for JSON, and the report.

    reference: a second network, judged on the same faces. several_references: also compare with more than one picture
    of each person, see references.py. Raises ImageError where the pictures or the pairs file cannot be used.
    """
    pairs = read_pairs(pairs_file)
    finder = FaceFinder(recognizer, images, reference)
    numbers, comparisons = evaluate(pairs, finder)
    report = build(numbers, pairs, comparisons, finder)
    if several_references:
        numbers["reference_images"], section = references.evaluate(finder)
        report = report.and_section(section)
    return numbers, report


def build(
    numbers: Mapping[str, Any], pairs: list[Pair], comparisons: Mapping[str, Comparison], finder: FaceFinder
) -> Report:
    """The report on what `verification.evaluate` gave; the finder shows the faces."""
    threshold = numbers["f1_threshold"]
    return Report(
        "Verification: the same person or not?",
        summary(numbers),
        (
            Section("Numbers", _EXPLANATION, (_numbers(numbers), _operating_points(numbers))),
            Section("Curves", "", figures=_curves(comparisons, threshold)),
            Section(
                "Errors",
                "The pairs that this network judged worst at the folds' mean threshold, as the network saw the faces. "
                "A label that is wrong would be among them, too.",
                _errors(pairs, comparisons[OURS], threshold, finder),
            ),
        ),
    )


_EXPLANATION = (
    "Each fold is judged at the threshold that is best on the other folds (LFW's protocol); accuracy is the mean of "
    "the folds with its standard deviation between folds, precision, recall and F1 are over all folds' decisions, and "
    "the threshold given is the folds' mean. A face that was not found counts as an error, whatever the pair.\n\n"
    "TAR at FAR is the part of the genuine pairs accepted by the lowest threshold that accepts no more of the impostor "
    "pairs than allowed. A rate that allows not even one of the impostor pairs cannot be measured and is left open."
)


def _numbers(numbers: Mapping[str, Any]) -> Table:
    rows = (
        (name, f"{one['accuracy']:.2%} ± {one['accuracy_std']:.2%}", f"{one['f1']:.4f}", f"{one['f1_threshold']:.3f}",
         f"{one['precision']:.2%}", f"{one['recall']:.2%}", f"{one['auc']:.4f}", f"{one['eer']:.2%}")
        for name, one in _networks(numbers).items()
    )  # fmt: skip
    return Table(("", "accuracy", "F1", "at similarity", "precision", "recall", "AUC", "EER"), tuple(rows))


def _operating_points(numbers: Mapping[str, Any]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, one in _networks(numbers).items():
        for rate, point in one["tar_at_far_intervals"].items():
            if point is None:
                rows.append((name, rate, "not measurable", "", "", "", f"of {numbers['impostor_pairs']}"))
                continue
            rows.append((
                name, rate, f"{point['tar']:.2%}", _interval(point["wilson"]), _interval(point["bootstrap"]),
                f"{point['threshold']:.3f}", f"{point['false_accepts']} of {point['impostors']}",
            ))  # fmt: skip
    header = ("", "FAR allowed", "TAR", "Wilson 95 %", "bootstrap over people 95 %", "threshold", "false accepts")
    return Table(header, tuple(rows), "True accept rates. Where one false accept is all that is allowed, trust little.")


def _networks(numbers: Mapping[str, Any]) -> dict[str, Any]:
    reference = {"reference network": numbers["reference_network"]} if "reference_network" in numbers else {}
    return {OURS: numbers, **reference}


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.1%} to {ends[1]:.1%}"


def _curves(comparisons: Mapping[str, Comparison], threshold: float) -> tuple[Figure, ...]:
    roc, det = [], []
    for name, one in comparisons.items():
        far, tar, _ = roc_curve(one.genuine, one.similarities, drop_intermediate=False)
        roc.append(plots.Curve(name, far, tar))
        det.append(plots.Curve(name, *det_curve(one.genuine, one.similarities)[:2]))
    ours = comparisons[OURS]
    groups = {
        "genuine": ours.similarities[ours.genuine & ~ours.missed],
        "impostor": ours.similarities[~ours.genuine & ~ours.missed],
    }
    scores = plots.histogram(groups, "cosine similarity", lines={"threshold": threshold})
    return (
        Figure("roc", plots.png(plots.roc(roc)), "ROC: what is accepted of the genuine pairs, and what that costs."),
        Figure("det", plots.png(plots.det(det)), "DET: both errors; nearer to the lower left corner is better."),
        Figure("scores", plots.png(scores), "Similarities of genuine and impostor pairs by this network."),
    )


def _errors(pairs: list[Pair], ours: Comparison, threshold: float, finder: FaceFinder) -> tuple[Table, ...]:
    over = ours.similarities >= threshold
    accepts = np.flatnonzero(~ours.genuine & over)
    rejects = np.flatnonzero(ours.genuine & ~over & ~ours.missed)
    tables = []
    for title, wrong, badness in (
        ("False accepts: two people taken for one", accepts, -ours.similarities[accepts]),
        ("False rejects: one person taken for two", rejects, ours.similarities[rejects]),
    ):
        rows = tuple(
            (f"{ours.similarities[i]:.3f}", _thumbnail(pairs[i].first, finder), _thumbnail(pairs[i].second, finder))
            for i in wrong[np.argsort(badness, kind="stable")][:WORST]
        )
        caption = f"{title}: {len(wrong)}{f', the worst {WORST}' if len(wrong) > WORST else ''}"
        tables.append(Table(("similarity", "first", "second"), rows, caption))
    names = [name for name in pictures_of(pairs) if finder(name) is None]
    if names:
        unseen = tuple((name, _thumbnail(name, finder)) for name in names[:WORST])
        tables.append(Table(("picture", ""), unseen, f"Faces not found: {len(names)}; the JSON file lists all of them"))
    return tuple(tables)


def _thumbnail(name: str, finder: FaceFinder) -> Cell:
    """The aligned face, or the whole picture where there is none."""
    face = finder(name)
    return picture(face.crop if face else read_picture(finder.images / name), name)
