"""Made-up people for short runs: each a pattern of their own, each picture of them a little different."""

from functools import partial
from pathlib import Path
from typing import Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from face_recognition_ros.training.augmentation import Augmentation
from face_recognition_ros.training.networks import Embedder

PEOPLE, PICTURES = 3, 4


def toy_faces() -> tuple[Tensor, Tensor]:
    """Stored faces (N, 128, 128, 3) uint8 and their labels (N,)."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(PEOPLE, 3, 4, 4, generator=generator) * 200 + 25
    labels = torch.arange(PEOPLE).repeat_interleave(PICTURES)
    faces = functional.interpolate(patterns, (128, 128))[labels]
    noisy = faces + torch.randn(faces.shape, generator=generator) * 10
    return noisy.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous(), labels


class TinyNetwork(Embedder):
    """Just enough to learn the toy faces' colours by."""

    def __init__(self, embedding_size: int | None = 16) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 32), nn.ReLU())
        self.add_head(32, embedding_size)

    def features(self, faces: Tensor) -> Tensor:
        features: Tensor = self.backbone((faces - 127.5) / 128)
        return features


class ToyData(L.LightningDataModule):
    """The same few faces for training and validation, in one batch."""

    num_identities = PEOPLE
    hold_out = "images"

    def __init__(self, paired: bool = False) -> None:
        super().__init__()
        faces, labels = toy_faces()
        first, second = (rows.flatten() for rows in torch.triu_indices(len(faces), len(faces), offset=1))
        chosen = torch.randperm(len(first), generator=torch.Generator().manual_seed(0))[:12]
        first, second = first[chosen], second[chosen]
        self.data: Dataset[tuple[Tensor, ...]] = TensorDataset(faces, labels)
        if paired:
            self.data = TensorDataset(faces[first], faces[second], (labels[first] != labels[second]).float())

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.data, 12)

    val_dataloader = train_dataloader


class Losses(L.Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: object, *_: object) -> None:
        self.values.append(float(outputs["loss"]))  # type: ignore[index]


def fit(
    module: L.LightningModule,
    steps: int,
    paired: bool = False,
    checkpoint: Path | None = None,
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
) -> tuple[L.Trainer, list[float]]:
    """A few steps on the toy faces; the trainer, and the loss of each step."""
    losses = Losses()
    trainer = L.Trainer(
        accelerator="cpu",
        precision=precision,
        max_steps=steps,
        check_val_every_n_epoch=steps,
        num_sanity_val_steps=0,
        callbacks=[losses],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, ToyData(paired), ckpt_path=checkpoint)
    return trainer, losses.values


PLAIN = {"augmentation": Augmentation.none(), "optimizer": partial(torch.optim.AdamW, lr=1e-3)}
