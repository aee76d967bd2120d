"""Training objectives with formula and source: pytorch-metric-learning's where it has them, ours where it has not.

One convention for pairs everywhere: `different` is 1 for two different people and 0 for one person (Hadsell et al.).
Where a paper's y means the opposite, its formula stands here with y = 1 - different. Embeddings are (N, D) float32;
every distance but that of `WeightedL1Loss` scales them to unit length itself.
"""

from collections.abc import Callable

import torch
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.losses import ArcFaceLoss, CosFaceLoss, TripletMarginLoss
from pytorch_metric_learning.losses import ContrastiveLoss as LibraryContrastiveLoss
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from pytorch_metric_learning.miners.base_miner import BaseMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn
from torch.nn import functional

from face_recognition_ros.training.distances import create_distance, paired
from face_recognition_ros.training.networks import WeightedL1
from face_recognition_ros.training.registry import build

# Pairs ---------------------------------------------------------------------------------------------------------------


def contrastive(distance: Tensor, different: Tensor, margin: float = 1.0) -> Tensor:
    """(1 - Y) D^2 / 2 + Y max(0, m - D)^2 / 2 of each pair, Y = different (Hadsell, Chopra, LeCun 2006, equation 4).

    distance: (N,), D = ||a - b|| in the paper.
    """
    return ((1 - different) * distance**2 + different * functional.relu(margin - distance) ** 2) / 2


def squared_contrastive(distance: Tensor, different: Tensor, margin: float = 5.0) -> Tensor:
    """Squared variant: y d^2 + (1 - y) max(0, A - d)^2 of each pair; y = 1 is the same person: y = 1 - different.

    distance: (N,), d = ||a - b||^2 of unit vectors in the masked-face studies that use it. As d is at most 4, A = 5
    never lets go of a pair of different people.
    """
    return (1 - different) * distance**2 + different * functional.relu(margin - distance) ** 2


PairTerms = Callable[[Tensor, Tensor, float], Tensor]


class PairLoss(nn.Module):
    """Mean of a pair objective over given pairs of embeddings."""

    def __init__(self, terms: PairTerms, distance: str, margin: float) -> None:
        super().__init__()
        self.terms, self.distance, self.margin = terms, create_distance(distance), margin

    def forward(self, first: Tensor, second: Tensor, different: Tensor) -> Tensor:
        """(N, D), (N, D), (N,) -> the mean."""
        return self.terms(paired(self.distance, first, second), different, self.margin).mean()

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """(N, D), (N, D) -> (N,), the higher the more alike: what a verification decides by."""
        return -paired(self.distance, first, second)


class WeightedL1Loss(nn.Module):
    """-y log p - (1 - y) log(1 - p), p = sigmoid(sum_j a_j |x_j - y_j| + b), y = 1 - different (Koch et al. 2015).

    The weights a and b are learned; embeddings are compared as they are, not scaled to unit length.
    """

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.head = WeightedL1(embedding_size)

    def forward(self, first: Tensor, second: Tensor, different: Tensor) -> Tensor:
        """(N, D), (N, D), (N,) -> the mean."""
        return functional.binary_cross_entropy_with_logits(self.head(first, second), 1 - different)

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """(N, D), (N, D) -> (N,), the logit of p."""
        logit: Tensor = self.head(first, second)
        return logit


def contrastive_pairs(embedding_size: int, distance: str = "l2", margin: float = 1.0) -> PairLoss:
    """`contrastive` over the pairs of a batch."""
    del embedding_size  # all pair losses are made alike
    return PairLoss(contrastive, distance, margin)


def squared_contrastive_pairs(embedding_size: int, distance: str = "squared_l2", margin: float = 5.0) -> PairLoss:
    """`squared_contrastive` over the pairs of a batch."""
    del embedding_size  # all pair losses are made alike
    return PairLoss(squared_contrastive, distance, margin)


PAIR_LOSSES: dict[str, Callable[..., PairLoss | WeightedL1Loss]] = {
    "contrastive": contrastive_pairs,
    "squared_contrastive": squared_contrastive_pairs,
    "weighted_l1": WeightedL1Loss,
}


def create_pair_loss(name: str, embedding_size: int, **options: object) -> PairLoss | WeightedL1Loss:
    """The objective on (first, second, different) called `name`; raises ValueError for an unknown name or option."""
    return build("pair loss", PAIR_LOSSES, name, embedding_size, **options)


# Labelled batches ----------------------------------------------------------------------------------------------------


class BatchPairs(LibraryContrastiveLoss):
    """A pair objective over all pairs within a labelled batch, or those that a miner chooses.

    The mean over genuine pairs plus the mean over impostor pairs: neither kind outweighs the other by its number.
    """

    def __init__(self, terms: PairTerms, distance: str, margin: float) -> None:
        super().__init__(distance=create_distance(distance), reducer=MeanReducer())
        self.terms, self.margin = terms, margin

    def pos_calc(self, distance: Tensor, _: float) -> Tensor:
        """Terms of genuine pairs."""
        return self.terms(distance, torch.zeros_like(distance), self.margin)

    def neg_calc(self, distance: Tensor, _: float) -> Tensor:
        """Terms of impostor pairs."""
        return self.terms(distance, torch.ones_like(distance), self.margin)


def contrastive_batch(distance: str = "l2", margin: float = 1.0) -> BatchPairs:
    """`contrastive` over the pairs within a labelled batch."""
    return BatchPairs(contrastive, distance, margin)


