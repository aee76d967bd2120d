"""What training stages share: a network, faces augmented on the device, an optimiser, numbers on held-out faces."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from sklearn.metrics import auc, roc_curve
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, Metric

from face_recognition_ros.training.augmentation import Augmentation
from face_recognition_ros.training.data.shards import centre_crops
from face_recognition_ros.training.networks import create_network, load_initial_weights

FACES_PER_IDENTITY = 20
MOST_FACES = 3000
"""Of the held-out faces all pairs are compared; these keep that to a few million."""


class FaceModule(L.LightningModule):
    """A network in training. A stage adds its objective and `training_step`.

    Batches hold stored faces (N, 128, 128, 3) uint8 RGB. The `OneCycle` callback (schedule.py) moves the learning rate.
    """

    def __init__(
        self,
        network: str,
        embedding_size: int | None,
        network_options: dict[str, Any] | None,
        initial_weights: Path | None,
        augmentation: Augmentation,
        optimizer: OptimizerCallable,
    ) -> None:
        """The arguments that all stages have.

        Args:
            network: a name of networks.NETWORKS.
            embedding_size: None for a network without embedding layer.
            network_options: see the network's class.
            initial_weights: a checkpoint, of which all that fits is loaded; what did not fit is said.
            augmentation: what faces go through before the network sees them.
            optimizer: a class of torch.optim with its arguments; its learning rate is the peak of the schedule.
        """
        super().__init__()
        self.save_hyperparameters("network", "embedding_size", "network_options")  # plain values: export needs them
        self.network = create_network(network, embedding_size, **(network_options or {}))
        if initial_weights is not None:
            rank_zero_info(str(load_initial_weights(self.network, initial_weights)))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.augmentation, self.optimizer = augmentation, optimizer
        self.generator = torch.Generator()
        self.losses = MeanMetric()
        self.held_out = Gathered()

    def on_train_batch_start(self, batch: Any, _: int) -> None:
        """Seeds what is drawn for this batch: the same where a stopped run goes on, and not on two devices."""
        place = (torch.initial_seed(), self.global_rank, self.trainer.fit_loop.total_batch_idx)
        self.generator.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def augmented(self, faces: Tensor) -> Tensor:
        """Stored faces -> (N, 3, 112, 112) float32 as the network is to see them."""
        with self.exact():
            return self.augmentation(faces, self.generator).contiguous(memory_format=torch.channels_last)

    def recorded(self, loss: Tensor) -> Tensor:
        """The loss, noted for the learning curve."""
        self.losses.update(loss.detach())
        return loss

    def exact(self) -> torch.autocast:
        """Full precision within a mixed-precision run: for pictures, and for objectives' small differences."""
        return torch.autocast(self.device.type, enabled=False)

    def validation_step(self, batch: Any, _: int) -> None:
        """Gathers the embeddings of held-out (faces, labels)."""
        faces, labels = batch
        self.held_out.update(self.network(middle(faces)).float(), labels)

    def held_out_pairs(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The similarity of each pair that was held out, and whether it is of one person."""
        return all_pairs(embeddings, labels)

    def on_validation_epoch_end(self) -> None:
        """Logs the mean loss since the last validation, and how well held-out people are told apart."""
        gathered = self.held_out.compute()
        self.held_out.reset()
        if self.trainer.sanity_checking:  # a batch or two need not have both kinds of pairs
            return
        numbers = verification(*self.held_out_pairs(*gathered))
        self.log_dict({f"held_out_{name}": value for name, value in numbers.items()}, prog_bar=True)
        self.log_loss()

    def log_loss(self) -> None:
        """Logs the mean loss since the last time."""
        if self.losses.update_count:
            self.log("loss", self.losses.compute(), prog_bar=True)
            self.losses.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(parameter_groups(self))


class Gathered(Metric):
    """Two tensors (N, ...) and (N,), collected over all batches and devices."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("values", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, values: Tensor, labels: Tensor) -> None:
        self.values.append(values)
        self.labels.append(labels)

    def compute(self) -> tuple[Tensor, Tensor]:
        return tuple(torch.cat(part) if isinstance(part, list) else part for part in (self.values, self.labels))


def middle(faces: Tensor) -> Tensor:
    """Stored faces (N, 128, 128, 3) uint8 -> (N, 3, 112, 112) float32 on the five-point template."""
    return centre_crops(faces).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)


def all_pairs(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine of every pair of faces, and whether both are of one person.

    At most FACES_PER_IDENTITY faces of a person and MOST_FACES in all are compared.
    """
    few = torch.cat([(labels == label).nonzero()[:FACES_PER_IDENTITY, 0] for label in labels.unique()])[:MOST_FACES]
    embeddings, labels = functional.normalize(embeddings[few]), labels[few]
    first, second = torch.triu_indices(len(few), len(few), offset=1, device=labels.device)
    return (embeddings @ embeddings.T)[first, second], labels[first] == labels[second]


def verification(similarities: Tensor, same: Tensor) -> dict[str, float]:
    """Area under the ROC curve, accuracy at the best threshold, and TAR at FAR 1 % and 0.1 %.

    The accuracy is that on as many genuine as impostor pairs. similarities, same: (N,).

    Raises ValueError where there are no pairs of one of the two kinds.
    """
    if same.all() or not same.any():
        raise ValueError("the held-out faces make only pairs of one kind; genuine and impostor pairs are needed")
    far, tar, _ = roc_curve(same.numpy(force=True), similarities.numpy(force=True))
    return {
        "auc": float(auc(far, tar)),
        "accuracy": float(np.max(tar + 1 - far) / 2),
        **{f"tar_at_far_{line:g}": float(tar[far <= line].max()) for line in (0.01, 0.001)},
    }


def parameter_groups(module: nn.Module) -> list[dict[str, Any]]:
    """What is trained, in up to three groups, for every optimiser: no weight decay for biases and normalisation.

    `use_fallback` tells timm's Muon what is no matrix that mixes channels of the backbone (heads, depthwise kernels,
    vectors) and is left to AdamW; other optimisers take no notice of it.
    """
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    vectors = {name for name, parameter in trained.items() if parameter.ndim <= 1}
    mixing = {name for name in trained.keys() - vectors if "backbone." in name and trained[name].shape[1] > 1}

    def group(names: set[str], **options: Any) -> dict[str, Any]:
        return {"params": [parameter for name, parameter in trained.items() if name in names], **options}

    groups = [
        group(mixing, use_fallback=False),
        group(trained.keys() - vectors - mixing, use_fallback=True),
        group(vectors, use_fallback=True, weight_decay=0.0),
    ]
    return [group for group in groups if group["params"]]
