r"""Makes aligned face crops of raw photos in identity folders, with the detector and the alignment of the robot.

    .venv/bin/python -m face_recognition_ros.training.data.preparation --photos DIR --output DIR --workers 8

DIR/IDENTITY/PHOTO.jpg (VGGFace2, LFW, or photos of your own) becomes OUTPUT/IDENTITY/PHOTO.jpg, 128x128: the 112x112
crop on the five-point template and 8 pixels on each side. OUTPUT/report.csv gets a line for each photo, so that a run
that was stopped or killed goes on where it was. Needs no torch.
"""

import argparse
import csv
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from face_recognition_ros.detection import DETECTORS, DetectorOptions, FaceDetector, create_detector
from face_recognition_ros.errors import AlignmentError, FaceRecognitionError, ImageError
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.training.data.crops import choose_face, crop_transform, detect_faces, stored_crop
from face_recognition_ros.training.data.face_folder import identity_pictures
from face_recognition_ros.types import LANDMARKS, ByteArray

KEPT = "kept"
REASONS: Mapping[str, str] = {
    "unreadable": "the file is no picture that can be decoded",
    "no_face": "no face was found",
    "several_faces": "several large faces, and not exactly one of them in the middle of the photo",
    "too_small": "the face has too few pixels in the photo",
    "no_alignment": "the landmarks form no face",
    "same_name": "another photo of this identity differs in its suffix only, and its crop has this name",
}
"""Why a photo is rejected, as report.csv names it, and in words."""

REPORT = "report.csv"
COLUMNS = (
    "photo", "outcome", "reason", "faces_in_photo", "source_pixels_per_crop_pixel", "detection_score",
    *(f"{landmark}_{axis}" for landmark in LANDMARKS for axis in "xy"),
)  # fmt: skip
"""The landmarks are in pixels of the crop."""

JPEG_QUALITY = 95
BLOCK = 1024
"""So many photos are handed to the workers at a time; bounds the memory of the queue."""


