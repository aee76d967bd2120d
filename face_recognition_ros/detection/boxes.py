"""Geometry of candidate boxes: overlap, non-maximum suppression, regression, squares; pure functions on (N, 4) arrays.

A box is left, top, right, bottom. MTCNN inherits from its Matlab original that a box reaches to and includes its
right and bottom pixel: where that "+ 1" is part of its results, the function says so.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from face_recognition_ros.types import FloatArray

BLOCK = 256
"""Boxes compared with each other at once: bounds the memory of non-maximum suppression."""

Overlap = Callable[[FloatArray, FloatArray], FloatArray]
"""Boxes (M, 4) and boxes (N, 4) to their overlap (M, N), 0 to 1."""


def intersection_over_union(first: FloatArray, second: FloatArray) -> FloatArray:
    """Shared area over united area, (M, N), of each of boxes (M, 4) with each of boxes (N, 4)."""
    shared = _intersection(first, second, 0)
    union: FloatArray = _area(first, 0)[:, None] + _area(second, 0) - shared
    return np.divide(shared, np.maximum(union, 1e-9), dtype=np.float32)


def intersection_over_smaller(first: FloatArray, second: FloatArray) -> FloatArray:
    """Shared area over that of the smaller box, with inclusive pixels (+ 1): high for a box inside another."""
    smaller = np.minimum(_area(first, 1)[:, None], _area(second, 1))
    return np.divide(_intersection(first, second, 1), smaller, dtype=np.float32)


def _intersection(first: FloatArray, second: FloatArray, inclusive: int) -> FloatArray:
    width, height = (
        np.minimum(first[:, None, side + 2], second[:, side + 2])
        - np.maximum(first[:, None, side], second[:, side])
        + inclusive
        for side in (0, 1)
    )
    shared: FloatArray = np.maximum(width, 0) * np.maximum(height, 0)
    return shared


def _area(boxes: FloatArray, inclusive: int) -> FloatArray:
    return (boxes[:, 2] - boxes[:, 0] + inclusive) * (boxes[:, 3] - boxes[:, 1] + inclusive)


def suppress_non_maxima(
    boxes: FloatArray,
    scores: npt.NDArray[np.floating[Any]],
    threshold: float,
    overlap: Overlap = intersection_over_union,
) -> npt.NDArray[np.intp]:
    """Indices of the boxes to keep, best score first: each suppresses those that overlap it by more than the threshold.

    Equal scores keep their order.
    """
    if len(boxes) < 2:
        return np.arange(len(boxes))
    remaining = np.argsort(-scores, kind="stable")
    kept = [remaining[:0]]
    while remaining.size:
        block, remaining = remaining[:BLOCK], remaining[BLOCK:]
        block = block[_greedy_survivors(overlap(boxes[block], boxes[block]) > threshold)]
        kept.append(block)
        if remaining.size:
            remaining = remaining[(overlap(boxes[block], boxes[remaining]) <= threshold).all(axis=0)]
    return np.concatenate(kept)


def group_overlapping(boxes: FloatArray, scores: FloatArray, threshold: float) -> npt.NDArray[np.intp]:
    """Which group each of boxes (N, 4) belongs to, (N,) numbers: one about each that suppress_non_maxima leaves.

    The group of the best box is 0, and so on; every other box belongs to the one of these that it overlaps most.
    """
    if 1 < len(boxes) <= BLOCK:  # as below, with the overlaps found once
        order = np.argsort(-scores, kind="stable")
        overlaps = intersection_over_union(boxes[order], boxes)
        survives = _greedy_survivors(overlaps[:, order] > threshold)
        best, nearest = order[survives], [overlaps[survives].argmax(axis=0)]
    else:
        best = suppress_non_maxima(boxes, scores, threshold)
        blocks = [boxes[start : start + BLOCK] for start in range(0, len(boxes), BLOCK)]
        nearest = [intersection_over_union(boxes[best], block).argmax(axis=0) for block in blocks]
    group = np.concatenate((best[:0], *nearest))
    group[best] = np.arange(len(best))
    return group


def group_means(boxes: FloatArray, weights: FloatArray, group: npt.NDArray[np.intp]) -> FloatArray:
    """Weighted means (M, 4) of the boxes (N, 4) of each group, for weights (N,) above 0."""
    sums = [np.bincount(group, weights * side) for side in (1, *boxes.T)]
    return np.stack([side / sums[0] for side in sums[1:]], axis=1).astype(np.float32)


def _greedy_survivors(overlapping: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of N boxes, best first, no better survivor overlaps, given (N, N) who overlaps whom.

    Starting from all, "not overlapped by a better survivor" is applied until nothing changes: after k rounds the best k
    are final, and in practice a few rounds do (Z. Zheng et al., "Enhancing Geometric Factors ...", 2020: Cluster-NMS).
    """
    by_better = np.triu(overlapping, 1)
    survives: npt.NDArray[np.bool_] = np.ones(len(overlapping), np.bool_)
    while True:
        updated: npt.NDArray[np.bool_] = np.logical_not(by_better[survives].any(axis=0))
        if np.array_equal(updated, survives):
            return survives
        survives = updated


