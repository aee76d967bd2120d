"""Area averages against plain loops over the definition."""

import math

import numpy as np
import pytest

from face_recognition_ros.detection.area_sampling import Cells, SummedAreaTable
from face_recognition_ros.types import ByteArray, FloatArray


def average(frame: ByteArray, height: int, width: int) -> FloatArray:
    """Torch's interpolate(mode="area"), cell by cell."""
    rows, columns = frame.shape[:2]
    result = np.zeros((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            top, bottom = y * rows // height, math.ceil((y + 1) * rows / height)
            left, right = x * columns // width, math.ceil((x + 1) * columns / width)
            result[y, x] = frame[top:bottom, left:right].mean(axis=(0, 1), dtype=np.float64)
    return result


def shrink(frame: ByteArray, ranges: list[tuple[int, int, int, int]], height: int, width: int) -> FloatArray:
    table = SummedAreaTable()
    table.fill(frame)
    return table.means(Cells.of_crops(np.array(ranges, np.int64).reshape(-1, 4), height, width, table.width))


@pytest.fixture
def frame() -> ByteArray:
    return np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)


@pytest.mark.parametrize("size", [(37, 53), (12, 17), (1, 1), (5, 53), (50, 60)])
def test_whole_frame(frame: ByteArray, size: tuple[int, int]) -> None:
    np.testing.assert_allclose(shrink(frame, [(0, 0, 53, 37)], *size)[0], average(frame, *size), rtol=1e-6)


def test_crops_smaller_and_larger_than_their_result(frame: ByteArray) -> None:
    ranges = [(0, 0, 53, 37), (3, 5, 33, 36), (50, 30, 53, 37), (10, 10, 11, 11)]
    for crop, (left, top, right, bottom) in zip(shrink(frame, ranges, 24, 24), ranges, strict=True):
        np.testing.assert_allclose(crop, average(frame[top:bottom, left:right], 24, 24), rtol=1e-6)


def test_no_crop(frame: ByteArray) -> None:
    assert shrink(frame, [], 24, 24).shape == (0, 24, 24, 3)


def test_frames_of_any_size_follow_each_other(frame: ByteArray) -> None:
    table = SummedAreaTable()
    for view in (frame, frame[:, ::-1], frame[3:30, 5:45], frame):
        height, width = view.shape[:2]
        table.fill(view)
        means = table.means(Cells.of_crops(np.array([[0, 0, width, height]]), 6, 7, width))
        np.testing.assert_allclose(means[0], average(view, 6, 7), rtol=1e-6)


def test_sums_of_a_large_bright_frame_may_wrap_around() -> None:
    frame = np.full((3000, 3000, 3), 255, np.uint8)
    np.testing.assert_allclose(shrink(frame, [(0, 0, 3000, 3000)], 2, 2), np.full((1, 2, 2, 3), 255.0), rtol=1e-6)
