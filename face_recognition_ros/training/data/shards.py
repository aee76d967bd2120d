"""Aligned face crops in tar shards with an index.csv: one memory-mapped array, and a data set of those with a name."""

import csv
import hashlib
import io
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from face_recognition_ros.training.data.splits import select_faces
from face_recognition_ros.types import CROP_SIZE

STORED_SIZE = 128  # pixels: a 112x112 aligned crop with MARGIN on each side
MARGIN = (STORED_SIZE - CROP_SIZE) // 2
HELD_OUT = 0.05
"""Share of the identities that no training sees: a network is calibrated on them when it is exported."""


def centre_crops(faces: Any) -> Any:
    """(N, 128, 128, 3) stored faces, an array or a tensor -> (N, 112, 112, 3) on the five-point template."""
    return faces[:, MARGIN : MARGIN + CROP_SIZE, MARGIN : MARGIN + CROP_SIZE]


@dataclass(frozen=True)
class ShardIndex:
    """What index.csv says, one entry per face, in the order of the array that `decode_shards` writes."""

    keys: tuple[str, ...]
    sources: tuple[str, ...]
    identities: tuple[str, ...]  # "" where the identity is unknown

    def __len__(self) -> int:
        return len(self.keys)

    def held_out(self, fraction: float) -> npt.NDArray[np.bool_]:
        """A mask (N,) of faces kept for validation: whole identities, chosen by a hash of their name.

        A face without an identity is an identity of its own, so no person with a label is on both sides.
        """
        names = (identity or key for identity, key in zip(self.identities, self.keys, strict=True))
        hashes = (int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") for name in names)
        return np.fromiter((value < fraction * 2**32 for value in hashes), dtype=bool, count=len(self))


def read_index(folder: Path) -> ShardIndex:
    """The rows of `folder`/index.csv (columns key, source, identity are used)."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return ShardIndex(
        keys=tuple(row["key"] for row in rows),
        sources=tuple(row["source"] for row in rows),
        identities=tuple(row["identity"] for row in rows),
    )


def decode_shards(folder: Path, cache: Path) -> npt.NDArray[np.uint8]:
    """All faces as one read-only memory map (N, 128, 128, 3) uint8 RGB, decoded into `cache` on first use.

    The array is written under a temporary name and renamed when whole, so a stopped run leaves nothing half done.

    Raises ValueError when the shards or the cache do not hold the faces that index.csv lists.
    """
    index = folder / "index.csv"
    keys = read_index(folder).keys
    if not cache.exists():
        partial = cache.with_suffix(".partial")
        shape = (len(keys), STORED_SIZE, STORED_SIZE, 3)
        faces = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        position = 0
        for shard in sorted(folder.glob("faces-*.tar")):
            with tarfile.open(shard) as tar:
                for member in tqdm(tar, desc=f"decode {shard.name}", unit="face"):
                    listed = keys[position] if position < len(keys) else "no more"
                    if Path(member.name).stem != listed:
                        raise ValueError(f"{shard}: face {member.name} stands where index.csv has {listed}")
                    data = tar.extractfile(member)
                    assert data is not None, f"{member.name} in {shard} is not a file"
                    faces[position] = np.asarray(Image.open(io.BytesIO(data.read())).convert("RGB"))
                    position += 1
        if position < len(keys):
            raise ValueError(
                f"{folder}: the shards hold {position} faces, but {index} lists {len(keys)}; one is missing"
            )
        faces.flush()
        partial.rename(cache)
    decoded: npt.NDArray[np.uint8] = np.load(cache, mmap_mode="r")
    if len(decoded) != len(keys):
        raise ValueError(
            f"{cache} holds {len(decoded)} faces, but {index} lists {len(keys)}: "
            "it was decoded from other shards; delete it, or choose another work folder"
        )
    return decoded


class ShardFaces:
    """Data set of the faces whose identity index.csv knows; item -> ((128, 128, 3) uint8 RGB, label).

    `labels` (N,) int64 count through `names`, the identities' names; `worn` (N,) bool says which photos show a real
    mask: index.csv does not say it of any face with a name, so none. Who is held out for calibration is left out.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path,
        min_images: int = 1,
        max_images: int | None = None,
        identities: Collection[str] | None = None,
        held_out: float = HELD_OUT,
    ) -> None:
        """Reads index.csv; the shards are decoded into `cache` (see decode_shards) when the first face is asked for.

        The limits are those of splits.select_faces, `held_out` is that of ShardIndex.held_out. Raises ValueError where
        no face is left.
        """
        self._folder, self._cache = folder, cache
        index = read_index(folder)
        known = np.where(index.held_out(held_out), "", index.identities)
        selection = select_faces(known, min_images, max_images, identities)
        self.rows, self.labels, self.names = selection.rows, selection.labels, selection.names
        self.worn = np.zeros(len(self.rows), np.bool_)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> tuple[npt.NDArray[np.uint8], int]:
        return np.array(self._faces[self.rows[position]]), int(self.labels[position])

    def read(self, positions: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """The faces (n, 128, 128, 3) uint8 RGB at these positions, in one copy out of the map."""
        return np.asarray(self._faces[self.rows[np.asarray(positions, np.int64)]])

    @cached_property
    def _faces(self) -> npt.NDArray[np.uint8]:
        """Opened late: each worker maps the file itself, and a data set that was not read from can be sent to it."""
        return decode_shards(self._folder, self._cache)
