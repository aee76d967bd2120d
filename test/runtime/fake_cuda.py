# ruff: noqa: N801, N802, N803, N815, N818
"""A CUDA runtime without a GPU, at the boundary of cuda-python, that insists on CUDA's rules.

Device memory lies in numpy buffers behind addresses that mean nothing to the CPU. A stream does its work when it is
waited for and not before, so that who forgets to wait gets what was there before. What CUDA would punish with a crash
(memory out of bounds or freed, a copy from memory that is not page-locked) breaks the GPU for good and is written down
in `violations`. Every public name here is one of cuda-python's, which test_tensorrt_bindings.py checks.
"""

import ctypes
import enum
import itertools
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from face_recognition_ros.types import ByteArray

Work = Callable[[], None]


class Violation(Exception):
    """Something that CUDA forbids."""


class FakeGpu:
    """What the GPU holds and does; a test may break it or look into it."""

    has_driver = True

    def __init__(self, name: str = "Orin", capability: tuple[int, int] = (8, 7), count: int = 1) -> None:
        self.name, self.capability, self.count = name, capability, count
        self.device: dict[int, ByteArray] = {}
        self.host: dict[int, Any] = {}
        self.streams: dict[int, list[Work]] = {}
        self.capturing: list[Work] | None = None
        self.captures_are_refused = False
        self.graphs: dict[int, list[Work]] = {}
        self.launches = 0
        self.violations: list[str] = []
        self.broken = False
        self._addresses = itertools.count(0x7F00_0000_0000, 0x1_0000_0000)

    def new_address(self) -> int:
        return next(self._addresses)

    def device_bytes(self, address: int, size: int) -> ByteArray:
        return self._slice(self.device, address, size, "device")

    def host_bytes(self, address: int, size: int) -> ByteArray:
        views = {start: np.frombuffer(memory, np.uint8) for start, memory in self.host.items()}
        return self._slice(views, address, size, "page-locked")

    def enqueue(self, stream: int, work: Work) -> None:
        if stream not in self.streams:
            raise Violation(f"there is no stream {stream}")
        (self.streams[stream] if self.capturing is None else self.capturing).append(work)

    def finish(self, stream: int) -> None:
        work, self.streams[stream] = self.streams[stream], []
        for step in work:
            step()

    @staticmethod
    def _slice(blocks: dict[int, ByteArray], address: int, size: int, kind: str) -> ByteArray:
        for start, block in blocks.items():
            if start <= address and address + size <= start + len(block):
                return block[address - start : address - start + size]
        raise Violation(f"{size} bytes at {address:#x} are no {kind} memory")


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorIllegalAddress = 700
    cudaErrorMemoryAllocation = 2


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


