"""Lays the levels of an image pyramid side by side on one canvas, so that one call of P-Net sees them all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a level lies on the canvas, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True, slots=True, eq=False)
class Pyramid:
    """The plan of a canvas for frames of one size."""

    shape: tuple[int, int]
    """Rows and columns of the canvas."""
    places: tuple[Place, ...]
    """Of the levels, the largest first; none touches another, and the rest is blank."""
    level: npt.NDArray[np.int8]
    """(R, C): the level in which P-Net's window lies for each of its answers; -1 where it does not lie in one."""
    scales: FloatArray
    """(L,) of the levels."""
    origins: npt.NDArray[np.intp]
    """(L, 2): row and column of the answer for each level's first window."""

    @property
    def blank(self) -> FloatArray:
        """(rows, columns): 255 where the canvas shows no level, else 0."""
        blank = np.full(self.shape, 255, np.float32)
        for place in self.places:
            blank[place.slices] = 0
        return blank

    @classmethod
    def of(cls, height: int, width: int, scales: Sequence[float]) -> Self:
        """The plan for frames of that size and a pyramid of one or more levels."""
        sizes = [(int(height * scale + 1), int(width * scale + 1)) for scale in scales]
        # P-Net's maxima over two by two pixels begin at each level's corner, and see blanks behind an odd last pixel.
        room = [(rows + rows % 2, columns + columns % 2) for rows, columns in sizes]
        corners = _pack(room)
        rows, columns = (int(side) for side in np.max(np.add(corners, room), axis=0))
        level = np.full((rows // STRIDE - REACH, columns // STRIDE - REACH), -1, np.int8)
        for index, ((top, left), spaces) in enumerate(zip(corners, room, strict=True)):
            bottom, right = top + spaces[0], left + spaces[1]
            level[top // STRIDE : bottom // STRIDE - REACH, left // STRIDE : right // STRIDE - REACH] = index
        return cls(
            (rows, columns),
            tuple(Place(*corner, *size) for corner, size in zip(corners, sizes, strict=True)),
            level,
            np.array(scales, np.float32),
            np.array(corners) // STRIDE,
        )


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
