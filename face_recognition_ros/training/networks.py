"""The networks this package trains, built by name, from random weights or from those of an earlier run."""

import pickle
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from face_recognition_ros.training.registry import build
from face_recognition_ros.types import CROP_SIZE


class Embedder(nn.Module, ABC):
    """What every network is: `features` of faces, then the embedding layer `head`, then unit length.

    Faces are (N, 3, 112, 112) float32 RGB, 0..255. Stage one of the two-stage recipe puts its classifier in the place
    of `head`; stage two puts a head there again.
    """

    num_features: int
    embedding_size: int
    head: nn.Module

    def add_head(self, num_features: int, embedding_size: int | None) -> None:
        """Adds a linear embedding layer; none at all where the size is None: the features are the embedding then."""
        self.num_features, self.embedding_size = num_features, embedding_size or num_features
        self.head = nn.Identity() if embedding_size is None else nn.Linear(num_features, embedding_size)

    @abstractmethod
    def features(self, faces: Tensor) -> Tensor:
        """Faces -> (N, num_features): what the embedding layer is given."""

    def embed(self, faces: Tensor) -> Tensor:
        """Faces -> (N, embedding size), before they are scaled to unit length."""
        embedding: Tensor = self.head(self.features(faces))
        return embedding

    def forward(self, faces: Tensor) -> Tensor:
        """Faces -> (N, embedding size) unit vectors."""
        return functional.normalize(self.embed(faces))


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


class EfficientNetEmbedder(Embedder):
    """EfficientNet-B0 (Tan and Le 2019) with learned pooling; 1280 features."""

    def __init__(self, embedding_size: int | None = 64) -> None:
        super().__init__()
        self.backbone = self.create_backbone()
        self.pooling = LearnedPooling(self.backbone.num_features, side=-(-CROP_SIZE // 32))
        self.norm = nn.BatchNorm1d(self.backbone.num_features)
        self.add_head(self.backbone.num_features, embedding_size)

    @staticmethod
    def create_backbone() -> nn.Module:
        """With random weights; gives maps of features."""
        backbone: nn.Module = timm.create_model("efficientnet_b0", pretrained=False, num_classes=0, global_pool="")
        return backbone

    def features(self, faces: Tensor) -> Tensor:
        """Faces -> (N, 1280)."""
        normed: Tensor = self.norm(self.pooling(self.backbone((faces - 127.5) / 128)))
        return normed


class EfficientNetLiteEmbedder(EfficientNetEmbedder):
    """EfficientNet-B0 without squeeze-and-excitation and with ReLU, which runtimes compute within the convolution.

    The lite variant of its authors' (R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020), which is
    made for 8 bits, too; their ReLU6 is a ReLU here.
    """

    @staticmethod
    def create_backbone() -> nn.Module:
        """As above."""
        backbone: nn.Module = timm.create_model(
            "efficientnet_lite0", pretrained=False, num_classes=0, global_pool="", act_layer=nn.ReLU
        )
        return backbone


class SEResNet50Embedder(Embedder):
    """ResNet-50 with squeeze-and-excitation (Hu et al. 2018), average pooled; 2048 features.

    trainable_layers: how many of the 16 residual blocks, counted from the end, are trained; the blocks before them and
        the stem keep their weights and their batch-norm statistics, whatever `train()` says. The embedding layer is
        always trained. None: everything is.
    frozen_batch_norm: every batch norm uses its stored statistics and leaves them as they are, as in the masked-face
        studies that fine-tune this network with small batches. Meant for `initial_weights`: from random weights the
        stored statistics say nothing.
    """

    def __init__(
        self,
        embedding_size: int | None = None,
        trainable_layers: int | None = None,
        frozen_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = timm.create_model("seresnet50", pretrained=False, num_classes=0)
        self.add_head(self.backbone.num_features, embedding_size)
        for name in ("mean", "std"):  # those of ImageNet, in 0..1
            pixels = torch.tensor(self.backbone.default_cfg[name]).reshape(3, 1, 1) * 255
            self.register_buffer(name, pixels, persistent=False)

        frozen = self._before_the_last(trainable_layers)
        for part in frozen:
            part.requires_grad_(False)
        norms = [part for part in self.backbone.modules() if isinstance(part, nn.BatchNorm2d)]
        self._inference_only = [*frozen, *(norms if frozen_batch_norm else [])]
        self.train()  # a new module is in training mode, and who trains it need not say so again

    def _before_the_last(self, count: int | None) -> list[nn.Module]:
        if count is None:
            return []
        net = self.backbone
        blocks = [*net.layer1, *net.layer2, *net.layer3, *net.layer4]
        if not 0 <= count <= len(blocks):
            raise ValueError(f"trainable_layers is 0 to {len(blocks)} residual blocks, or none for all, not {count}")
        return [net.conv1, net.bn1, *blocks[: len(blocks) - count]]

    def train(self, mode: bool = True) -> "SEResNet50Embedder":
        """Training mode for all but what is frozen."""
        super().train(mode)
        for part in self._inference_only:
            part.eval()
        return self

    def features(self, faces: Tensor) -> Tensor:
        """Faces -> (N, 2048)."""
        pooled: Tensor = self.backbone((faces - self.mean) / self.std)
        return pooled


class KochEmbedder(Embedder):
    """The convolutional network of Koch, Zemel and Salakhutdinov 2015, figure 4, for 100x100 greyscale pictures.

    64 filters of 10x10, 128 of 7x7, 128 of 4x4, each pooled 2x2, then 256 of 4x4: 6400 features; a fully connected
    layer with a sigmoid makes 4096 of them. Faces may be RGB or greyscale, of any size: they are turned grey and
    resized here. Unlike the other networks', its embedding is no unit vector but 4096 values between 0 and 1, which
    `WeightedL1` compares. Layers start as torch starts them: the authors' wide normal distribution saturates the
    sigmoid on photographs.
    """

    SIDE = 100

    def __init__(self, embedding_size: int | None = 4096) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            *(nn.Conv2d(1, 64, 10), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 128, 7), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(128, 128, 4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(128, 256, 4), nn.ReLU(), nn.Flatten()),
        )
        self.add_head(256 * 5 * 5, embedding_size)
        if embedding_size is not None:
            self.head = nn.Sequential(self.head, nn.Sigmoid())
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1), persistent=False)

    def features(self, faces: Tensor) -> Tensor:
        """(N, 3 or 1, height, width) -> (N, 6400)."""
        grey = (faces * self.luma).sum(dim=1, keepdim=True) if faces.shape[1] == 3 else faces
        grey = functional.interpolate(grey, (self.SIDE, self.SIDE), mode="bilinear")
        flat: Tensor = self.backbone((grey - 127.5) / 128)
        return flat

    def forward(self, faces: Tensor) -> Tensor:
        """Faces -> (N, embedding size), each between 0 and 1."""
        return self.embed(faces)


