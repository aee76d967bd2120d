"""Lightning data modules: batches of faces with their identity, and batches of pairs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning import LightningDataModule

from face_recognition_ros.training.data.batches import (
    FacePart,
    LabelledFaces,
    PairPart,
    held_out_loader,
    training_loader,
)
from face_recognition_ros.training.data.face_folder import FaceFolder
from face_recognition_ros.training.data.pairs import Masks, build_pairs
from face_recognition_ros.training.data.shards import ShardFaces, decode_shards
from face_recognition_ros.training.data.splits import Rows, split_identities, split_images


@dataclass(frozen=True)
class FaceSource:
    """Where the faces are, and which of them are used (see splits.select_faces)."""

    folder: Path
    layout: Literal["folder", "shards"] = "folder"
    """Identity folders of prepared crops (FaceFolder), or tar shards with an index.csv (ShardFaces)."""
    work: Path = Path("work")
    """Folder for the decoded shards: faces.npy, 49 KB a face."""
    min_images: int = 1
    max_images: int | None = None
    identities: list[str] | None = None
    masked_folder: Path | None = None
    """Identity folders with photos of the same people in real masks."""

    def prepare(self) -> None:
        """Decodes shards, where that is still to be done."""
        if self.layout == "shards":
            self.work.mkdir(parents=True, exist_ok=True)
            decode_shards(self.folder, self.work / "faces.npy")

    def open(self) -> LabelledFaces:
        """The data set; raises ValueError where there is nothing to use."""
        limits = (self.min_images, self.max_images, self.identities)
        if self.layout == "folder":
            return FaceFolder(self.folder, *limits, self.masked_folder)
        if self.masked_folder is not None:
            raise ValueError("masked_folder goes with identity folders; shards do not say which faces wear masks")
        return ShardFaces(self.folder, self.work / "faces.npy", *limits)


class IdentityData(LightningDataModule):
    """Batches of (faces (N, 128, 128, 3) uint8 RGB, labels (N,) int64), for classification and metric learning.

    What comes in which batch follows from `seed` and the epoch alone, on one device or several.
    """

    def __init__(
        self,
        faces: FaceSource,
        batch: int = 128,
        images_per_identity: int | None = None,
        hold_out: Literal["identities", "images"] = "identities",
        validation: float = 0.1,
        test: float = 0.0,
        seed: int = 0,
        workers: int = 2,
    ) -> None:
        """Settings of the batches.

        Args:
            faces: what is learned from.
            batch: faces per batch and device.
            images_per_identity: m: training batches of batch / m identities with m faces each (P x K sampling); None:
                plain shuffled batches. An identity with fewer faces has some of them more than once in a batch, which
                augmentation then makes differ; `faces.min_images` of m leaves such identities out.
            hold_out: whether validation and test have other identities than training, as metric learning needs it, or
                other images of the same ones, as a classifier does.
            validation, test: fractions of the identities, or of the images, that are held out.
            seed: of the split and the order.
            workers: processes that read, per device; 0: none.
        """
        super().__init__()
        self.source, self.batch, self.images_per_identity, self.hold_out = faces, batch, images_per_identity, hold_out
        self.validation, self.test, self.seed, self.workers = validation, test, seed, workers

    @property
    def num_identities(self) -> int:
        """Identities of the training part: the size of a classifier. Labels of training batches lie below it."""
        return int(self.parts[0].labels.max()) + 1

    @cached_property
    def parts(self) -> "tuple[FacePart, FacePart, FacePart]":
        """Training, validation and test."""
        faces = self.source.open()
        if self.hold_out == "images":
            training, validation, test = split_images(faces.labels, (self.validation, self.test), self.seed)
            labels = [faces.labels[rows] for rows in (training, validation, test)]
        else:
            training, validation, test = _identity_parts(faces, self.validation, self.test, self.seed)
            labels = [np.unique(faces.labels[rows], return_inverse=True)[1] for rows in (training, validation, test)]
        _check_parts((1, self.validation, self.test), (training, validation, test))
        return (
            FacePart(faces, training, labels[0]),
            FacePart(faces, validation, labels[1]),
            FacePart(faces, test, labels[2]),
        )

    def prepare_data(self) -> None:
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Looks through the faces now, so that what is wrong with them shows before training starts."""
        training = self.parts[0]
        if self.images_per_identity is None:
            return
        if self.batch % self.images_per_identity or self.batch > self.images_per_identity * self.num_identities:
            raise ValueError(
                f"a batch of {self.batch} cannot hold {self.images_per_identity} images of each of its identities: it "
                f"must be a multiple of that, and at most {self.images_per_identity * self.num_identities} with the "
                f"{self.num_identities} identities of the {len(training)} training faces"
            )

    def train_dataloader(self) -> Any:
        return training_loader(self, self.parts[0], self.images_per_identity)

    def val_dataloader(self) -> Any:
        return held_out_loader(self.parts[1], self.batch, self.workers) if len(self.parts[1]) else []

    def test_dataloader(self) -> Any:
        return held_out_loader(self.parts[2], self.batch, self.workers) if len(self.parts[2]) else []


