"""TensorRT 10 and 11 without a GPU, at the boundary of the Python bindings: engines run the ONNX file on the fake GPU.

It insists on what TensorRT insists on: shapes within the profile, every address and the scratch memory set before
execution, a run before a capture, engines of this version and GPU only, bytes cast before anything else, on 10.3 no
convolutions compiled on the spot beside Swish. Every public name here, with its arguments, is one of the bindings',
which test_tensorrt_bindings.py checks; so code that runs here calls nothing that the bindings lack.
"""

import enum
import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime

from .fake_cuda import FakeGpu
from .fake_tensorrt_build import MAGIC, building

SCRATCH = 4096


class FakeTensorRt:
    """One installation; a test may make it fail."""

    def __init__(self, gpu: FakeGpu, version: str = "10.3.0") -> None:
        self.gpu, self.version = gpu, version
        self.builds = 0
        self._logger: Any = None
        self.cannot_read = ""
        """What the parser complains of."""
        self.fails = ""
        """What the builder complains of, instead of building."""
        self.error = 0.0
        """What its engines add to all outputs."""
        self.while_building: Callable[[], None] = lambda: None
        self.configurations: list[Mapping[str, Any]] = []
        """What the builder was asked for."""

    def listen(self, logger: Any) -> Any:
        """TensorRT's logger is one for all its objects: the first that it is given."""
        self._logger = self._logger or logger
        if logger is not self._logger:
            self.gpu.violations.append("another logger than the first one")
        return self._logger

    @property
    def typed(self) -> bool:
        return int(self.version.split(".")[0]) >= 11

    def module(self) -> ModuleType:
        module = ModuleType("tensorrt")
        module.__dict__.update(_enumerations(self.typed), __version__=self.version)
        trt: Any = module
        module.__dict__.update(
            {kind.__name__: kind for kind in [*building(self, trt), *_running(self, trt)]},
            float32=trt.DataType.FLOAT,
            uint8=trt.DataType.UINT8,
            nptype=lambda trt_type: {trt.DataType.FLOAT: np.float32, trt.DataType.UINT8: np.uint8}[trt_type],
        )
        return module


def _enumerations(typed: bool) -> dict[str, Any]:
    flags = {"TF32": 6} if typed else {"TF32": 6, "FP16": 0}
    sources = (
        {"EDGE_MASK_CONVOLUTIONS": 0, "JIT_CONVOLUTIONS": 1}
        if typed
        else {"CUBLAS": 0, "CUBLAS_LT": 1, "CUDNN": 2, "EDGE_MASK_CONVOLUTIONS": 3, "JIT_CONVOLUTIONS": 4}
    )
    return {
        "BuilderFlag": enum.IntEnum("BuilderFlag", flags),
        "TacticSource": enum.IntEnum("TacticSource", sources),
        "MemoryPoolType": enum.IntEnum("MemoryPoolType", {"WORKSPACE": 0}),
        "DataType": enum.IntEnum("DataType", {"FLOAT": 0, "HALF": 1, "INT32": 3, "UINT8": 5}),
        "ExecutionContextAllocationStrategy": enum.IntEnum(
            "ExecutionContextAllocationStrategy", {"STATIC": 0, "ON_PROFILE_CHANGE": 1, "USER_MANAGED": 2}
        ),
    }


def _running(fake: FakeTensorRt, trt: Any) -> list[type]:
    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = fake.listen(logger)

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> "ICudaEngine | None":
            head, _, model = serialized_engine.removeprefix(MAGIC).partition(b"\n")
            try:
                description = json.loads(head)
            except ValueError:
                description = {}
            if (description.get("version"), description.get("gpu")) != (fake.version, fake.gpu.name):
                self._logger.log(trt.ILogger.ERROR, "Serialization assertion failed: version or GPU does not match")
                return None
            return ICudaEngine(description, model, self._logger)

    class ICudaEngine:
        def __init__(self, description: Mapping[str, Any], model: bytes, logger: Any) -> None:
            self._description, self._logger = description, logger
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1  # tests open many
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self._inputs = {node.name: node for node in self._session.get_inputs()}
            self._names = [node.name for node in (*self._session.get_inputs(), *self._session.get_outputs())]

        num_io_tensors = property(lambda self: len(self._names))
        device_memory_size_v2 = property(lambda self: SCRATCH)

        def get_tensor_name(self, index: int) -> str:
            return str(self._names[index])

        def get_tensor_dtype(self, name: str) -> Any:
            byte = name in self._inputs and self._inputs[name].type == "tensor(uint8)"
            return trt.DataType.UINT8 if byte else trt.DataType.FLOAT

        def create_execution_context(self, strategy: Any = 0) -> "IExecutionContext":
            assert strategy == trt.ExecutionContextAllocationStrategy.USER_MANAGED
            return IExecutionContext(self)

        def _compute(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            outputs = self._session.run(None, dict(inputs))
            if self._description["half"]:
                outputs = [output.astype(np.float16).astype(np.float32) for output in outputs]
            names = [node.name for node in self._session.get_outputs()]
            return {name: output + np.float32(fake.error) for name, output in zip(names, outputs, strict=True)}

    class IExecutionContext:
        def __init__(self, engine: ICudaEngine) -> None:
            self._engine = engine
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._addresses: dict[str, int] = {}
            self._scratch = (0, 0)
            self._has_run = False

        def set_device_memory(self, memory: int, size: int) -> None:
            self._scratch = (memory, size)

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            low, _, high = self._engine._description["shapes"][name]
            if not all(a <= length <= b for a, length, b in zip(low, shape, high, strict=True)):
                self._complain(f"shape {shape} of {name} is not within the profile")
                return False
            dtype = trt.nptype(self._engine.get_tensor_dtype(name))
            outputs = self._engine._compute({name: np.zeros(shape, dtype)})
            self._shapes = {name: shape} | {output: array.shape for output, array in outputs.items()}
            self._has_run = False
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return self._shapes[name]

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            gpu = fake.gpu
            if gpu.broken:
                self._complain("Cuda Runtime (an illegal memory access was encountered)")
                return False
            if set(self._addresses) != set(self._engine._names) or self._scratch[1] < SCRATCH:
                self._complain("an address or the scratch memory is not set")
                return False
            if gpu.capturing is not None and not self._has_run:
                self._complain("a context must have run before it is captured")
                return False
            self._has_run = True
            scratch, addresses, shapes = self._scratch, dict(self._addresses), dict(self._shapes)

            def compute() -> None:
                gpu.device_bytes(*scratch)[:] = 0xCD
                arrays = {name: self._array(name, addresses, shapes) for name in self._engine._names}
                inputs = {name: arrays[name].copy() for name in self._engine._inputs}
                for name, output in self._engine._compute(inputs).items():
                    arrays[name][...] = output

            gpu.enqueue(stream_handle, compute)
            return True

        def _array(self, name: str, addresses: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> Any:
            dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
            size = int(np.prod(shapes[name])) * dtype.itemsize
            return fake.gpu.device_bytes(addresses[name], size).view(dtype).reshape(shapes[name])

        def _complain(self, words: str) -> None:
            self._engine._logger.log(trt.ILogger.ERROR, words)

    return [Runtime, ICudaEngine, IExecutionContext]