class WeightedL1(nn.Module):
    """Koch et al.'s comparison of two embeddings: the logit of p(same person) = sigmoid(sum_j a_j |x_j - y_j| + b)."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_size, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(N, D), (N, D) -> (N,)."""
        logit: Tensor = self.linear((first - second).abs()).squeeze(1)
        return logit


NETWORKS: dict[str, Callable[..., Embedder]] = {
    "efficientnet_b0": EfficientNetEmbedder,
    "efficientnet_lite0": EfficientNetLiteEmbedder,
    "koch": KochEmbedder,
    "se_resnet50": SEResNet50Embedder,
}


def create_network(name: str, embedding_size: int | None, **options: Any) -> Embedder:
    """The network called `name`, with random weights; embedding_size None leaves its embedding layer out.

    Raises ValueError for a name that is not in NETWORKS, and for an option that this network does not have.
    """
    return build("network", NETWORKS, name, embedding_size, **options)


@dataclass(frozen=True)
class LoadedWeights:
    """Which tensors a checkpoint has given to a network; as a string, a sentence about it."""

    path: Path
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    """Tensors of the network that stay as they were: not in the checkpoint, or there in another shape."""
    unused: tuple[str, ...]
    """Tensors of the checkpoint that have no place in the network."""

    def __str__(self) -> str:
        """How many tensors, by their first name."""
        parts = {"loaded": self.loaded, "not in it, so random": self.missing, "in it but not used": self.unused}
        return f"initial weights {self.path}: " + "; ".join(
            f"{what}: {_summary(names)}" for what, names in parts.items()
        )


def _summary(names: Iterable[str]) -> str:
    counts = Counter(name.split(".")[0] for name in names)
    return ", ".join(f"{name} ({count} tensors)" for name, count in counts.items()) or "nothing"


def load_initial_weights(network: nn.Module, path: str | Path) -> LoadedWeights:
    """Copies every tensor of a checkpoint whose name and shape fit into the network, and says which.

    The checkpoint may be Lightning's of an earlier stage, a plain state dict, or one of the backbone alone (timm's).
    Its averaged weights are preferred to the last step's where it has both.

    Raises ValueError when there is no such file, when it holds no weights, and when nothing of it fits.
    """
    path = Path(path)
    target = network.state_dict()

    def fitting(state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: v for name, v in state.items() if name in target and v.shape == target[name].shape}

    state = max(_readings(_read_weights(path)), key=lambda reading: len(fitting(reading)))
    loaded = fitting(state)
    if not loaded:
        raise ValueError(
            f"{path}: no tensor fits the network; it has {_summary(state)}, the network {_summary(target)}"
        )
    network.load_state_dict(loaded, strict=False)
    return LoadedWeights(
        path,
        loaded=tuple(loaded),
        missing=tuple(name for name in target if name not in loaded),
        unused=tuple(name for name in state if name not in loaded),
    )


def _read_weights(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"initial weights: there is no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, LookupError, RuntimeError) as error:
        raise ValueError(f"{path} is no torch checkpoint that holds weights only: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; a dictionary of tensors is needed")
    return content


def _readings(content: dict[str, Any]) -> list[dict[str, Tensor]]:
    """The state dicts that a checkpoint's content may be meant as, the preferred ones first."""
    nested = [content[key] for key in ("average", "state_dict", "network") if isinstance(content.get(key), dict)]
    states = [{k: v for k, v in state.items() if isinstance(v, Tensor)} for state in (*nested, content)]
    return [
        reading
        for state in states
        for reading in (
            *({name.removeprefix(p): v for name, v in state.items()} for p in ("average.", "network.", "")),
            {f"backbone.{name}": v for name, v in state.items()},
        )
    ]
