"""The networks this package trains, built by name."""

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from face_recognition_ros.types import CROP_SIZE


class LearnedPooling(nn.Module):
    """A weighted mean over the places of a feature map, with one weight per channel and place.

    On aligned faces a place has a meaning (an eye, a mouth), which plain averaging throws away: the global depthwise
    convolution of MobileFaceNets (Chen et al. 2018, section 3.1). Starts as the plain average.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, side, side), 1.0 / side**2))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, height, width) -> (N, C); the weights are resampled where the map is not as large as expected."""
        weight, size = self.weight, features.shape[-2:]
        if size != weight.shape[-2:]:
            weight = functional.interpolate(weight[None], size, mode="bilinear")[0]
            weight = weight * (self.weight[0].numel() / weight[0].numel())
        return (features * weight).sum(dim=(2, 3))


class EfficientNetEmbedder(nn.Module):
    """EfficientNet-B0 (Tan and Le 2019) with a linear head: (N, 3, 112, 112) RGB 0..255 -> (N, size) unit vectors."""

    def __init__(self, embedding_size: int = 64) -> None:
        super().__init__()
        self.backbone = timm.create_model("efficientnet_b0", pretrained=False, num_classes=0, global_pool="")
        self.pooling = LearnedPooling(self.backbone.num_features, side=-(-CROP_SIZE // 32))
        self.norm = nn.BatchNorm1d(self.backbone.num_features)
        self.head = nn.Linear(self.backbone.num_features, embedding_size)

    def forward(self, faces: Tensor) -> Tensor:
        features = self.backbone((faces - 127.5) / 128)
        return functional.normalize(self.head(self.norm(self.pooling(features))))


def create_network(name: str, embedding_size: int) -> nn.Module:
    """The network called `name`, with random weights.

    Raises ValueError for a name that is not in NETWORKS.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; choose one of {', '.join(sorted(NETWORKS))}")
    return NETWORKS[name](embedding_size)


NETWORKS = {"efficientnet_b0": EfficientNetEmbedder}
