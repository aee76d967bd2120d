"""Stage one of the two-stage recipe: the network learns to name the people of the training data."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from face_recognition_ros.training.augmentation import Augmentation
from face_recognition_ros.training.face_module import FaceModule, middle
from face_recognition_ros.training.losses import create_classifier


class Classification(FaceModule):
    """A classifier on the network: softmax, CosFace or ArcFace.

    With embedding_size None it stands on the network's features, in the place of the embedding layer that stage two
    will put there. With a number it stands on an embedding of that size, which stage two takes over. Beside the numbers
    of all stages it logs the training accuracy of naming people and, with data of `hold_out: images`, that on held-out
    images of them.
    """

    def __init__(
        self,
        network: str = "efficientnet_b0",
        embedding_size: int | None = None,
        network_options: dict[str, Any] | None = None,
        initial_weights: Path | None = None,
        objective: str = "cross_entropy",
        objective_options: dict[str, Any] | None = None,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        optimizer: OptimizerCallable = torch.optim.AdamW,
    ) -> None:
        """See FaceModule for the arguments that are not here.

        Args:
            objective: a name of losses.CLASSIFIERS.
            objective_options: e.g. label_smoothing of cross_entropy; margin and scale of the others.
        """
        super().__init__(network, embedding_size, network_options, initial_weights, augmentation, optimizer)
        self.objective_name, self.objective_options = objective, objective_options or {}
        self.make_classifier(1, 1)  # a wrong name is said now, not after the data have been prepared
        self.objective: Any = None

    def make_classifier(self, size: int, people: int) -> nn.Module:
        return create_classifier(self.objective_name, size, people, **self.objective_options)

    def configure_model(self) -> None:
        """Makes the classifier, now that the data knows how many people there are."""
        if self.objective is None:
            people = self.trainer.datamodule.num_identities
            self.objective = self.make_classifier(self.network.embedding_size, people)
            self.accuracy = MulticlassAccuracy(people, average="micro")
            self.held_out_naming = MulticlassAccuracy(people, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        faces, labels = batch
        vectors = self.network.embed(self.augmented(faces))
        with self.exact():
            loss = self.objective(vectors.float(), labels)
            self.accuracy.update(self.objective.get_logits(vectors.detach().float()), labels)
        return self.recorded(loss)

    def validation_step(self, batch: Any, _: int) -> None:
        """As in the other stages; where held-out images show the people of training, they are named, too."""
        faces, labels = batch
        vectors = self.network.embed(middle(faces)).float()
        self.held_out.update(vectors, labels)
        if self.trainer.datamodule.hold_out == "images":
            self.held_out_naming.update(self.objective.get_logits(vectors), labels)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        for name in ("accuracy", "held_out_naming"):
            metric = getattr(self, name)
            if metric.update_count:
                self.log(name, metric.compute(), prog_bar=True)
                metric.reset()
