"""Distances between embeddings (N, D), which they scale to unit L2 length themselves; built by name."""

from collections.abc import Callable

from pytorch_metric_learning.distances import BaseDistance, LpDistance
from torch import Tensor
from torch.nn import functional

from face_recognition_ros.training.registry import build


class CosineDistance(BaseDistance):
    """1 - cos(a, b), between 0 and 2: half the squared L2 distance of the unit vectors."""

    def compute_mat(self, query: Tensor, reference: Tensor) -> Tensor:
        """(N, D), (M, D) unit vectors -> (N, M)."""
        return 1 - query @ reference.T

    def pairwise_distance(self, query: Tensor, reference: Tensor) -> Tensor:
        """(N, D), (N, D) unit vectors -> (N,)."""
        return 1 - (query * reference).sum(dim=1)


class L1Distance(LpDistance):
    """sum_j |a_j - b_j| of vectors of unit L2 length. (LpDistance with p = 1 would scale them to unit L1 length.)"""

    def __init__(self) -> None:
        super().__init__(p=1)

    def normalize(self, embeddings: Tensor, dim: int = 1, **_: object) -> Tensor:
        """Embeddings scaled to unit L2 length."""
        return functional.normalize(embeddings, dim=dim)


def l2() -> LpDistance:
    """||a - b||, between 0 and 2."""
    return LpDistance(p=2)


def squared_l2() -> LpDistance:
    """||a - b||^2 = 2 - 2 cos(a, b), between 0 and 4 (FaceNet, Schroff et al. 2015)."""
    return LpDistance(p=2, power=2)


DISTANCES: dict[str, Callable[..., BaseDistance]] = {
    "cosine": CosineDistance,
    "l1": L1Distance,
    "l2": l2,
    "squared_l2": squared_l2,
}


def create_distance(name: str) -> BaseDistance:
    """The distance called `name` in DISTANCES; raises ValueError for another name."""
    return build("distance", DISTANCES, name)


def paired(distance: BaseDistance, first: Tensor, second: Tensor) -> Tensor:
    """The distance of each pair of rows: (N, D), (N, D) -> (N,)."""
    first, second = distance.maybe_normalize(first), distance.maybe_normalize(second)
    return distance.pairwise_distance(first, second) ** distance.power  # the library's leaves the power out
