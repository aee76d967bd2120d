"""No message makes the pipeline raise, whatever is in it: it answers, or refuses with a sentence, in bounded memory."""

import array
import contextlib
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from face_recognition_ros.errors import ImageError
from face_recognition_ros.node.depth import DepthBuffer, depth_metres
from face_recognition_ros.node.diagnostics import StreamStatistics
from face_recognition_ros.node.frame_pipeline import MOST_KINDS, FramePipeline
from face_recognition_ros.node.image_conversion import ENCODINGS, MAX_SIDE, claimed_size, message_to_bgr
from face_recognition_ros.node.rounds import Rounds
from face_recognition_ros.recognizer import FrameResult

SIDES = st.one_of(st.integers(0, 20), st.sampled_from([MAX_SIDE, MAX_SIDE + 1, 65535, 2**31 - 1, 2**32 - 1]))
PICTURE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
FILES = [cv2.imencode(suffix, PICTURE)[1].tobytes() for suffix in (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm")]


@st.composite
def images(draw: Any) -> Image:
    """An Image in which anything may be wrong, and everything right."""
    encoding = draw(st.sampled_from([*ENCODINGS, "16UC1", "32FC1", "8UC4", "bgr9", "", "bayer_rggb\x00"]))
    height, width = draw(SIDES), draw(SIDES)
    step = draw(st.one_of(st.just(min(width * draw(st.integers(1, 8)), 2**32 - 1)), SIDES))
    right = step * height if step * height < 10_000 else 100
    data = draw(st.one_of(st.binary(max_size=200), st.binary(min_size=right, max_size=right)))
    return Image(
        header=Header(frame_id=draw(st.text(max_size=5))),
        height=height,
        width=width,
        encoding=encoding.replace("\x00", ""),
        is_bigendian=draw(st.integers(0, 255)),
        step=step,
        data=array.array("B", data),
    )


@st.composite
def compressed_images(draw: Any) -> CompressedImage:
    """A file of some format that was cut, changed and continued, or garbage."""
    data = bytearray(draw(st.one_of(st.sampled_from(FILES), st.binary(max_size=300))))
    for _ in range(draw(st.integers(0, 8))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(data)))
    data = data[:cut] if draw(st.booleans()) else data
    return CompressedImage(
        format=draw(st.sampled_from(["jpeg", "png", "", "bgr8; jpeg compressed bgr8"])),
        data=array.array("B", bytes(data) + draw(st.binary(max_size=20))),
    )


class Bench:
    """A pipeline in front of a recogniser that finds nobody."""

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.statistics = StreamStatistics(0.0)
        clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=10**9))
        pipeline = FramePipeline(
            lambda header, frame, result, locate: None,
            self.statistics,
            DepthBuffer(),
            clock,
            SimpleNamespace(error=self.logged.append),
            "/camera",
            lambda result, stamp: None,
            lambda: None,
        )
        self._rounds = Rounds([pipeline], lambda images: dict.fromkeys(images, FrameResult((), 0, {})))

    def process(self, message: Any) -> None:
        self._rounds.process({0: message})


@given(st.one_of(images(), compressed_images()))
@settings(max_examples=1500)
def test_every_message_is_answered_or_refused_with_a_sentence(message: Any) -> None:
    bench = Bench()
    bench.process(message)
    measured = bench.statistics.measure(0.0)
    assert measured.answered + measured.malformed == 1, measured.last_failure
    if measured.malformed:
        (sentence,) = bench.logged
        assert sentence.startswith("Images are refused. /camera: ")
        assert "\n" not in sentence
        assert len(sentence) < 1000
    else:
        frame = message_to_bgr(message, "/camera")
        assert frame.dtype == np.uint8
        assert frame.shape[2:] == (3,)


def test_ever_new_faults_do_not_fill_the_log() -> None:
    bench = Bench()
    for number in range(2 * MOST_KINDS):
        bench.process(Image(height=1, width=1, encoding="x" * (number % 40) + "ab"[number // 40]))
    assert bench.statistics.measure(0.0).malformed == 2 * MOST_KINDS
    assert len(bench.logged) == MOST_KINDS


@given(images())
@settings(max_examples=500)
def test_every_depth_image_is_metres_or_refused(message: Image) -> None:
    message.encoding = "32FC1" if message.encoding.startswith("bayer") else message.encoding
    with contextlib.suppress(ImageError):
        metres = depth_metres(message)
        assert metres.shape == (message.height, message.width)
        assert not (metres <= 0).any()


def png(width: int, height: int) -> bytes:
    """A small file whose header claims that size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """Likewise."""
    content = bytearray(FILES[0])
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (png(65535, 65535), "each side must be between 1 and"),
        (jpeg(65535, 65535), "each side must be between 1 and"),
        (b"\xff\xd8\xff\xfe\x00\x0f" + bytes(13) + jpeg(65535, 65535)[2:], "each side must be between 1 and"),
        (png(2**31 - 1, 1), "each side must be between 1 and"),
        (png(16384, 16384), "at most 67108864 pixels are unpacked"),
    ],
    ids=["PNG", "JPEG", "JPEG after a comment", "wide PNG", "PNG that could be decoded"],
)
def test_a_small_file_that_claims_to_be_huge_is_refused_before_there_is_memory_for_it(
    content: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it is unpacked"))
    with pytest.raises(ImageError, match=sentence):
        message_to_bgr(CompressedImage(format="x", data=array.array("B", content)))


@pytest.mark.parametrize("progressive", [0, 1])
def test_the_size_of_ordinary_files_is_found(progressive: int) -> None:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    for content in (cv2.imencode(".jpg", PICTURE, options)[1].tobytes(), FILES[1]):
        assert claimed_size(content) == (32, 24)
        assert message_to_bgr(CompressedImage(data=array.array("B", content))).shape == (24, 32, 3)
