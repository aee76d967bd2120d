r"""Reports for which groups of held-out faces the network errs more often: the model card's known weak groups.

Run it as::

    .venv-training/bin/python -m face_recognition_ros.training.groups \\
        --model face_recognition_ros/models/face_embedding.onnx --shards DIR --work DIR --json groups.json

With `--utkface DIR`, a folder of pictures named AGE_GENDER_RACE_DATE.jpg as UTKFace names them, also by age, sex and
origin; give faces that the network was not trained on. At most twenty faces of a person are used.

In a collection without identities (marked *) each face counts as a person of its own: where it shows somebody twice,
its false match rate is too high. The groups that go across sources leave such collections out.
"""

import argparse
import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from tqdm import tqdm

from face_recognition_ros.alignment import align_face
from face_recognition_ros.detection import DETECTORS, DetectorOptions, FaceDetector, create_detector
from face_recognition_ros.errors import AlignmentError, ImageError
from face_recognition_ros.gallery.calibration import Calibration, effective_count
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.training.data.crops import choose_face, detect_faces
from face_recognition_ros.training.data.shards import centre_crops, decode_shards, read_index
from face_recognition_ros.training.export import (
    ALL_DIFFERENT,
    PER_IDENTITY,
    add_held_out_arguments,
    embed,
    first_of_each,
    read_metadata,
)

TARGET = 1e-3
"""The false accept rate that the accept line is for."""
MASKED = ("facemask12k", "fmd_chandrika", "facemask_observations")
"""Sources of photographs of people with and without masks."""
LOW_RESOLUTION = 0.8
"""Source pixels per crop pixel: below, the face was enlarged."""
SCORE_EDGES = (0.7, 0.8, 0.85)
"""Of the detector, between the bands."""
AGE_EDGES = (10, 20, 40, 60)
SEXES = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "other")
"""UTKFace's words and order."""
UTKFACE_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+")
Embeddings = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Groups = dict[str, Mask]


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, of how many pairs, and its 95 % interval, in which pairs that share people count for less."""

    value: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One row of the table."""

    name: str
    faces: int
    people: int
    false_match: Rate | None
    """Of impostor pairs above the accept line, both faces of the group; None without any pair."""
    true_match: Rate | None
    """Of genuine pairs above it; None without any pair."""


def wilson(rate: float, trials: float, pairs: int) -> Rate:
    """Wilson's score interval (1927) for so many independent trials."""
    z = float(ndtri(0.975))
    middle = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    return Rate(rate, max(middle - half, 0.0), min(middle + half, 1.0), pairs)


def false_match(accepted: Mask, people: npt.NDArray[np.int64]) -> Rate | None:
    """Of impostor pairs (M,) of these people (M, 2)."""
    if not len(accepted):
        return None
    rate = float(accepted.mean())
    if rate == 0:  # pairs that share nobody are independent, so there are at least as many trials
        return wilson(0.0, max(len(np.unique(people)) / 2, 1.0), len(accepted))
    return wilson(rate, effective_count(accepted, people) / rate, len(accepted))


def true_match(accepted: Mask, person: npt.NDArray[np.int64]) -> Rate | None:
    """Of genuine pairs (G,) of these people (G,); pairs of one person vary together."""
    if not len(accepted):
        return None
    rate = float(accepted.mean())
    deviations = np.bincount(person, weights=accepted - rate)  # cluster-robust variance of the sum (Liang, Zeger 1986)
    variance = float((deviations**2).sum()) / len(accepted) ** 2
    people = len(np.unique(person))
    if people == 1 or variance == 0:
        return wilson(rate, float(people), len(accepted))
    return wilson(rate, min(max(rate * (1 - rate) / variance, 1.0), len(accepted)), len(accepted))


