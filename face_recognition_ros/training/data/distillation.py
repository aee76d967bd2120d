"""Faces together with the embeddings that a teacher network has given them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import Dataset

from face_recognition_ros.training.data.batches import held_out_loader, training_loader
from face_recognition_ros.training.data.shards import HELD_OUT, ShardIndex, decode_shards, read_index
from face_recognition_ros.training.teacher import normalised, principal_projection, teacher_embeddings

Batch = tuple[Tensor, Tensor, Tensor]
"""Stored faces (N, 128, 128, 3) uint8 RGB, unit vectors (N, D) float32, labels (N,) int64: -1 where unknown."""


class FacesWithTargets(Dataset[Batch]):
    """Rows of a memory map of stored faces, with their targets."""

    def __init__(
        self,
        faces: npt.NDArray[np.uint8],
        targets: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
    ) -> None:
        self.faces, self.rows = faces, rows
        self.targets, self.labels = torch.from_numpy(targets[rows]), torch.from_numpy(labels[rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, places: list[int]) -> Batch:
        """A whole batch at once: one read of the memory map."""
        return torch.from_numpy(self.faces[self.rows[places]]), self.targets[places], self.labels[places]


class DistillationData(LightningDataModule):
    """Faces of tar shards with a teacher's embeddings, which are computed once and kept in the work folder."""

    def __init__(
        self,
        shards: Path,
        teacher: Path,
        work: Path,
        embedding_size: int = 64,
        batch: int = 96,
        held_out: float = HELD_OUT,
        workers: int = 0,
        threads: int = 2,
        seed: int = 0,
    ) -> None:
        """Settings of the data.

        Args:
            shards: folder with index.csv and faces-*.tar.
            teacher: ONNX file, (N, 3, 112, 112) RGB, (x - 127.5) / 128, in; (N, D) out.
            work: folder for the decoded faces and the teacher's embeddings of them.
            embedding_size: to which the teacher's embeddings are projected (teacher.principal_projection).
            batch: faces per step and device.
            held_out: share of the identities that is never trained on.
            workers: processes that read faces; 0 is right for a CPU.
            threads: of the teacher.
            seed: of the order.
        """
        super().__init__()
        self.shards, self.teacher, self.work = shards, teacher, work
        self.embedding_size, self.batch, self.held_out = embedding_size, batch, held_out
        self.workers, self.threads, self.seed = workers, threads, seed

    def prepare_data(self) -> None:
        """Decodes the faces and embeds them with the teacher, unless the work folder has both."""
        self.work.mkdir(parents=True, exist_ok=True)
        faces = decode_shards(self.shards, self.work / "faces.npy")
        teacher_embeddings(self.teacher, faces, self.work / "teacher.npy", self.threads)

    def setup(self, stage: str) -> None:
        faces = decode_shards(self.shards, self.work / "faces.npy")
        teacher = teacher_embeddings(self.teacher, faces, self.work / "teacher.npy", self.threads)
        index = read_index(self.shards)
        held_out = index.held_out(self.held_out)
        self.projection = principal_projection(teacher[~held_out], self.embedding_size)
        targets = normalised(teacher @ self.projection)
        labels = known_labels(index, ~held_out)
        self.num_identities = int(labels.max()) + 1
        self.training = FacesWithTargets(faces, targets, labels, np.flatnonzero(~held_out))
        self.validation = FacesWithTargets(faces, targets, labels, np.flatnonzero(held_out))

    def train_dataloader(self) -> Any:
        return training_loader(self, self.training)

    def val_dataloader(self) -> Any:
        return held_out_loader(self.validation, 128, self.workers)


def known_labels(index: ShardIndex, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """A number (N,) for each identity that has two or more faces under the mask; -1 for all other faces."""
    names = np.array(index.identities)
    people, counts = np.unique(names[mask & (names != "")], return_counts=True)
    numbers = {name: number for number, name in enumerate(people[counts > 1])}
    return np.array([numbers.get(name, -1) if inside else -1 for name, inside in zip(names, mask, strict=True)])
