"""How long do embedding networks take for 1, 2, 4 and 8 faces? A Markdown table: milliseconds a call, and a face.

    .venv/bin/python benchmarks/embedding_networks.py FILE.onnx FILE.onnx ...

Without files: the two that come with the package. They are asked in turn, with the same crops; let nothing else run.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from face_recognition_ros.embedding import FaceEmbedder
from face_recognition_ros.models import find_model
from face_recognition_ros.runtime import create_session
from face_recognition_ros.types import CROP_SIZE, ByteArray

FACES = (1, 2, 4, 8)
RELEASED = ("face_embedding", "face_embedding_int8")
WARM_UP = 3


def milliseconds(embedder: FaceEmbedder, crops: ByteArray) -> float:
    started = time.perf_counter()
    embedder.embed(crops)
    return 1e3 * (time.perf_counter() - started)


def medians(embedders: Sequence[FaceEmbedder], crops: ByteArray, rounds: int) -> list[float]:
    times = [[milliseconds(one, crops) for one in embedders] for _ in range(WARM_UP + rounds)]
    return [float(median) for median in np.median(times[WARM_UP:], axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--backend", default="onnxruntime", help="onnxruntime, openvino, ... (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=100, help="calls that count (%(default)s)")
    arguments = parser.parse_args()
    paths = arguments.models or [find_model(name).path for name in RELEASED]
    embedders = [
        FaceEmbedder(create_session(path, arguments.backend, strict=True, threads=arguments.threads)[0])
        for path in paths
    ]
    crops = np.random.default_rng(0).integers(0, 256, (max(FACES), CROP_SIZE, CROP_SIZE, 3), np.uint8)
    columns = [medians(embedders, crops[:count], arguments.rounds) for count in FACES]
    print("| network |", " | ".join(f"{count} face{'s' * (count > 1)}" for count in FACES), "|")
    print("| --- |", " | ".join("---:" for _ in FACES), "|")
    for path, embedder, row in zip(paths, embedders, zip(*columns, strict=True), strict=True):
        cells = [f"{ms:.2f} ms ({ms / count:.2f} a face)" for ms, count in zip(row, FACES, strict=True)]
        print(f"| {path.name} ({embedder.description.model_id}) |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
