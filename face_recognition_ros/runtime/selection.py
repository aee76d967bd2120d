"""Chooses the inference backend, and says which one serves and why."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from face_recognition_ros.errors import BackendError, SettingsError
from face_recognition_ros.runtime.session import InferenceSession
from face_recognition_ros.runtime.takeover import TakeoverSession

logger = logging.getLogger(__name__)

AUTO = "auto"
FALLBACK = "onnxruntime"

Opener = Callable[[Path, int], InferenceSession]
"""Model file and number of threads to a session; raises BackendError, with the reason, where it cannot serve."""


@dataclass(slots=True)
class BackendChoice:
    """Which backend runs a model at this moment, for logs and diagnostics: what is read here is true now."""

    requested: str
    """As in the settings: auto or a backend's name."""
    used: str
    """The backend's name. It changes when another backend takes over."""
    reason: str
    """Why this one, in words."""

    def change(self, used: str, reason: str) -> None:
        """Another backend serves now, or the same for another reason."""
        self.used, self.reason = used, reason


def _open_onnx_runtime(model_path: Path, threads: int) -> InferenceSession:
    try:
        from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
    except ImportError as error:
        raise BackendError(
            f"onnxruntime cannot be imported ({error}); `pip install onnxruntime` provides it"
        ) from error
    return OnnxRuntimeSession(model_path, threads)


def _open_openvino(model_path: Path, threads: int, allow_bf16: bool = False) -> InferenceSession:
    try:
        from face_recognition_ros.runtime.openvino import OpenVinoSession
    except ImportError as error:
        raise BackendError(f"openvino cannot be imported ({error}); `pip install openvino` provides it") from error
    return OpenVinoSession(model_path, threads, allow_bf16)


def _open_torch_cuda(model_path: Path, threads: int) -> InferenceSession:
    try:
        from face_recognition_ros.runtime.torch_cuda import TorchCudaSession
    except ImportError as error:
        raise BackendError(
            f"torch and onnx2torch cannot be imported ({error}); "
            "`pip install torch torchvision onnx onnx2torch` provides them"
        ) from error
    return TorchCudaSession(model_path, threads)


def _open_tensorrt(model_path: Path, threads: int) -> InferenceSession:
    from face_recognition_ros.runtime.tensorrt_opening import open_tensorrt

    return open_tensorrt(model_path, threads)


def _open_tensorrt_strictly(model_path: Path, threads: int) -> InferenceSession:
    from face_recognition_ros.runtime.tensorrt_opening import open_tensorrt_strictly

    return open_tensorrt_strictly(model_path, threads)


BACKENDS: dict[str, Opener] = {
    "tensorrt": _open_tensorrt,
    "torch_cuda": _open_torch_cuda,
    "openvino": _open_openvino,
    "openvino_bf16": partial(_open_openvino, allow_bf16=True),
    "onnxruntime": _open_onnx_runtime,
}
"""The one registry of backends."""

STRICT_BACKENDS: dict[str, Opener] = {"tensorrt": _open_tensorrt_strictly}
"""How a backend opens, where it may not let another one serve for a while."""

AUTOMATIC = ("tensorrt", "onnxruntime")
"""What `auto` tries, in this order. The others serve who asks for them: torch is slow to import and large, and a robot
where somebody installs OpenVINO for something else shall not get other numbers for it."""


def create_session(
    model_path: Path, backend: str = AUTO, strict: bool = False, threads: int = 0
) -> tuple[InferenceSession, BackendChoice]:
    """Open a model with the backend asked for, or with what is there instead.

    Args:
        model_path: an ONNX file.
        backend: "auto" or a name of BACKENDS.
        strict: refuse rather than fall back to ONNX Runtime, wait rather than let it serve for a while.
        threads: CPU threads that a call may use; 0 for one per core.

    Raises:
        SettingsError: no backend of that name.
        BackendError: the backend asked for cannot serve and `strict` is set, or none can.
        ModelError: the model file is missing or damaged.
    """
    if backend != AUTO and backend not in BACKENDS:
        raise SettingsError(f"There is no inference backend {backend!r}; use {AUTO} or one of {', '.join(BACKENDS)}.")
    if threads < 0:
        raise SettingsError(f"threads must be 0 (one per core) or more, not {threads}.")
    refusals: list[str] = []
    for name in _candidates(backend, strict):
        opener = STRICT_BACKENDS.get(name, BACKENDS[name]) if strict and backend == name else BACKENDS[name]
        try:
            session = opener(model_path, threads)
        except BackendError as error:
            refusals.append(f"{name}: {error}")
            continue
        choice = BackendChoice(backend, name, _reason(backend, name, refusals))
        if isinstance(session, TakeoverSession):
            session.tell(choice.change)
        if backend not in (AUTO, name):
            logger.warning("%s: falling back from %s to %s; %s", model_path.name, backend, name, choice.reason)
        return session, choice
    raise BackendError(f"No inference backend for {model_path.name} (backend={backend}): {'; '.join(refusals)}.")


def _candidates(backend: str, strict: bool) -> list[str]:
    if backend == AUTO:
        return list(AUTOMATIC)
    return [backend] if strict or backend == FALLBACK else [backend, FALLBACK]


def _reason(requested: str, used: str, refusals: list[str]) -> str:
    if requested == used:
        return "as requested"
    return "; ".join(refusals) if refusals else "the first in order of preference"
