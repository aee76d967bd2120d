"""The ONNX Runtime backend: any laptop's CPU, or CUDA where onnxruntime was built with it."""

import logging
import os
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime

from face_recognition_ros.errors import BackendError, ModelError
from face_recognition_ros.runtime.session import Shape

logger = logging.getLogger(__name__)

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""Execution providers in order of preference; those that this onnxruntime lacks are left out."""

AWAKE = {"session.force_spinning_stop": "1"}
"""How long a session's threads wait awake for more work: from layer to layer, not beyond the last (decision 16)."""


@cache
def _share_memory() -> None:
    """Have all sessions compute in the same memory: they do so one after the other, and each needs tens of megabytes.

    It grows by what is asked for, not in powers of two.
    """
    cpu = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    unlimited, as_requested, default = 0, 1, -1
    arena = onnxruntime.OrtArenaCfg(unlimited, as_requested, default, default)
    onnxruntime.create_and_register_allocator(cpu, arena)


class OnnxRuntimeSession:
    """InferenceSession on ONNX Runtime."""

    def __init__(self, model_path: Path, threads: int = 0) -> None:
        """Load a model file; threads: 0 for one per core.

        Raises ModelError where the file is missing, cut short or not an ONNX model.
        """
        if not model_path.is_file():
            raise ModelError(f"There is no model file {model_path}.")
        _share_memory()
        try:
            self._session: Any = _open(model_path, threads)
        except Exception as error:  # onnxruntime's errors have no common base below Exception
            raise ModelError(
                f"{model_path} ({model_path.stat().st_size} bytes) cannot be loaded as an ONNX model; "
                f"it may be cut short, damaged or of another format. ONNX Runtime says: {_first_line(error)}"
            ) from error
        self.inputs: Mapping[str, Shape] = {
            node.name: tuple(axis if isinstance(axis, int) else None for axis in node.shape)
            for node in self._session.get_inputs()
        }
        self.outputs: tuple[str, ...] = tuple(node.name for node in self._session.get_outputs())
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        device = str(self._session.get_providers()[0]).removesuffix("ExecutionProvider")
        threads_in_words = f"{threads} threads" if threads else "a thread per core"
        self.backend = f"ONNX Runtime {onnxruntime.__version__}, {device}, {threads_in_words}"

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        if self._session is None:
            raise BackendError("This ONNX Runtime session was closed.")
        try:
            return list(self._session.run(None, dict(inputs)))
        except Exception as error:  # as above
            given = {name: f"{array.dtype}{array.shape}" for name, array in inputs.items()}
            raise BackendError(
                f"ONNX Runtime refused inputs {given} for a model that takes {dict(self.inputs)}: {_first_line(error)}"
            ) from error

    def close(self) -> None:
        self._session = None


def _open(model_path: Path, threads: int) -> Any:
    """A session on the first provider that works: one that finds no usable GPU gives way to the CPU."""
    available = onnxruntime.get_available_providers()
    refusals: list[Exception] = []
    for provider in [provider for provider in PROVIDERS if provider in available]:
        try:
            session = onnxruntime.InferenceSession(
                str(model_path), _session_options(threads), providers=[provider], enable_fallback=False
            )
        except Exception as error:  # as above
            refusals.append(error)
            continue
        for refusal in refusals:
            logger.warning("%s runs on %s: %s", model_path.name, provider, _first_line(refusal))
        return session
    raise refusals[-1]


def _session_options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    allowed = os.sched_getaffinity(0)
    if not threads and len(allowed) < (os.cpu_count() or 1):
        threads = len(allowed)  # onnxruntime would count all, and use those that were not allowed as well
    options.intra_op_num_threads = threads
    if places := workers_places(threads, allowed):
        options.add_session_config_entry("session.intra_op_thread_affinities", places)
    for name, value in AWAKE.items():
        options.add_session_config_entry(name, value)
    options.log_severity_level = 3  # errors only: warnings about unused initialisers are nothing a user can act on
    # Shapes change from call to call (pyramid levels, number of crops): a memory plan per shape would be kept for ever.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights live as long as the session: outside the arena they do not make it grow in powers of two.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return options


def workers_places(threads: int, processors: Collection[int]) -> str:
    """Where a pool's threads may run beside the calling one: of the processors, on all but the first.

    As session.intra_op_thread_affinities wants it; empty where there are not enough, and for threads 0, as onnxruntime
    then sees to it by itself. A thread that may run anywhere is often woken on the processor of the one that waits for
    it, and finds no room there for a millisecond (decision 16).
    """
    if not 1 < threads <= len(processors):
        return ""
    elsewhere = ",".join(str(number + 1) for number in sorted(processors)[1:])  # onnxruntime counts from 1
    return ";".join([elsewhere] * (threads - 1))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
