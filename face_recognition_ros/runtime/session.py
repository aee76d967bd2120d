"""What every inference backend offers: named arrays in, arrays out, and an honest word about itself."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

Shape = tuple[int | None, ...]
"""Lengths of the axes; None where any length is accepted."""


class InferenceSession(Protocol):
    """A loaded network. One thread at a time may use it."""

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """Name and shape of each input, in the model's order."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order in which `run` returns them."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The model file's own key-value notes."""

    @property
    def backend(self) -> str:
        """Runtime, version and device in words, for diagnostics."""

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Return the outputs for these inputs; raise BackendError where the runtime refuses them."""

    def close(self) -> None:
        """Give the memory back; a closed session refuses to run. May be called twice."""


def fits(inputs: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, Shape], dtype: npt.DTypeLike) -> bool:
    """Whether a network gets the inputs that it takes, all of that type; for runtimes that would convert or guess."""
    return inputs.keys() == expected.keys() and all(
        array.dtype == dtype
        and array.ndim == len(expected[name])
        and all(axis in (None, length) for axis, length in zip(expected[name], array.shape, strict=True))
        for name, array in inputs.items()
    )
