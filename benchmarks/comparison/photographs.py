"""Photographs of one face each, and where in them the face is, by the detectors that are at hand."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from comparison.accuracy import overlaps
from comparison.frames import LARGEST_MAGNIFICATION, Face, Photograph
from face_recognition_ros.demo.cast import standard_cast
from face_recognition_ros.detection import DetectorOptions, create_detector
from face_recognition_ros.detection.yunet import YuNetDetector
from face_recognition_ros.errors import ImageError
from face_recognition_ros.pictures import PICTURE_SUFFIXES, read_picture
from face_recognition_ros.types import ByteArray, Detection

Judge = Callable[[ByteArray], list[Detection]]
"""The faces of a (H, W, 3) uint8 BGR picture."""

SMALLEST_FACE = 40.0
"""Pixels of a face in a photograph that is used."""
LARGEST_DISAGREEMENT = 0.12
"""Of two detectors on a landmark, as part of the distance between the eyes."""
LONGEST_SIDE = 1000
"""Pixels of a photograph; a larger one is reduced first."""


def paths_of(images: Path | None, research_data: Path) -> tuple[list[Path], str]:
    """The user's pictures; or one of each person of LFW, where that is; or the demo's. And where they are from."""
    if images is not None:
        found = [path for path in sorted(images.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES]
        if not found:
            raise ImageError(f"there is no picture in {images}")
        return found, "the user's own photographs"
    people = sorted(path for path in (research_data / "lfw_dev" / "images").glob("*") if path.is_dir())
    if people:
        return [min(folder.iterdir()) for folder in people], "Labeled Faces in the Wild, one photograph a person"
    return [person.pictures.paths[0] for person in standard_cast()], "the demo's three portraits"


def judges_of(yunet: Path | None) -> dict[str, Judge]:
    """Who says where the faces are: MTCNN, and with its file YuNet alone, on pictures in full size."""
    judges: dict[str, Judge] = {"mtcnn": create_detector("mtcnn", DetectorOptions(min_face_size=SMALLEST_FACE)).detect}
    if yunet is not None:
        options = DetectorOptions(min_face_size=YuNetDetector.smallest_shown, model=str(yunet))
        searcher = YuNetDetector(options)
        judges["yunet"] = lambda picture: searcher.search(picture).best(options.max_faces)
    return judges


def reference(names: Sequence[str]) -> str:
    """What the truth is, in words."""
    if len(names) == 1:
        return f"{names[0]} on the untouched photograph"
    return f"mean of {' and '.join(names)} on the untouched photograph, where they agree on one face"


def face_of(picture: ByteArray, judges: Collection[Judge]) -> Face | None:
    """The only face of a picture; None where there is another number of faces, or the detectors do not agree."""
    seen = [[face for face in judge(picture) if max(face.width, face.height) >= SMALLEST_FACE] for judge in judges]
    if any(len(faces) != 1 for faces in seen):
        return None
    boxes = np.array([faces[0].box for faces in seen], float)
    landmarks = np.array([faces[0].landmarks for faces in seen], float)
    face = Face(boxes.mean(axis=0), landmarks.mean(axis=0))
    distances = np.linalg.norm(landmarks - landmarks[0], axis=-1)
    between_eyes = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
    agree = overlaps(boxes[:1], boxes).min() > 0.5 and distances.max() <= LARGEST_DISAGREEMENT * between_eyes
    return face if agree and face.size >= SMALLEST_FACE else None


def photographs(paths: Sequence[Path], judges: Collection[Judge], wanted: int, seed: int = 0) -> list[Photograph]:
    """So many of them, or fewer where there are not so many that will do, in a random order that is always the same.

    Raises ImageError where none will do.
    """
    order = np.random.default_rng(seed).permutation(len(paths))
    found: list[Photograph] = []
    with tqdm(total=min(wanted, len(paths)), desc="photographs", leave=False, disable=None) as progress:
        for photograph in usable([paths[index] for index in order], judges):
            found.append(photograph)
            progress.update()
            if len(found) == wanted:
                break
    if not found:
        raise ImageError(f"none of {len(paths)} pictures shows one face of {SMALLEST_FACE:g} pixels or more")
    return found


def usable(paths: Sequence[Path], judges: Collection[Judge]) -> Iterator[Photograph]:
    for path in paths:
        picture = reduced(read_picture(path))
        if (face := face_of(picture, judges)) is not None:
            yield Photograph(picture, face)


def reduced(picture: ByteArray) -> ByteArray:
    """The picture, (H, W, 3), no side of it longer than LONGEST_SIDE."""
    scale = LONGEST_SIDE / max(picture.shape)
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def large_enough(available: Sequence[Photograph], size: float) -> list[Photograph]:
    """Those that can show a face of that size without being magnified too much; all where there are none."""
    return [one for one in available if LARGEST_MAGNIFICATION * one.face.size >= size] or list(available)
