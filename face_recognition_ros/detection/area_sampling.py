"""Shrinks a frame, or many crops of it at once, by area averages read off one summed-area table.

The averages are those of torch's interpolate(mode="area"), with which facenet-pytorch runs MTCNN: an output pixel is
the mean of all source pixels that its cell touches. cv2.INTER_AREA weighs the pixels at a cell's border instead, and
enlarges bilinearly: a pyramid made with it, in a chain or from the frame, is no faster and loses the agreement with the
reference. With the table each average costs four look-ups, whatever the size of its cell.
"""

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.types import ByteArray, FloatArray

Table = npt.NDArray[np.int32] | npt.NDArray[np.float64]


def summed_area_table(frame: ByteArray) -> Table:
    """(H + 1, W + 1, 3) sums over all pixels above and left, of a (H, W, 3) uint8 frame."""
    height, width = frame.shape[:2]
    exact_in_int32 = height * width * 255 < 2**31
    table: Table = cv2.integral(frame, sdepth=cv2.CV_32S if exact_in_int32 else cv2.CV_64F)  # type: ignore[assignment]
    return table


def shrink(table: Table, height: int, width: int) -> FloatArray:
    """The whole frame at (height, width): (height, width, 3) float32, 0 to 255."""
    top, bottom = _cells(np.array([0]), np.array([table.shape[0] - 1]), height)
    left, right = _cells(np.array([0]), np.array([table.shape[1] - 1]), width)
    strips = table.take(bottom[0], axis=0)
    strips -= table.take(top[0], axis=0)
    sums = strips.take(right[0], axis=1)
    sums -= strips.take(left[0], axis=1)
    pixels = (bottom - top)[0, :, None] * (right - left)[0]
    means: FloatArray = np.divide(sums, pixels[..., None], dtype=np.float32, casting="unsafe")
    return means


def shrink_crops(table: Table, ranges: npt.NDArray[np.int64], side: int) -> FloatArray:
    """Crops (N, 4) left, top, right, bottom, none empty, as (N, side, side, 3) float32, 0 to 255."""
    left, right = _cells(ranges[:, 0], ranges[:, 2], side)
    top, bottom = _cells(ranges[:, 1], ranges[:, 3], side)
    flat = table.reshape(-1, 3)
    above, below = top[:, :, None] * table.shape[1], bottom[:, :, None] * table.shape[1]
    before, behind = left[:, None, :], right[:, None, :]
    sums = flat.take(below + behind, axis=0)
    sums -= flat.take(above + behind, axis=0)
    sums -= flat.take(below + before, axis=0)
    sums += flat.take(above + before, axis=0)
    pixels = (bottom - top)[:, :, None] * (right - left)[:, None, :]
    means: FloatArray = np.divide(sums, pixels[..., None], dtype=np.float32, casting="unsafe")
    return means


def _cells(
    start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First pixel of each of `count` cells, and the one behind its last, (N, count) each; cells may share a pixel."""
    length = (stop - start)[:, None]
    steps = np.arange(count, dtype=np.int64)
    return start[:, None] + steps * length // count, start[:, None] - (-(steps + 1) * length // count)