def judge(name: str, embeddings: Embeddings, people: npt.NDArray[np.int64], line: float) -> GroupResult:
    """All pairs among the faces (N, D) of these people (N,), at this accept line."""
    first, second = np.triu_indices(len(embeddings), k=1)
    accepted = (embeddings @ embeddings.T)[first, second] > line
    same = people[first] == people[second]
    pairs = np.stack([people[first], people[second]], axis=1)
    return GroupResult(
        name, len(people), len(np.unique(people)),
        false_match(accepted[~same], pairs[~same]), true_match(accepted[same], people[first[same]]),
    )  # fmt: skip


def between(
    name: str, embeddings: Embeddings, people: npt.NDArray[np.int64], group: Sequence[str], line: float
) -> GroupResult:
    """Impostor pairs whose faces are of different groups (N,)."""
    first, second = np.triu_indices(len(embeddings), k=1)
    codes = np.unique(np.asarray(group), return_inverse=True)[1]
    chosen = (codes[first] != codes[second]) & (people[first] != people[second])
    accepted = (embeddings @ embeddings.T)[first, second] > line
    pairs = np.stack([people[first], people[second]], axis=1)
    rate = false_match(accepted[chosen], pairs[chosen])
    return GroupResult(name, len(people), len(np.unique(people)), rate, None)


