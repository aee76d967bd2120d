"""What a face mask costs: pairs of unmasked and masked faces, through the whole pipeline, by kind of mask.

The conditions and terms are those of Damer et al., "The effect of wearing a mask on face recognition performance",
BIOSIG 2020 (there with real masks): both faces bare, one masked, both masked; GMean and IMean of genuine and impostor
comparisons; error rates also at the line that was set on bare faces. Masks are drawn on the whole photograph
(face_recognition_ros.masks), the face is then looked for anew.

`face-recognition evaluate masked --images DIR --pairs FILE [--limit N] [--json OUT]`
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from face_recognition_ros.evaluation import plots
from face_recognition_ros.evaluation.conditions import (
    FALSE_ACCEPT_RATE,
    RATE_KEY,
    Change,
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
    together,
)
from face_recognition_ros.evaluation.report import Figure, Report, Section, Table
from face_recognition_ros.evaluation.verification import Comparison, Pair, pictures_of, read_pairs
from face_recognition_ros.masks import SHAPES, TEXTURES, draw_mask
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.recognizer import Recognizer
from face_recognition_ros.types import ByteArray, Detection

UNMASKED, ONE_MASKED, BOTH_MASKED = "unmasked-unmasked", "masked-unmasked", "masked-masked"
CONDITIONS = (UNMASKED, ONE_MASKED, BOTH_MASKED)
Comparisons = Mapping[tuple[str, str], Comparison]
"""By condition and shape of mask; the shape is empty where nobody is masked."""

WANTED_GAP_SHARE = 0.8
EXAMPLES = 4
BOXES = "Boxes reach from quartile to quartile, whiskers from the 5th to the 95th percentile."


def evaluate_folder(
    recognizer: Recognizer, images: Path, pairs_file: Path, limit: int | None = None, seed: int = 0
) -> tuple[dict[str, Any], Report]:
    """Runs the pairs of `pairs_file` on the pictures under `images`, bare and with every kind of mask.

    Args:
        recognizer: the whole pipeline.
        images: holds NAME/NAME_0001.jpg.
        pairs_file: in the format of LFW's pairs.txt.
        limit: how many pairs; None for all.
        seed: of the choice of pairs, and of the masks' textures and fit.

    Raises:
        ImageError: a picture or the pairs file cannot be used, or there are fewer than two folds.
    """
    pairs = choose_pairs(read_pairs(pairs_file), limit, seed)
    names = pictures_of(pairs)
    bare = find_faces(recognizer, images, names)
    changes = {shape: mask_change(shape) for shape in SHAPES}
    masked = find_changed_faces(recognizer, images, bare, names, changes, seed)
    comparisons = compare_all(pairs, bare, masked)
    result = {"pairs": len(pairs), "pictures": len(names), "seed": seed} | measure_all(comparisons)
    result["failed_detections"] = {"unmasked": missing(bare)} | {shape: missing(masked[shape]) for shape in SHAPES}
    found = [name for name in names if bare[name] is not None]
    examples = {
        name: example_row(read_picture(images / name), bare, name, seed)
        for name in found[:: len(found) // EXAMPLES + 1]
    }
    return result, report(result, comparisons, examples)


def mask_change(shape: str) -> Change:
    """Draws a mask of this shape, of random texture, by the face's landmarks."""

    def draw(picture: ByteArray, face: Detection, rng: np.random.Generator) -> ByteArray:
        return draw_mask(picture, face.landmarks, shape, str(rng.choice(TEXTURES)), rng)

    return draw


def compare_all(pairs: Sequence[Pair], bare: SeenFaces, masked: Mapping[str, SeenFaces]) -> Comparisons:
    """The pairs under every condition, with every kind of mask in `masked`."""
    result = {(UNMASKED, ""): compare(pairs, bare, bare)}
    for shape, faces in masked.items():
        result[ONE_MASKED, shape] = compare(pairs, faces, bare)
        result[BOTH_MASKED, shape] = compare(pairs, faces, faces)
    return result


def measure_all(comparisons: Comparisons) -> dict[str, Any]:
    """The numbers of every condition, over all kinds of mask and for each, with its gap as a share of the bare gap.

    Keys: `line` (similarity, set on bare faces), `conditions` {condition: numbers}, `by_mask_type` {shape: {condition:
    numbers}}; see conditions.measure, to which `gap_share` is added.
    """
    line = accept_line(comparisons[UNMASKED, ""])
    bare_gap = measure(comparisons[UNMASKED, ""], line)["gap"]

    def of(comparison: Comparison) -> dict[str, Any]:
        result = measure(comparison, line)
        share = None if result["gap"] is None or not bare_gap else result["gap"] / bare_gap
        return result | {"gap_share": share}

    return {
        "line": line,
        "conditions": {condition: of(pooled(comparisons, condition)) for condition in CONDITIONS},
        "by_mask_type": {
            shape: {condition: of(comparisons[condition, shape]) for condition in (ONE_MASKED, BOTH_MASKED)}
            for shape in of_condition(comparisons, ONE_MASKED)
        },
    }


def of_condition(comparisons: Comparisons, wanted: str) -> dict[str, Comparison]:
    """By shape of mask."""
    return {shape: comparison for (condition, shape), comparison in comparisons.items() if condition == wanted}


def pooled(comparisons: Comparisons, condition: str) -> Comparison:
    """A condition over all kinds of mask."""
    return together(list(of_condition(comparisons, condition).values()))


def example_row(picture: ByteArray, faces: SeenFaces, name: str, seed: int) -> list[ByteArray]:
    """A picture's face bare and with every kind of mask, exactly as it was measured; all of one size."""
    face = faces[name]
    assert face is not None
    drawn = [changed_picture(picture, face, mask_change(shape), f"{shape}/{name}", seed) for shape in SHAPES]
    return [central_crop(picture if image is None else image, face.detection.box) for image in (picture, *drawn)]