def squared_contrastive_batch(distance: str = "squared_l2", margin: float = 5.0) -> BatchPairs:
    """`squared_contrastive` over the pairs within a labelled batch."""
    return BatchPairs(squared_contrastive, distance, margin)


def triplet(distance: str = "squared_l2", margin: float = 0.2) -> TripletMarginLoss:
    """max(d(a, p) - d(a, n) + m, 0), with d squared (FaceNet, Schroff et al. 2015, equation 3): mean over triplets."""
    return TripletMarginLoss(margin=margin, distance=create_distance(distance), reducer=MeanReducer())


LOSSES: dict[str, Callable[..., BatchPairs | TripletMarginLoss]] = {
    "contrastive": contrastive_batch,
    "squared_contrastive": squared_contrastive_batch,
    "triplet": triplet,
}


def create_loss(name: str, **options: object) -> BatchPairs | TripletMarginLoss:
    """The objective on (embeddings, labels) called `name`; raises ValueError for an unknown name or option."""
    return build("loss", LOSSES, name, **options)


def semi_hard(distance: BaseDistance, margin: float) -> TripletMarginMiner:
    """All triplets with d(a, p) < d(a, n) <= d(a, p) + m: alike, but in the right order (FaceNet, equation 4)."""
    return TripletMarginMiner(margin=margin, type_of_triplets="semihard", distance=distance)


def violating(distance: BaseDistance, margin: float) -> TripletMarginMiner:
    """All triplets with d(a, n) <= d(a, p) + m: those that have a loss."""
    return TripletMarginMiner(margin=margin, type_of_triplets="all", distance=distance)


def batch_hard(distance: BaseDistance, margin: float) -> BatchHardMiner:
    """For each face its farthest genuine and its nearest impostor (Hermans, Beyer, Leibe 2017, equation 5)."""
    del margin  # all miners are made alike
    return BatchHardMiner(distance=distance)


MINERS: dict[str, Callable[..., BaseMiner]] = {
    "batch_hard": batch_hard,
    "semi_hard": semi_hard,
    "violating": violating,
}


def create_miner(name: str, loss: BatchPairs | TripletMarginLoss) -> BaseMiner:
    """The miner called `name`, with the loss's own distance and margin; raises ValueError for another name."""
    return build("miner", MINERS, name, loss.distance, loss.margin)


# Classification ------------------------------------------------------------------------------------------------------


class SoftmaxLoss(nn.Module):
    """-log softmax(W x + b)_label, the mean over the batch: plain classification.

    With label_smoothing e the wanted probability is 1 - e + e/C for the label and e/C for the others (Szegedy et al.
    2016, section 7).
    """

    def __init__(self, num_features: int, num_identities: int, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.classifier = nn.Linear(num_features, num_identities)
        self.label_smoothing = label_smoothing

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """(N, num_features), (N,) -> the mean."""
        return functional.cross_entropy(self.get_logits(vectors), labels, label_smoothing=self.label_smoothing)

    def get_logits(self, vectors: Tensor) -> Tensor:
        """(N, num_features) -> (N, num_identities). The name is the library's."""
        logits: Tensor = self.classifier(vectors)
        return logits


def cosface(num_features: int, num_identities: int, margin: float = 0.35, scale: float = 64.0) -> CosFaceLoss:
    """-log softmax of s cos(theta_j), of which the label's is s (cos(theta) - m) (Wang et al. 2018, equation 4)."""
    return CosFaceLoss(num_identities, num_features, margin=margin, scale=scale)


def arcface(num_features: int, num_identities: int, margin: float = 28.6, scale: float = 64.0) -> ArcFaceLoss:
    """-log softmax of s cos(theta_j), of which the label's is s cos(theta + m) (Deng et al. 2019, equation 3).

    margin: in degrees; the paper's 0.5 is in radians.
    """
    return ArcFaceLoss(num_identities, num_features, margin=margin, scale=scale)


CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {
    "arcface": arcface,
    "cosface": cosface,
    "cross_entropy": SoftmaxLoss,
}


def create_classifier(name: str, num_features: int, num_identities: int, **options: object) -> nn.Module:
    """The objective on (vectors, labels) called `name`, which holds the classifier's weights and has `get_logits`.

    Raises ValueError for an unknown name or option.
    """
    return build("objective", CLASSIFIERS, name, num_features, num_identities, **options)


# Distillation --------------------------------------------------------------------------------------------------------


def cosine_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 - <s, t> over unit vectors (N, D): the student's embedding should be the teacher's."""
    return (1 - (student * teacher).sum(dim=1)).mean()


def similarity_distillation(student: Tensor, teacher: Tensor, bank: Tensor, temperature: float = 0.07) -> Tensor:
    """Cross-entropy between the teacher's and the student's softmax similarities to a bank of teacher embeddings.

    -sum_j softmax(t . b_j / T) log softmax(s . b_j / T), mean over the batch (SEED, Fang et al. 2021, equation 4). It
    spends the student's effort on telling a face from those that the teacher finds most alike.

    student, teacher: unit vectors (N, D); bank: unit vectors (M, D), among them the batch's own.
    """
    wanted = torch.softmax(teacher @ bank.T / temperature, dim=1)
    return functional.cross_entropy(student @ bank.T / temperature, wanted)