def suppress_neighbours(
    boxes: FloatArray, scores: FloatArray, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], threshold: float
) -> npt.NDArray[np.intp]:
    """What suppress_non_maxima keeps, in no order, of windows of one size on a grid, by looking near each only.

    For thresholds of 0.5 and more, windows of WINDOW pixels with STRIDE, or such windows brought to another scale.
    """
    reach = 2  # the next but one still shares half of a window that was rounded to whole pixels
    span = int(columns.max(initial=0)) + 1 + 2 * reach
    places = (rows + reach) * span + columns + reach
    grid = np.full((int(rows.max(initial=0)) + 1 + 2 * reach) * span, -1, np.intp)
    grid[places] = np.arange(len(places))
    ahead = [dy * span + dx for dy in range(reach + 1) for dx in range(-reach, reach + 1) if (dy, dx) > (0, 0)]
    neighbours = grid[places[:, None] + ahead]
    first, direction = np.nonzero(neighbours >= 0)
    second = neighbours[first, direction]
    overlapping = np.flatnonzero(paired_overlap(boxes[first], boxes[second]) > threshold)
    first, second = first[overlapping], second[overlapping]
    rank = np.empty(len(scores), np.intp)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    ordered = rank[first] < rank[second]
    better, worse = np.where(ordered, first, second), np.where(ordered, second, first)
    survives = np.ones(len(scores), np.bool_)
    while True:  # as in _greedy_survivors
        updated = np.ones(len(scores), np.bool_)
        updated[worse[survives[better]]] = False
        if np.array_equal(updated, survives):
            return np.flatnonzero(survives)
        survives = updated


def paired_overlap(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union, (N,), of each of boxes (N, 4) with the one at its place in the other boxes (N, 4)."""
    sides = np.maximum(np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2]), 0)
    shared: FloatArray = sides[:, 0] * sides[:, 1]
    union: FloatArray = _area(first, 0) + _area(second, 0) - shared
    return np.divide(shared, np.maximum(union, 1e-9), dtype=np.float32)


def regress(boxes: FloatArray, regression: FloatArray, inclusive: int) -> FloatArray:
    """Move each side by regression (N, 4) times the box's width or height (+ inclusive: 0 or 1)."""
    sides = boxes[:, 2:] - boxes[:, :2] + inclusive
    return boxes + regression * np.concatenate((sides, sides), axis=1)


def make_square(boxes: FloatArray) -> FloatArray:
    """Grow the shorter side of each box to the longer one, about the same centre."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides * np.float32(0.5) - longer * np.float32(0.5)
    return np.concatenate((corner, corner + longer), axis=1)


def window_boxes(
    rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], scales: FloatArray, stride: int = 2, window: int = 12
) -> FloatArray:
    """Boxes (N, 4) in the frame of windows at these cells of the score maps of pyramid levels of these scales (N,)."""
    corner = np.stack((columns, rows), axis=1).astype(np.float32) * stride + 1
    boxes: FloatArray = np.floor(np.concatenate((corner, corner + (window - 1)), axis=1) / scales[:, None])
    return boxes


def pixel_ranges(boxes: FloatArray, width: int, height: int) -> npt.NDArray[np.int64]:
    """Array slices (N, 4) left, top, right, bottom of boxes of one-based inclusive pixels, cut at the frame's edge.

    A box outside the frame has its right at or before its left, or its bottom at or before its top.
    """
    whole = np.trunc(boxes).astype(np.int64)
    first = np.maximum(whole[:, :2], 1) - 1
    return np.concatenate((first, np.minimum(whole[:, 2:], (width, height))), axis=1)
