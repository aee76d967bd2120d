"""Aligned face crops in tar shards with an index.csv: one memory-mapped array, and a data set of those with a name."""

import csv
import hashlib
import io
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from face_recognition_ros.training.data.splits import select_faces

STORED_SIZE = 128  # pixels: a 112x112 aligned crop with MARGIN on each side
CROP_SIZE = 112
MARGIN = (STORED_SIZE - CROP_SIZE) // 2


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

    Raises ValueError when a shard holds another face than index.csv says at that place.
    """
    if not cache.exists():
        keys = read_index(folder).keys
        partial = cache.with_suffix(".partial")
        shape = (len(keys), STORED_SIZE, STORED_SIZE, 3)
        faces = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        position = 0
        for shard in sorted(folder.glob("faces-*.tar")):
            with tarfile.open(shard) as tar:
                for member in tqdm(tar, desc=f"decode {shard.name}", unit="face"):
                    if Path(member.name).stem != keys[position]:
                        raise ValueError(f"{shard}: face {member.name} stands where index.csv has {keys[position]}")
                    data = tar.extractfile(member)
                    assert data is not None, f"{member.name} in {shard} is not a file"
                    faces[position] = np.asarray(Image.open(io.BytesIO(data.read())).convert("RGB"))
                    position += 1
        faces.flush()
        partial.rename(cache)
    return np.load(cache, mmap_mode="r")  # type: ignore[no-any-return]


class ShardFaces:
    """Data set of the faces whose identity index.csv knows; item -> ((128, 128, 3) uint8 RGB, label).

    `labels` (N,) int64 count through `names`, the identities' names; `worn` (N,) bool says which photos show a real
    mask: index.csv does not say it of any face with a name, so none.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path,
        min_images: int = 1,
        max_images: int | None = None,
        identities: Collection[str] | None = None,
    ) -> None:
        """Reads index.csv; the shards are decoded into `cache` (see decode_shards) when the first face is asked for.

        The limits are those of splits.select_faces. Raises ValueError where no face is left.
        """
        self._folder, self._cache = folder, cache
        index = read_index(folder)
        self._stored = len(index)
        selection = select_faces(index.identities, min_images, max_images, identities)
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
        faces = decode_shards(self._folder, self._cache)
        if len(faces) != self._stored:
            raise ValueError(
                f"{self._cache} holds {len(faces)} faces, but {self._folder / 'index.csv'} lists {self._stored}: "
                "it was decoded from other shards; delete it, or choose another work folder"
            )
        return faces
