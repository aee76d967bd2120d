"""Shrinks a frame, or many crops of it at once, from a copy of about the right size: a mip map.

L. Williams, "Pyramidal Parametrics", SIGGRAPH 1983. The frame is halved again and again; each crop is read bilinearly
off the copy that has nearest to as many pixels. That takes half the time of the averages over exact areas that
facenet-pytorch's results are made of (area_sampling.py), and a third of the memory.
"""

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.detection.pyramid import Pyramid
from face_recognition_ros.detection.sampling import Indices
from face_recognition_ros.types import ByteArray, FloatArray

SMALLEST = 12
"""Pixels along the shorter side of a copy, at least: P-Net's window."""


class MipMap:
    """A Sampler of copies of a frame, each half as large as the one before; all lie in one picture, the atlas.

    Its memory is used again for the next frame. What `canvas` returns holds until the next call only.
    """

    def __init__(self) -> None:
        self.height = self.width = 0
        """Of the frame, in pixels."""
        self._atlas = np.empty((0, 0, 4), np.uint8)
        self._copies: list[ByteArray] = []
        """Views of it, the frame itself first."""
        self._corners = self._scales = self._last = np.empty((0, 2), np.float32)
        """(L, 2) x, y: where in the atlas each copy begins, its pixels for each of the frame's, and its last pixel."""
        self._pyramid: Pyramid | None = None
        self._levels = np.empty((0, 0, 4), np.uint8)
        self._canvas = np.empty((1, 0, 0, 4), np.float32)
        self._blank = np.empty((0, 0), np.float32)

    def fill(self, frame: ByteArray) -> None:
        """Take up a (H, W, 3) uint8 frame."""
        if frame.shape[:2] != (self.height, self.width):
            self._lay_out(*frame.shape[:2])
        cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA, dst=self._copies[0])
        for larger, smaller in pairwise(self._copies):
            cv2.resize(larger, smaller.shape[1::-1], dst=smaller, interpolation=cv2.INTER_AREA)

    def canvas(self, pyramid: Pyramid) -> FloatArray:
        """The frame's pyramid: see Sampler."""
        if pyramid is not self._pyramid:
            self._pyramid = pyramid
            self._levels = np.zeros((*pyramid.shape, 4), np.uint8)
            self._canvas = np.empty((1, *pyramid.shape, 4), np.float32)
            self._blank = pyramid.blank
        for place, copy in zip(pyramid.places, self._nearest(np.reciprocal(pyramid.scales)), strict=True):
            here = self._levels[place.slices]
            cv2.resize(self._copies[copy], (place.width, place.height), dst=here, interpolation=cv2.INTER_LINEAR)
        self._canvas[0] = self._levels
        self._canvas[0, ..., 3] = self._blank
        return self._canvas

    def crops(self, ranges: Indices, side: int) -> FloatArray:
        """Parts of the frame: see Sampler."""
        if not len(ranges):
            return np.empty((0, side, side, 3), np.float32)
        first, last = (ranges[:, part, None].astype(np.float32) for part in (np.s_[:2], np.s_[2:]))
        extent = last - first
        steps = (np.arange(side, dtype=np.float32) + 0.5) / side
        copy = self._nearest(extent.max(axis=(1, 2)) / side)
        centres = (first + extent * steps) * self._scales[copy, :, None] - 0.5
        centres = np.clip(centres, 0, self._last[copy, :, None]) + self._corners[copy, :, None]
        across = np.repeat(centres[:, 0], side, axis=0)
        down = np.repeat(centres[:, 1].reshape(-1, 1), side, axis=1)
        seen = cv2.remap(self._atlas, across, down, cv2.INTER_LINEAR)
        return cv2.cvtColor(seen, cv2.COLOR_BGRA2BGR).astype(np.float32).reshape(-1, side, side, 3)

    def _nearest(self, reduction: FloatArray) -> npt.NDArray[np.intp]:
        """The copies for parts that are to be so many times smaller than in the frame, or larger, below 1."""
        halvings = np.rint(np.log2(reduction)).astype(np.intp)
        return np.clip(halvings, 0, len(self._copies) - 1)

    def _lay_out(self, height: int, width: int) -> None:
        """The frame on top, its copies in a row beneath it."""
        self.height, self.width = height, width
        sizes = [(height, width)]
        while min(sizes[-1]) >= 2 * SMALLEST:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        smaller = np.array(sizes[1:], np.intp).reshape(-1, 2)
        lefts = np.cumsum([0, *smaller[:, 1]])
        corners = [(0, 0), *((int(left), height) for left in lefts[:-1])]
        self._atlas = np.zeros((height + smaller[:, 0].max(initial=0), max(width, lefts[-1]), 4), np.uint8)
        self._copies = [
            self._atlas[top : top + rows, left : left + columns]
            for (left, top), (rows, columns) in zip(corners, sizes, strict=True)
        ]
        extents = np.array(sizes, np.float32)[:, ::-1]
        self._corners, self._last, self._scales = np.array(corners, np.float32), extents - 1, extents / extents[0]
