"""What the embedding network looks at: attribution maps for bare and masked faces, and what covering a part costs.

The decision is the similarity to another picture of the same person, traced back through the network by Grad-CAM and
LayerCAM (see attribution.py). As a check that needs no gradients, parts of the face are covered and the loss of
similarity is measured. It needs torch, so the environment is that of training (see attribution.INSTALL)::

    face-recognition evaluate gradcam --images DIR [--count N] [--json OUT]
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from face_recognition_ros.assembly import Assembly, embedding_model_file
from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation import plots
from face_recognition_ros.evaluation.attribution import (
    METHODS,
    REGIONS,
    area,
    attribution_maps,
    differentiable,
    embed,
    overlay,
    painted,
    require_libraries,
    shares,
)
from face_recognition_ros.evaluation.conditions import decimal, percent
from face_recognition_ros.evaluation.faces import central_view
from face_recognition_ros.evaluation.report import Figure, Report, Section, Table
from face_recognition_ros.masks import SHAPES, TEXTURES, draw_mask
from face_recognition_ros.pictures import PersonPictures, people_in, read_picture
from face_recognition_ros.recognizer import FaceView, Recognizer
from face_recognition_ros.types import ByteArray, FloatArray

SHOWN = 6
"""Faces in the figure."""

UNMASKED, MASKED = "unmasked", "masked"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One person's face, bare and masked, and what it is compared with."""

    name: str
    crops: Mapping[str, ByteArray]
    """(112, 112, 3) uint8 BGR: UNMASKED, MASKED."""
    embeddings: Mapping[str, FloatArray]
    """(D,) float32 of these crops, from the node's runtime."""
    partner: FloatArray
    """(D,) float32 unit vector of another picture of the person, bare."""


def evaluate_folder(
    assembly: Assembly, images: Path, count: int | None = None, seed: int = 0
) -> tuple[dict[str, Any], Report]:
    """Explains a face of each of `count` people of whom there are two pictures or more under `images`.

    Args:
        assembly: the pipeline, whose settings name the network.
        images: holds a folder NAME/ of pictures for each person.
        count: people, drawn at random, None for all; a face that is not found is passed over, and listed.
        seed: of who is drawn, and of the masks.

    Raises:
        BackendError: torch or another library is not installed, or the network has no gradients, as int8 ones.
        ImageError: nobody has two pictures, or no face was found.
    """
    require_libraries()
    samples, failed = collect(assembly.recognizer, images, count, seed)
    network = differentiable(embedding_model_file(assembly.settings))
    maps = explain(network, samples)
    result = {
        "model": assembly.model_id,
        "faces": len(samples),
        "seed": seed,
        "failed_detections": failed,
        "parity": parity(network, samples),
        "uniform_share": {region: area(region) for region in REGIONS},
        "share": {
            method: {version: shares(found) for version, found in versions.items()} for method, versions in maps.items()
        },
        **covering(network, samples),
    }
    return result, report(result, samples, maps)


def collect(recognizer: Recognizer, images: Path, count: int | None, seed: int) -> tuple[list[Sample], list[str]]:
    """Samples of people with two pictures, and the pictures, or masked pictures, in which no face was found.

    These are given as paths under `images`. The mask is drawn on the first photograph by its landmarks, its shape by
    turns; the face is then looked for anew.
    Raises ImageError where nobody has two pictures, or no face was found.
    """
    people = [person for person in people_in(images) if len(person.paths) > 1]
    if not people:
        raise ImageError(f"{images} shows nobody twice; the similarity to another picture is what is explained")
    drawn = np.random.default_rng(seed).permutation(len(people))[:count]
    samples, failed = [], []
    for turn, index in enumerate(tqdm(sorted(drawn.tolist()), "faces", unit="person", disable=None)):
        sample = view_person(recognizer, people[index], SHAPES[turn % len(SHAPES)], seed)
        if isinstance(sample, Sample):
            samples.append(sample)
        else:
            failed.append(Path(sample).relative_to(images).as_posix())
    if not samples:
        raise ImageError(f"no face was found in the pictures of {len(drawn)} people under {images}")
    return samples, failed


def view_person(recognizer: Recognizer, person: PersonPictures, shape: str, seed: int) -> Sample | str:
    """The sample of a person's first two pictures, or what showed no face."""
    first, second = (read_picture(path) for path in person.paths[:2])
    rng = np.random.default_rng([seed, zlib.crc32(person.name.encode())])
    bare, other = seen(recognizer, first), seen(recognizer, second)
    if bare is None or other is None:
        return str(person.paths[0 if bare is None else 1])
    try:
        masked = seen(recognizer, draw_mask(first, bare[0].detection.landmarks, shape, str(rng.choice(TEXTURES)), rng))
    except ValueError:  # a profile, on which no mask can be drawn
        masked = None
    if masked is None:
        return f"{person.paths[0]} with a mask ({shape})"
    (_, bare_crop, bare_vector), (_, masked_crop, masked_vector) = bare, masked
    return Sample(
        person.name,
        {UNMASKED: bare_crop, MASKED: masked_crop},
        {UNMASKED: bare_vector, MASKED: masked_vector},
        other[2],
    )


def seen(recognizer: Recognizer, picture: ByteArray) -> tuple[FaceView, ByteArray, FloatArray] | None:
    """The central face with its crop and embedding, or None."""
    view = central_view(recognizer.view(picture), picture)
    if view is None or view.aligned is None or view.embedding is None:
        return None
    return view, view.aligned.crop, view.embedding


def explain(network: Any, samples: Sequence[Sample]) -> dict[str, dict[str, FloatArray]]:
    """By method and version, the maps (N, 112, 112) of all faces."""
    partners = np.stack([sample.partner for sample in samples])
    of_version = {
        version: attribution_maps(network, [sample.crops[version] for sample in samples], partners)
        for version in (UNMASKED, MASKED)
    }
    return {method: {version: maps[method] for version, maps in of_version.items()} for method in METHODS}


