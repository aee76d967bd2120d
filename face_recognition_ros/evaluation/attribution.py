"""Traces a similarity back to the pixels of a face, through the very ONNX file that the node runs, read into torch.

- Grad-CAM, on the last feature map: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
  Gradient-based Localization", ICCV 2017
- LayerCAM, on a finer one: Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
  IEEE Transactions on Image Processing 30, 2021
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from face_recognition_ros.errors import BackendError
from face_recognition_ros.types import CROP_SIZE, ByteArray, FloatArray

INSTALL = "`make training-env`, then `.venv-training/bin/python -m face_recognition_ros.cli evaluate gradcam ...`"
GRAD_CAM, LAYER_CAM = METHODS = ("Grad-CAM", "LayerCAM")
FINE_SIDE = 14
"""Side of the feature map that LayerCAM explains: 8 crop pixels a cell, enough to tell an eye from a nose."""
BATCH = 16

REGIONS = {
    "eyes": np.s_[36:62, 18:94],
    "nose": np.s_[62:82, 38:74],
    "mouth": np.s_[82:106, 32:80],
}
"""Rows and columns of the aligned crop; the template has the eyes at 51, the nose's tip at 72, the mouth at 92."""


def require_libraries() -> None:
    """Raises BackendError with the way to install them where torch or the others are missing."""
    missing = [name for name in ("torch", "onnx", "onnx2torch", "pytorch_grad_cam") if find_spec(name) is None]
    if missing:
        raise BackendError(f"Grad-CAM needs {', '.join(missing)}, which this environment does not have: {INSTALL}")


def differentiable(model: Path) -> Any:
    """The network of an ONNX file as a torch module: (N, 3, 112, 112) uint8 RGB -> (N, D), with gradients.

    Raises ModelError where the file is none, BackendError where it has operators that onnx2torch does not know, such as
    those of int8 networks.
    """
    from face_recognition_ros.runtime.torch_network import read_onnx, to_torch

    try:
        network = to_torch(read_onnx(model), model.name).requires_grad_(True)
    except BackendError as error:
        raise BackendError(f"Grad-CAM needs an fp32 network: {error}") from error
    # The file takes (N, 112, 112, 3); the explaining library reads a picture's size from the last two dimensions.
    network.register_forward_pre_hook(lambda _, inputs: (inputs[0].permute(0, 2, 3, 1),))
    return network


def attribution_maps(network: Any, crops: Sequence[ByteArray], partners: FloatArray) -> dict[str, FloatArray]:
    """By method, what in each crop speaks for its similarity to a partner.

    Args:
        network: see `differentiable`.
        crops: N of (112, 112, 3) uint8 BGR.
        partners: (N, D) float32 unit vectors.

    Returns:
        (N, 112, 112) float32 for each of METHODS, every map scaled to 0 to 1.
    """
    from pytorch_grad_cam import GradCAM, LayerCAM

    layers = feature_maps(network)
    fine = min((side for side in layers if side >= FINE_SIDE), default=max(layers))
    explainers = {GRAD_CAM: (GradCAM, list(layers.values())[-1]), LAYER_CAM: (LayerCAM, layers[fine])}
    maps = {}
    for method, (explainer, layer) in explainers.items():
        with explainer(network, [layer]) as explain:
            starts = tqdm(range(0, len(crops), BATCH), method, unit="batch", disable=None)
            parts = [
                explain(as_batch(crops[at : at + BATCH]), [similarity_to(one) for one in partners[at : at + BATCH]])
                for at in starts
            ]
        maps[method] = np.concatenate(parts).astype(np.float32)
    return maps


def feature_maps(network: Any) -> dict[int, Any]:
    """The last module that gives a feature map (N, C, side, side), by side; in the order of computation."""
    import torch

    found: dict[int, Any] = {}

    def note(module: Any, _: Any, output: Any) -> None:
        if torch.is_tensor(output) and output.ndim == 4 and output.shape[2] == output.shape[3] > 1:
            found.pop(output.shape[3], None)
            found[output.shape[3]] = module

    handles = [module.register_forward_hook(note) for module in network.modules() if module is not network]
    with torch.no_grad():
        network(torch.zeros(1, 3, CROP_SIZE, CROP_SIZE, dtype=torch.uint8))
    for handle in handles:
        handle.remove()
    return found


def similarity_to(partner: FloatArray) -> Callable[[Any], Any]:
    """What is explained: embedding (D,) -> its cosine with the partner (D,)."""
    import torch

    vector = torch.from_numpy(partner)
    return lambda embedding: embedding @ vector


def embed(network: Any, crops: Sequence[ByteArray]) -> FloatArray:
    """BGR crops -> (N, D) float32, in batches."""
    import torch

    with torch.no_grad():
        parts = [network(as_batch(crops[at : at + BATCH])).numpy() for at in range(0, len(crops), BATCH)]
    return np.concatenate(parts)


def as_batch(crops: Sequence[ByteArray]) -> Any:
    """BGR crops as a torch batch (N, 3, 112, 112) uint8 RGB."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.stack(crops)[..., ::-1].transpose(0, 3, 1, 2)))


def area(region: str) -> float:
    """The region's part of the crop: the share of a map that is the same everywhere."""
    whole = np.zeros((CROP_SIZE, CROP_SIZE))
    whole[REGIONS[region]] = 1
    return float(whole.mean())


def shares(maps: FloatArray) -> dict[str, float]:
    """How much of its mass a map (N, 112, 112) has in each region, mean over the faces; empty maps are left out."""
    mass = maps.sum(axis=(1, 2))
    kept, mass = maps[mass > 0], mass[mass > 0]
    return {
        name: float((kept[:, rows, columns].sum(axis=(1, 2)) / mass).mean()) if len(kept) else 0.0
        for name, (rows, columns) in REGIONS.items()
    }


def painted(crop: ByteArray, region: str) -> ByteArray:
    """A copy of the crop with the region in the crop's mean colour."""
    copy = crop.copy()
    copy[REGIONS[region]] = crop.mean(axis=(0, 1)).round()
    return copy


def overlay(crop: ByteArray, heat: npt.NDArray[np.float32]) -> ByteArray:
    """A map (112, 112) over its crop, scaled to its greatest value: blue nothing, red most."""
    level = (255 * heat / max(float(heat.max()), 1e-9)).astype(np.uint8)
    colours = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)
    return np.asarray(cv2.addWeighted(crop, 0.5, colours, 0.5, 0), np.uint8)
