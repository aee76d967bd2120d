"""Turns image messages into BGR arrays, without a copy where the message allows it, and refuses malformed ones."""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import ImageError
from face_recognition_ros.types import ByteArray

MAX_SIDE = 16_384
"""Widest or highest image that is looked at, in pixels; OpenCV's warps end at twice that."""

LONGEST_NAME = 40
"""Characters of an encoding or format that are repeated in an error."""

MAX_COMPRESSED_PIXELS = 2**26
"""Most pixels that are unpacked, 200 MB of them: a few bytes may claim to hold billions."""

_Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How the pixels of an encoding lie in memory and become BGR."""

    channels: int
    to_bgr: Callable[[_Pixels], _Pixels]
    bytes_per_channel: int = 1


def _same(pixels: _Pixels) -> _Pixels:
    return pixels


def _colour(code: int) -> Callable[[_Pixels], _Pixels]:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _deep(convert: Callable[[_Pixels], _Pixels]) -> Callable[[_Pixels], _Pixels]:
    """The conversion of 16-bit pixels, brought to 8 bits by 255 / 65535 with rounding afterwards, as cv_bridge does."""
    return lambda pixels: cv2.convertScaleAbs(convert(pixels), alpha=255.0 / 65535.0)


# ROS names a Bayer pattern after the top left 2x2 pixels, read row by row. So do OpenCV's newer names used here; its
# older ones, which cv_bridge uses, start at the second row and column: COLOR_BayerRGGB2BGR is COLOR_BayerBG2BGR.
_BAYER = {
    "rggb": cv2.COLOR_BayerRGGB2BGR,
    "bggr": cv2.COLOR_BayerBGGR2BGR,
    "gbrg": cv2.COLOR_BayerGBRG2BGR,
    "grbg": cv2.COLOR_BayerGRBG2BGR,
}

ENCODINGS: dict[str, _Encoding] = {
    "bgr8": _Encoding(3, _same),
    "8UC3": _Encoding(3, _same),
    "rgb8": _Encoding(3, _colour(cv2.COLOR_RGB2BGR)),
    "bgra8": _Encoding(4, _colour(cv2.COLOR_BGRA2BGR)),
    "rgba8": _Encoding(4, _colour(cv2.COLOR_RGBA2BGR)),
    "mono8": _Encoding(1, _colour(cv2.COLOR_GRAY2BGR)),
    "8UC1": _Encoding(1, _colour(cv2.COLOR_GRAY2BGR)),
    "mono16": _Encoding(1, _deep(_colour(cv2.COLOR_GRAY2BGR)), 2),
    "bgr16": _Encoding(3, _deep(_same), 2),
    "rgb16": _Encoding(3, _deep(_colour(cv2.COLOR_RGB2BGR)), 2),
    **{name: _Encoding(2, _colour(cv2.COLOR_YUV2BGR_UYVY)) for name in ("yuv422", "uyvy")},
    **{name: _Encoding(2, _colour(cv2.COLOR_YUV2BGR_YUY2)) for name in ("yuv422_yuy2", "yuyv")},
    **{f"bayer_{name}8": _Encoding(1, _colour(code)) for name, code in _BAYER.items()},
    **{f"bayer_{name}16": _Encoding(1, _deep(_colour(code)), 2) for name, code in _BAYER.items()},
}
"""The encodings converted here. The conversions are cv_bridge's own, so that it makes no difference who does them."""


def image_to_bgr(message: Any, topic: str = "image") -> ByteArray:
    """A sensor_msgs/Image as (H, W, 3) uint8 BGR; for bgr8 a view of the message's data.

    Encodings outside of ENCODINGS go to cv_bridge where it is installed. `topic` is named in errors. Raises ImageError
    for an image whose size, step, encoding or data cannot be right.
    """
    _check_size(message.width, message.height, topic)
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        return _with_cv_bridge(message, topic)
    pixels = _pixels(message, encoding, topic)
    try:
        return np.asarray(encoding.to_bgr(pixels), np.uint8)
    except cv2.error as error:
        raise ImageError(
            f"{topic}: an image of {message.width}x{message.height} pixels cannot be converted from "
            f"{message.encoding}: {_first_line(error)}."
        ) from error


