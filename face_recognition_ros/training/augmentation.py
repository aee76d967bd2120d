"""What a robot's camera does to faces, done to whole batches of stored crops: place, light, blur, compression, masks.

Every effect but light and placement meets a random share of the faces, drawn for each face, and only those are
computed. All random numbers come from the generator given, so a batch can be repeated; the faces may be on a GPU.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from face_recognition_ros import masks
from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.training.data.shards import MARGIN, STORED_SIZE
from face_recognition_ros.types import CROP_SIZE, ByteArray

SMALL_SIDES = (24, 32, 40, 48, 64, 80)
"""Sides in pixels of a face in the photo, for low_resolution; a few, so that faces of one size are scaled together."""
BLUR = (0.7, 2.2)
MOTION = (1.5, 3.5)
"""Standard deviations in pixels, of all directions and along the motion."""
KERNEL_RADIUS = 6
GAMMA = (1.5, 3.0)
NOISE = (2.0, 14.0)
"""Standard deviation of the sensor's noise in low light, of 255."""
QUALITY = (15, 70)
"""JPEG's."""
HIDDEN = (0.15, 0.45)
"""Sides of an occluding rectangle as a share of the crop's."""
MASKS = 144
"""Drawn masks in the bank; making them takes about a second, once in a process."""

_Effect = Callable[[Tensor, torch.Generator], Tensor]
_STRENGTHS = ("shift", "scale", "rotation", "brightness", "contrast", "colour")


@dataclass(frozen=True)
class Augmentation:
    """Strengths and shares of the effects, in the order in which they happen; 0 turns one off.

    Raises:
        ValueError: a share outside of 0 to 1, or a negative strength.
    """

    mask: float = 0.12
    """Share of faces that get a drawn mask."""
    shift: float = 3.0
    """Standard deviation in pixels: what two detectors disagree by."""
    scale: float = 0.04
    """Standard deviation of the size, relative."""
    rotation: float = 4.0
    """Standard deviation in degrees."""
    mirror: float = 0.5
    """Share of mirrored faces."""
    occlusion: float = 0.05
    """Share with a plain or noisy rectangle in front."""
    brightness: float = 0.3
    """Largest relative change; every face gets its own, as of contrast and colour."""
    contrast: float = 0.3
    colour: float = 0.1
    """Largest relative change of one colour channel: the cast of a lamp."""
    blur: float = 0.1
    """Share out of focus."""
    motion: float = 0.05
    """Share blurred in one direction."""
    low_light: float = 0.1
    """Share that is underexposed and noisy."""
    low_resolution: float = 0.2
    """Share that was smaller in the photo than in the crop."""
    jpeg: float = 0.15
    """Share with the artefacts of strong JPEG compression."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, high = getattr(self, field.name), float("inf") if field.name in _STRENGTHS else 1.0
            if not 0 <= value <= high:
                right = "0 or more" if field.name in _STRENGTHS else "a share of faces, 0 to 1"
                raise ValueError(f"the augmentation's {field.name} is {value}; it must be {right}")

    @classmethod
    def none(cls) -> "Augmentation":
        """Every effect off: the plain middle of the stored face."""
        return cls(**{field.name: 0.0 for field in fields(cls)})

    def __call__(self, faces: Tensor, generator: torch.Generator) -> Tensor:
        """Stored faces -> crops as a network takes them.

        Args:
            faces: (N, 128, 128, 3) uint8 RGB, on any device; left as they are.
            generator: where the random numbers come from.

        Returns:
            (N, 3, 112, 112) float32 RGB, 0 to 255, on the device of the faces.
        """
        worn = _chosen(len(faces), self.mask, generator)
        if len(worn):
            faces = faces.clone()
            faces[worn] = with_mask(faces[worn], generator)
        crops = self._cropped(faces, generator)
        _apply(occluded, crops, self.occlusion, generator)
        crops = self._lit(crops, generator)
        _apply(blurred, crops, self.blur, generator)
        _apply(moved, crops, self.motion, generator)
        _apply(darkened, crops, self.low_light, generator)
        _apply(coarsened, crops, self.low_resolution, generator)
        _apply(compressed, crops, self.jpeg, generator)
        return crops.clamp_(0, 255)

    def _cropped(self, faces: Tensor, generator: torch.Generator) -> Tensor:
        """Crops around the middle with small random shift, scale and rotation, some of them mirrored."""
        count = len(faces)

        def normal(deviation: float) -> Tensor:
            return (torch.randn(count, generator=generator) * deviation).clamp(-2 * deviation, 2 * deviation)

        size = (1 + normal(self.scale)) * CROP_SIZE / STORED_SIZE
        mirror = (torch.rand(count, generator=generator) < self.mirror) * -2.0 + 1.0
        angle = torch.deg2rad(normal(self.rotation))
        shift = torch.stack([normal(self.shift), normal(self.shift)], dim=1).clamp(-MARGIN, MARGIN) * 2 / STORED_SIZE
        rows = torch.stack(
            [
                torch.stack([size * mirror * angle.cos(), -size * angle.sin(), shift[:, 0]], dim=1),
                torch.stack([size * mirror * angle.sin(), size * angle.cos(), shift[:, 1]], dim=1),
            ],
            dim=1,
        )
        grid = functional.affine_grid(rows.to(faces.device), [count, 3, CROP_SIZE, CROP_SIZE], align_corners=False)
        pictures = faces.permute(0, 3, 1, 2).float().contiguous()
        return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _lit(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """Random brightness, contrast and colour cast for each face."""

        def change(strength: float, channels: int = 1) -> Tensor:
            shape = (len(crops), channels, 1, 1)
            return _uniform(shape, (1 - strength, 1 + strength), generator).clamp_(min=0).to(crops.device)

        contrast, gain = change(self.contrast), change(self.brightness) * change(self.colour, channels=3)
        mean = crops.mean(dim=(1, 2, 3), keepdim=True)
        return torch.addcmul(mean * (1 - contrast) * gain, crops, contrast * gain).clamp_(0, 255)


def with_mask(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Every stored face (N, 128, 128, 3) uint8 RGB with a drawn mask on it, lit as the skin that it covers."""
    chosen = torch.randint(MASKS, (len(faces),), generator=generator)
    overlays = mask_bank()[chosen].to(faces.device).float()
    colours, alpha = overlays[..., :3], overlays[..., 3:] / 255
    covered = (faces * alpha).sum(dim=(1, 2, 3), keepdim=True) / (3 * alpha.sum(dim=(1, 2, 3), keepdim=True))
    light = (covered / masks.SKIN_BRIGHTNESS).clamp(0.35, 1.15)
    return torch.lerp(faces.float(), (colours * light).clamp_(max=255), alpha).round_().to(torch.uint8)


