"""Whether a backend gives the numbers that ONNX Runtime gives: the condition for taking over from it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import BackendError
from face_recognition_ros.runtime.session import InferenceSession

RELATIVE_TOLERANCE = 0.02
"""Length of the difference to length, of a sample's output as a vector and of each of its channels over all samples."""
ABSOLUTE_TOLERANCE = 0.002
"""Root mean square difference that is no matter in any case: outputs are logits, offsets in units of a box, and
components of unit vectors. Both together let a unit vector of 64 numbers turn by two degrees."""
LARGEST_DIFFERENCE = 0.1
"""No single number may be further off, or by more than this part of the sample's largest."""

Inputs = Mapping[str, npt.NDArray[Any]]


def pictures(shape: Sequence[int], dtype: npt.DTypeLike, seed: int = 0) -> npt.NDArray[Any]:
    """Something like pictures (N, H, W, C): smooth blobs and a little noise, 0 to 255; the same for the same seed.

    A fourth channel, which says where there is no picture, stays 0.
    """
    generator = np.random.default_rng(seed)
    count, height, width, channels = shape
    coarse = generator.uniform(0, 255, (count, -(-height // 8) + 1, -(-width // 8) + 1, channels))
    rows, columns = np.arange(height) / 8, np.arange(width) / 8
    above, left = rows.astype(int), columns.astype(int)
    down, right = (rows - above)[:, None, None], (columns - left)[:, None]
    upper, lower = coarse[:, above], coarse[:, above + 1]
    strips = upper * (1 - down) + lower * down
    smooth = strips[:, :, left] * (1 - right) + strips[:, :, left + 1] * right
    noisy: npt.NDArray[Any] = np.clip(smooth + generator.normal(0, 8, smooth.shape), 0, 255).astype(dtype)
    noisy[..., 3:] = 0
    return noisy


def check_parity(reference: InferenceSession, candidate: InferenceSession, samples: Sequence[Inputs]) -> float:
    """The largest relative difference over the samples; raises BackendError where they do not agree well enough."""
    worst = 0.0
    for inputs in samples:
        for name, expected, actual in _outputs(reference, candidate, inputs):
            if actual.shape != expected.shape:
                raise BackendError(f"its output {name} has shape {actual.shape}, ONNX Runtime's has {expected.shape}")
            worst = max(worst, _difference(name, expected, actual))
    return worst


def _outputs(
    reference: InferenceSession, candidate: InferenceSession, inputs: Inputs
) -> Iterator[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]]:
    return zip(reference.outputs, reference.run(inputs), candidate.run(inputs), strict=True)


def _difference(name: str, expected: npt.NDArray[Any], actual: npt.NDArray[Any]) -> float:
    """The largest relative difference of a sample or a channel of this output, (N, C) or (N, C, ...)."""
    wanted = expected.reshape(*expected.shape[:2], -1).astype(np.float64)
    difference = np.abs(actual.reshape(wanted.shape).astype(np.float64) - wanted)
    if not np.isfinite(difference).all():
        raise BackendError(f"its output {name} has numbers that are not finite")
    worst = 0.0
    for kind, axes in (("sample", (1, 2)), ("channel", (0, 2))):
        sizes = np.sqrt(np.mean(wanted**2, axis=axes))
        errors = np.sqrt(np.mean(difference**2, axis=axes))
        excess = errors - RELATIVE_TOLERANCE * sizes - ABSOLUTE_TOLERANCE
        if (excess > 0).any():
            which = int(np.argmax(excess))
            raise BackendError(
                f"its output {name} differs from ONNX Runtime's: in {kind} {which} by {errors[which]:.3g} where the "
                f"numbers are of size {sizes[which]:.3g} (root mean squares), too much for rounding"
            )
        worst = max(worst, float(np.max(errors / np.maximum(sizes, ABSOLUTE_TOLERANCE))))
    largest = np.abs(wanted).max(axis=(1, 2))
    if (difference.max(axis=(1, 2)) > LARGEST_DIFFERENCE * np.maximum(1.0, largest)).any():
        raise BackendError(f"its output {name} has a number that differs from ONNX Runtime's by {difference.max():.3g}")
    return worst