def summary(result: Mapping[str, Any]) -> str:
    """The numbers in a few lines for a person."""
    lines = [f"{result['pairs']} pairs, {len(result['by_mask_type'])} kinds of drawn masks"]
    for name, part in result["conditions"].items():
        lines.append(
            f"{name}: GMean {decimal(part['gmean'])}, IMean {decimal(part['imean'])} (distances), "
            f"gap {decimal(part['gap'])} = {percent(part['gap_share'])} of the unmasked; "
            f"accuracy {part['accuracy']:.1%}, EER {part['eer']:.1%}"
        )
    failed = ", ".join(f"{name} {len(names)}" for name, names in result["failed_detections"].items())
    return "\n".join([*lines, f"faces not found, of {result['pictures']} pictures: {failed}"])


HEADER = ("", "GMean", "IMean", "genuine median", "impostor median", "gap", "of unmasked", "accuracy", "EER", "AUC",
          f"TAR at FAR {FALSE_ACCEPT_RATE:.0%}", "TAR at line", "FAR at line", "pairs not found")  # fmt: skip


def report(result: Mapping[str, Any], comparisons: Comparisons, examples: Mapping[str, Sequence[ByteArray]]) -> Report:
    """The page for a person; `examples` are rows of pictures of one size: bare, then each kind of mask."""
    shown = (Figure("examples", plots.png(example_grid(examples)), "Drawn masks."),) if examples else ()
    lists = tuple((name, ", ".join(names) or "none") for name, names in result["failed_detections"].items())
    sections = (
        conditions_section(result, comparisons),
        types_section(result, comparisons),
        Section("Examples", "As they were measured.", figures=shown),
        Section(
            "Faces not found",
            "Each counts as an error of every pair it is in. So does a masked picture that could not be made, as the "
            "head is turned too far for a mask to be drawn.",
            (Table(("pictures", "not found"), lists),),
        ),
    )
    return Report("Masked faces", summary(result), sections)


def conditions_section(result: Mapping[str, Any], comparisons: Comparisons) -> Section:
    """What is measured, in words, and the numbers of every condition over all masks."""
    text = (
        f"{result['pairs']} pairs of {result['pictures']} pictures, chosen with seed {result['seed']}, through the "
        "whole pipeline: masks are drawn on the photograph by its detected landmarks, then the face is detected, "
        "aligned and embedded anew. GMean and IMean are the means of the genuine and the impostor distances (1 - "
        "cosine), so GMean should lie far below IMean; the gap between them should keep at least "
        f"{WANTED_GAP_SHARE:.0%} of its unmasked size.\n\nThe line is the similarity that accepts "
        f"{FALSE_ACCEPT_RATE:.0%} of the unmasked impostors, {result['line']:.3f}: what a robot that was set up "
        "on bare faces would ask for. A pair with a face that is not found counts as rejected in all rates and as "
        "judged wrongly for accuracy; it has no distance."
    )
    rows = tuple(table_row(*row) for row in result["conditions"].items())
    everything = {condition: pooled(comparisons, condition) for condition in CONDITIONS}
    figure = box_figure("boxes", everything, f"Over all masks. {BOXES}")
    return Section("Conditions", text, (Table(HEADER, rows),), (figure,))


def types_section(result: Mapping[str, Any], comparisons: Comparisons) -> Section:
    """The numbers of every kind of mask."""
    rows = tuple(
        table_row(f"{shape}, {condition}", part)
        for shape, parts in result["by_mask_type"].items()
        for condition, part in parts.items()
    )
    bare = {"unmasked": comparisons[UNMASKED, ""]}
    figures = tuple(
        box_figure(f"boxes_{wanted}", bare | of_condition(comparisons, wanted), f"{wanted}. {BOXES}")
        for wanted in (ONE_MASKED, BOTH_MASKED)
    )
    text = "The half mask leaves the nose free; scarf and bandana hang over the neck."
    return Section("By kind of mask", text, (Table(HEADER, rows),), figures)


def example_grid(examples: Mapping[str, Sequence[ByteArray]]) -> Any:
    """Rows of people, columns of masks."""
    labels = [Path(name).stem.replace("_", " ") for name in examples]
    return plots.grid(list(examples.values()), labels, ("unmasked", *SHAPES))


def box_figure(name: str, comparisons: Mapping[str, Comparison], caption: str) -> Figure:
    """Box plots of the genuine and the impostor distances of each comparison, by its label."""
    boxes = {
        f"{label}\n{kind}": 1 - one.similarities[~one.missed & wanted]
        for label, one in comparisons.items()
        for kind, wanted in (("genuine", one.genuine), ("impostor", ~one.genuine))
    }
    figure = plots.boxes(boxes, "distance (1 - cosine)")
    for index, box in enumerate(figure.axes[0].patches):
        box.set_facecolor(plots.COLORS[index % 2])  # genuine and impostor, whatever the condition
    return Figure(name, plots.png(figure), caption)


def table_row(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    """A line of the tables."""
    distances = ("gmean", "imean", "gmedian", "imedian", "gap")
    rates = (part["gap_share"], part["accuracy"], part["eer"])
    return (
        name,
        *(decimal(part[key]) for key in distances),
        *(percent(rate) for rate in rates),
        f"{part['auc']:.4f}",
        percent(part["tar_at_far"][RATE_KEY]),
        percent(part["at_line"]["tar"]),
        percent(part["at_line"]["far"]),
        str(part["pairs_not_found"]),
    )
