"""Box geometry against values computed by hand."""

import numpy as np
import pytest

from face_recognition_ros.detection import boxes as geometry
from face_recognition_ros.types import FloatArray


def array(*rows: tuple[float, ...]) -> FloatArray:
    return np.array(rows, np.float32)


def test_intersection_over_union() -> None:
    first, second = array((0, 0, 10, 10)), array((0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30))
    np.testing.assert_allclose(geometry.intersection_over_union(first, second), [[1, 50 / 150, 0]])


def test_intersection_over_smaller_counts_inclusive_pixels() -> None:
    first, second = array((0, 0, 9, 9)), array((2, 2, 5, 5), (9, 9, 18, 18), (10, 0, 19, 9))
    np.testing.assert_allclose(geometry.intersection_over_smaller(first, second), [[1, 1 / 100, 0]])


def test_suppression_is_greedy() -> None:
    # 0 suppresses 1; 1 would have suppressed 2, but is gone; 3 stands alone
    boxes = array((0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10), (50, 50, 60, 60))
    scores = np.array([0.9, 0.8, 0.7, 0.95], np.float32)
    assert geometry.suppress_non_maxima(boxes, scores, 0.5).tolist() == [3, 0, 2]
    assert geometry.suppress_non_maxima(boxes, scores, 0.6).tolist() == [3, 0, 1, 2]


def test_equal_scores_keep_their_order_and_nothing_gives_nothing() -> None:
    boxes = array((0, 0, 10, 10), (0, 0, 10, 10), (40, 40, 50, 50))
    assert geometry.suppress_non_maxima(boxes, np.ones(3, np.float32), 0.5).tolist() == [0, 2]
    assert geometry.suppress_non_maxima(boxes[:0], np.ones(0, np.float32), 0.5).tolist() == []


def test_many_boxes_are_suppressed_as_one_by_one() -> None:
    random = np.random.default_rng(7)
    corner = random.uniform(0, 200, (3 * geometry.BLOCK, 2))
    boxes = np.hstack((corner, corner + random.uniform(20, 60, corner.shape))).astype(np.float32)
    scores = random.uniform(size=len(boxes)).astype(np.float32)
    kept: list[int] = []
    for index in np.argsort(-scores):
        if all(geometry.intersection_over_union(boxes[[index]], boxes[[other]])[0, 0] <= 0.3 for other in kept):
            kept.append(int(index))
    assert geometry.suppress_non_maxima(boxes, scores, 0.3).tolist() == kept


def test_boxes_are_grouped_with_the_one_that_they_overlap_most() -> None:
    # the second is nearer to the first than to the third, and both outweigh it; the last two stand alone
    boxes = array((0, 0, 10, 10), (2, 0, 12, 10), (6, 0, 16, 10), (50, 50, 60, 60), (5, 5, 5, 5))
    weights = np.array([0.9, 0.3, 0.8, 0.95, 0.1], np.float32)
    expected = [(50, 50, 60, 60), (0.5, 0, 10.5, 10), (6, 0, 16, 10), (5, 5, 5, 5)]
    group = geometry.group_overlapping(boxes, weights, 0.4)
    assert group.tolist() == [1, 1, 2, 0, 3]
    np.testing.assert_allclose(geometry.group_means(boxes, weights, group), expected, rtol=1e-6)
    assert geometry.group_overlapping(boxes, weights, 0.7).tolist() == [1, 3, 2, 0, 4]


def test_many_boxes_are_fused_as_one_by_one() -> None:
    random = np.random.default_rng(8)
    corner = random.uniform(0, 100, (2 * geometry.BLOCK, 2))
    boxes = np.hstack((corner, corner + random.uniform(20, 60, corner.shape))).astype(np.float32)
    weights = random.uniform(0.1, 1, len(boxes)).astype(np.float32)
    best = geometry.suppress_non_maxima(boxes, weights, 0.5)
    members: dict[int, list[int]] = {index: [index] for index in best.tolist()}
    for index in set(range(len(boxes))) - set(members):
        overlap = geometry.intersection_over_union(boxes[[index]], boxes[best])[0]
        members[int(best[np.argmax(overlap)])].append(index)
    expected = [np.average(boxes[some], axis=0, weights=weights[some]) for some in members.values()]
    fused = geometry.group_means(boxes, weights, geometry.group_overlapping(boxes, weights, 0.5))
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused, expected, rtol=1e-5)


def test_nothing_is_fused_into_nothing() -> None:
    boxes, weights = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    group = geometry.group_overlapping(boxes, weights, 0.5)
    assert group.shape == (0,)
    assert geometry.group_means(boxes, weights, group).shape == (0, 4)


@pytest.mark.parametrize("scale", [1.0, 0.709, 0.6, 0.3, 0.05])
def test_neighbours_are_suppressed_as_among_all(scale: float) -> None:
    random = np.random.default_rng(11)
    rows, columns = np.nonzero(random.uniform(size=(40, 50)) < 0.4)
    scores = random.choice(np.linspace(0, 5, 50, dtype=np.float32), len(rows))  # some are equal
    boxes = geometry.window_boxes(rows, columns, np.full(len(rows), scale, np.float32))
    near = geometry.suppress_neighbours(boxes, scores, rows, columns, 0.5)
    assert sorted(near) == sorted(geometry.suppress_non_maxima(boxes, scores, 0.5))


def test_no_neighbours() -> None:
    none = np.zeros(0, np.intp)
    assert geometry.suppress_neighbours(array((0, 0, 1, 1))[:0], np.zeros(0, np.float32), none, none, 0.5).size == 0


@pytest.mark.parametrize(("inclusive", "expected"), [(0, (11, 19, 30, 44)), (1, (11.1, 18.9, 31, 45.4))])
def test_regression(inclusive: int, expected: tuple[float, ...]) -> None:
    moved = geometry.regress(array((10, 20, 20, 30)), array((0.1, -0.1, 1.0, 1.4)), inclusive)
    np.testing.assert_allclose(moved, [expected], rtol=1e-6)


def test_square_keeps_the_centre() -> None:
    np.testing.assert_array_equal(geometry.make_square(array((0, 0, 10, 20))), [(-5, 0, 15, 20)])


def test_window_boxes() -> None:
    boxes = geometry.window_boxes(np.array([0, 3]), np.array([0, 5]), np.full(2, 0.5, np.float32))
    np.testing.assert_array_equal(boxes, [(2, 2, 24, 24), (22, 14, 44, 36)])


def test_pixel_ranges() -> None:
    ranges = geometry.pixel_ranges(array((-3.5, 1.9, 8.7, 9.2), (3, 4, 700, 500), (700, 0, 800, 10)), 640, 480)
    np.testing.assert_array_equal(ranges, [(0, 0, 8, 9), (2, 3, 640, 480), (699, 0, 640, 10)])
