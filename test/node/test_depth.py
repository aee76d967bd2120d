"""Where a face is, from depth images made by hand."""

import array
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from face_recognition_ros.errors import ImageError
from face_recognition_ros.node.depth import DepthBuffer, depth_metres
from face_recognition_ros.node.messages import nowhere
from face_recognition_ros.types import Detection

FACE = Detection(np.array([20, 10, 40, 30], np.float32), np.zeros((5, 2), np.float32), 1.0)
K = [50.0, 0.0, 32.0, 0.0, 25.0, 24.0, 0.0, 0.0, 1.0]


def depth_image(metres: Any, encoding: str = "16UC1", stamp: float = 10.0, big_endian: bool = False) -> Image:
    kind = {"16UC1": "u2", "32FC1": "f4"}[encoding]
    dtype = np.dtype(kind).newbyteorder(">" if big_endian else "<")
    pixels = (np.asarray(metres) * (1000 if encoding == "16UC1" else 1)).astype(dtype)
    height, width = pixels.shape
    header = Header(stamp=Time(sec=int(stamp), nanosec=round(stamp % 1 * 1e9)))
    data = array.array("B", pixels.tobytes())
    return Image(header=header, height=height, width=width, encoding=encoding, is_bigendian=int(big_endian),
                 step=width * pixels.itemsize, data=data)  # fmt: skip


def buffer(*images: Image, k: Any = K) -> DepthBuffer:
    buffer = DepthBuffer()
    buffer.set_camera_info(CameraInfo(k=k))
    for image in images:
        buffer.add_image(image)
    return buffer


def wall(face: float, background: float, shape: tuple[int, int] = (48, 64)) -> Any:
    """A wall with FACE's inner part before it, in the resolution of `shape` for a 48x64 image."""
    metres = np.full(shape, background)
    y, x = shape[0] / 48, shape[1] / 64
    metres[round(14 * y) : round(27 * y), round(24 * x) : round(37 * x)] = face
    return metres


@pytest.mark.parametrize("shape", [(48, 64), (24, 32), (96, 128)])
@pytest.mark.parametrize(("encoding", "big_endian"), [("16UC1", False), ("16UC1", True), ("32FC1", False)])
def test_the_faces_depth_counts_and_not_the_backgrounds(
    shape: tuple[int, int], encoding: str, big_endian: bool
) -> None:
    locate = buffer(depth_image(wall(2.0, 5.0, shape), encoding, big_endian=big_endian)).locator(10.0, 64, 48)
    position = locate(FACE)
    assert position is not None
    np.testing.assert_allclose(position, [(30 - 32) / 50 * 2, (20 - 24) / 25 * 2, 2.0], rtol=1e-6)


def test_holes_in_the_depth_are_left_out() -> None:
    metres = wall(2.0, 5.0)
    metres[14:26:2] = 0.0  # nothing measured
    position = buffer(depth_image(metres)).locator(10.0, 64, 48)(FACE)
    assert position is not None
    assert position[2] == pytest.approx(2.0)
    empty = buffer(depth_image(np.full((48, 64), np.nan), "32FC1"))
    assert empty.locator(10.0, 64, 48)(FACE) is None


def test_a_face_beyond_the_edge_has_the_depth_of_what_is_seen() -> None:
    outside = Detection(np.array([-60, -60, -20, -20], np.float32), FACE.landmarks, 1.0)
    partly = Detection(np.array([-10, 10, 10, 30], np.float32), FACE.landmarks, 1.0)
    locate = buffer(depth_image(np.full((48, 64), 3.0))).locator(10.0, 64, 48)
    assert locate(outside) is None
    position = locate(partly)
    assert position is not None
    assert position[2] == pytest.approx(3.0)


def test_the_depth_image_nearest_in_time_is_taken_and_none_that_is_too_far() -> None:
    images = [depth_image(np.full((48, 64), 1.0 + i), stamp=10.0 + 0.04 * i) for i in range(3)]
    depths = buffer(*images)
    position = depths.locator(10.05, 64, 48)(FACE)
    assert position is not None
    assert position[2] == pytest.approx(2.0)
    assert depths.locator(10.2, 64, 48) is nowhere


def test_without_calibration_there_is_no_place() -> None:
    image = depth_image(np.full((48, 64), 1.0))
    assert buffer(image, k=[0.0] * 9).locator(10.0, 64, 48) is nowhere
    without = DepthBuffer()
    without.add_image(image)
    assert without.locator(10.0, 64, 48) is nowhere


def test_a_malformed_depth_image_is_refused() -> None:
    image = depth_image(np.full((48, 64), 1.0))
    image.encoding = "bgr8"
    with pytest.raises(ImageError, match="depth: the encoding 'bgr8' is not supported; use one of 16UC1"):
        depth_metres(image)
    image.encoding, image.step = "16UC1", 3
    with pytest.raises(ImageError, match="depth: a 16UC1 image of 64x48 pixels has a step of 3 bytes"):
        depth_metres(image)
