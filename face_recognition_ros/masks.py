"""Draws face masks onto pictures by the five landmarks: to train with, and to measure what a mask costs.

The idea is MaskTheFace's (Anwar and Raychowdhury, "Masked Face Recognition for Secure Authentication", arXiv
2008.11104, 2020): masks of several kinds laid over ordinary photos by landmarks. Nothing of it is copied: outlines,
textures and shading here are drawn from a few numbers, so no pictures need to be shipped.

Outlines are written down once, on the 112x112 aligned crop (alignment.TEMPLATE), and carried to a picture by its own
landmarks; the chin has none, so it is taken to lie as far below the mouth as the template's proportions say.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.types import ByteArray

_Floats = npt.NDArray[np.float64]
_Texture = Callable[[_Floats, _Floats, np.random.Generator], _Floats]

_MIDLINE = 56.0
_EYES, _MOUTH = TEMPLATE[:2].mean(axis=0), TEMPLATE[3:].mean(axis=0)
_CHIN = _EYES[1] + 1.65 * (_MOUTH[1] - _EYES[1])
"""From eyes to chin it is about 1.65 times as far as from eyes to mouth."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """One kind of mask, in template pixels; the image's right half, the left is its mirror image."""

    outline: tuple[tuple[float, float], ...]
    """From the middle of the upper edge to the middle of the lower edge."""
    straps: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = ()
    folds: tuple[float, ...] = ()
    """Heights of horizontal pleats."""
    seam: float = 0.0
    """How dark the vertical seam in the middle is, 0 to 1."""
    bulge: float = 0.25
    """How much darker the sides are than the middle, 0 to 1."""
    drape: float = 0.0
    """How strong the soft wrinkles of hanging cloth are, 0 to 1."""


_SURGICAL = ((56, 59), (66, 63), (82, 69), (95, 73), (92, 98), (80, _CHIN - 4), (56, _CHIN + 4))
_HALF = ((56, 80), (74, 80), (94, 84), (91, 100), (80, _CHIN - 3), (56, _CHIN + 5))
_CONE = ((56, 58), (63, 61), (72, 69), (87, 80), (90, 95), (78, _CHIN - 4), (56, _CHIN + 2))
_CLOTH = ((56, 60), (70, 63), (98, 67), (97, 92), (82, _CHIN - 2), (56, _CHIN + 5))
_SCARF = ((56, 63), (80, 62), (104, 64), (104, 100), (98, 128), (56, 150))
_BANDANA = ((56, 60), (72, 63), (104, 62), (98, 92), (84, 118), (56, 146))

_SHAPES: dict[str, _Shape] = {
    "surgical": _Shape(_SURGICAL, (((94, 74), (110, 56)), ((91, 97), (110, 66))), folds=(80, 91, 102)),
    "n95": _Shape(_CONE, (((87, 81), (112, 58)), ((89, 93), (112, 82))), seam=0.15, bulge=0.4),
    "cloth": _Shape(_CLOTH, (((97, 69), (110, 57)), ((96, 90), (110, 66))), seam=0.25, drape=0.3),
    "half": _Shape(_HALF, (((93, 85), (110, 60)), ((90, 99), (110, 68))), folds=(90, 99, 108)),
    "scarf": _Shape(_SCARF, bulge=0.35, drape=1.0),
    "bandana": _Shape(_BANDANA, bulge=0.3, drape=0.6),
}

SHAPES: tuple[str, ...] = tuple(_SHAPES)
"""Names of the kinds of mask; half is a surgical mask worn below the nose."""

_COLOURS: dict[str, tuple[float, float, float]] = {
    "white": (228, 230, 230),
    "blue": (205, 170, 120),
    "green": (150, 180, 130),
    "pink": (180, 160, 220),
    "black": (38, 36, 36),
}
_DYES = np.array([*_COLOURS.values(), (60, 50, 150), (110, 60, 30), (60, 150, 200)], np.float64)
"""BGR; what patterns choose their two colours from."""


