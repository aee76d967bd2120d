"""Chooses the inference backend once, and says which one it took and why."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from face_recognition_ros.errors import BackendError, SettingsError
from face_recognition_ros.runtime.session import InferenceSession

logger = logging.getLogger(__name__)

AUTO = "auto"
FALLBACK = "onnxruntime"

Opener = Callable[[Path, int], InferenceSession]
"""Model file and number of threads to a session; raises BackendError, with the reason, where it cannot serve."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """Which backend runs a model, for logs and diagnostics."""

    requested: str
    """As in the settings: auto or a backend's name."""
    used: str
    """The backend's name."""
    reason: str
    """Why this one, in words."""


def _open_onnx_runtime(model_path: Path, threads: int) -> InferenceSession:
    try:
        from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
    except ImportError as error:
        raise BackendError(
            f"onnxruntime cannot be imported ({error}); `pip install onnxruntime` provides it"
        ) from error
    return OnnxRuntimeSession(model_path, threads)


def _not_in_this_release(title: str) -> Opener:
    def refuse(model_path: Path, threads: int) -> InferenceSession:
        raise BackendError(f"this release of face_recognition_ros has no {title} backend")

    return refuse


BACKENDS: dict[str, Opener] = {
    "tensorrt": _not_in_this_release("TensorRT"),
    "torch_cuda": _not_in_this_release("torch CUDA"),
    "onnxruntime": _open_onnx_runtime,
}
"""The one registry of backends, in the order in which `auto` tries them."""


def create_session(
    model_path: Path, backend: str = AUTO, strict: bool = False, threads: int = 0
) -> tuple[InferenceSession, BackendChoice]:
    """Open a model with the backend asked for, or with what is there instead.

    Args:
        model_path: an ONNX file.
        backend: "auto" or a name of BACKENDS.
        strict: refuse rather than fall back to ONNX Runtime.
        threads: CPU threads shared by all sessions of the process; 0 for one per core.

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
        try:
            session = BACKENDS[name](model_path, threads)
        except BackendError as error:
            refusals.append(f"{name}: {error}")
            continue
        choice = BackendChoice(backend, name, _reason(backend, name, refusals))
        if backend not in (AUTO, name):
            logger.warning("%s: falling back from %s to %s; %s", model_path.name, backend, name, choice.reason)
        return session, choice
    raise BackendError(f"No inference backend for {model_path.name} (backend={backend}): {'; '.join(refusals)}.")


def _candidates(backend: str, strict: bool) -> list[str]:
    if backend == AUTO:
        return list(BACKENDS)
    return [backend] if strict or backend == FALLBACK else [backend, FALLBACK]


def _reason(requested: str, used: str, refusals: list[str]) -> str:
    if requested == used:
        return "as requested"
    return "; ".join(refusals) if refusals else "the first in order of preference"
