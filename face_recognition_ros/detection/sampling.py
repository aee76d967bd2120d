"""What MTCNN wants of a frame: its pyramid, and parts of it, at the sizes that the networks take."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from face_recognition_ros.detection.pyramid import Pyramid
from face_recognition_ros.types import ByteArray, FloatArray

Indices = npt.NDArray[np.int64]


class CropSource(Protocol):
    """Gives shrunk and enlarged parts of a frame, in blue, green and red from 0 to 255."""

    height: int
    width: int
    """Of the frame, in pixels."""

    def crops(self, ranges: Indices, side: int) -> FloatArray:
        """Parts (N, 4) left, top, right, bottom, none empty, brought to (N, side, side, 3) float32."""


class Sampler(CropSource, Protocol):
    """Takes up one frame after the other."""

    def fill(self, frame: ByteArray) -> None:
        """Take up a (H, W, 3) uint8 frame."""

    def canvas(self, pyramid: Pyramid) -> FloatArray:
        """The levels of its pyramid, (1, rows, columns, 4) float32: the fourth channel is the pyramid's `blank`.

        Holds until the next call of the sampler only.
        """