def mask_overlay(
    landmarks: npt.ArrayLike, size: tuple[int, int], shape: str, texture: str, rng: np.random.Generator
) -> ByteArray:
    """A mask on an otherwise transparent picture, edges anti-aliased.

    Args:
        landmarks: (5, 2) x, y in pixels of the picture, in the order of types.LANDMARKS.
        size: height, width of the picture in pixels.
        shape: one of SHAPES.
        texture: one of TEXTURES.
        rng: for the exact colour, pattern and fit; the same state gives the same mask.

    Returns:
        (height, width, 4) uint8 BGRA, not premultiplied.

    Raises:
        ValueError: an unknown shape or texture, an empty picture, or landmarks that are no face's.
    """
    if shape not in _SHAPES:
        raise ValueError(f"there is no mask shape {shape!r}; choose one of {', '.join(SHAPES)}")
    if texture not in _TEXTURES:
        raise ValueError(f"there is no mask texture {texture!r}; choose one of {', '.join(TEXTURES)}")
    if min(size) < 1:
        raise ValueError(f"a mask needs a picture of at least 1x1 pixel to be drawn on, not {size[0]}x{size[1]}")
    pose = _Pose.of(landmarks)
    kind = _SHAPES[shape]
    outline = pose.place(_outline(kind, rng))
    straps = [pose.place(_band(strap)) for strap in (*kind.straps, *map(_mirrored, kind.straps))]

    overlay: ByteArray = np.zeros((*size, 4), np.uint8)
    everything = np.concatenate([outline, *straps])
    left, top = np.clip(np.floor(everything.min(axis=0)) - 2, 0, size[::-1]).astype(int)
    right, bottom = np.clip(np.ceil(everything.max(axis=0)) + 3, 0, size[::-1]).astype(int)
    if left >= right or top >= bottom:
        return overlay
    part = overlay[top:bottom, left:right]
    for strap in straps:
        cover = _filled(part.shape[:2], strap - (left, top))
        part[cover > 0, :3] = _STRAP_GREY
        part[:, :, 3] = np.maximum(part[:, :, 3], cover)
    cover = _filled(part.shape[:2], outline - (left, top))
    hem = np.clip(cv2.distanceTransform(cover, cv2.DIST_L2, 3) / (2 * pose.scale), 0, 1)  # two template pixels
    x, y = pose.coordinates(left, top, right, bottom)
    light = _shading(kind, x, y, rng) * (0.7 + 0.3 * hem)
    colour = _TEXTURES[texture](x, y, rng) * light[:, :, np.newaxis]
    part[cover > 0, :3] = np.clip(colour, 0, 255)[cover > 0]
    part[:, :, 3] = np.maximum(part[:, :, 3], cover)
    return overlay


def draw_mask(
    image: ByteArray, landmarks: npt.ArrayLike, shape: str, texture: str, rng: np.random.Generator
) -> ByteArray:
    """A copy of the picture in which the face wears a mask, lit as brightly as the skin that it covers.

    Args:
        image: (H, W, 3) uint8 BGR; left as it is.
        landmarks, shape, texture, rng: see mask_overlay.

    Raises:
        ValueError: see mask_overlay, or the picture is not (H, W, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a mask is drawn on an (H, W, 3) uint8 BGR picture, not {image.shape} {image.dtype}")
    overlay = mask_overlay(landmarks, image.shape[:2], shape, texture, rng)
    alpha = overlay[:, :, 3:] / np.float32(255)
    covered = (image * alpha).sum() / max(3 * alpha.sum(), 1)
    light = np.clip(covered / SKIN_BRIGHTNESS, 0.35, 1.15)
    blended = image * (1 - alpha) + np.minimum(overlay[:, :, :3] * light, 255) * alpha
    return np.asarray(np.rint(blended), np.uint8)


SKIN_BRIGHTNESS = 125.0
"""Mean of a well lit face's pixels: under this light a mask has its own colour."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pose:
    """Carries points of the template onto a face: an affine map, and a shift by how far the nose points aside."""

    linear: _Floats
    offset: _Floats
    nose: _Floats

    @classmethod
    def of(cls, landmarks: npt.ArrayLike) -> "_Pose":
        points = np.asarray(landmarks, np.float64)
        if points.shape != (5, 2) or not np.isfinite(points).all():
            raise ValueError(f"a mask needs five landmarks as a finite (5, 2) array, not {points.shape}")
        eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
        breadth = (points[[1, 4]] - points[[0, 3]]).sum(axis=0) / (TEMPLATE[[1, 4]] - TEMPLATE[[0, 3]])[:, 0].sum()
        length = (mouth - eyes) / (_MOUTH - _EYES)[1]
        linear = np.column_stack([breadth, length])
        if np.linalg.det(linear) <= 0.1 * np.square(linear).sum() / 2:
            raise ValueError("the landmarks are no face's seen from the front: on a line, mirrored or out of order")
        offset = eyes - linear @ (_MIDLINE, _EYES[1])
        return cls(linear, offset, points[2] - linear @ TEMPLATE[2] - offset)

    @property
    def scale(self) -> float:
        """Pixels of the picture per pixel of the template."""
        return float(np.sqrt(np.linalg.det(self.linear)))

    def place(self, points: _Floats) -> _Floats:
        """(N, 2) template pixels -> picture pixels.

        When a head turns, what stands out of the face moves with the nose and the cheeks and ears behind it against it.
        """
        depth = 0.5 - np.square((points[:, :1] - _MIDLINE) / 38)
        return points @ self.linear.T + self.offset + np.maximum(depth, -1) * self.nose

    def coordinates(self, left: int, top: int, right: int, bottom: int) -> tuple[_Floats, _Floats]:
        """Template x and y of every pixel of a rectangle of the picture, each (bottom - top, right - left)."""
        y, x = np.mgrid[top:bottom, left:right] - (self.offset + 0.4 * self.nose)[::-1, np.newaxis, np.newaxis]
        inverse = np.linalg.inv(self.linear)
        return inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y


_STRAP_GREY, _STRAP_WIDTH = 190, 1.0


