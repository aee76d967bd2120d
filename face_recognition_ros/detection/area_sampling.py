"""Shrinks a frame, or many crops of it at once, by area averages read off one summed-area table.

The averages are those of torch's interpolate(mode="area"), with which facenet-pytorch runs MTCNN: an output pixel is
the mean of all source pixels that its cell touches. cv2.INTER_AREA weighs the pixels at a cell's border instead, and
enlarges bilinearly, which loses the agreement with the reference. With the table each average costs four look-ups,
whatever the size of its cell.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Self

import cv2
import numpy as np

from face_recognition_ros.detection.pyramid import Pyramid
from face_recognition_ros.detection.sampling import Indices
from face_recognition_ros.types import ByteArray, FloatArray


class SummedAreaTable:
    """A Sampler of sums over all pixels above and left of each corner between the pixels of a frame.

    Its memory is used again for the next frame: fresh pages from the system take longer than the sums do. So what
    `sums` and `canvas` return holds until the next call only.
    """

    def __init__(self) -> None:
        self.height = self.width = 0
        """Of the frame, in pixels."""
        self._pixels = np.empty((0, 0, 4), np.uint8)
        # Four int32, of blue, green, red and nothing, under the name of the one type of that size: NumPy looks it up
        # several times faster than rows of three. Sums beyond int32 wrap around; their differences come out right for
        # cells of up to eight million pixels.
        self._corners = np.empty((0, 0), np.complex128)
        self._scratch = np.empty((3, 0), np.complex128)

    def fill(self, frame: ByteArray) -> None:
        """Take up a (H, W, 3) uint8 frame."""
        if frame.shape[:2] != (self.height, self.width):
            self.height, self.width = frame.shape[:2]
            self._pixels = np.empty((self.height, self.width, 4), np.uint8)
            self._corners = np.empty((self.height + 1, self.width + 1), np.complex128)
        cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA, dst=self._pixels)
        sums = self._corners.view(np.int32).reshape(self.height + 1, self.width + 1, 4)
        cv2.integral(self._pixels, sum=sums, sdepth=cv2.CV_32S)

    def canvas(self, pyramid: Pyramid) -> FloatArray:
        """The frame's pyramid: see Sampler."""
        plan = CanvasCells.of(pyramid, self.height, self.width)
        canvas = self.sums(plan.cells)
        canvas *= plan.weights
        canvas[..., 3] = plan.blank
        return canvas

    def crops(self, ranges: Indices, side: int) -> FloatArray:
        """Parts of the frame: see Sampler."""
        return self.means(Cells.of_crops(ranges, side, side, self.width))

    def sums(self, cells: "Cells") -> FloatArray:
        """(N, rows, columns, 4) float32 sums of blue, green, red and nothing over cells (N, rows, columns)."""
        count = cells.weights.size
        if count > self._scratch.shape[1]:
            self._scratch = np.empty((3, count), np.complex128)
        total, part, result = (row[:count] for row in self._scratch)
        look_up = partial(np.take, self._corners, mode="clip")  # the one mode that needs no buffer
        look_up(cells.corners[0].ravel(), out=total)
        for corners, join in zip(cells.corners[1:], (np.add, np.subtract, np.subtract), strict=True):
            look_up(corners.ravel(), out=part)
            join(total.view(np.int32), part.view(np.int32), out=total.view(np.int32))
        values = result.view(np.float32)[: 4 * count]
        values[:] = total.view(np.int32)
        return values.reshape(*cells.weights.shape, 4)

    def means(self, cells: "Cells") -> FloatArray:
        """(N, rows, columns, 3) float32 means of blue, green and red over cells (N, rows, columns)."""
        sums = self.sums(cells)
        means = np.empty((*cells.weights.shape, 3), np.float32)
        for channel in range(3):
            np.multiply(sums[..., channel], cells.weights, out=means[..., channel])
        return means


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Rectangles of pixels, (N, rows, columns) of them, by where their corners lie in a table."""

    corners: Indices
    """(4, N, rows, columns): below right, above left, above right, below left."""
    weights: FloatArray
    """One over the number of a cell's pixels."""

    @classmethod
    def of_crops(cls, ranges: Indices, rows: int, columns: int, width: int) -> Self:
        """Those that shrink crops (N, 4) left, top, right, bottom, none empty, of a frame of that width."""
        left, right = _spans(ranges[:, 0], ranges[:, 2], columns)
        top, bottom = _spans(ranges[:, 1], ranges[:, 3], rows)
        heights, widths = np.subtract(bottom, top, dtype=np.float32), np.subtract(right, left, dtype=np.float32)
        weights = np.reciprocal(heights)[:, :, None] * np.reciprocal(widths)[:, None]
        above, below = top[:, :, None] * (width + 1), bottom[:, :, None] * (width + 1)
        before, behind = left[:, None], right[:, None]
        corners = np.empty((4, *weights.shape), np.int64)
        for place, (row, column) in zip(
            corners, ((below, behind), (above, before), (above, behind), (below, before)), strict=True
        ):
            np.add(row, column, out=place)
        return cls(corners, weights)


@dataclass(frozen=True, slots=True, eq=False)
class CanvasCells:
    """The cells of a pyramid's canvas."""

    cells: Cells
    """(1, rows, columns)."""
    weights: FloatArray
    """(1, rows, columns, 4): those of the cells, for each channel; 0 where the canvas shows no level."""
    blank: FloatArray
    """(rows, columns): as in Pyramid."""

    @classmethod
    @lru_cache(maxsize=4)
    def of(cls, pyramid: Pyramid, height: int, width: int) -> Self:
        """Those of that pyramid for frames of that size; made once."""
        corners = np.zeros((4, 1, *pyramid.shape), np.int64)
        weights = np.zeros((1, *pyramid.shape), np.float32)
        frame = np.array([[0, 0, width, height]])
        for place in pyramid.places:
            cells = Cells.of_crops(frame, place.height, place.width, width)
            here = (..., *place.slices)
            corners[here], weights[here] = cells.corners, cells.weights
        return cls(Cells(corners, weights), np.repeat(weights[..., None], 4, axis=3), pyramid.blank)


def _spans(start: Indices, stop: Indices, count: int) -> tuple[Indices, Indices]:
    """First pixel of each of `count` cells, and the one behind its last, (N, count) each; cells may share a pixel."""
    length = (stop - start)[:, None]
    steps = np.arange(count, dtype=np.int64)
    return start[:, None] + steps * length // count, start[:, None] - (-(steps + 1) * length // count)
