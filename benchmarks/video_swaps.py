"""What does it save to search and embed less in video, and how long does a name outlive its owner? A Markdown table.

    .venv/bin/python benchmarks/video_swaps.py FOLDER --pairs 100

FOLDER holds pictures of people as NAME/*.jpg, one face each in the middle. Of each pair of people the first is enrolled
and sways before the camera for a second; then the other one, a stranger, stands in the same place from one frame to the
next. Both modes see the same frames, in turn: every frame in full, and as the settings have it.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.cli_arguments import add_settings, settings_of
from face_recognition_ros.evaluation.faces import central_view
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.pictures import PICTURE_SUFFIXES, read_picture
from face_recognition_ros.types import ByteArray, IdentityStatus

RATE = 30.0
BEFORE, AFTER = range(30, 36), 30
"""Frames of the person who is enrolled (another number for each pair), and of the stranger."""
FACE = 120.0
"""Pixels from cheek to cheek; the eyes are brought to the same place."""
LOOKS = 5


@dataclass
class Mode:
    """One way of working, and what came of it."""

    title: str
    assembly: Assembly
    milliseconds: list[float] = field(default_factory=list)
    embedded: int = 0
    named: int = 0
    """Frames before the swap with the right name."""
    outlived: list[int] = field(default_factory=list)
    """For each pair that was named, the number of frames after the swap until the name was gone."""


def portrait(assembly: Assembly, path: Path) -> ByteArray | None:
    """(480, 640, 3) with the face in the middle, FACE pixels wide; None where there is no usable one."""
    picture = read_picture(path)
    view = central_view(assembly.recognizer.view(picture), picture)
    if view is None or not view.quality.usable_for_matching:
        return None
    scale = FACE / view.detection.width
    x, y = (view.detection.box[:2] + view.detection.box[2:]) / 2
    placing = np.array([[scale, 0, 320 - scale * x], [0, scale, 240 - scale * y]])
    return np.asarray(cv2.warpAffine(picture, placing, (640, 480), borderValue=(120, 120, 120)), np.uint8)


def swaying(picture: ByteArray, number: int) -> ByteArray:
    """The picture as frame `number` of a film."""
    turn = cv2.getRotationMatrix2D((320, 240), 2 * np.sin(number / 9), 1 + 0.02 * np.sin(number / 11))
    turn[:, 2] += (6 * np.sin(number / 5), 3 * np.cos(number / 7))
    return np.asarray(cv2.warpAffine(picture, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def pairs_of(folder: Path, count: int, seed: int) -> Iterator[tuple[Path, Path]]:
    """Pictures of different people, drawn by chance."""
    first_pictures = [min(found) for person in sorted(folder.iterdir()) if (found := pictures_in(person))]
    order = np.random.default_rng(seed).permutation(len(first_pictures))[: 2 * count]
    return zip(*(iter(first_pictures[index] for index in order),) * 2, strict=False)


def pictures_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES] if folder.is_dir() else []


def show(mode: Mode, first: ByteArray, second: ByteArray, pair: int) -> None:
    """Enrols the first person, plays both, and forgets."""
    before, start = BEFORE[pair % len(BEFORE)], 100.0 * pair
    recognizer, store = mode.assembly.recognizer, mode.assembly.store
    views = [view for n in range(0, 30, 30 // LOOKS) for view in recognizer.view(swaying(first, n))[:1]]
    looks = [Template(view.embedding, view.quality.score) for view in views if view.embedding is not None]
    person = store.enroll("the first", looks)
    recognizer.reset_tracks()
    right, wrong = [], []
    for number in range(before + AFTER):
        frame = swaying(first if number < before else second, number)
        begun = time.perf_counter()
        faces = recognizer.process(frame, start + number / RATE).faces
        mode.milliseconds.append(1e3 * (time.perf_counter() - begun))
        mode.embedded += sum(face.embedding is not None for face in faces)
        named = any(face.decision.status is IdentityStatus.KNOWN for face in faces)
        (right if number < before else wrong).append(named)
    store.forget(person.identity_id)
    mode.named += sum(right)
    if any(right):
        mode.outlived.append(max((number for number, named in enumerate(wrong, 1) if named), default=0))


def markdown(modes: Sequence[Mode]) -> str:
    lines = [
        "| mode | time of a frame, mean / p95 | faces embedded a frame | frames named before the swap | pairs named | "
        "of these, name outlived its owner | frames it did, mean / most |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for mode in modes:
        outlived = np.array(mode.outlived or [0])
        lines.append(
            f"| {mode.title} | {np.mean(mode.milliseconds):.2f} / {np.percentile(mode.milliseconds, 95):.2f} ms "
            f"| {mode.embedded / len(mode.milliseconds):.0%} | {mode.named} | {len(mode.outlived)} "
            f"| {np.count_nonzero(outlived)} | {outlived.mean():.1f} / {outlived.max()} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--pairs", type=int, default=100, help="default: 100")
    parser.add_argument("--seed", type=int, default=0, help="of who is drawn; default: 0")
    add_settings(parser)
    arguments = parser.parse_args()
    default = settings_of(arguments)
    full = replace(default, detection_interval=1, embedding_interval=0.0)
    interval = f"searched at least every {default.detection_interval} frames, embedded every "
    with assemble(full) as all_anew, assemble(default) as less:
        modes = [
            Mode("every frame in full", all_anew),
            Mode(f"{interval}{default.embedding_interval:g} s", less),
        ]
        pairs = list(pairs_of(arguments.folder, arguments.pairs, arguments.seed))
        for number, paths in enumerate(tqdm(pairs, "pairs", disable=None)):
            first, second = (portrait(all_anew, path) for path in paths)
            if first is None or second is None:
                continue
            for mode in modes if number % 2 else modes[::-1]:
                show(mode, first, second, number)
    print(markdown(modes))


if __name__ == "__main__":
    main()