def _filled(size: tuple[int, ...], corners: _Floats) -> ByteArray:
    """(H, W) uint8: how much of each pixel the polygon (N, 2) covers, of 255."""
    cover: ByteArray = np.zeros(size, np.uint8)
    bits = 4  # OpenCV's fixed point
    cv2.fillPoly(cover, [np.asarray(np.rint(corners * 2**bits), np.int32)], 255, cv2.LINE_AA, bits)
    return cover


def _mirrored(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    return tuple((2 * _MIDLINE - x, y) for x, y in points)


def _outline(shape: _Shape, rng: np.random.Generator) -> _Floats:
    """The closed outline in template pixels, each corner moved a little and then rounded (Chaikin's corner cutting)."""
    points = np.array([*shape.outline, *_mirrored(shape.outline[-2:0:-1])])
    points += np.clip(rng.normal(scale=0.8, size=points.shape), -1.6, 1.6)
    for _ in range(3):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1).reshape(-1, 2)
    return points


def _band(ends: tuple[tuple[float, float], ...]) -> _Floats:
    """The four corners of a strap between two points of the template."""
    start, end = np.array(ends, np.float64)
    aside = np.array([start[1] - end[1], end[0] - start[0]]) / np.hypot(*(end - start)) * _STRAP_WIDTH / 2
    return np.array([start + aside, end + aside, end - aside, start - aside])


def _shading(shape: _Shape, x: _Floats, y: _Floats, rng: np.random.Generator) -> _Floats:
    """Brightness of the cloth, about 1: round, lit from one side, with its pleats, seam and wrinkles."""
    aside, below = (x - _MIDLINE) / 42, (y - 84) / 36
    light = 1.06 - shape.bulge * (0.7 * aside**2 + 0.4 * np.maximum(below, 0) ** 2)
    light += rng.uniform(-0.12, 0.12) * aside - 0.05 * below
    sag = 5 * (1 - aside**2)  # pleats hang lower in the middle
    for height in shape.folds:
        distance = y - height - sag + 4
        light -= 0.22 * np.exp(-((distance / 0.9) ** 2)) - 0.08 * np.exp(-(((distance + 2.2) / 1.2) ** 2))
    light -= shape.seam * np.exp(-((aside * 42 / 1.0) ** 2))
    waves = np.sin(0.16 * (y - 0.006 * (x - _MIDLINE) ** 2) + 3 * np.sin(0.05 * x + rng.uniform(0, 6)))
    return np.asarray(np.clip(light + 0.12 * shape.drape * waves, 0.2, 1.2))


def _plain(name: str) -> _Texture:
    def texture(x: _Floats, y: _Floats, rng: np.random.Generator) -> _Floats:
        return np.broadcast_to(_COLOURS[name] + rng.normal(scale=5, size=3), (*x.shape, 3))

    return texture


def _two_colours(share: _Floats, rng: np.random.Generator) -> _Floats:
    """Colours (H, W, 3) between two dyes, by a share (H, W) of the second."""
    first, second = _DYES[rng.choice(len(_DYES), 2, replace=False)]
    return np.asarray(first + share[:, :, np.newaxis] * (second - first))


def _turned(x: _Floats, y: _Floats, rng: np.random.Generator) -> tuple[_Floats, _Floats]:
    """Coordinates in repeats of a pattern that is laid at any angle, four to twelve template pixels wide."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 12)
    along, across = np.cos(angle) / period, np.sin(angle) / period
    return along * x + across * y, along * y - across * x


def _soft_step(wave: _Floats) -> _Floats:
    """A wave of -1 to 1 as a share of 0 to 1 with steep, but not jagged flanks."""
    return np.asarray(np.clip(0.5 + 2 * wave, 0, 1))


def _stripes(x: _Floats, y: _Floats, rng: np.random.Generator) -> _Floats:
    along, _ = _turned(x, y, rng)
    return _two_colours(_soft_step(np.sin(2 * np.pi * along)), rng)


def _checks(x: _Floats, y: _Floats, rng: np.random.Generator) -> _Floats:
    along, across = _turned(x, y, rng)
    return _two_colours(_soft_step(np.sin(np.pi * along) * np.sin(np.pi * across)), rng)


def _dots(x: _Floats, y: _Floats, rng: np.random.Generator) -> _Floats:
    along, across = _turned(x, y, rng)
    radius = np.hypot(along - np.rint(along), across - np.rint(across))
    return _two_colours(_soft_step(2 * (0.3 - radius)), rng)


def _noise(x: _Floats, y: _Floats, rng: np.random.Generator) -> _Floats:
    """A blotchy print: random values on a lattice, interpolated."""
    lattice = rng.random((32, 32)).astype(np.float32)
    column, row = (np.asarray(np.mod(4 * axis, 30), np.float32) for axis in _turned(x, y, rng))
    blotches = np.asarray(cv2.remap(lattice, column, row, cv2.INTER_LINEAR), np.float64)
    return _two_colours(_soft_step(blotches - 0.5), rng)


_TEXTURES: dict[str, _Texture] = {name: _plain(name) for name in _COLOURS} | {
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "noise": _noise,
}

TEXTURES: tuple[str, ...] = tuple(_TEXTURES)
"""Names of what masks are made of: plain colours, then patterns of two colours drawn at random."""
