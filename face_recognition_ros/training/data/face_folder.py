"""Identity folders of prepared face crops, DIR/IDENTITY/PHOTO.jpg, as a data set."""

import os
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.pictures import PICTURE_SUFFIXES, read_picture
from face_recognition_ros.training.data.shards import MARGIN, STORED_SIZE
from face_recognition_ros.training.data.splits import select_faces
from face_recognition_ros.types import CROP_SIZE

_SUFFIXES = tuple(PICTURE_SUFFIXES)


class FaceFolder:
    """Data set of the crops in identity folders, as `training.data.preparation` writes them.

    An item is ((128, 128, 3) uint8 RGB, label). `labels` (N,) int64 count through `names`, the sorted names of the
    identities; `worn` (N,) bool says which photos come from the folder of real masks.

    A picture has 128x128 pixels: the 112x112 crop on the five-point template and 8 pixels on each side. Crops of
    112x112, as many public data sets have them, are taken too; their margin repeats the pixels of the edge.
    """

    def __init__(
        self,
        folder: Path,
        min_images: int = 1,
        max_images: int | None = None,
        identities: Collection[str] | None = None,
        masked_folder: Path | None = None,
    ) -> None:
        """Lists the pictures; they are read when they are asked for.

        The limits are those of splits.select_faces. `masked_folder` holds further photos of the same identities, under
        the same names, on which they wear masks.

        Raises ValueError where a folder is not there or no face is left.
        """
        self._roots = (folder,) if masked_folder is None else (folder, masked_folder)
        found = [(root, *entry) for root, path in enumerate(self._roots) for entry in identity_pictures(path)]
        selection = select_faces([identity for _, identity, _ in found], min_images, max_images, identities)
        self.labels, self.names = selection.labels, selection.names
        # Arrays rather than lists of paths: millions of objects would be copied into every worker, bit by bit.
        self._files = np.array([found[row][2] for row in selection.rows.tolist()], np.str_)
        self.worn = np.array([found[row][0] == 1 for row in selection.rows.tolist()], np.bool_)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[npt.NDArray[np.uint8], int]:
        return read_crop(self.path(position)), int(self.labels[position])

    def read(self, positions: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """The faces (n, 128, 128, 3) uint8 RGB at these positions."""
        faces = [read_crop(self.path(int(position))) for position in np.asarray(positions, np.int64)]
        return np.stack(faces) if faces else np.empty((0, STORED_SIZE, STORED_SIZE, 3), np.uint8)

    def path(self, position: int) -> Path:
        """The picture's file."""
        return self._roots[int(self.worn[position])] / self.names[self.labels[position]] / str(self._files[position])


def read_crop(path: Path) -> npt.NDArray[np.uint8]:
    """A stored crop (128, 128, 3) uint8 RGB; one of 112x112 gets a margin of repeated pixels.

    Raises ImageError where the file is no picture, ValueError where it has another size.
    """
    picture = cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2RGB)
    if picture.shape[:2] == (CROP_SIZE, CROP_SIZE):
        picture = cv2.copyMakeBorder(picture, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
    if picture.shape[:2] != (STORED_SIZE, STORED_SIZE):
        raise ValueError(
            f"{path} has {picture.shape[1]}x{picture.shape[0]} pixels; an aligned crop has {STORED_SIZE}x{STORED_SIZE} "
            f"or {CROP_SIZE}x{CROP_SIZE}. `python -m face_recognition_ros.training.data.preparation` makes them"
        )
    return np.asarray(picture, np.uint8)


def identity_pictures(folder: Path) -> list[tuple[str, str]]:
    """Identity and file name of every picture IDENTITY/PHOTO.jpg, sorted; hidden entries and other files are left out.

    Raises ValueError where there is none.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give one that holds a folder of pictures for each identity")
    # Names rather than paths, as there may be millions.
    identities = [entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    files = (
        (identity, entry.name)
        for identity in identities
        for entry in os.scandir(folder / identity)
        if not entry.name.startswith(".") and entry.name.lower().endswith(_SUFFIXES)
    )
    pictures = sorted(files)
    if not pictures:
        raise ValueError(f"{folder} holds no picture IDENTITY/PHOTO.jpg; each identity needs a folder of its own")
    return pictures
