"""Crops straight off a frame: what a few of them need is looked at, and nothing else of the frame.

Each is halved until it has no more than about the pixels that are wanted, and read bilinearly off that, as off a mip
map (mip_sampling.py), which pays where many crops overlap.
"""

import math

import cv2
import numpy as np

from face_recognition_ros.detection.sampling import Indices
from face_recognition_ros.types import ByteArray, FloatArray


class FrameParts:
    """A CropSource: a (H, W, 3) uint8 frame."""

    def __init__(self, frame: ByteArray) -> None:
        self._frame = frame
        self.height, self.width = frame.shape[:2]

    def crops(self, ranges: Indices, side: int) -> FloatArray:
        """Parts of the frame: see CropSource."""
        crops = np.empty((len(ranges), side, side, 3), np.float32)
        for crop, (left, top, right, bottom) in zip(crops, ranges.tolist(), strict=True):
            crop[:] = self._crop(left, top, right, bottom, side)
        return crops

    def _crop(self, left: int, top: int, right: int, bottom: int, side: int) -> ByteArray:
        """(side, side, 3) uint8."""
        halvings = max(0, round(math.log2(max(right - left, bottom - top) / side)))
        step = 2**halvings
        # Whole steps, if need be beyond the part, are what an exact halving takes; at the frame's edge there are fewer.
        columns, rows = (
            max(min(-(-extent // step), (limit - first) // step), 1)
            for extent, limit, first in ((right - left, self.width, left), (bottom - top, self.height, top))
        )
        part = self._frame[top : top + rows * step, left : left + columns * step]
        halved = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA) if halvings else part
        across, down = (right - left) / (side * step), (bottom - top) / (side * step)
        there = np.array([(across, 0, across / 2 - 0.5), (0, down, down / 2 - 0.5)])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(halved, there, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(crop, np.uint8)
