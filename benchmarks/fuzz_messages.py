"""Fuzzes the conversion of compressed images with atheris, guided by what code they reach. Run by hand:

    .venv/bin/pip install atheris        # 3.0.0 has wheels for Python 3.11
    .venv/bin/python benchmarks/fuzz_messages.py CORPUS_FOLDER -max_total_time=600 -rss_limit_mb=2048

An exception other than ImageError, or memory beyond the limit, stops it and leaves the message in crash-* or oom-*.
test/faults/test_message_fuzz.py holds what continuous integration tries.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import atheris
import cv2
import numpy as np

with atheris.instrument_imports(include=["face_recognition_ros.node.image_conversion"]):
    from face_recognition_ros.errors import ImageError
    from face_recognition_ros.node.image_conversion import ENCODINGS, message_to_bgr

NAMES = [*ENCODINGS, "32FC1", ""]


def try_one(data: bytes) -> None:
    """The first byte says whether it is an Image or a CompressedImage."""
    provider = atheris.FuzzedDataProvider(data)
    if provider.ConsumeBool():
        message = SimpleNamespace(
            encoding=provider.PickValueInList(NAMES),
            width=provider.ConsumeUInt(provider.ConsumeIntInRange(1, 4)),
            height=provider.ConsumeUInt(provider.ConsumeIntInRange(1, 4)),
            step=provider.ConsumeUInt(provider.ConsumeIntInRange(1, 4)),
            is_bigendian=provider.ConsumeUInt(1),
        )
    else:
        message = SimpleNamespace(format="jpeg")
    message.data = provider.ConsumeBytes(len(data))
    try:
        frame = message_to_bgr(message)
    except ImageError:
        return
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise AssertionError(f"{frame.dtype}{frame.shape} is no picture")


def write_seeds(folder: Path) -> None:
    """A few files to begin with, the byte that says what they are at the end, where atheris takes it from."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
    for suffix in (".jpg", ".png", ".webp", ".bmp"):
        (folder / f"seed{suffix}").write_bytes(cv2.imencode(suffix, picture)[1].tobytes() + b"\x00")


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1] if len(sys.argv) > 1 else "corpus"))
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