@dataclass(frozen=True)
class Preparation:
    """What is made of what, and how; raises ValueError for folders that would overwrite each other."""

    photos: Path
    output: Path
    detector: str = "mtcnn"
    detector_model: str = ""
    min_face_size: float = 20.0
    """Side in pixels of the smallest face looked for, in the photo as the detector sees it."""
    longest_side: int = 1024
    """The detector sees larger photos shrunk to this; crops are cut out of the full photo."""
    min_resolution: float = 0.25
    """A face with fewer photo pixels than this per crop pixel (along a side) is too small."""

    def __post_init__(self) -> None:
        photos, output = self.photos.resolve(), self.output.resolve()
        if photos == output or photos in output.parents or output in photos.parents:
            raise ValueError(f"photos ({photos}) and output ({output}) must be folders outside of each other")

    def crop_path(self, photo: str) -> Path:
        """Where the crop of a photo goes."""
        return (self.output / photo).with_suffix(".jpg")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one photo: a row of report.csv."""

    photo: str
    """Relative to the folder of photos: IDENTITY/PHOTO.jpg."""
    reason: str = ""
    """One of REASONS; empty where the face was kept."""
    faces: int = 0
    resolution: float | None = None
    score: float | None = None
    landmarks: npt.NDArray[np.float64] | None = None

    def row(self) -> tuple[object, ...]:
        """The values of COLUMNS."""
        points = [None] * 2 * len(LANDMARKS) if self.landmarks is None else np.round(self.landmarks, 2).ravel().tolist()
        numbers = (None if number is None else round(number, 3) for number in (self.resolution, self.score))
        return self.photo, "rejected" if self.reason else KEPT, self.reason, self.faces, *numbers, *points


def prepare(preparation: Preparation, workers: int = 1) -> Counter[str]:
    """Handles every photo that the report does not have yet; how often each reason, and "kept", is in the report then.

    Raises ValueError for a folder without photos or a report.csv of another kind, and what create_detector raises.
    """
    photos = [f"{identity}/{name}" for identity, name in identity_pictures(preparation.photos)]
    preparation.output.mkdir(parents=True, exist_ok=True)
    report = preparation.output / REPORT
    done = read_report(report)
    todo = [photo for photo in photos if photo not in done]
    counts = Counter(done.values())
    with report.open("a", newline="", encoding="utf-8", errors="surrogateescape", buffering=1) as file:
        writer = csv.writer(file, lineterminator="\n")
        if not done:
            file.truncate(0)
            writer.writerow(COLUMNS)
        first_of = {preparation.crop_path(photo): photo for photo in reversed(photos)}
        twins = [photo for photo in todo if first_of[preparation.crop_path(photo)] != photo]
        single = [photo for photo in todo if first_of[preparation.crop_path(photo)] == photo]
        outcomes = chain((Outcome(photo, "same_name") for photo in twins), _outcomes(preparation, single, workers))
        bar = tqdm(outcomes, total=len(photos), initial=len(photos) - len(todo), desc="prepare", unit="photo")
        for outcome in bar:
            # Written line by line: a run that is killed here loses at most this line, and the photo is done again.
            writer.writerow(outcome.row())
            counts[outcome.reason or KEPT] += 1
    return counts


def read_report(report: Path) -> dict[str, str]:
    """Photo -> reason, or "kept"; cuts off a last line that a killed run wrote in part.

    Raises ValueError for a file with other columns.
    """
    if not report.exists():
        return {}
    with report.open("r+b") as binary:
        binary.truncate(binary.read().rfind(b"\n") + 1)
    with report.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames and tuple(rows.fieldnames) != COLUMNS:
            raise ValueError(f"{report} is no report of a preparation; choose an output folder without such a file")
        return {row["photo"]: row["reason"] or KEPT for row in rows}


def _outcomes(preparation: Preparation, photos: Sequence[str], workers: int) -> Iterator[Outcome]:
    if not photos:
        return
    if workers == 1:
        yield from map(_photo_handler(preparation), photos)
        return
    # Spawned, not forked: a forked onnxruntime waits for threads that it does not have.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (preparation,)) as pool:
        for start in range(0, len(photos), BLOCK):
            yield from pool.map(_handle_in_worker, photos[start : start + BLOCK], chunksize=8)


def _photo_handler(preparation: Preparation) -> Callable[[str], Outcome]:
    options = DetectorOptions(preparation.min_face_size, model=preparation.detector_model, threads=1)
    return functools.partial(prepare_photo, preparation, create_detector(preparation.detector, options))


_handler: Callable[[str], Outcome] | None = None
"""In a worker process: what it does with a photo."""


def _start_worker(preparation: Preparation) -> None:
    global _handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the others
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _handler = _photo_handler(preparation)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for photos for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only workers call this"
    parent.join()
    os._exit(1)


def _handle_in_worker(photo: str) -> Outcome:
    assert _handler is not None, "the pool calls _start_worker first"
    return _handler(photo)


def prepare_photo(preparation: Preparation, detector: FaceDetector, photo: str) -> Outcome:
    """Writes the crop of one photo, whole or not at all, or says why there is none."""
    try:
        picture = read_picture(preparation.photos / photo)
    except ImageError:
        return Outcome(photo, "unreadable")
    faces = detect_faces(detector, picture, preparation.longest_side)
    if not faces:
        return Outcome(photo, "no_face")
    face = choose_face(faces, picture.shape[1], picture.shape[0])
    if face is None:
        return Outcome(photo, "several_faces", len(faces))
    try:
        transform = crop_transform(face.landmarks)
    except AlignmentError:
        return Outcome(photo, "no_alignment", len(faces), score=face.score)
    resolution = 1 / float(np.sqrt(np.linalg.det(transform[:, :2])))
    landmarks = face.landmarks @ transform[:, :2].T + transform[:, 2]
    if resolution < preparation.min_resolution:
        return Outcome(photo, "too_small", len(faces), resolution, face.score, landmarks)
    _write(preparation.crop_path(photo), stored_crop(picture, face.landmarks))
    return Outcome(photo, "", len(faces), resolution, face.score, landmarks)


def _write(path: Path, crop: ByteArray) -> None:
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(cv2.imencode(".jpg", crop, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes())
    partial.replace(path)


def summary(counts: Mapping[str, int], report: Path) -> str:
    """What became of the photos, in lines for a person."""
    rejected = {reason: counts[reason] for reason in REASONS if counts.get(reason)}
    lines = [f"{counts.get(KEPT, 0)} of {sum(counts.values())} photos kept, {sum(rejected.values())} rejected:"]
    lines += [f"  {number:7}  {reason}: {REASONS[reason]}" for reason, number in rejected.items()]
    return "\n".join([*lines, f"each photo's line is in {report}"])


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with a folder of photos for each identity")
    parser.add_argument("--output", type=Path, required=True, help="folder for the crops and report.csv")
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s); about one per core is best")
    parser.add_argument("--detector", choices=list(DETECTORS), default=Preparation.detector, help="(%(default)s)")
    parser.add_argument("--detector-model", default="", help="its model file; yunet and scrfd need one")
    parser.add_argument(
        "--min-face-size", type=float, default=Preparation.min_face_size,
        help="side of the smallest face looked for, in pixels (%(default)g); the time grows with its inverse square",
    )  # fmt: skip
    parser.add_argument(
        "--min-resolution", type=float, default=Preparation.min_resolution,
        help="photo pixels per crop pixel below which a face is too small (%(default)g; below 1 crops are enlarged)",
    )  # fmt: skip
    values = vars(parser.parse_args(argv))
    workers = values.pop("workers")
    if workers < 1:
        parser.error(f"--workers must be 1 or more, not {workers}")
    try:
        preparation = Preparation(**values)
        counts = prepare(preparation, workers)
    except (FaceRecognitionError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenProcessPool:
        print("a worker was killed or could not start, perhaps for want of memory; run again to go on", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 128 + signal.SIGINT
    print(summary(counts, preparation.output / REPORT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
