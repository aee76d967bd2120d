"""Trains a network to give the embeddings of a larger one: knowledge distillation on aligned faces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx2torch
import torch
from lightning.pytorch.cli import OptimizerCallable
from timm.optim import Muon
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric

from face_recognition_ros.training.augmentation import Augmentation
from face_recognition_ros.training.data.distillation import Batch
from face_recognition_ros.training.face_module import FaceModule, middle
from face_recognition_ros.training.losses import cosine_distillation, create_classifier, similarity_distillation
from face_recognition_ros.training.schedule import share_done
from face_recognition_ros.training.teacher import with_dynamic_batch


class Distillation(FaceModule):
    """The student and its objective; DistillationData has the teacher's embeddings."""

    def __init__(
        self,
        network: str = "efficientnet_b0",
        embedding_size: int = 64,
        network_options: dict[str, Any] | None = None,
        initial_weights: Path | None = None,
        teacher: Path | None = None,
        small_size: int = 80,
        small_share: float = 0.4,
        bank: int = 8192,
        cosine_weight: float = 4.0,
        label_weight: float = 0.0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        optimizer: OptimizerCallable = Muon,
    ) -> None:
        """See FaceModule for the arguments that are not here.

        Args:
            embedding_size: the data's; the teacher's embeddings are projected to as many dimensions.
            teacher: ONNX file of the teacher, to learn its embedding of the very crop that the student sees, augmented
                as it is; None: its embedding of the clean face, computed once.
            small_size: side in pixels of the faces in the first part of the run, at half the cost (progressive
                learning, Tan and Le 2021).
            small_share: how long that part is.
            bank: how many other faces each face's similarities are compared with.
            cosine_weight: of the cosine to the teacher, beside the similarities to the bank.
            label_weight: of a CosFace loss on the faces whose identity is known.
        """
        super().__init__(network, embedding_size, network_options, initial_weights, augmentation, optimizer)
        self.teacher_file, self.small_size, self.small_share = teacher, small_size, small_share
        self.bank_size, self.cosine_weight, self.label_weight = bank, cosine_weight, label_weight
        self.cosine = MeanMetric()
        self.margin: nn.Module | None = None

    def configure_model(self) -> None:
        """Makes the classifier of the labelled part, where there is to be one."""
        if self.label_weight and self.margin is None:
            people = self.trainer.datamodule.num_identities
            self.margin = create_classifier("cosface", self.network.embedding_size, people)

    def on_fit_start(self) -> None:
        """Fetches what must not be part of checkpoints: the bank and the teacher."""
        data = self.trainer.datamodule
        self.bank = data.training.targets.to(self.device)
        self.live_teacher = None
        if self.teacher_file is not None:
            self.live_teacher = live_teacher(self.teacher_file, data.projection, self.device)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        faces, targets, labels = batch
        crops = self.augmented(faces)
        student = self.network(self.resized(crops))
        with self.exact():
            student = student.float()
            if self.live_teacher is not None:
                targets = self.live_teacher(crops)
            others = self.bank[torch.randint(len(self.bank), (self.bank_size,), generator=self.generator)]
            loss = self.cosine_weight * cosine_distillation(student, targets)
            loss = loss + similarity_distillation(student, targets, torch.cat([targets, others]))
            known = labels >= 0
            if self.margin is not None and known.any():
                loss = loss + self.label_weight * self.margin(student[known], labels[known])
        return self.recorded(loss)

    def resized(self, crops: Tensor) -> Tensor:
        """Crops (N, 3, 112, 112) at the size that this part of the run works with."""
        if share_done(self.trainer) >= self.small_share:
            return crops
        small = functional.interpolate(crops, (self.small_size,) * 2, mode="bilinear", antialias=True)
        return small.contiguous(memory_format=torch.channels_last)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Cosine between student and teacher on held-out faces."""
        faces, targets, _labels = batch
        self.cosine.update((self.network(self.resized(middle(faces))).float() * targets).sum(dim=1))

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:
            return
        self.log("held_out_cosine", self.cosine.compute(), prog_bar=True)
        self.cosine.reset()
        self.log_loss()


def live_teacher(model: Path, projection: npt.NDArray[np.float32], device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function of crops (N, 3, 112, 112) that gives the teacher's embeddings (N, D) of them, projected, unit vectors.

    Not a module of the student's: checkpoints and averages leave it out.
    """
    network = onnx2torch.convert(with_dynamic_batch(model)).eval().requires_grad_(False).to(device)
    matrix = torch.from_numpy(projection).to(device)
    return lambda crops: functional.normalize(network((crops - 127.5) / 128).float() @ matrix)