def compressed_to_bgr(message: Any, topic: str = "image/compressed") -> ByteArray:
    """A sensor_msgs/CompressedImage, JPEG or PNG, as (H, W, 3) uint8 BGR.

    Raises ImageError where the data is empty, cut short, no picture, or claims more than MAX_COMPRESSED_PIXELS.
    """
    data = np.frombuffer(message.data, np.uint8)
    if data.size == 0:
        raise ImageError(f"{topic}: a compressed image (format {_short(message.format)}) without data.")
    content = data.tobytes()
    if is_cut_short(content):
        raise ImageError(f"{topic}: a JPEG of {data.size} bytes is cut short: it has no end marker.")
    size = claimed_size(content)
    if size is None:
        raise ImageError(
            f"{topic}: {data.size} bytes of format {_short(message.format)} cannot be decoded; JPEG or PNG is expected."
        )
    _check_size(*size, topic)
    if size[0] * size[1] > MAX_COMPRESSED_PIXELS:
        raise ImageError(
            f"{topic}: a compressed image of {size[0]}x{size[1]} pixels; "
            f"at most {MAX_COMPRESSED_PIXELS} pixels are unpacked."
        )
    try:
        picture = None if is_damaged_png(content) else cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"{topic}: a compressed image cannot be decoded: {_first_line(error)}.") from error
    if picture is None:
        raise ImageError(
            f"{topic}: {data.size} bytes of format {_short(message.format)} cannot be decoded; they are damaged."
        )
    return np.asarray(picture, np.uint8)


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG or PNG has by its header; None where it is neither, or has no such header."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if not data.startswith(b"\xff\xd8"):
        return None
    position = 2  # ITU-T T.81, annex B: segments, each with a marker and its length, up to the frame header's
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[position + 7 : position + 9]), int.from_bytes(data[position + 5 : position + 7])
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return None


def is_cut_short(data: bytes) -> bool:
    """Whether it is a JPEG whose end is missing; OpenCV 4.6 would fill the rest with grey, and newer ones refuse it.

    An end marker counts from the last scan on only, as a thumbnail before it has one, too; bytes after it are allowed,
    as some cameras pad their images.
    """
    return data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


def is_damaged_png(data: bytes) -> bool:
    """Whether it is a PNG with a wrong checksum or without an end; libpng would say so on stderr, for every image."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return False
    position = 8  # PNG specification, section 5.3: chunks of length, type, content and CRC-32
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        if end > len(data) or zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return True
        if data[position + 4 : position + 8] == b"IEND":
            return False
        position = end
    return True


def message_to_bgr(message: Any, topic: str = "image") -> ByteArray:
    """An Image or a CompressedImage, whichever it is; see the two functions for both."""
    return image_to_bgr(message, topic) if hasattr(message, "encoding") else compressed_to_bgr(message, topic)


def rows_view(message: Any, dtype: np.dtype[Any], channels: int, topic: str) -> _Pixels:
    """The message's data as (H, W, channels) of that dtype (of its own byte order), rows as far apart as step says.

    Raises ImageError where the size is none, or step or the amount of data does not fit it.
    """
    width, height, step = message.width, message.height, message.step
    _check_size(width, height, topic)
    row = width * channels * dtype.itemsize
    described = f"{topic}: a {message.encoding} image of {width}x{height} pixels"
    if step < row:
        raise ImageError(f"{described} has a step of {step} bytes; its rows need {row}.")
    if step % dtype.itemsize:
        raise ImageError(f"{described} has a step of {step} bytes, no multiple of {dtype.itemsize}.")
    data = np.frombuffer(message.data, np.uint8)
    if data.size != step * height:
        kind = "cut short" if data.size < step * height else "too long"
        raise ImageError(f"{described} is {kind}: {data.size} bytes, where step and height make {step * height}.")
    strides = (step, channels * dtype.itemsize, dtype.itemsize)
    ordered = dtype.newbyteorder(">" if message.is_bigendian else "<")
    return np.ndarray((height, width, channels), ordered, data, 0, strides)


def _pixels(message: Any, encoding: _Encoding, topic: str) -> _Pixels:
    dtype = np.dtype(f"u{encoding.bytes_per_channel}")
    pixels = rows_view(message, dtype, encoding.channels, topic)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(dtype)
    return pixels[..., 0] if encoding.channels == 1 else pixels


def _check_size(width: int, height: int, topic: str) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ImageError(
            f"{topic}: an image of {width}x{height} pixels; each side must be between 1 and {MAX_SIDE} pixels."
        )


def _with_cv_bridge(message: Any, topic: str) -> ByteArray:
    try:
        from cv_bridge import CvBridge
    except Exception as error:  # an ImportError, or whatever a build against another numpy raises
        raise ImageError(
            f"{topic}: the encoding {_short(message.encoding)} is not supported; use one of {', '.join(ENCODINGS)}. "
            f"With cv_bridge there are more: apt install ros-jazzy-cv-bridge ({_first_line(error)})."
        ) from error
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, "bgr8"), np.uint8)
    except Exception as error:  # cv_bridge lets errors of several libraries through
        raise ImageError(
            f"{topic}: cv_bridge cannot convert a {_short(message.encoding)} image of {message.width}x{message.height} "
            f"pixels: {_first_line(error)}."
        ) from error


def _short(name: str) -> str:
    """The name in quotes, or its beginning: the sender may have put anything there."""
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}...")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return re.sub(r"\.$", "", lines[0].strip())
