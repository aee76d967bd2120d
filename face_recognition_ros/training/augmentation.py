"""Light augmentation of stored face crops, on whole batches of tensors."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from face_recognition_ros.training.data.shards import CROP_SIZE, MARGIN, STORED_SIZE

SHIFT = 3.0  # pixels, standard deviation: what two detectors disagree by
SCALE = 0.04
ROTATION = math.radians(4)


def augment(faces: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 128, 128, 3) uint8 stored faces -> (N, 3, 112, 112) float32 0..255: place, mirror, light, resolution."""
    crops = random_crop(faces.permute(0, 3, 1, 2).float(), generator)
    return random_light(random_resolution(crops, generator), generator)


def random_crop(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Crops of 112x112 around the middle with small random shift, scale, rotation, half of them mirrored."""
    count = len(faces)

    def normal(deviation: float) -> Tensor:
        return (torch.randn(count, generator=generator) * deviation).clamp(-2 * deviation, 2 * deviation)

    scale = (1 + normal(SCALE)) * CROP_SIZE / STORED_SIZE
    mirror = (torch.rand(count, generator=generator) < 0.5) * -2.0 + 1.0
    angle = normal(ROTATION)
    shift = torch.stack([normal(SHIFT), normal(SHIFT)], dim=1).clamp(-MARGIN, MARGIN) * 2 / STORED_SIZE
    rows = torch.stack(
        [
            torch.stack([scale * mirror * angle.cos(), -scale * angle.sin(), shift[:, 0]], dim=1),
            torch.stack([scale * mirror * angle.sin(), scale * angle.cos(), shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(rows, [count, 3, CROP_SIZE, CROP_SIZE], align_corners=False)
    return functional.grid_sample(faces, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def random_resolution(crops: Tensor, generator: torch.Generator, share: float = 0.2) -> Tensor:
    """A share of the batch, as if its faces had been smaller in the photo: down to 32 to 96 pixels and up again."""
    count = int(len(crops) * share)
    side = int(torch.randint(32, 97, (), generator=generator))
    small = functional.interpolate(crops[:count], (side, side), mode="bilinear", antialias=True)
    large = functional.interpolate(small, (CROP_SIZE, CROP_SIZE), mode="bilinear")
    return torch.cat([large, crops[count:]])


def random_light(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Random brightness, contrast and colour cast for each face."""
    count = len(crops)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(count, channels, 1, 1, generator=generator)

    mean = crops.mean(dim=(1, 2, 3), keepdim=True)
    contrasted = mean + (crops - mean) * uniform(0.7, 1.3)
    return (contrasted * uniform(0.6, 1.3) * uniform(0.9, 1.1, channels=3)).clamp(0, 255)
