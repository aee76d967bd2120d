"""Which faces does one detector find of those that another finds, and for how much of the work? A Markdown table.

    .venv/bin/python benchmarks/compare_detectors.py FOLDER --every 3
    .venv/bin/python benchmarks/compare_detectors.py FOLDER --detectors mtcnn_fast yunet --model FILE

FOLDER holds photographs, at any depth. A face counts as found by both where the boxes overlap by OVERLAP or more. Both
see the same pictures in turn, on two threads.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from face_recognition_ros.detection import DETECTORS, DetectorOptions, FaceDetector, create_detector
from face_recognition_ros.detection.boxes import intersection_over_union
from face_recognition_ros.errors import ImageError
from face_recognition_ros.pictures import PICTURE_SUFFIXES, read_picture
from face_recognition_ros.types import ByteArray, Detection

OVERLAP = 0.35
SURE = 0.95
"""The score of a face that is no borderline case."""


@dataclass
class Tally:
    """What one of them found, beside the other."""

    faces: int = 0
    alone: list[Detection] = field(default_factory=list)
    """Faces that the other one has not found."""
    milliseconds: list[float] = field(default_factory=list)

    def row(self, name: str, least: float) -> str:
        large = [face for face in self.alone if min(face.box[2:] - face.box[:2]) >= least]
        sure = sum(face.score > SURE for face in large)
        median = np.median(self.milliseconds)
        return f"| {name} | {self.faces} | {len(self.alone)} | {len(large)} | {sure} | {median:.1f} |"


def pictures(folder: Path, every: int) -> Iterator[ByteArray]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)[::every]
    for path in tqdm(paths, disable=None):
        try:
            yield read_picture(path)
        except ImageError as error:
            tqdm.write(str(error))


def timed(detector: FaceDetector, picture: ByteArray, tally: Tally) -> list[Detection]:
    started = time.perf_counter()
    found = detector.detect(picture)
    tally.milliseconds.append(1e3 * (time.perf_counter() - started))
    tally.faces += len(found)
    return found


def missing(found: Sequence[Detection], other: Sequence[Detection]) -> list[Detection]:
    """Those of `found` that `other` has nothing at the place of."""
    mine, theirs = (np.array([face.box for face in faces], np.float32).reshape(-1, 4) for faces in (found, other))
    best = intersection_over_union(mine, theirs).max(axis=1, initial=0.0)
    return [face for face, overlap in zip(found, best, strict=True) if overlap < OVERLAP]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of the photographs, take every N-th (1)")
    parser.add_argument(
        "--detectors", nargs=2, choices=DETECTORS, default=("mtcnn", "mtcnn_fast"), metavar="NAME",
        help="default: mtcnn mtcnn_fast",
    )  # fmt: skip
    parser.add_argument("--model", metavar="FILE", default="", help="the model file of yunet or scrfd")
    arguments = parser.parse_args()
    options = DetectorOptions(threads=2)
    models = {"yunet": arguments.model, "scrfd": arguments.model}
    detectors = [create_detector(name, replace(options, model=models.get(name, ""))) for name in arguments.detectors]
    tallies = [Tally() for _ in detectors]
    for picture in pictures(arguments.folder, arguments.every):
        first, second = (timed(one, picture, tally) for one, tally in zip(detectors, tallies, strict=True))
        tallies[0].alone += missing(first, second)
        tallies[1].alone += missing(second, first)
    least = options.min_face_size
    print(
        f"| detector | faces | found by it alone | of {least:.0f} pixels or more | of these with a score over {SURE} "
        "| median ms |\n| --- | --- | --- | --- | --- | --- |"
    )
    for name, tally in zip(arguments.detectors, tallies, strict=True):
        print(tally.row(name, least))


if __name__ == "__main__":
    main()
