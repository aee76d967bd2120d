"""Frames with faces of known size at known places: cut-out photographs of faces before photographs without people."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.types import ByteArray

Box = npt.NDArray[np.float64]

BACKGROUNDS = (
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/rocket.jpg"),
    ("skimage", "data/motorcycle_left.png"),
)
"""Photographs without people that the demo's and the evaluation's packages bring; detectors see faces in the last."""

CUT_OUT = 0.95
"""Half the width and height of the cut-out ellipse, in widths and heights of the face: hair, neck, some shoulder."""
SOFT_EDGE = 0.2
"""Part of the ellipse's radius over which it fades."""
LARGEST_MAGNIFICATION = 2.0
GRAIN = 3.0
"""Standard deviation of the noise that is laid over a frame, as enlarged photographs have none."""


POOR_LIGHT, POOR_BLUR = 0.25, 2.0
"""The darkest factor, and the largest blur (a Gaussian's standard deviation in pixels), of frames in poor light."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture: in a photograph, or in a frame."""

    box: Box
    """(4,) left, top, right, bottom."""
    landmarks: Box
    """(5, 2)."""

    @property
    def size(self) -> float:
        """The geometric mean of width and height, in pixels."""
        return float(np.sqrt(np.prod(self.box[2:] - self.box[:2])))

    def moved(self, scale: float, shift: Box) -> "Face":
        return Face(self.box * scale + np.tile(shift, 2), self.landmarks * scale + shift)


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture with one face."""

    picture: ByteArray
    """(H, W, 3) BGR."""
    face: Face


@dataclass(frozen=True, eq=False)
class Frame:
    """What a camera could see, and the truth about it."""

    picture: ByteArray
    """(H, W, 3) BGR."""
    faces: tuple[Face, ...]


def background_photographs() -> list[ByteArray]:
    """(H, W, 3) BGR each."""
    found = []
    for package, path in BACKGROUNDS:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        picture = cv2.imread(str(Path(spec.origin).parent / path))
        assert picture is not None, f"{package} has no {path}"
        found.append(np.asarray(picture, np.uint8))
    return found


def wall(photograph: ByteArray, size: tuple[int, int], rng: np.random.Generator) -> ByteArray:
    """A part of the photograph as a picture of that width and height, mirrored or not, with the camera's grain."""
    width, height = size
    room = min(photograph.shape[1] / width, photograph.shape[0] / height)
    part = np.floor(room * rng.uniform(0.7, 1.0) * np.array([width, height])).astype(int)
    left, top = rng.integers(0, np.array(photograph.shape[1::-1]) - part + 1)
    cut = photograph[top : top + part[1], left : left + part[0]][:, :: rng.choice([1, -1])]
    return grainy(np.asarray(cv2.resize(np.ascontiguousarray(cut), size, interpolation=cv2.INTER_CUBIC), np.uint8), rng)


def grainy(picture: ByteArray, rng: np.random.Generator) -> ByteArray:
    """The picture, (H, W, 3), with the camera's grain."""
    grain = rng.normal(0.0, GRAIN, (*picture.shape[:2], 1)).astype(np.float32)
    return np.asarray(np.clip(picture + grain, 0, 255), np.uint8)


def in_poor_light(frame: Frame, rng: np.random.Generator) -> Frame:
    """The same frame darker and blurred, by chance more or less, with new grain."""
    blurred = cv2.GaussianBlur(frame.picture, (0, 0), rng.uniform(0.5, POOR_BLUR))
    dark = np.asarray(np.round(blurred * rng.uniform(POOR_LIGHT, 1.0)), np.uint8)
    return Frame(grainy(dark, rng), frame.faces)


def paste(canvas: ByteArray, photograph: Photograph, size: float, middle: Box) -> Face:
    """Puts the face and what is around it into the canvas, so large, its box's middle there; returns the truth."""
    scale = size / photograph.face.size
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(photograph.picture, None, fx=scale, fy=scale, interpolation=method)
    exact = np.array(picture.shape[1::-1]) / photograph.picture.shape[1::-1]
    # Pixel centres have whole coordinates, so scaling moves them by half a pixel's difference.
    scaled = photograph.face.moved(float(exact.mean()), (exact - 1) / 2)
    box_middle = (scaled.box[:2] + scaled.box[2:]) / 2
    corner = np.round(middle - box_middle).astype(int)
    start = np.maximum(-corner, 0)
    stop = np.minimum(picture.shape[1::-1], canvas.shape[1::-1] - corner)
    part = picture[start[1] : stop[1], start[0] : stop[0]].astype(np.float32)
    alpha = ellipse(picture.shape[1::-1], box_middle, CUT_OUT * (scaled.box[2:] - scaled.box[:2]))
    alpha = alpha[start[1] : stop[1], start[0] : stop[0], None]
    (left, top), (right, bottom) = corner + start, corner + stop
    behind = canvas[top:bottom, left:right]
    canvas[top:bottom, left:right] = np.round(alpha * part + (1 - alpha) * behind)
    return scaled.moved(1.0, corner.astype(float))


