"""Small made-up training data, and the word on why most of these tests need another environment."""

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SOURCES = ("celeba299", "allagefaces", "utkface")


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of 30 random pictures each, in the layout of the research data."""
    folder = tmp_path_factory.mktemp("shards")
    random = np.random.default_rng(0)
    rows = []
    for shard in range(2):
        with tarfile.open(folder / f"faces-{shard}.tar", "w") as tar:
            for number in range(30):
                key = f"{30 * shard + number:06d}"
                buffer = io.BytesIO()
                Image.fromarray(random.integers(0, 256, (128, 128, 3), np.uint8)).save(buffer, "WEBP", lossless=True)
                entry = tarfile.TarInfo(f"{key}.webp")
                entry.size = len(buffer.getvalue())
                tar.addfile(entry, io.BytesIO(buffer.getvalue()))
                source = SOURCES[number % 3]
                rows.append((key, shard, source, f"celeba:{number // 6}" if source == "celeba299" else ""))
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("key", "shard", "source", "identity"))
        writer.writerows(rows)
    return folder
