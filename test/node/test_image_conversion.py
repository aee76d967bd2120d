"""Every encoding against arrays made by hand, and every way in which an image message can be wrong."""

import array
import math
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from face_recognition_ros.errors import ImageError
from face_recognition_ros.node.image_conversion import ENCODINGS, compressed_to_bgr, image_to_bgr, message_to_bgr
from face_recognition_ros.types import ByteArray

BGR = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
"""(4, 6, 3), every value another."""


def message(encoding: str, pixels: Any, padding: int = 0, big_endian: bool = False) -> Image:
    """An Image of (H, W[, C]) pixels, with rows that are `padding` bytes longer than they need to be."""
    dtype = pixels.dtype.newbyteorder(">" if big_endian else "<")
    rows = np.frombuffer(pixels.astype(dtype).tobytes(), np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    height, width = pixels.shape[:2]
    data = array.array("B", rows.tobytes())
    return Image(
        height=height, width=width, encoding=encoding, step=rows.shape[1], is_bigendian=int(big_endian), data=data
    )


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("bgr8", BGR),
        ("8UC3", BGR),
        ("rgb8", BGR[..., ::-1]),
        ("bgra8", np.dstack([BGR, np.full((4, 6), 77, np.uint8)])),
        ("rgba8", np.dstack([BGR[..., ::-1], np.full((4, 6), 77, np.uint8)])),
    ],
)
def test_colour_encodings_give_the_very_pixels(encoding: str, pixels: ByteArray, padding: int) -> None:
    np.testing.assert_array_equal(image_to_bgr(message(encoding, pixels, padding)), BGR)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_becomes_three_equal_channels(encoding: str, padding: int) -> None:
    grey = BGR[..., 0]
    np.testing.assert_array_equal(image_to_bgr(message(encoding, grey, padding)), np.dstack([grey] * 3))


def test_bgr8_is_not_copied() -> None:
    image = message("bgr8", BGR, padding=5)
    assert np.shares_memory(image_to_bgr(image), np.frombuffer(image.data, np.uint8))


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("encoding", ["mono16", "bgr16", "rgb16"])
def test_16_bits_are_scaled_by_255_to_65535(encoding: str, big_endian: bool) -> None:
    deep = np.array([[0, 128, 129, 257], [256, 32767, 65278, 65535]], np.uint16)
    expected = np.array([[0, 0, 1, 1], [1, 127, 254, 255]], np.uint8)
    pixels = deep if encoding == "mono16" else np.dstack([deep] * 3)
    converted = image_to_bgr(message(encoding, pixels, 4, big_endian))
    np.testing.assert_array_equal(converted, np.dstack([expected] * 3))


def bt601(y: int, u: int, v: int) -> list[float]:
    """BGR of a YUV pixel of limited range, as ITU-R BT.601 defines it."""
    luma, blue, red = 1.164 * (y - 16), u - 128, v - 128
    return [luma + 2.018 * blue, luma - 0.813 * red - 0.391 * blue, luma + 1.596 * red]


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV"), ("yuyv", "YUYV")]
)
def test_yuv_follows_its_order(encoding: str, order: str) -> None:
    values = {"Y": iter((90, 160)), "U": iter((110,)), "V": iter((150,))}
    pair = np.array([next(values[letter]) for letter in order], np.uint8).reshape(1, 2, 2)
    converted = image_to_bgr(message(encoding, np.tile(pair, (2, 2, 1))))
    expected = np.array([bt601(90, 110, 150), bt601(160, 110, 150)])
    np.testing.assert_allclose(converted, np.tile(expected, (2, 2, 1)), atol=2)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_pattern_of_one_colour_gives_that_colour(pattern: str, bits: int) -> None:
    colour = {"b": 40, "g": 120, "r": 200}
    tile = np.array([colour[letter] for letter in pattern], np.uint16).reshape(2, 2)
    mosaic = np.tile(tile, (6, 6)) * (257 if bits == 16 else 1)
    pixels = mosaic.astype(np.uint16 if bits == 16 else np.uint8)
    converted = image_to_bgr(message(f"bayer_{pattern}{bits}", pixels))
    np.testing.assert_array_equal(converted[2:-2, 2:-2], np.full((8, 8, 3), (40, 120, 200)))