class PairData(LightningDataModule):
    """Batches of (first, second (N, 128, 128, 3) uint8 RGB, different (N,) float32), for siamese training.

    `different` is 1 for an impostor pair. No identity is in two parts. Masks that a pair asks for are drawn here, the
    same in every epoch. With `faces.masked_folder`, each pair is a photo with a real mask and one without.
    """

    def __init__(
        self,
        faces: FaceSource,
        batch: int = 32,
        per_identity: int = 20,
        masks: Masks = "none",
        with_itself: bool = False,
        validation: float = 0.2,
        test: float = 0.0,
        seed: int = 0,
        workers: int = 2,
    ) -> None:
        """Settings of the pairs (per_identity, masks, with_itself: see pairs.build_pairs) and of the batches.

        Args:
            faces: what pairs are made of.
            batch: pairs per batch and device.
            validation, test: fractions of the identities that are held out.
            seed: of the split, the pairs, the masks and the order.
            workers: processes that read, per device; 0: none.
        """
        super().__init__()
        self.source, self.batch, self.per_identity = faces, batch, per_identity
        self.masks: Masks = masks
        self.with_itself, self.validation, self.test = with_itself, validation, test
        self.seed, self.workers = seed, workers

    @cached_property
    def parts(self) -> "tuple[PairPart | None, ...]":
        """Training, validation and test; None for a part whose fraction is 0."""
        faces = self.source.open()
        rows = _identity_parts(faces, self.validation, self.test, self.seed)
        _check_parts((1, self.validation, self.test), rows)
        return tuple(self._part(faces, part) if len(part) else None for part in rows)

    def prepare_data(self) -> None:
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Builds the pairs now, so that what is wrong shows before training starts."""
        _ = self.parts

    def train_dataloader(self) -> Any:
        return training_loader(self, self.parts[0])

    def val_dataloader(self) -> Any:
        return held_out_loader(self.parts[1], self.batch, self.workers) if self.parts[1] else []

    def test_dataloader(self) -> Any:
        return held_out_loader(self.parts[2], self.batch, self.workers) if self.parts[2] else []

    def _part(self, faces: LabelledFaces, rows: Rows) -> "PairPart":
        worn = None if self.source.masked_folder is None else faces.worn[rows]
        pairs = build_pairs(faces.labels[rows], self.seed, self.per_identity, self.masks, self.with_itself, worn)
        return PairPart(faces, rows, pairs, self.seed)


def _identity_parts(faces: LabelledFaces, validation: float, test: float, seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows of training, validation and test, by the hash of the identities' names."""
    held_out = split_identities(faces.names, (test, validation, max(0.0, 1 - test - validation)), seed)
    test_rows, validation_rows, training = (np.flatnonzero(np.isin(faces.labels, names)) for names in held_out)
    return training, validation_rows, test_rows


def _check_parts(fractions: tuple[float, ...], parts: tuple[Rows, ...]) -> None:
    for name, fraction, rows in zip(("training", "validation", "test"), fractions, parts, strict=True):
        if fraction > 0 and not len(rows):
            raise ValueError(
                f"the {name} part is empty: there are too few identities or images for its fraction, or the fractions "
                "held out leave nothing; choose other fractions, another seed, or hold out images"
            )
