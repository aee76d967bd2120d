"""The canvas that shows all levels of an image pyramid."""

import numpy as np
import pytest

from face_recognition_ros.detection.area_sampling import Cells, SummedAreaTable
from face_recognition_ros.detection.pyramid import Pyramid, pyramid_for, pyramid_scales
from face_recognition_ros.models import find_model
from face_recognition_ros.runtime import create_session
from face_recognition_ros.types import ByteArray

SIZES = [(480, 640), (640, 480), (123, 457), (40, 40), (720, 1280)]


def table_of(frame: ByteArray) -> SummedAreaTable:
    table = SummedAreaTable()
    table.fill(frame)
    return table


def test_scales() -> None:
    assert pyramid_scales(100, 40, 40.0) == [0.3]
    assert pyramid_scales(39, 500, 40.0) == []
    np.testing.assert_allclose(pyramid_scales(60, 80, 40.0), [0.3, 0.3 * 0.709])
    assert pyramid_for(39, 500, 40.0) is None


@pytest.mark.parametrize("size", SIZES)
def test_every_level_is_drawn_once(size: tuple[int, int]) -> None:
    height, width = size
    frame = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    table = table_of(frame)
    pyramid = pyramid_for(height, width, 40.0)
    assert pyramid is not None
    canvas = pyramid.draw(table)[0].copy()
    shown = np.zeros(canvas.shape[:2], int)
    for scale, (row, column) in zip(pyramid.scales.astype(float), 2 * pyramid.origins, strict=True):
        rows, columns = int(height * scale + 1), int(width * scale + 1)
        here = np.s_[row : row + rows, column : column + columns]
        shown[here] += 1
        level = table.means(Cells.of_crops(np.array([[0, 0, width, height]]), rows, columns, width))[0]
        np.testing.assert_allclose(canvas[here][..., :3], level, rtol=1e-6)
    assert shown.max() == 1
    np.testing.assert_array_equal(canvas[..., 3], np.where(shown, 0, 255))
    assert shown.mean() > 0.85 or min(size) < 200, "little of the canvas is wasted"


@pytest.mark.parametrize("size", SIZES)
def test_p_net_sees_each_level_as_if_it_were_alone(size: tuple[int, int]) -> None:
    session, _ = create_session(find_model("mtcnn_pnet").path)
    frame = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    table = table_of(frame)
    together = pyramid_for(*size, 40.0)
    assert together is not None
    answers = session.run({"image": together.draw(table)})[0][0]
    assert answers.shape[1:] == together.level.shape
    for index, scale in enumerate(pyramid_scales(*size, 40.0)):
        alone = Pyramid.of(*size, [scale])
        expected = session.run({"image": alone.draw(table)})[0][0]
        windows = np.argwhere(together.level == index)
        # of an odd number of pixels P-Net takes the maximum over the last one alone
        rows, columns = ((int(side * scale + 1) - 1) // 2 - 4 for side in size)
        assert len(windows) == rows * columns
        assert windows[0].tolist() == together.origins[index].tolist()
        found = answers[:, windows[:, 0], windows[:, 1]].reshape(5, rows, columns)
        np.testing.assert_allclose(found, expected[:, :rows, :columns], atol=1e-4)
