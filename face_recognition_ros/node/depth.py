"""Gives faces a place in space, from a depth image that is registered to the colour image, and its camera_info."""

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import ImageError
from face_recognition_ros.node.image_conversion import rows_view
from face_recognition_ros.node.messages import Locate, nowhere, seconds
from face_recognition_ros.types import Detection, FloatArray

STAMP_TOLERANCE = 0.1
"""Seconds by which the stamps of image and depth image may differ; cameras of 15 Hz take one every 0.067 s."""

INNER_PART = 0.5
"""The part of the box's width and height, around its centre, whose depth is taken: face, and no background."""

_ENCODINGS = {"16UC1": ("u2", 0.001), "mono16": ("u2", 0.001), "32FC1": ("f4", 1.0)}
"""Type of a pixel, and metres of its unit (REP 118)."""


class DepthBuffer:
    """The latest depth images, of which the one nearest in time to an image is used."""

    def __init__(self, size: int = 8) -> None:
        self._images: deque[Any] = deque(maxlen=size)
        self._camera_info: Any = None

    def add_image(self, message: Any) -> None:
        """The sensor_msgs/Image of a depth camera: 16UC1 in millimetres or 32FC1 in metres."""
        self._images.append(message)

    def set_camera_info(self, message: Any) -> None:
        """The sensor_msgs/CameraInfo of the colour image."""
        self._camera_info = message

    def locator(self, stamp: float, width: int, height: int) -> Locate:
        """Finds faces of the (height, width) image taken at `stamp` seconds; nowhere without depth of that time.

        Raises ImageError for a malformed depth image.
        """
        images, camera_info = list(self._images), self._camera_info
        nearest = min(images, key=lambda image: abs(seconds(image.header.stamp) - stamp), default=None)
        if nearest is None or camera_info is None or abs(seconds(nearest.header.stamp) - stamp) > STAMP_TOLERANCE:
            return nowhere
        intrinsics = np.asarray(camera_info.k, np.float64).reshape(3, 3)
        if not (intrinsics[0, 0] > 0 and intrinsics[1, 1] > 0):
            return nowhere  # REP 104: K is zero for a camera that is not calibrated
        metres = depth_metres(nearest)
        return lambda detection: face_position(detection, metres, intrinsics, width, height)


def depth_metres(message: Any) -> FloatArray:
    """A depth image as (H, W) float32 metres, NaN where nothing was measured; raises ImageError for a malformed one."""
    if message.encoding not in _ENCODINGS:
        supported = ", ".join(_ENCODINGS)
        raise ImageError(f"depth: the encoding {message.encoding[:40]!r} is not supported; use one of {supported}.")
    kind, unit = _ENCODINGS[message.encoding]
    metres = rows_view(message, np.dtype(kind), 1, "depth")[..., 0].astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(np.nan))


def face_position(
    detection: Detection, metres: FloatArray, intrinsics: npt.NDArray[np.float64], width: int, height: int
) -> FloatArray | None:
    """(3,) float32 x right, y down, z forward in metres: the box's centre at the median depth of its inner part.

    metres: (h, w) depth, registered to the image but perhaps of another resolution. intrinsics: (3, 3) pinhole camera
    matrix of the (height, width) image; lens distortion is left out. None where nothing was measured on the face.
    """
    left, top, right, bottom = (float(value) for value in detection.box)
    x, y = (left + right) / 2, (top + bottom) / 2
    scale_x, scale_y = metres.shape[1] / width, metres.shape[0] / height
    half_width, half_height = INNER_PART * (right - left) / 2, INNER_PART * (bottom - top) / 2
    rows = slice(max(round((y - half_height) * scale_y), 0), max(round((y + half_height) * scale_y) + 1, 0))
    columns = slice(max(round((x - half_width) * scale_x), 0), max(round((x + half_width) * scale_x) + 1, 0))
    inner = metres[rows, columns]
    if not np.isfinite(inner).any():
        return None
    z = float(np.nanmedian(inner))
    return np.array(
        [(x - intrinsics[0, 2]) / intrinsics[0, 0] * z, (y - intrinsics[1, 2]) / intrinsics[1, 1] * z, z], np.float32
    )