def test_our_bayer_codes_are_those_of_cv_bridge() -> None:
    # cv_bridge's table: RGGB is BayerBG, BGGR is BayerRG, GBRG is BayerGR, GRBG is BayerGB.
    mosaic = np.random.default_rng(0).integers(0, 256, (8, 10), np.uint8)
    for pattern, code in (("rggb", "BG"), ("bggr", "RG"), ("gbrg", "GR"), ("grbg", "GB")):
        theirs = cv2.cvtColor(mosaic, getattr(cv2, f"COLOR_Bayer{code}2BGR"))
        np.testing.assert_array_equal(image_to_bgr(message(f"bayer_{pattern}8", mosaic)), theirs)


@pytest.mark.parametrize(("extension", "tolerance"), [(".png", 0), (".jpg", 25)])
def test_compressed_pictures_are_decoded(extension: str, tolerance: int) -> None:
    smooth = cv2.resize(BGR, (60, 40), interpolation=cv2.INTER_LINEAR)
    data = array.array("B", np.asarray(cv2.imencode(extension, smooth)[1]).tobytes())
    decoded = message_to_bgr(CompressedImage(format=extension, data=data))
    assert np.abs(decoded.astype(int) - smooth).max() <= tolerance


def broken(**changes: Any) -> Image:
    image = message("bgr8", BGR)
    for name, value in changes.items():
        setattr(image, name, value)
    return image


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (broken(step=17), "camera: a bgr8 image of 6x4 pixels has a step of 17 bytes; its rows need 18."),
        (broken(step=0), "has a step of 0 bytes"),
        (broken(data=bytes(71)), "is cut short: 71 bytes, where step and height make 72."),
        (broken(data=bytes(73)), "is too long: 73 bytes, where step and height make 72."),
        (broken(data=b""), "is cut short: 0 bytes"),
        (broken(width=0), "an image of 0x4 pixels; each side must be between 1 and 16384 pixels."),
        (broken(height=0), "an image of 6x0 pixels"),
        (broken(width=2**31), "an image of 2147483648x4 pixels"),
        (broken(encoding="mono16", step=17, data=bytes(68)), "has a step of 17 bytes, no multiple of 2."),
        (broken(encoding="yuv422", width=5), "cannot be converted from yuv422"),
    ],
)
def test_a_malformed_image_is_refused_with_a_sentence(image: Image, sentence: str) -> None:
    with pytest.raises(ImageError) as refusal:
        image_to_bgr(image, "camera")
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_what_cannot_be_decoded_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(ImageError, match="format 'jpeg'"):
        compressed_to_bgr(CompressedImage(format="jpeg", data=data))


def jpeg(smooth: ByteArray, progressive: bool = False) -> bytes:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    return bytes(np.asarray(cv2.imencode(".jpg", smooth, options)[1]).tobytes())


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_a_jpeg_that_is_cut_short_is_refused_and_not_filled_with_grey(
    astronaut_bgr: ByteArray, progressive: bool, part: float
) -> None:
    whole = jpeg(astronaut_bgr, progressive)
    thumbnail = jpeg(astronaut_bgr[:64, :64])  # as cameras put it into the header, with an end marker of its own
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    missing = math.ceil((1 - part) * len(whole))
    for data in (whole, whole[:2] + segment + whole[2:]):
        assert compressed_to_bgr(CompressedImage(format="jpeg", data=data)).shape == astronaut_bgr.shape
        with pytest.raises(ImageError, match="is cut short"):
            compressed_to_bgr(CompressedImage(format="jpeg", data=data[:-missing]))


def test_a_jpeg_may_be_padded(astronaut_bgr: ByteArray) -> None:
    padded = CompressedImage(format="jpeg", data=jpeg(astronaut_bgr) + bytes(100))
    assert compressed_to_bgr(padded).shape == astronaut_bgr.shape


def test_another_encoding_is_refused_without_cv_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(ImageError, match="'32FC3' is not supported; use one of bgr8") as refusal:
        image_to_bgr(message("32FC3", BGR.astype(np.float32)))
    assert all(name in str(refusal.value) for name in (*ENCODINGS, "apt install ros-jazzy-cv-bridge"))


def test_another_encoding_goes_to_cv_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    class CvBridge:
        def imgmsg_to_cv2(self, image: Image, encoding: str) -> Any:
            assert encoding == "bgr8"
            if image.encoding == "32FC3":
                return BGR
            raise RuntimeError("[32FC7] is no colour format.")

    monkeypatch.setitem(sys.modules, "cv_bridge", type("module", (), {"CvBridge": CvBridge}))
    np.testing.assert_array_equal(image_to_bgr(message("32FC3", BGR.astype(np.float32))), BGR)
    with pytest.raises(ImageError, match="cv_bridge cannot convert a '32FC7' image of 6x4 pixels"):
        image_to_bgr(broken(encoding="32FC7"))
