"""Lays the levels of an image pyramid side by side on one canvas, so that one call of P-Net sees them all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from face_recognition_ros.detection.area_sampling import Cells, SummedAreaTable
from face_recognition_ros.types import FloatArray

FACTOR = 0.709
WINDOW, STRIDE = 12, 2
"""P-Net's window and its step in pixels of a level; a level shows its smallest face at the window's size."""
REACH = (WINDOW - STRIDE) // STRIDE
"""By how many steps fewer than its pixels hold a window moves over a level."""


def pyramid_scales(height: int, width: int, min_face_size: float) -> list[float]:
    """Scales of the pyramid's levels: the smallest face sought fills P-Net's window, then ever larger ones do."""
    scales = []
    scale = WINDOW / min_face_size
    shorter_side = min(height, width) * scale
    while shorter_side >= WINDOW:
        scales.append(scale)
        scale *= FACTOR
        shorter_side *= FACTOR
    return scales


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """The plan of a canvas for frames of one size."""

    cells: Cells
    """(1, rows, columns): where the canvas' pixels come from."""
    weights: FloatArray
    """(1, rows, columns, 4): those of the cells, for each channel; 0 where the canvas shows no level."""
    blank: FloatArray
    """(1, rows, columns): 255 where the canvas shows no level, else 0."""
    level: npt.NDArray[np.int8]
    """(R, C): the level in which P-Net's window lies for each of its answers; -1 where it does not lie in one."""
    scales: FloatArray
    """(L,) of the levels."""
    origins: npt.NDArray[np.intp]
    """(L, 2): row and column of the answer for each level's first window."""

    @classmethod
    def of(cls, height: int, width: int, scales: Sequence[float]) -> Self:
        """The plan for frames of that size and a pyramid of one or more levels."""
        sizes = [(int(height * scale + 1), int(width * scale + 1)) for scale in scales]
        # P-Net's maxima over two by two pixels begin at each level's corner, and see blanks behind an odd last pixel.
        room = [(rows + rows % 2, columns + columns % 2) for rows, columns in sizes]
        places = _pack(room)
        rows, columns = np.max(np.add(places, room), axis=0)
        corners = np.zeros((4, 1, rows, columns), np.int64)
        weights = np.zeros((1, rows, columns), np.float32)
        level = np.full((rows // STRIDE - REACH, columns // STRIDE - REACH), -1, np.int8)
        frame = np.array([[0, 0, width, height]])
        for index, (size, (top, left), spaces) in enumerate(zip(sizes, places, room, strict=True)):
            cells = Cells.of_crops(frame, *size, width)
            here = np.s_[..., top : top + size[0], left : left + size[1]]
            corners[here], weights[here] = cells.corners, cells.weights
            bottom, right = top + spaces[0], left + spaces[1]
            level[top // STRIDE : bottom // STRIDE - REACH, left // STRIDE : right // STRIDE - REACH] = index
        blank = np.where(weights == 0, 255, 0).astype(np.float32)
        return cls(
            Cells(corners, weights),
            np.repeat(weights[..., None], 4, axis=3),
            blank,
            level,
            np.array(scales, np.float32),
            np.array(places) // STRIDE,
        )

    def draw(self, table: SummedAreaTable) -> FloatArray:
        """The canvas of a frame, (1, rows, columns, 4) float32: blue, green, red, 0 to 255, and `blank`."""
        canvas = table.sums(self.cells)
        canvas *= self.weights
        canvas[..., 3] = self.blank
        return canvas


@lru_cache(maxsize=4)
def pyramid_for(height: int, width: int, min_face_size: float) -> Pyramid | None:
    """The plan for frames of that size, made once; None where they are too small to show a face of that size."""
    scales = pyramid_scales(height, width, min_face_size)
    return Pyramid.of(height, width, scales) if scales else None


def _pack(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Row and column for rectangles of these (rows, columns), the first the widest, on a canvas no wider than it.

    Each goes to the first corner, from the top, where it fits: beneath one of those before it or right of one.
    """
    placed: list[tuple[int, int, int, int]] = []
    for rows, columns in sizes:
        corners = {(0, 0), *((bottom, left) for _, left, bottom, _ in placed), *((t, r) for t, _, _, r in placed)}
        row, column = min(
            (top, left)
            for top, left in corners
            if left + columns <= sizes[0][1]
            and all(top >= b or top + rows <= t or left >= r or left + columns <= lt for t, lt, b, r in placed)
        )
        placed.append((row, column, row + rows, column + columns))
    return [(row, column) for row, column, _, _ in placed]
