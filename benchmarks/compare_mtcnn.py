"""Compares our MTCNN with facenet-pytorch's own on real photos; exits with 1 where they disagree.

Runs in the peers' environment (facenet-pytorch with its pinned torch); our detector runs in a process of the
package's own environment, on the very pixels that this process decoded. `make compare-mtcnn` calls it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SMALLEST_IOU = 0.95
LARGEST_LANDMARK_ERROR = 1.5  # pixels

PUBLIC_PICTURES = """
import json, pathlib, matplotlib, skimage
print(json.dumps([str(pathlib.Path(skimage.__file__).parent / "data" / "astronaut.png"),
                  str(pathlib.Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")]))
"""
OURS = """
import json, sys, numpy
from face_recognition_ros.detection import DetectorOptions, create_detector
detector = create_detector("mtcnn", DetectorOptions(min_face_size=float(sys.argv[1]), max_faces=1000))
for path in sys.stdin.read().splitlines():
    faces = detector.detect(numpy.load(path)[:, :, ::-1].copy())
    print(json.dumps([{"box": f.box.tolist(), "landmarks": f.landmarks.tolist(), "score": f.score} for f in faces]))
"""

Faces = list[dict[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """Agreement on one image."""

    ours: int
    theirs: int
    smallest_iou: float
    largest_landmark_error: float

    @property
    def agrees(self) -> bool:
        return (
            self.ours == self.theirs
            and self.smallest_iou > SMALLEST_IOU
            and self.largest_landmark_error <= LARGEST_LANDMARK_ERROR
        )


def detect_theirs(images: list[np.ndarray], min_face_size: float) -> list[Faces]:
    from facenet_pytorch import MTCNN  # only the peers' environment has it

    detector = MTCNN(keep_all=True, min_face_size=min_face_size)
    results = []
    for image in images:
        # facenet-pytorch fails in torch.cat where the image is smaller than the smallest face: no face, then
        found = detector.detect(image, landmarks=True) if min(image.shape[:2]) >= min_face_size else (None,)
        rows = zip(*found, strict=True) if found[0] is not None else ()
        faces = [
            {"box": box.tolist(), "landmarks": points.tolist(), "score": float(score)} for box, score, points in rows
        ]
        results.append(sorted(faces, key=lambda face: -face["score"]))
    return results


def detect_ours(python: Path, images: list[np.ndarray], min_face_size: float) -> list[Faces]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.npy" for index in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            np.save(path, image)
        lines = _run(python, OURS, str(min_face_size), text="\n".join(map(str, paths))).splitlines()
    return [json.loads(line) for line in lines]


def compare(ours: Faces, theirs: Faces) -> Comparison:
    """Each of their faces with the one of ours that overlaps it most."""
    ious, errors = [1.0], [0.0]
    for face in theirs:
        overlaps = [intersection_over_union(face["box"], other["box"]) for other in ours] or [0.0]
        ious.append(max(overlaps))
        if ours:
            nearest = ours[int(np.argmax(overlaps))]
            distance = np.subtract(face["landmarks"], nearest["landmarks"])
            errors.append(float(np.linalg.norm(distance, axis=1).max()))
    return Comparison(len(ours), len(theirs), min(ious), max(errors))


def intersection_over_union(first: list[float], second: list[float]) -> float:
    left, top = np.maximum(first[:2], second[:2])
    right, bottom = np.minimum(first[2:], second[2:])
    shared = max(right - left, 0) * max(bottom - top, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return float(shared / (areas - shared))


def _run(python: Path, program: str, *arguments: str, text: str = "") -> str:
    command = [str(python), "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


def image_paths(folder: Path, python: Path) -> tuple[list[Path], list[Path]]:
    """The public-domain pictures of the package's environment, and all images under the folder, if it is there."""
    public = [Path(path) for path in json.loads(_run(python, PUBLIC_PICTURES))]
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return public, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT.parent / "shared" / "data" / "scenes")
    parser.add_argument(
        "--python", type=Path, default=ROOT / ".venv" / "bin" / "python", help="of the package's environment"
    )
    parser.add_argument("--min-face-size", type=float, default=40.0)
    parser.add_argument("--limit", type=int, help="compare the first so many images of the folder only")
    parser.add_argument("--write-reference", type=Path, metavar="FILE", help="write their faces of the public pictures")
    options = parser.parse_args()

    from PIL import Image

    public, found = image_paths(options.folder, options.python)
    if not found:
        print(f"No image under {options.folder}: comparing the public-domain pictures only.", file=sys.stderr)
    paths = public + found[: options.limit]
    images = [np.array(Image.open(path).convert("RGB")) for path in paths]
    theirs = detect_theirs(images, options.min_face_size)
    ours = detect_ours(options.python, images, options.min_face_size)
    comparisons = [compare(mine, reference) for mine, reference in zip(ours, theirs, strict=True)]

    print(f"{'image':40s} {'size':>10s} {'ours':>5s} {'theirs':>6s} {'min IoU':>8s} {'landmarks px':>12s}")
    for path, image, result in zip(paths, images, comparisons, strict=True):
        print(
            f"{path.name[:40]:40s} {image.shape[1]:>5d}x{image.shape[0]:<4d} {result.ours:>5d} {result.theirs:>6d} "
            f"{result.smallest_iou:>8.4f} {result.largest_landmark_error:>12.3f}"
            + ("" if result.agrees else "  DISAGREES")
        )
    disagreeing = sum(not result.agrees for result in comparisons)
    print(
        f"{len(paths)} images, {sum(result.theirs for result in comparisons)} faces; smallest IoU "
        f"{min(result.smallest_iou for result in comparisons):.4f}, largest landmark error "
        f"{max(result.largest_landmark_error for result in comparisons):.3f} px; {disagreeing} disagree"
    )
    if options.write_reference:
        reference = {
            "made by": "make compare-mtcnn: benchmarks/compare_mtcnn.py --write-reference",
            "detector": "facenet-pytorch 2.6.0 MTCNN(keep_all=True)",
            "min_face_size": options.min_face_size,
            "pictures": {path.name: faces for path, faces in zip(public, theirs, strict=False)},
        }
        options.write_reference.write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")
    return 1 if disagreeing else 0


if __name__ == "__main__":
    sys.exit(main())
