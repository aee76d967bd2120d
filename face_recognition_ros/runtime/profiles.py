"""The input shapes that an engine is built for. All networks here take one input of pictures, channels last."""

from collections.abc import Mapping
from dataclasses import dataclass

from face_recognition_ros.errors import UnsuitedNetworkError
from face_recognition_ros.runtime.session import Shape

HEIGHT, WIDTH = (12, 324, 1600), (12, 194, 1300)
"""Shortest, usual and longest side in pixels of a picture of any size: 12 is P-Net's window, then the canvas of its
pyramid for 640x480 and faces of 40 pixels; the longest do for 1920x1080 and faces of 20, 1280x720 and faces of 12. The
engine's scratch memory is made for the longest."""
BATCH = (1, 8, 32)
"""Fewest, usual and most faces in a call."""
BATCH_OF_CANDIDATES = (1, 32, 256)
"""Likewise of pictures so small that they are a detector's candidates."""
CANDIDATE_SIDE = 48


@dataclass(frozen=True, slots=True)
class Profile:
    """The range of shapes of an engine's input."""

    name: str
    """Of the input."""
    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    """The shape that the engine is fastest at."""
    maximum: tuple[int, ...]

    @property
    def most(self) -> int:
        """The largest batch of one call."""
        return self.maximum[0]

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether the engine can take an input of that shape, put into several calls where its batch is too large."""
        return (
            len(shape) == len(self.minimum)
            and shape[0] >= self.minimum[0]
            and all(
                low <= length <= high
                for low, length, high in zip(self.minimum[1:], shape[1:], self.maximum[1:], strict=True)
            )
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.minimum} to {self.maximum}, best at {self.optimum}"


def profile_of(inputs: Mapping[str, Shape]) -> Profile:
    """The range that suits a network's input; raises UnsuitedNetworkError for one that takes something else."""
    (name, shape), *others = inputs.items()
    if others or len(shape) != 4 or shape[3] is None:
        raise UnsuitedNetworkError(f"the network takes {dict(inputs)}, not one (batch, height, width, channels) input")
    height, width = shape[1], shape[2]
    if height is None or width is None:
        batches = (1, 1, 1)  # one frame's pictures come one by one
    else:
        batches = BATCH_OF_CANDIDATES if max(height, width) <= CANDIDATE_SIDE else BATCH
    ranges = [
        choices if length is None else (length, length, length)
        for length, choices in zip(shape, (batches, HEIGHT, WIDTH, (0, 0, 0)), strict=True)
    ]
    minimum, optimum, maximum = zip(*ranges, strict=True)
    return Profile(name, minimum, optimum, maximum)
