"""Crops off a mip map or the frame itself: where they lie, that they show nothing else, how near to exact averages."""

from collections.abc import Callable

import numpy as np
import pytest

from face_recognition_ros.detection.area_sampling import SummedAreaTable
from face_recognition_ros.detection.direct_sampling import FrameParts
from face_recognition_ros.detection.mip_sampling import MipMap
from face_recognition_ros.detection.sampling import CropSource
from face_recognition_ros.types import ByteArray

SIZES = [(480, 640), (479, 637), (100, 260), (30, 40), (11, 9)]

SourceOf = Callable[[ByteArray], CropSource]


def mip_map(frame: ByteArray) -> MipMap:
    sampler = MipMap()
    sampler.fill(frame)
    return sampler


@pytest.fixture(params=[mip_map, FrameParts])
def source_of(request: pytest.FixtureRequest) -> SourceOf:
    source: SourceOf = request.param
    return source


@pytest.mark.parametrize("side", [24, 48])
def test_a_crop_shows_its_part_from_corner_to_corner(source_of: SourceOf, side: int) -> None:
    """A slope is the same at every scale, so the value says which place was read."""
    height, width = 479, 637
    across = np.broadcast_to((np.arange(width) + 0.5) / width * 255, (height, width))
    down = np.broadcast_to((np.arange(height)[:, None] + 0.5) / height * 255, (height, width))
    sampler = source_of(np.round(np.stack((across, down, down), axis=-1)).astype(np.uint8))
    ranges = np.array([[100, 50, 500, 450], [0, 0, 637, 479], [300, 200, 324, 224], [10, 300, 110, 340], [5, 6, 9, 10]])
    for crop, (left, top, right, bottom) in zip(sampler.crops(ranges, side), ranges, strict=True):
        steps = (np.arange(side) + 0.5) / side
        columns = (left + (right - left) * steps) / width * 255
        rows = (top + (bottom - top) * steps) / height * 255
        # at the frame's edges a smaller copy has no pixel beyond the centre of its last one
        inner = np.s_[2:-2, 2:-2]
        expected = np.broadcast_to(columns, (side, side)), np.broadcast_to(rows[:, None], (side, side))
        np.testing.assert_allclose(crop[inner][..., 0], expected[0][inner], atol=2)
        np.testing.assert_allclose(crop[inner][..., 1], expected[1][inner], atol=2)


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_shows_nothing_but_the_frame(source_of: SourceOf, size: tuple[int, int]) -> None:
    sampler = source_of(np.full((*size, 3), 255, np.uint8))
    height, width = size
    draw = np.random.default_rng(0).integers
    first = np.column_stack([draw(0, width, 50), draw(0, height, 50)])
    last = np.column_stack([draw(first[:, 0] + 1, width + 1), draw(first[:, 1] + 1, height + 1)])
    ranges = np.concatenate(([[0, 0, width, height]], np.hstack((first, last))))
    assert (sampler.crops(ranges, 24) == 255).all()


def test_crops_are_near_the_averages_over_exact_areas(source_of: SourceOf, astronaut_bgr: ByteArray) -> None:
    exact = SummedAreaTable()
    exact.fill(astronaut_bgr)
    ranges = np.array([[180, 60, 280, 160], [100, 0, 400, 300], [200, 90, 240, 130], [0, 0, 512, 512]])
    difference = np.abs(source_of(astronaut_bgr).crops(ranges, 24) - exact.crops(ranges, 24)).mean()
    assert difference < 7


def test_no_crop(source_of: SourceOf, astronaut_bgr: ByteArray) -> None:
    assert source_of(astronaut_bgr).crops(np.zeros((0, 4), np.int64), 24).shape == (0, 24, 24, 3)


def test_frames_of_any_size_follow_each_other(astronaut_bgr: ByteArray) -> None:
    sampler = MipMap()
    for view in (astronaut_bgr, astronaut_bgr[:, ::-1], astronaut_bgr[3:300, 5:455], astronaut_bgr):
        sampler.fill(view)
        ranges = np.array([[0, 0, view.shape[1], view.shape[0]], [10, 20, 60, 70]])
        np.testing.assert_array_equal(sampler.crops(ranges, 24), mip_map(view).crops(ranges, 24))