@functools.cache
def mask_bank() -> Tensor:
    """(MASKS, 128, 128, 4) uint8 RGBA: each shape equally often, on landmarks that disagree as detectors do."""
    random = np.random.default_rng(0)
    bank = np.empty((MASKS, STORED_SIZE, STORED_SIZE, 4), np.uint8)
    for number in range(MASKS):
        landmarks = TEMPLATE + MARGIN + random.normal(scale=1.2, size=TEMPLATE.shape)
        shape = masks.SHAPES[number % len(masks.SHAPES)]
        texture = masks.TEXTURES[number // len(masks.SHAPES) % len(masks.TEXTURES)]
        overlay = masks.mask_overlay(landmarks, (STORED_SIZE, STORED_SIZE), shape, texture, random)
        bank[number] = overlay[:, :, [2, 1, 0, 3]]
    return torch.from_numpy(bank)


def occluded(crops: Tensor, generator: torch.Generator) -> Tensor:
    """A rectangle in front of each face, of one colour or of noise about it."""
    count, pixels = len(crops), torch.arange(CROP_SIZE)
    centre = _uniform((2, count, 1), (0, CROP_SIZE), generator)
    half = _uniform((2, count, 1), HIDDEN, generator) * CROP_SIZE / 2
    across, down = (pixels - centre).abs() <= half
    hidden = (down[:, :, None] & across[:, None, :])[:, None].to(crops.device)
    colour = _uniform((count, 3, 1, 1), (0, 255), generator)
    noise = torch.randn(crops.shape, generator=generator) * _uniform((count, 1, 1, 1), (-60, 60), generator).relu()
    return torch.where(hidden, (colour + noise).clamp_(0, 255).to(crops.device), crops)


def blurred(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Each face out of focus by its own amount."""
    deviation = _uniform((len(crops),), BLUR, generator)
    return _filtered(crops, _kernels(deviation, deviation, torch.zeros(len(crops))))


def moved(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Each face blurred along its own direction."""
    angle = _uniform((len(crops),), (0, torch.pi), generator)
    along = _uniform((len(crops),), MOTION, generator)
    return _filtered(crops, _kernels(along, torch.full_like(along, 0.4), angle))


def darkened(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Each face underexposed, by a power of its brightness, with the sensor's noise."""
    gamma = _uniform((len(crops), 1, 1, 1), GAMMA, generator).to(crops.device)
    noise = torch.randn(crops.shape, generator=generator) * _uniform((len(crops), 1, 1, 1), NOISE, generator)
    return ((crops.clamp(min=0) / 255) ** gamma * 255 + noise.to(crops.device)).clamp_(0, 255)


def coarsened(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Each face as if it had been smaller in the photo: down to one of SMALL_SIDES and up again."""
    chosen = torch.randint(len(SMALL_SIDES), (len(crops),), generator=generator)
    coarse = crops.clone()
    for number, side in enumerate(SMALL_SIDES):
        rows = (chosen == number).nonzero()[:, 0].to(crops.device)
        if len(rows):
            small = functional.interpolate(crops[rows], (side, side), mode="bilinear", antialias=True)
            coarse[rows] = functional.interpolate(small, (CROP_SIZE, CROP_SIZE), mode="bilinear")
    return coarse


def compressed(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Each face through JPEG at its own quality, on the CPU."""
    qualities = torch.randint(QUALITY[0], QUALITY[1] + 1, (len(crops),), generator=generator).tolist()
    pictures = crops.round().permute(0, 2, 3, 1).to("cpu", torch.uint8).contiguous().numpy()
    decoded = np.stack([_through_jpeg(picture, quality) for picture, quality in zip(pictures, qualities, strict=True)])
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).to(crops.device, crops.dtype)


def _through_jpeg(picture: ByteArray, quality: int) -> ByteArray:
    """(H, W, 3) uint8 RGB, as it looks after compression."""
    _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)[:, :, ::-1]


def _uniform(shape: tuple[int, ...], span: tuple[float, float], generator: torch.Generator) -> Tensor:
    return span[0] + (span[1] - span[0]) * torch.rand(shape, generator=generator)


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    """Numbers of the faces that an effect meets, each with this probability."""
    return (torch.rand(count, generator=generator) < share).nonzero()[:, 0]


def _apply(effect: _Effect, crops: Tensor, share: float, generator: torch.Generator) -> None:
    """Apply an effect in place to a random share of the crops."""
    rows = _chosen(len(crops), share, generator).to(crops.device)
    if len(rows):
        crops[rows] = effect(crops[rows], generator)


def _kernels(along: Tensor, across: Tensor, angle: Tensor) -> Tensor:
    """(N, K, K) Gaussians that sum to 1, with these standard deviations (N,) along and across an angle (N,)."""
    steps = torch.arange(-KERNEL_RADIUS, KERNEL_RADIUS + 1.0)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    first, second = (x * cosine + y * sine) / along[:, None, None], (y * cosine - x * sine) / across[:, None, None]
    return torch.softmax((-0.5 * (first**2 + second**2)).flatten(1), dim=1).unflatten(1, x.shape)


def _filtered(crops: Tensor, kernels: Tensor) -> Tensor:
    """Each crop filtered with its own kernel (N, K, K), the edge pixels repeated beyond the edge."""
    weights = kernels.to(crops.device).repeat_interleave(3, dim=0)[:, None]
    padded = functional.pad(crops, [KERNEL_RADIUS] * 4, mode="replicate").flatten(0, 1)[None]
    return functional.conv2d(padded, weights, groups=len(weights)).view_as(crops)
