"""The torch backend: a desktop's NVIDIA GPU that has no TensorRT; float16, channels last, one CUDA graph per shape."""

import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from face_recognition_ros.errors import BackendError
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
from face_recognition_ros.runtime.parity import check_parity, pictures
from face_recognition_ros.runtime.profiles import profile_of
from face_recognition_ros.runtime.session import Shape, fits
from face_recognition_ros.runtime.torch_network import read_onnx, to_torch, with_half_convolutions

logger = logging.getLogger(__name__)

MOST_GRAPHS = 24
"""So many shapes get a CUDA graph, which holds its buffers on the GPU. Further ones run step by step, more slowly."""
WARM_UP_RUNS = 3
"""Before a graph is captured: cuDNN tries its kernels, and the allocator gets what it needs."""


class TorchCudaSession:
    """InferenceSession on torch, for networks that take pictures (batch, height, width, channels).

    Numbers of samples are padded to the next power of two, so that few shapes occur; a shape that comes again is
    captured as a CUDA graph and costs one launch from then on.
    """

    def __init__(self, model_path: Path, threads: int = 0, device: str = "cuda") -> None:
        """Load a model file and compare its numbers with ONNX Runtime's (whose threads these are).

        float16 is used where runtime.parity finds that it gives the same, float32 otherwise. device: "cpu" computes
        the same without a GPU, slowly, for tests. Raises BackendError where torch finds no GPU, where onnx2torch does
        not know an operator, or where float32 gives other numbers as well; ModelError where the file is missing, cut
        short or not an ONNX model.
        """
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise BackendError(f"torch {torch.__version__} finds no CUDA GPU")
        model = read_onnx(model_path)
        self.inputs: Mapping[str, Shape] = {value.name: _shape(value) for value in model.graph.input}
        self.outputs: tuple[str, ...] = tuple(value.name for value in model.graph.output)
        self.metadata: Mapping[str, str] = {note.key: note.value for note in model.metadata_props}
        typical = profile_of(self.inputs).optimum
        (self._input, self._shape), *_ = self.inputs.items()
        self._takes_samples = self._shape[0] is None and None not in self._shape[1:]
        self._dtype = onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
        self._graphs: dict[tuple[int, ...], _CapturedGraph] = {}
        self._most_graphs = MOST_GRAPHS if self._device.type == "cuda" else 0
        self._recent_shapes: deque[tuple[int, ...]] = deque(maxlen=2 * MOST_GRAPHS)
        self._network: Any = None
        try:
            network = to_torch(model, model_path.name).to(self._device, memory_format=torch.channels_last)
        except RuntimeError as error:  # a GPU that is full, or that this build of torch does not know
            raise BackendError(f"torch cannot load {model_path.name} on {device}: {_first_line(error)}") from error
        self._half = self._choose_half(network, OnnxRuntimeSession(model_path, threads), pictures(typical, self._dtype))
        where = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"
        self.backend = f"torch {torch.__version__}, {where}, {'float16' if self._half else 'float32'}"

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        if self._network is None:
            raise BackendError("This torch session was closed.")
        given = {name: f"{array.dtype}{array.shape}" for name, array in inputs.items()}
        if not fits(inputs, self.inputs, self._dtype):
            raise BackendError(f"torch refused inputs {given} for a model that takes {self._dtype} {dict(self.inputs)}")
        batch = np.ascontiguousarray(inputs[self._input])
        try:
            with torch.inference_mode():
                if not self._takes_samples:
                    return self._infer(batch)
                return [output[: len(batch)] for output in self._infer(_padded(batch))]
        except RuntimeError as error:  # of CUDA, and of torch's operators
            raise BackendError(f"torch failed on inputs {given}: {_first_line(error)}") from error

    def close(self) -> None:
        self._graphs.clear()
        self._network = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _infer(self, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        graph = self._graph_for(batch)
        if graph:
            return graph.run(batch)
        return [output.cpu().numpy() for output in self._compute(torch.from_numpy(batch).to(self._device))]

    def _compute(self, batch: torch.Tensor) -> list[torch.Tensor]:
        """Runs the network step by step; float32 results."""
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=False):
            outputs = self._network(batch)
        return [output.float() for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]

    def _graph_for(self, batch: npt.NDArray[Any]) -> "_CapturedGraph | None":
        """The CUDA graph for this shape; None the first time that it comes, and for shapes beyond `_most_graphs`."""
        shape = batch.shape
        if shape not in self._graphs and shape in self._recent_shapes and len(self._graphs) < self._most_graphs:
            try:
                self._graphs[shape] = _CapturedGraph(self._compute, batch, self._device)
            except RuntimeError as error:
                logger.warning("no CUDA graph for inputs of %s, all run step by step: %s", shape, _first_line(error))
                self._most_graphs = 0
        self._recent_shapes.append(shape)
        return self._graphs.get(shape)

    def _choose_half(self, network: Any, reference: OnnxRuntimeSession, sample: npt.NDArray[Any]) -> bool:
        """Puts the network in use, in float16 if its results agree; whether they do. BackendError if none agree."""
        self._half, self._network = True, with_half_convolutions(network)
        try:
            check_parity(reference, self, [{self._input: sample}])
        except BackendError as refusal:
            logger.warning("torch runs the network in float32, because in float16 %s", refusal)
            self._half, self._network = False, network
            check_parity(reference, self, [{self._input: sample}])
        finally:
            reference.close()
            self._recent_shapes.clear()
        return self._half


class _CapturedGraph:
    """The network for one shape as one CUDA launch, between page-locked memory and buffers that stay where they are."""

    def __init__(self, compute: Any, batch: npt.NDArray[Any], device: torch.device) -> None:
        """Raises RuntimeError where the network does something that cannot be captured."""
        self._device = device
        self._staged = torch.from_numpy(batch).pin_memory()
        self._batch = self._staged.to(device)
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                compute(self._batch)
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = compute(self._batch)
        self._results = [torch.empty(out.shape, dtype=out.dtype, pin_memory=True) for out in self._outputs]

    def run(self, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        self._staged.copy_(torch.from_numpy(batch))
        self._batch.copy_(self._staged, non_blocking=True)
        self._graph.replay()
        for result, output in zip(self._results, self._outputs, strict=True):
            result.copy_(output, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        return [result.numpy().copy() for result in self._results]


def _shape(value: Any) -> Shape:
    axes = value.type.tensor_type.shape.dim
    return tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in axes)


def _padded(batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """With zeros, to the next power of two of samples."""
    count = 1 << max(len(batch) - 1, 0).bit_length()
    return np.concatenate([batch, np.zeros((count - len(batch), *batch.shape[1:]), batch.dtype)])


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