def ellipse(size: tuple[int, int], middle: Box, radii: Box) -> npt.NDArray[np.float32]:
    """(H, W) 1 inside, 0 outside, with a soft edge, and soft as well where it meets the picture's own edge."""
    x, y = np.arange(size[0]), np.arange(size[1])[:, None]
    radius = np.hypot((x - middle[0]) / radii[0], (y - middle[1]) / radii[1])
    inside = np.clip((1 - radius) / SOFT_EDGE, 0, 1)
    edge = np.minimum(np.minimum(x, size[0] - 1 - x), np.minimum(y, size[1] - 1 - y)) / (SOFT_EDGE * radii.min())
    return np.asarray(inside * np.clip(edge, 0, 1), np.float32)


def cells(size: tuple[int, int], faces: int) -> Box:
    """(faces, 4) equal parts of a picture of that width and height, side by side."""
    columns, rows = {0: (1, 1), 1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (4, 2)}[faces]
    part = np.array([size[0] / columns, size[1] / rows])
    corners = np.array([(i % columns, i // columns) for i in range(faces)], float).reshape(faces, 2) * part
    return np.hstack([corners, corners + part])


def largest_size(size: tuple[int, int], faces: int) -> float:
    """Of a face that fits into its cell together with its cut-out, whose height is about 1.3 times its width."""
    columns, rows = {0: (1, 1), 1: (1, 1), 2: (2, 1), 4: (2, 2), 8: (4, 2)}[faces]
    return float(min(size[0] / columns / (2 * CUT_OUT * 0.9), size[1] / rows / (2 * CUT_OUT * 1.15)))


def compose(
    photographs: Sequence[Photograph], background: ByteArray, size: tuple[int, int], sizes: Sequence[float],
    rng: np.random.Generator,
) -> Frame:  # fmt: skip
    """A frame of that width and height with the photographs' faces, so large, each somewhere in a cell of its own."""
    canvas = wall(background, size, rng)
    faces = []
    for photograph, wanted, cell in zip(photographs, sizes, cells(size, len(sizes)), strict=True):
        wanted = min(wanted, LARGEST_MAGNIFICATION * photograph.face.size)
        extent = photograph.face.box[2:] - photograph.face.box[:2]
        half = CUT_OUT * wanted / photograph.face.size * extent
        low, high = cell[:2] + half, cell[2:] - half
        middle = np.where(low < high, rng.uniform(np.minimum(low, high), np.maximum(low, high)), (low + high) / 2)
        faces.append(paste(canvas, photograph, wanted, middle))
    return Frame(canvas, tuple(faces))


def moving(
    photographs: Sequence[Photograph], background: ByteArray, size: tuple[int, int], face_size: float, count: int,
    rng: np.random.Generator,
) -> list[Frame]:  # fmt: skip
    """A film: the same faces, wandering smoothly about the middle of their cells and growing and shrinking a little."""
    plain = wall(background, size, rng)
    phases = rng.uniform(0, 2 * np.pi, (len(photographs), 3))
    frames = []
    for index in range(count):
        canvas, faces = plain.copy(), []
        for photograph, cell, phase in zip(photographs, cells(size, len(photographs)), phases, strict=True):
            angle = 2 * np.pi * index / 90  # once in three seconds of 30 Hz
            room = (cell[2:] - cell[:2]) / 10
            middle = (cell[:2] + cell[2:]) / 2 + room * np.sin(angle * np.array([1.0, 0.6]) + phase[:2])
            wanted = min(face_size, LARGEST_MAGNIFICATION * photograph.face.size) * (1 + 0.1 * np.sin(angle + phase[2]))
            faces.append(paste(canvas, photograph, float(wanted), middle))
        frames.append(Frame(canvas, tuple(faces)))
    return frames
