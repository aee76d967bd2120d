"""The TensorRT backend: engines built from the ONNX files, fed through page-locked memory, replayed as CUDA graphs."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import BackendError
from face_recognition_ros.runtime.cuda import DeviceMemory, Recording, Stream, Tensor
from face_recognition_ros.runtime.profiles import Profile
from face_recognition_ros.runtime.session import InferenceSession, Shape
from face_recognition_ros.runtime.tensorrt_build import TensorRt

logger = logging.getLogger(__name__)

MOST_SHAPES = 32
"""So many input shapes keep their buffers and their recording; the one not used for longest makes way."""

Arrays = list[npt.NDArray[Any]]


class TensorRtSession:
    """InferenceSession on a TensorRT engine.

    A batch is rounded up to a power of two, so that few shapes come again and again; for each there is an execution
    context, its tensors and, from the second call on, a CUDA graph of upload, execution and download. All contexts
    work in the same scratch memory, one after the other on one stream.
    What the engine was not built for (an empty batch, a picture too large or too small), and what is too large for
    half precision, `reference` runs.
    """

    def __init__(self, tensorrt: TensorRt, plan: bytes, profile: Profile, reference: InferenceSession) -> None:
        """Raises BackendError where TensorRT refuses the plan: it is of another version, machine or network."""
        trt = tensorrt.api
        self.inputs: Mapping[str, Shape] = reference.inputs
        self.outputs: tuple[str, ...] = reference.outputs
        self.metadata: Mapping[str, str] = reference.metadata
        self.backend = f"TensorRT {tensorrt.version}, {tensorrt.cuda.gpu.name}, {tensorrt.precision}"
        self.handed_on = 0
        """So many calls `reference` has run."""
        self._has_overflowed = False
        self._tensorrt = tensorrt
        self._profile = profile
        self._reference = reference
        self._runtime = trt.Runtime(tensorrt.log)  # must outlive the engine
        tensorrt.log.complaint = ""
        self._engine: Any = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise BackendError(f"TensorRT refuses the engine: {tensorrt.log.complaint or 'it says no reason'}")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        if set(names) != {profile.name, *reference.outputs}:
            raise BackendError(f"the engine has the tensors {names}, the network {profile.name} and {self.outputs}")
        self.dtype: np.dtype[Any] = np.dtype(trt.nptype(self._engine.get_tensor_dtype(profile.name)))
        self._stream = Stream(tensorrt.cuda)
        self._scratch = DeviceMemory(tensorrt.cuda, self._engine.device_memory_size_v2)
        self._prepared: OrderedDict[tuple[int, ...], _PreparedShape] = OrderedDict()

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        if self._engine is None:
            raise BackendError("This TensorRT session was closed.")
        if not self._takes(inputs):
            return self._hand_on(inputs)
        batch = inputs[self._profile.name]
        parts = [
            self._run_part(batch[start : start + self._profile.most])
            for start in range(0, len(batch), self._profile.most)
        ]
        answer = parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
        if all(np.isfinite(output).all() for output in answer):
            return answer
        # Half precision ends at 65504; a picture unlike any face (white noise) can take a network further.
        if not self._has_overflowed:
            logger.warning("half precision does not hold the numbers of an input; ONNX Runtime runs such calls")
        self._has_overflowed = True
        return self._hand_on(inputs)

    def close(self) -> None:
        self._prepared.clear()
        self._engine = None
        self._runtime = None
        self._scratch.free()
        self._stream.free()
        self._reference.close()

    def _hand_on(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        self.handed_on += 1
        return self._reference.run(inputs)

    def _takes(self, inputs: Mapping[str, npt.NDArray[Any]]) -> bool:
        array = inputs.get(self._profile.name)
        return len(inputs) == 1 and array is not None and array.dtype == self.dtype and self._profile.holds(array.shape)

    def _run_part(self, batch: npt.NDArray[Any]) -> Arrays:
        rounded = min(1 << (len(batch) - 1).bit_length(), self._profile.most)
        shape = (rounded, *batch.shape[1:])
        prepared = self._prepared.get(shape)
        if prepared is None:
            while len(self._prepared) >= MOST_SHAPES:
                self._prepared.popitem(last=False)
            prepared = self._prepared[shape] = self._prepare(shape)
        self._prepared.move_to_end(shape)
        return prepared.run(batch)

    def _prepare(self, shape: tuple[int, ...]) -> "_PreparedShape":
        trt = self._tensorrt.api
        context = self._engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise BackendError(f"TensorRT makes no execution context: {self._tensorrt.log.complaint}")
        context.set_device_memory(self._scratch.address, self._scratch.size)
        if not context.set_input_shape(self._profile.name, shape):
            raise BackendError(f"TensorRT refuses the input shape {shape}: {self._tensorrt.log.complaint}")
        tensors = {}
        for name in (self._profile.name, *self.outputs):
            dtype = trt.nptype(self._engine.get_tensor_dtype(name))
            tensors[name] = Tensor(self._stream, tuple(context.get_tensor_shape(name)), dtype)
            if not context.set_tensor_address(name, tensors[name].address):
                raise BackendError(f"TensorRT refuses the memory of {name}: {self._tensorrt.log.complaint}")
        return _PreparedShape(self._tensorrt, context, self._stream, tensors, self._profile.name)


class _PreparedShape:
    """An execution context for one input shape, its tensors, and a recording of what the GPU does for them."""

    def __init__(
        self, tensorrt: TensorRt, context: Any, stream: Stream, tensors: Mapping[str, Tensor], input_name: str
    ) -> None:
        self._tensorrt, self._context, self._stream = tensorrt, context, stream
        self._input = tensors[input_name]
        self._outputs = [tensor for name, tensor in tensors.items() if name != input_name]
        self._recording: Recording | None = None
        self._has_run = self._cannot_be_recorded = False

    def run(self, batch: npt.NDArray[Any]) -> Arrays:
        """Outputs of as many rows as the batch has; the other rows of the tensors hold what was there before."""
        self._input.array[: len(batch)] = batch
        if self._recording is None and self._has_run and not self._cannot_be_recorded:  # TensorRT must have run before
            self._record()
        if self._recording:
            self._recording.replay()
        else:
            self._enqueue()
        self._stream.wait()
        self._has_run = True
        return [tensor.array[: len(batch)].copy() for tensor in self._outputs]

    def _record(self) -> None:
        try:
            self._recording = self._stream.record(self._enqueue)
        except BackendError as error:
            self._cannot_be_recorded = True
            logger.warning("no CUDA graph for %s, each call is made step by step: %s", self._input.array.shape, error)

    def _enqueue(self) -> None:
        self._input.upload()
        if not self._context.execute_async_v3(int(self._stream.handle)):
            raise BackendError(f"TensorRT could not run the network: {self._tensorrt.log.complaint}")
        for tensor in self._outputs:
            tensor.download()