def bands(values: npt.NDArray[np.float64], edges: Sequence[float], name: str) -> Groups:
    """Groups of values (N,) below the first edge, from one to the next, and from the last on."""
    limits = [-math.inf, *edges, math.inf]
    words = [f"under {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(edges))]
    words.append(f"{edges[-1]:g} or more")
    return {
        f"{name} {word}": (values >= low) & (values < high)
        for word, (low, high) in zip(words, pairwise(limits), strict=True)
    }


def shard_groups(rows: Sequence[Mapping[str, str]]) -> Groups:
    """What index.csv knows of faces, given by their rows (N)."""
    sources = np.array([row["source"] for row in rows])
    pixels = np.array([float(row["source_pixels_per_crop_pixel"]) for row in rows])
    known = known_people(rows)
    groups: Groups = {}
    for source in sorted(set(sources.tolist())):
        mask = sources == source
        groups[f"source {source}{'' if known[mask].all() else ' *'}"] = mask
    groups["sources with masks *"] = np.isin(sources, MASKED)
    scores = np.array([float(row["detection_score"]) for row in rows])
    across = {"low resolution": pixels < LOW_RESOLUTION, "full resolution": pixels >= LOW_RESOLUTION}
    across |= bands(scores, SCORE_EDGES, "detection score")
    return groups | {name: mask & known for name, mask in across.items()}


def known_people(rows: Sequence[Mapping[str, str]]) -> Mask:
    """Of which faces it is known who they are, or at least that they are all of different people."""
    return np.array([bool(row["identity"]) or row["source"] == ALL_DIFFERENT for row in rows])


def utkface_labels(name: str) -> tuple[int, str, str] | None:
    """Age in years, sex and origin by a file's name; None where it has another form."""
    match = UTKFACE_NAME.match(name)
    return (int(match[1]), SEXES[int(match[2])], RACES[int(match[3])]) if match else None


def utkface_groups(labels: Sequence[tuple[int, str, str]]) -> Groups:
    """Age bands, sexes and origins of faces (N)."""
    ages, sexes, races = (np.array(column) for column in zip(*labels, strict=True))
    groups = bands(ages.astype(np.float64), AGE_EDGES, "age")
    return groups | {sex: sexes == sex for sex in SEXES} | {race: races == race for race in RACES}


def utkface_crops(folder: Path, detector: FaceDetector) -> tuple[npt.NDArray[np.uint8], list[tuple[int, str, str]]]:
    """Aligned crops (N, 112, 112, 3) RGB and labels of the pictures on which one face is found; says how many are not.

    Raises ValueError where there is none.
    """
    named = [(file, labels) for file in sorted(folder.iterdir()) if (labels := utkface_labels(file.name))]
    crops, found = [], []
    for file, labels in tqdm(named, desc="align", unit="face"):
        try:
            photo = read_picture(file)
            face = choose_face(detect_faces(detector, photo, longest_side=640), photo.shape[1], photo.shape[0])
            if face is not None:
                crops.append(align_face(photo, face.landmarks).crop[..., ::-1])
                found.append(labels)
        except (ImageError, AlignmentError) as error:
            tqdm.write(f"left out: {error}")
    if not found:
        raise ValueError(f"{folder} holds no picture of a face named AGE_GENDER_RACE_DATE.jpg, as UTKFace names them")
    print(f"{folder}: one face found in {len(found)} of {len(named)} pictures")
    return np.stack(crops), found


def report_shards(embeddings: Embeddings, rows: Sequence[Mapping[str, str]], line: float) -> list[GroupResult]:
    """By what index.csv knows of the faces (N, D); first all of those whose identity is known."""
    kept = first_of_each(np.array([row["identity"] or row["key"] for row in rows]), PER_IDENTITY)
    embeddings, rows = embeddings[kept], [rows[row] for row in kept]
    known = known_people(rows)
    people = np.unique([row["identity"] or row["key"] for row in rows], return_inverse=True)[1]
    results = [judge("all whose identity is known", embeddings[known], people[known], line)]
    results.append(between("pairs between sources *", embeddings, people, [row["source"] for row in rows], line))
    groups = shard_groups(rows).items()
    return results + [judge(name, embeddings[mask], people[mask], line) for name, mask in groups if mask.any()]


def report_utkface(embeddings: Embeddings, labels: Sequence[tuple[int, str, str]], line: float) -> list[GroupResult]:
    """By age, sex and origin, each face (N, D) taken for another person."""
    people = np.arange(len(labels))
    groups = {"all of UTKFace": np.ones(len(labels), bool)} | utkface_groups(labels)
    return [judge(name, embeddings[mask], people[mask], line) for name, mask in groups.items() if mask.any()]


def table(results: Sequence[GroupResult]) -> str:
    """Markdown for the model card; rates with their 95 % intervals."""

    def cell(rate: Rate | None, scale: float) -> str:
        if rate is None:
            return "–"
        return f"{scale * rate.value:.3g} ({scale * rate.low:.3g} to {scale * rate.high:.3g})"

    lines = ["| group | faces | people | false matches in 1,000 impostor pairs | true matches, % |", "| --- " * 5 + "|"]
    for row in results:
        rates = f"{cell(row.false_match, 1000)} | {cell(row.true_match, 100)}"
        lines.append(f"| {row.name} | {row.faces} | {row.people} | {rates} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the exported network, with its calibration")
    add_held_out_arguments(parser)
    parser.add_argument("--utkface", type=Path, help="folder of pictures with UTKFace's names")
    parser.add_argument("--detector", choices=list(DETECTORS), default="mtcnn", help="for --utkface (%(default)s)")
    parser.add_argument("--detector-model", default="", help="its model file; yunet and scrfd need one")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    arguments = parser.parse_args()

    line = Calibration.from_dict(read_metadata(arguments.model)["calibration"]).accept_similarity(TARGET, 1)
    index = read_index(arguments.shards)
    held_out = np.flatnonzero(index.held_out(arguments.held_out))
    with (arguments.shards / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    faces = decode_shards(arguments.shards, arguments.work / "faces.npy")
    embeddings = embed(arguments.model, np.ascontiguousarray(centre_crops(faces[held_out])))
    results = report_shards(embeddings, [rows[row] for row in held_out], line)
    if arguments.utkface:
        detector = create_detector(arguments.detector, DetectorOptions(model=arguments.detector_model, threads=1))
        crops, labels = utkface_crops(arguments.utkface, detector)
        results += report_utkface(embed(arguments.model, crops), labels, line)
    print(f"At the accept line for FAR {TARGET:g} and one template, a similarity of {line:.3f}:\n\n{table(results)}")
    if arguments.json:
        numbers = {"accept_similarity": line, "groups": [asdict(result) for result in results]}
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