class _Handle:
    """cuda-python's handles are objects that become numbers."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __int__(self) -> int:
        return self.number


def fake_cuda(gpu: FakeGpu) -> ModuleType:
    """The module cuda.bindings.runtime, or cuda.cudart."""
    module = ModuleType("cuda.bindings.runtime")
    for function in _Runtime(gpu).functions():
        setattr(module, function.__name__, function)
    module.cudaError_t = cudaError_t  # type: ignore[attr-defined]
    module.cudaMemcpyKind = cudaMemcpyKind  # type: ignore[attr-defined]
    module.cudaStreamCaptureMode = cudaStreamCaptureMode  # type: ignore[attr-defined]
    module.cudaStreamNonBlocking = 1  # type: ignore[attr-defined]
    return module


class _Runtime:
    """Each function returns a tuple that begins with a status, as cuda-python's do."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu

    def functions(self) -> list[Callable[..., Any]]:
        names = [name for name in dir(self) if name.startswith("cuda")]
        return [self._guarded(name, getattr(self, name)) for name in names]

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        gpu = self._gpu

        def guarded(*arguments: Any) -> Any:
            if gpu.broken and name != "cudaGetErrorString":
                return (cudaError_t.cudaErrorIllegalAddress,) + (None,) * (name.startswith(("cudaMalloc", "cudaGet")))
            try:
                result = function(*arguments)
            except Violation as violation:
                gpu.violations.append(f"{name}: {violation}")
                gpu.broken = True
                return (cudaError_t.cudaErrorIllegalAddress,)
            return result if isinstance(result, tuple) else (cudaError_t.cudaSuccess,)

        guarded.__name__, guarded.__wrapped__ = name, function  # type: ignore[attr-defined]
        return guarded

    def cudaGetErrorString(self, error: cudaError_t) -> Any:
        return cudaError_t.cudaSuccess, error.name.encode() + b"\0garbage"

    def cudaGetDeviceCount(self) -> Any:
        if not self._gpu.has_driver:  # as cuda-python 12.6 does; the later ones return a status
            raise RuntimeError("Failed to dlopen libcuda.so.1")
        return cudaError_t.cudaSuccess, self._gpu.count

    def cudaGetDeviceProperties(self, device: int) -> Any:
        major, minor = self._gpu.capability
        return cudaError_t.cudaSuccess, SimpleNamespace(name=self._gpu.name.encode(), major=major, minor=minor)

    def cudaMalloc(self, size: int) -> Any:
        address = self._gpu.new_address()
        self._gpu.device[address] = np.full(size, 0xAB, np.uint8)
        return cudaError_t.cudaSuccess, address

    def cudaFree(self, devPtr: int) -> Any:
        if self._gpu.device.pop(devPtr, None) is None:
            raise Violation("freed what is not there")

    def cudaMallocHost(self, size: int) -> Any:
        memory = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(memory)
        self._gpu.host[address] = memory
        return cudaError_t.cudaSuccess, address

    def cudaFreeHost(self, ptr: int) -> Any:
        if self._gpu.host.pop(ptr, None) is None:
            raise Violation("freed what is not there")

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: _Handle) -> Any:
        upload = kind is cudaMemcpyKind.cudaMemcpyHostToDevice

        def copy() -> None:
            if upload:
                self._gpu.device_bytes(dst, count)[:] = self._gpu.host_bytes(src, count)
            else:
                self._gpu.host_bytes(dst, count)[:] = self._gpu.device_bytes(src, count)

        self._gpu.enqueue(int(stream), copy)

    def cudaStreamCreateWithFlags(self, flags: int) -> Any:
        handle = _Handle(self._gpu.new_address())
        self._gpu.streams[int(handle)] = []
        return cudaError_t.cudaSuccess, handle

    def cudaStreamSynchronize(self, stream: _Handle) -> Any:
        if self._gpu.capturing is not None:
            raise Violation("waited for a stream that is being captured")
        self._gpu.finish(int(stream))

    def cudaStreamDestroy(self, stream: _Handle) -> Any:
        if self._gpu.streams.pop(int(stream), None) is None:
            raise Violation("freed what is not there")

    def cudaStreamBeginCapture(self, stream: _Handle, mode: cudaStreamCaptureMode) -> Any:
        if self._gpu.capturing is not None or self._gpu.streams[int(stream)]:
            raise Violation("began to capture a stream that is busy")
        self._gpu.capturing = []

    def cudaStreamEndCapture(self, stream: _Handle) -> Any:
        recorded, self._gpu.capturing = self._gpu.capturing, None
        if self._gpu.captures_are_refused or recorded is None:
            return cudaError_t.cudaErrorStreamCaptureUnsupported, None
        return cudaError_t.cudaSuccess, self._new_graph(recorded)

    def cudaGraphInstantiate(self, graph: _Handle, flags: int) -> Any:
        return cudaError_t.cudaSuccess, self._new_graph(list(self._gpu.graphs[int(graph)]))

    def cudaGraphLaunch(self, graphExec: _Handle, stream: _Handle) -> Any:
        self._gpu.launches += 1
        for work in self._gpu.graphs[int(graphExec)]:
            self._gpu.enqueue(int(stream), work)

    def cudaGraphDestroy(self, graph: _Handle) -> Any:
        del self._gpu.graphs[int(graph)]

    def cudaGraphExecDestroy(self, graphExec: _Handle) -> Any:
        del self._gpu.graphs[int(graphExec)]

    def _new_graph(self, work: list[Work]) -> _Handle:
        handle = _Handle(self._gpu.new_address())
        self._gpu.graphs[int(handle)] = work
        return handle
