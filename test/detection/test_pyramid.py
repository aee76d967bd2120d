"""The canvas that shows all levels of an image pyramid."""

import numpy as np
import pytest

from face_recognition_ros.detection.area_sampling import SummedAreaTable
from face_recognition_ros.detection.mip_sampling import MipMap
from face_recognition_ros.detection.pyramid import Pyramid, pyramid_for, pyramid_scales
from face_recognition_ros.detection.sampling import Sampler
from face_recognition_ros.models import find_model
from face_recognition_ros.runtime import create_session
from face_recognition_ros.types import ByteArray

SIZES = [(480, 640), (640, 480), (123, 457), (40, 40), (720, 1280)]


@pytest.fixture(params=[SummedAreaTable, MipMap])
def sampler(request: pytest.FixtureRequest) -> Sampler:
    taken: Sampler = request.param()
    return taken


def noise(size: tuple[int, int]) -> ByteArray:
    return np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)


def test_scales() -> None:
    assert pyramid_scales(100, 40, 40.0) == [0.3]
    assert pyramid_scales(39, 500, 40.0) == []
    np.testing.assert_allclose(pyramid_scales(60, 80, 40.0), [0.3, 0.3 * 0.709])
    assert pyramid_for(39, 500, 40.0) is None


@pytest.mark.parametrize("size", SIZES)
def test_every_level_is_drawn_once(size: tuple[int, int], sampler: Sampler) -> None:
    height, width = size
    pyramid = pyramid_for(height, width, 40.0)
    assert pyramid is not None
    shown = np.zeros(pyramid.shape, int)
    for frame in (noise(size)[::-1], noise(size)):
        sampler.fill(frame)
        canvas = sampler.canvas(pyramid)[0].copy()
    for scale, place, origin in zip(pyramid.scales.astype(float), pyramid.places, pyramid.origins, strict=True):
        assert (place.height, place.width) == (int(height * scale + 1), int(width * scale + 1))
        assert (place.top, place.left) == tuple(2 * origin)
        shown[place.slices] += 1
        alone = Pyramid.of(height, width, [scale])
        np.testing.assert_array_equal(
            canvas[place.slices], sampler.canvas(alone)[0][: place.height, : place.width], strict=True
        )
    assert shown.max() == 1
    np.testing.assert_array_equal(canvas[..., 3], np.where(shown, 0, 255))
    assert shown.mean() > 0.85 or min(size) < 200, "little of the canvas is wasted"


@pytest.mark.parametrize("size", SIZES)
def test_a_level_shows_the_frame_from_corner_to_corner(size: tuple[int, int], sampler: Sampler) -> None:
    height, width = size
    across = np.broadcast_to(np.linspace(0, 255, width), size)
    down = np.broadcast_to(np.linspace(0, 255, height)[:, None], size)
    sampler.fill(np.stack((across, down, np.full(size, 255)), axis=-1).astype(np.uint8))
    pyramid = pyramid_for(height, width, 40.0)
    assert pyramid is not None
    canvas = sampler.canvas(pyramid)[0]
    for place in pyramid.places:
        level = canvas[place.slices]
        columns, rows = ((np.arange(count) + 0.5) / count * 255 for count in (place.width, place.height))
        # as whole numbers, and, of exact areas, cells of whole pixels
        np.testing.assert_allclose(level[..., 0], np.broadcast_to(columns, level.shape[:2]), atol=255 / width + 2)
        np.testing.assert_allclose(
            level[..., 1], np.broadcast_to(rows[:, None], level.shape[:2]), atol=255 / height + 2
        )
        np.testing.assert_allclose(level[..., 2], 255, rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_p_net_sees_each_level_as_if_it_were_alone(size: tuple[int, int], sampler: Sampler) -> None:
    session, _ = create_session(find_model("mtcnn_pnet").path)
    sampler.fill(noise(size))
    together = pyramid_for(*size, 40.0)
    assert together is not None
    answers = session.run({"image": sampler.canvas(together)})[0][0]
    assert answers.shape[1:] == together.level.shape
    for index, scale in enumerate(pyramid_scales(*size, 40.0)):
        alone = Pyramid.of(*size, [scale])
        expected = session.run({"image": sampler.canvas(alone)})[0][0]
        windows = np.argwhere(together.level == index)
        # of an odd number of pixels P-Net takes the maximum over the last one alone
        rows, columns = ((int(side * scale + 1) - 1) // 2 - 4 for side in size)
        assert len(windows) == rows * columns
        assert windows[0].tolist() == together.origins[index].tolist()
        found = answers[:, windows[:, 0], windows[:, 1]].reshape(5, rows, columns)
        np.testing.assert_allclose(found, expected[:, :rows, :columns], atol=1e-4)
