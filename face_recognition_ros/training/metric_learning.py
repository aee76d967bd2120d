"""Stage two of the two-stage recipe: embeddings of one person move together, those of others apart."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from face_recognition_ros.training.augmentation import Augmentation
from face_recognition_ros.training.face_module import FaceModule, middle
from face_recognition_ros.training.losses import create_loss, create_miner, create_pair_loss


class MetricLearning(FaceModule):
    """Triplet or contrastive loss over batches of P people with K faces each.

    From stage one's checkpoint when `initial_weights` names it; without, this is direct metric learning.
    """

    def __init__(
        self,
        network: str = "efficientnet_b0",
        embedding_size: int | None = 64,
        network_options: dict[str, Any] | None = None,
        initial_weights: Path | None = None,
        loss: str = "triplet",
        loss_options: dict[str, Any] | None = None,
        miner: str | None = "semi_hard",
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        optimizer: OptimizerCallable = torch.optim.AdamW,
    ) -> None:
        """See FaceModule for the arguments that are not here.

        Args:
            loss: a name of losses.LOSSES.
            loss_options: margin, and distance: a name of distances.DISTANCES. The miner uses both, too.
            miner: a name of losses.MINERS; None for all pairs or triplets of a batch.
        """
        super().__init__(network, embedding_size, network_options, initial_weights, augmentation, optimizer)
        self.objective = create_loss(loss, **(loss_options or {}))
        self.miner = None if miner is None else create_miner(miner, self.objective)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        faces, labels = batch
        embeddings = self.network(self.augmented(faces))
        with self.exact():
            embeddings = embeddings.float()
            chosen = None if self.miner is None else self.miner(embeddings, labels)
            return self.recorded(self.objective(embeddings, labels, chosen))


class Siamese(FaceModule):
    """Contrastive loss or cross-entropy over given pairs (first, second, different), masked ones among them."""

    def __init__(
        self,
        network: str = "efficientnet_b0",
        embedding_size: int | None = 64,
        network_options: dict[str, Any] | None = None,
        initial_weights: Path | None = None,
        objective: str = "contrastive",
        objective_options: dict[str, Any] | None = None,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        optimizer: OptimizerCallable = torch.optim.AdamW,
    ) -> None:
        """See FaceModule for the arguments that are not here.

        Args:
            objective: a name of losses.PAIR_LOSSES.
            objective_options: margin, and distance: a name of distances.DISTANCES; weighted_l1 has none.
        """
        super().__init__(network, embedding_size, network_options, initial_weights, augmentation, optimizer)
        self.objective = create_pair_loss(objective, self.network.embedding_size, **(objective_options or {}))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        first, second, different = batch
        # one pass for both sides: batch norm sees one batch
        embeddings = self.network(self.augmented(torch.cat([first, second])))
        with self.exact():
            return self.recorded(self.objective(*embeddings.float().chunk(2), different.float()))

    def validation_step(self, batch: Any, _: int) -> None:
        """Gathers how alike the two faces of held-out pairs are."""
        first, second, different = batch
        embeddings = self.network(middle(torch.cat([first, second]))).float()
        with self.exact():
            self.held_out.update(self.objective.similarity(*embeddings.chunk(2)), different)

    def held_out_pairs(self, similarities: Tensor, different: Tensor) -> tuple[Tensor, Tensor]:
        """What was gathered are pairs already."""
        return similarities, different == 0
