"""What TensorRT needs of CUDA, through cuda-python: a stream, memory on both sides of the bus, recorded work."""

import ctypes
import importlib
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import BackendError

MODULES = ("cuda.bindings.runtime", "cuda.cudart")
"""Where cuda-python keeps the CUDA runtime's functions: since 12.6.1, and before."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """What the engines depend on."""

    name: str
    compute_capability: str


class Cuda:
    """The CUDA runtime on the first GPU; every failure is a BackendError."""

    def __init__(self) -> None:
        """Raises BackendError where cuda-python is not installed, or finds no driver or no GPU."""
        self.api = _import_runtime()
        try:
            count = self.call(self.api.cudaGetDeviceCount)
        except RuntimeError as error:  # cuda-python 12.6 and older: no driver library
            raise BackendError(f"there is no CUDA driver: {error}") from error
        if count < 1:
            raise BackendError("CUDA finds no GPU")
        properties = self.call(self.api.cudaGetDeviceProperties, 0)
        self.gpu = Gpu(_text(properties.name), f"{properties.major}.{properties.minor}")

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What one of the runtime's functions returns after its status: nothing, a value, or a tuple of them."""
        status, *values = function(*arguments)
        if status != self.api.cudaError_t.cudaSuccess:
            _, explanation = self.api.cudaGetErrorString(status)
            raise BackendError(f"CUDA's {function.__name__} failed: {_text(explanation)}")
        return values[0] if len(values) == 1 else tuple(values) or None

    def until_collected(self, owner: object, release: Callable[..., Any], handle: Any) -> Callable[[], object]:
        """Releases the handle when the owner is garbage, or earlier by calling what this returns; never at exit.

        At exit the driver may be gone already, and takes everything along with the process. A handle that cannot be
        released, after the GPU has failed, has nobody to complain to.
        """
        finalizer = weakref.finalize(owner, release, handle)
        finalizer.atexit = False
        return finalizer


class Stream:
    """Work that the GPU does in order."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.handle = cuda.call(cuda.api.cudaStreamCreateWithFlags, cuda.api.cudaStreamNonBlocking)
        self.free = cuda.until_collected(self, cuda.api.cudaStreamDestroy, self.handle)

    def wait(self) -> None:
        """Returns when the GPU has done all work of this stream."""
        self.cuda.call(self.cuda.api.cudaStreamSynchronize, self.handle)

    def record(self, work: Callable[[], None]) -> "Recording":
        """What `work` puts on this stream, recorded instead of done; raises BackendError where it cannot be."""
        api, call = self.cuda.api, self.cuda.call
        call(api.cudaStreamBeginCapture, self.handle, api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            work()
        except BackendError:
            api.cudaStreamEndCapture(self.handle)  # the stream must be fit for use again, whatever this says
            raise
        graph = call(api.cudaStreamEndCapture, self.handle)
        try:
            return Recording(self, call(api.cudaGraphInstantiate, graph, 0))
        finally:
            call(api.cudaGraphDestroy, graph)


class Recording:
    """A CUDA graph: recorded work that the GPU repeats at one call."""

    def __init__(self, stream: Stream, handle: Any) -> None:
        self._stream, self._handle = stream, handle
        self.free = stream.cuda.until_collected(self, stream.cuda.api.cudaGraphExecDestroy, handle)

    def replay(self) -> None:
        cuda = self._stream.cuda
        cuda.call(cuda.api.cudaGraphLaunch, self._handle, self._stream.handle)


class DeviceMemory:
    """Bytes on the GPU."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        self.size = max(size, 1)
        self.address: int = int(cuda.call(cuda.api.cudaMalloc, self.size))
        self.free = cuda.until_collected(self, cuda.api.cudaFree, self.address)


class Tensor:
    """An array in page-locked memory, which the GPU reads and writes by itself, and its twin on the GPU."""

    def __init__(self, stream: Stream, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        cuda = stream.cuda
        self._stream = stream
        self._size = math.prod(shape) * np.dtype(dtype).itemsize
        self._device = DeviceMemory(cuda, self._size)
        self._host: int = int(cuda.call(cuda.api.cudaMallocHost, max(self._size, 1)))
        cuda.until_collected(self, cuda.api.cudaFreeHost, self._host)
        memory = (ctypes.c_uint8 * self._size).from_address(self._host)
        self.array: npt.NDArray[Any] = np.frombuffer(memoryview(memory), np.dtype(dtype)).reshape(shape)
        self.array[...] = 0

    @property
    def address(self) -> int:
        """On the GPU."""
        return self._device.address

    def upload(self) -> None:
        """Puts the copy to the GPU on the stream."""
        kind = self._stream.cuda.api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(self._device.address, self._host, kind)

    def download(self) -> None:
        """Puts the copy from the GPU on the stream."""
        kind = self._stream.cuda.api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(self._host, self._device.address, kind)

    def _copy(self, target: int, source: int, kind: Any) -> None:
        cuda = self._stream.cuda
        cuda.call(cuda.api.cudaMemcpyAsync, target, source, self._size, kind, self._stream.handle)


def _import_runtime() -> Any:
    reasons = []
    for name in MODULES:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reasons.append(str(error))
    raise BackendError(f"cuda-python cannot be imported ({reasons[0]}); docs/tensorrt.md says which release to install")


def _text(words: bytes | str) -> str:
    """cuda-python gives C strings, the older releases with what lies behind their end."""
    return words.split(b"\0")[0].decode(errors="replace") if isinstance(words, bytes) else words
