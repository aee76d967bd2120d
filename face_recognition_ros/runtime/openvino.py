"""The OpenVINO backend: CPUs of Intel and AMD; in bfloat16, where that is allowed, faster than ONNX Runtime."""

import math
import sys
from collections import deque
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import BackendError, ModelError
from face_recognition_ros.runtime.session import Shape, fits

# `import openvino` imports its converter, which reports the import to Google Analytics where openvino_telemetry can be
# imported. A robot that knows faces reports nothing: openvino does without that package where it is not to be had.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

PARTS = (64, 16, 4, 1)
"""Numbers of samples for which a network is compiled; other numbers are put together from these."""
LARGEST_PART = 160_000
"""Numbers that a part's input may hold: four aligned crops. Larger parts win little and cost memory."""
MOST_SHAPES = 32
"""So many sizes of picture get a network of their own; further ones share one for any size, which is slower."""

Arrays = list[npt.NDArray[Any]]


class OpenVinoSession:
    """InferenceSession on OpenVINO's CPU device.

    OpenVINO's kernels for fixed shapes are much faster than those for shapes that it learns with each call. So a
    network that takes any number of samples is compiled for some of PARTS, when it is opened; a network that takes
    pictures of any size is compiled for a size when that comes again. All sessions share one pool of threads (TBB's).
    """

    def __init__(self, model_path: Path, threads: int = 0, allow_bf16: bool = False) -> None:
        """Load a model file; threads: how many of the process's shared threads a call may use, 0 for one per core.

        allow_bf16: compute in bfloat16 (8 bits of mantissa) where OpenVINO finds that the CPU can, else in float32.
        Raises ModelError where the file is missing, cut short or not an ONNX model, BackendError where it takes more
        than one input or has what OpenVINO cannot compile.
        """
        if not model_path.is_file():
            raise ModelError(f"There is no model file {model_path}.")
        self._config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if allow_bf16 else "f32",
            # Pinned threads cannot make way for the robot's other processes.
            "ENABLE_CPU_PINNING": False,
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        }
        try:
            self._model: Any = _core().read_model(model_path)
        except RuntimeError as error:
            raise ModelError(
                f"{model_path} ({model_path.stat().st_size} bytes) cannot be loaded as an ONNX model; "
                f"it may be cut short, damaged or of another format. OpenVINO says: {_last_line(error)}"
            ) from error
        self.inputs: Mapping[str, Shape] = {port.get_any_name(): _shape(port) for port in self._model.inputs}
        self.outputs: tuple[str, ...] = tuple(port.get_any_name() for port in self._model.outputs)
        self.metadata: Mapping[str, str] = _metadata(self._model)
        if len(self.inputs) != 1:
            raise BackendError(f"it runs networks with one input, and {model_path.name} takes {dict(self.inputs)}")
        ((self._input, self._shape),) = self.inputs.items()
        self._dtype = self._model.inputs[0].get_element_type().to_dtype()
        shapes = [_shape(port) for port in (*self._model.inputs, *self._model.outputs)]
        takes_samples = all(shape and shape[0] is None and None not in shape[1:] for shape in shapes)
        self._requests: dict[tuple[int, ...], Any] = {}
        self._recent_shapes: deque[tuple[int, ...]] = deque(maxlen=2 * MOST_SHAPES)
        try:
            self._parts = self._compile_parts() if takes_samples else ()
            self._any_shape: Any = None if takes_samples else self._compile(self._model)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot compile {model_path.name}: {_last_line(error)}") from error
        self.backend = self._in_words()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        if self._model is None:
            raise BackendError("This OpenVINO session was closed.")
        given = {name: f"{array.dtype}{array.shape}" for name, array in inputs.items()}
        if not fits(inputs, self.inputs, self._dtype):
            raise BackendError(f"OpenVINO refused inputs {given} for a model that takes {self._dtype}{self._shape}")
        batch = np.ascontiguousarray(inputs[self._input])
        try:
            return self._run_in_parts(batch) if self._parts else self._infer(batch)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed on inputs {given}: {_last_line(error)}") from error

    def close(self) -> None:
        self._model = self._any_shape = None
        self._requests.clear()

    def _run_in_parts(self, batch: npt.NDArray[Any]) -> Arrays:
        """Runs any number of samples, as many at once as a compiled network takes."""
        if len(batch) == 0:
            return [output[:0] for output in self._infer(np.zeros((1, *batch.shape[1:]), batch.dtype))]
        results = []
        start = 0
        for part in self._parts:
            while len(batch) - start >= part:
                results.append(self._infer(batch[start : start + part]))
                start += part
        return results[0] if len(results) == 1 else [np.concatenate(outputs) for outputs in zip(*results, strict=True)]

    def _infer(self, batch: npt.NDArray[Any]) -> Arrays:
        request = self._request_for(batch.shape)
        request.infer([batch], share_inputs=True)
        # The request writes its next results to the same place.
        return [request.get_output_tensor(index).data.copy() for index in range(len(self.outputs))]

    def _request_for(self, shape: tuple[int, ...]) -> Any:
        """The network compiled for this shape, or the one for any shape.

        A picture whose size does not come again, as in a folder of photos, is not worth the compiler's time.
        """
        if shape in self._requests:
            return self._requests[shape]
        if shape in self._recent_shapes and len(self._requests) < MOST_SHAPES:
            return self._compile_for(shape)
        self._recent_shapes.append(shape)
        return self._any_shape

    def _compile_parts(self) -> tuple[int, ...]:
        """Compiles the network for numbers of samples, of which the last is one; returns those."""
        sample = tuple(axis or 1 for axis in self._shape[1:])
        parts = tuple(part for part in PARTS if part == 1 or part * math.prod(sample) <= LARGEST_PART)
        for part in parts:
            self._compile_for((part, *sample))
        return parts

    def _compile_for(self, shape: tuple[int, ...]) -> Any:
        fixed = self._model.clone()
        fixed.reshape({self._input: shape})
        self._requests[shape] = self._compile(fixed)
        return self._requests[shape]

    def _compile(self, model: Any) -> Any:
        return _core().compile_model(model, "CPU", self._config).create_infer_request()

    def _in_words(self) -> str:
        network = (self._any_shape or next(iter(self._requests.values()))).get_compiled_model()
        precision = network.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        threads = network.get_property("INFERENCE_NUM_THREADS")
        return f"OpenVINO {openvino.__version__.split('-')[0]}, CPU, {precision}, {threads} threads"


@cache
def _core() -> Any:
    """The one OpenVINO of this process."""
    return openvino.Core()


def _shape(port: Any) -> Shape:
    return tuple(None if axis.is_dynamic else axis.get_length() for axis in port.get_partial_shape())


def _metadata(model: Any) -> dict[str, str]:
    """The key-value notes of the ONNX file, which OpenVINO's reader puts under "framework"."""
    notes = model.rt_info["framework"] if "framework" in model.rt_info else {}  # noqa: SIM401 - it has no `get`
    return {key: note.value for key, note in notes.items()}


def _last_line(error: Exception) -> str:
    """OpenVINO's messages begin with where in its source the error was raised, and end with what it is."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