def parity(network: Any, samples: Sequence[Sample]) -> float:
    """The largest difference of an embedding's number between torch and the node's runtime."""
    ours = np.stack([sample.embeddings[version] for sample in samples for version in (UNMASKED, MASKED)])
    crops = [sample.crops[version] for sample in samples for version in (UNMASKED, MASKED)]
    return float(np.abs(embed(network, crops) - ours).max())


def covering(network: Any, samples: Sequence[Sample]) -> dict[str, Any]:
    """Mean similarity of each version to the partner, and how much of it is lost when a region is painted over.

    The paint is the crop's mean colour.
    """
    partners = np.stack([sample.partner for sample in samples])

    def mean_similarity(crops: Sequence[ByteArray]) -> float:
        return float((embed(network, crops) * partners).sum(axis=1).mean())

    similarity, loss = {}, {}
    for version in (UNMASKED, MASKED):
        crops = [sample.crops[version] for sample in samples]
        similarity[version] = mean_similarity(crops)
        loss[version] = {
            region: similarity[version] - mean_similarity([painted(crop, region) for crop in crops])
            for region in REGIONS
        }
    return {"similarity": similarity, "loss_when_covered": loss}


def summary(result: Mapping[str, Any]) -> str:
    """The numbers in a few lines for a person."""
    lines = [f"{result['faces']} faces, bare and with a drawn mask; {len(result['failed_detections'])} were not found"]
    for method, versions in result["share"].items():
        for version, share in versions.items():
            parts = ", ".join(f"{region} {percent(value)}" for region, value in share.items())
            lines.append(f"{method}, {version}: {parts}")
    even = ", ".join(f"{region} {percent(value)}" for region, value in result["uniform_share"].items())
    lines.append(f"of the area: {even}")
    for version, loss in result["loss_when_covered"].items():
        parts = ", ".join(f"{region} {value:+.3f}" for region, value in loss.items())
        lines.append(f"similarity {version} {decimal(result['similarity'][version])}; lost when covered: {parts}")
    return "\n".join(lines)


def report(
    result: Mapping[str, Any], samples: Sequence[Sample], maps: Mapping[str, Mapping[str, FloatArray]]
) -> Report:
    """The page for a person."""
    text = (
        f"{result['faces']} people, drawn with seed {result['seed']}. Explained is the similarity of a face to another "
        "picture of the same person, for the face as it is and with a mask drawn on the photograph. Red speaks for the "
        "similarity; each map is scaled to its own greatest value.\n\nGrad-CAM explains the last feature map, whose "
        "few cells each see most of the face; LayerCAM a finer one. Both tell what the network responds to, not what "
        "it would do without it: that is what covering measures."
    )
    header = ("", *REGIONS)
    rows = [
        (f"{method}, {version}", *(percent(value) for value in share.values()))
        for method, versions in result["share"].items()
        for version, share in versions.items()
    ]
    uniform = ("an even map", *(percent(value) for value in result["uniform_share"].values()))
    lost = tuple(
        (
            f"{version}, similarity {decimal(result['similarity'][version])}",
            *(f"{value:+.3f}" for value in loss.values()),
        )
        for version, loss in result["loss_when_covered"].items()
    )
    sections = (
        Section(
            "Where the similarity comes from",
            text,
            (
                Table(header, (*rows, uniform), "Share of a map's mass in each region, mean over the faces."),
                Table(header, lost, "Similarity lost when the region is painted over, mean over the faces."),
            ),
            (mean_figure(samples, maps),),
        ),
        Section("Faces", "", figures=tuple(face_figure(method, samples, maps[method]) for method in maps)),
        Section("Faces not found", ", ".join(result["failed_detections"]) or "none"),
    )
    return Report("What the network looks at", summary(result), sections)


def mean_figure(samples: Sequence[Sample], maps: Mapping[str, Mapping[str, FloatArray]]) -> Figure:
    """The maps' mean over all faces, on the faces' mean, with the regions."""
    rows = []
    for version in (UNMASKED, MASKED):
        face = np.mean([sample.crops[version] for sample in samples], axis=0).astype(np.uint8)
        overlays = [overlay(face, versions[version].mean(axis=0)) for versions in maps.values()]
        rows.append([outlined(image) for image in (face, *overlays)])
    figure = plots.grid(rows, (UNMASKED, MASKED), ("mean face", *maps))
    return Figure("mean", plots.png(figure), "Mean over all faces; white: the regions eyes, nose, mouth.")


def face_figure(method: str, samples: Sequence[Sample], versions: Mapping[str, FloatArray]) -> Figure:
    """Rows of faces: bare, its map, masked, its map."""
    rows = []
    for index, sample in enumerate(samples[:SHOWN]):
        pairs = [(sample.crops[version], versions[version][index]) for version in (UNMASKED, MASKED)]
        rows.append([image for crop, heat in pairs for image in (crop, overlay(crop, heat))])
    labels = [sample.name for sample in samples[:SHOWN]]
    figure = plots.grid(rows, labels, (UNMASKED, method, MASKED, method))
    return Figure(method.replace("-", "").lower(), plots.png(figure), f"{method} of the first faces.")


def outlined(image: ByteArray) -> ByteArray:
    """A copy, twice as large, with the regions' outlines."""
    copy = np.asarray(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR), np.uint8)
    for rows, columns in REGIONS.values():
        cv2.rectangle(copy, (2 * columns.start, 2 * rows.start), (2 * columns.stop, 2 * rows.stop), (255, 255, 255), 1)
    return copy
