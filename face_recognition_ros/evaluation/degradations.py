"""Makes pictures worse in known steps: light, blur, resolution, compression, noise, rotation, size."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.types import ByteArray, Detection

DISPLAY_GAMMA = 2.2
"""Grey levels are about the light to the power of 1/2.2 (ITU-R BT.1886 and sRGB, roughly)."""

Degrade = Callable[[ByteArray, Detection, float, np.random.Generator], ByteArray]


@dataclass(frozen=True, slots=True)
class Degradation:
    """One way in which a picture gets worse."""

    name: str
    title: str
    axis: str
    """What a level means, with its unit."""
    levels: tuple[float, ...]
    apply: Degrade
    """(picture (H, W, 3) uint8 BGR, its face, level, random numbers) -> a new picture."""
    unchanged: float | None = None
    """The level at which nothing changes; None where that is the face's own width."""


def exposure(picture: ByteArray, _face: Detection, stops: float, _rng: np.random.Generator) -> ByteArray:
    """As taken with 2^stops times the light: dark steps are lost below, bright parts burn out above."""
    return _relight(picture, np.array(stops))


def side_light(picture: ByteArray, face: Detection, stops: float, rng: np.random.Generator) -> ByteArray:
    """Light that falls by so many stops from one cheek to the other, as beside a window; the side is random."""
    columns = np.arange(picture.shape[1], dtype=np.float64)
    across = np.clip((columns - face.box[0]) / face.width, 0.0, 1.0)
    if rng.random() < 0.5:
        across = 1.0 - across
    return _relight(picture, -stops * across[None, :, None])


def blur(picture: ByteArray, face: Detection, percent: float, _rng: np.random.Generator) -> ByteArray:
    """A lens out of focus: a Gaussian whose sigma is so many percent of the face's width."""
    return _uint8(cv2.GaussianBlur(picture, (0, 0), percent / 100 * face.width))


def motion_blur(picture: ByteArray, face: Detection, percent: float, rng: np.random.Generator) -> ByteArray:
    """A straight movement during exposure by so many percent of the face's width, in a random direction."""
    length, angle = percent / 100 * face.width, rng.uniform(0, np.pi)
    radius = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    for step in np.linspace(-length / 2, length / 2, 8 * radius + 1):
        kernel[round(radius + step * np.sin(angle)), round(radius + step * np.cos(angle))] += 1
    return _uint8(cv2.filter2D(picture, -1, kernel / kernel.sum()))


def low_resolution(picture: ByteArray, face: Detection, width: float, rng: np.random.Generator) -> ByteArray:
    """The detail of a face of so many pixels, at the picture's old size: shrunk and enlarged again."""
    small = size(picture, face, width, rng)
    return _uint8(cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def jpeg(picture: ByteArray, _face: Detection, quality: float, _rng: np.random.Generator) -> ByteArray:
    """Compressed as JPEG of this quality, 1 to 100."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def noise(picture: ByteArray, _face: Detection, sigma: float, rng: np.random.Generator) -> ByteArray:
    """Gaussian noise of so many grey levels on every value."""
    return _uint8(picture + rng.normal(0.0, sigma, picture.shape))


def rotation(picture: ByteArray, face: Detection, degrees: float, rng: np.random.Generator) -> ByteArray:
    """Rolled by so many degrees about the face's centre, in a random direction; black where the picture ended."""
    centre_x, centre_y = ((face.box[:2] + face.box[2:]) / 2).tolist()
    matrix = cv2.getRotationMatrix2D((centre_x, centre_y), degrees if rng.random() < 0.5 else -degrees, 1.0)
    return _uint8(cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_LINEAR))


def size(picture: ByteArray, face: Detection, width: float, _rng: np.random.Generator) -> ByteArray:
    """The whole picture shrunk until the face is so many pixels wide, as from further away; never enlarged."""
    scale = min(1.0, width / face.width)
    height, full_width = picture.shape[:2]
    small = max(1, round(full_width * scale)), max(1, round(height * scale))
    return _uint8(cv2.resize(picture, small, interpolation=cv2.INTER_AREA))


DEGRADATIONS = (
    Degradation("exposure", "Light", "exposure in stops", (-5.0, -4.0, -3.0, -2.0, -1.0, 1.0, 2.0), exposure, 0.0),
    Degradation("side_light", "Light from one side", "stops between the cheeks", (2.0, 4.0, 6.0), side_light, 0.0),
    Degradation("blur", "Blur", "sigma in % of face width", (1.0, 2.0, 3.0, 5.0, 8.0), blur, 0.0),
    Degradation("motion_blur", "Motion blur", "path in % of face width", (5.0, 10.0, 20.0, 30.0), motion_blur, 0.0),
    Degradation(
        "low_resolution", "Low resolution", "face width in pixels, enlarged again", (60.0, 40.0, 28.0, 20.0, 14.0),
        low_resolution,
    ),
    Degradation("jpeg", "JPEG", "quality", (50.0, 30.0, 15.0, 8.0, 4.0), jpeg, 100.0),
    Degradation("noise", "Noise", "sigma in grey levels", (8.0, 16.0, 32.0, 48.0), noise, 0.0),
    Degradation("rotation", "Rotation in the plane", "degrees", (10.0, 20.0, 30.0, 45.0, 60.0), rotation, 0.0),
    Degradation("size", "Distance", "face width in pixels", (80.0, 60.0, 45.0, 32.0, 24.0), size),
)  # fmt: skip


def _relight(picture: ByteArray, stops: npt.NDArray[np.float64]) -> ByteArray:
    # Light times 2^s is grey level times 2^(s / gamma).
    return _uint8(picture * np.exp2(stops / DISPLAY_GAMMA))


def _uint8(values: npt.ArrayLike) -> ByteArray:
    array = np.asarray(values)
    return array if array.dtype == np.uint8 else np.rint(np.clip(array, 0, 255)).astype(np.uint8)
