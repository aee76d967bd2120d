"""Opens a model with TensorRT: from the cache, from a build in the background, or from one that is waited for."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from face_recognition_ros.errors import BackendError
from face_recognition_ros.runtime.engine_cache import EngineCache
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
from face_recognition_ros.runtime.parity import Inputs, check_parity, pictures
from face_recognition_ros.runtime.profiles import Profile, profile_of
from face_recognition_ros.runtime.session import InferenceSession
from face_recognition_ros.runtime.takeover import TakeoverSession, takeovers_are_allowed
from face_recognition_ros.runtime.tensorrt import TensorRtSession
from face_recognition_ros.runtime.tensorrt_build import Progress, build_engine, engine_key, load_tensorrt

logger = logging.getLogger(__name__)

NAME = "tensorrt"


def open_tensorrt(model_path: Path, threads: int) -> InferenceSession:
    """TensorRT at once where its engine is in the cache, else ONNX Runtime until it is built, where that is allowed.

    Raises BackendError where TensorRT cannot be used here at all, or its cached engine gives wrong numbers, or there is
    none and no takeover is allowed; ModelError for a file that is no model.
    """
    engine = Engine(model_path, threads)
    cached = engine.from_cache()
    if cached is None and not takeovers_are_allowed():
        raise BackendError("its engine is not built yet; `face-recognition build-engines` builds it")
    return TakeoverSession(engine.reference, NAME, lambda wanted: engine.build(lambda *steps: wanted()), cached)


def open_tensorrt_strictly(model_path: Path, threads: int) -> InferenceSession:
    """TensorRT from the first call on: its engine is built first where it has to be.

    Raises as open_tensorrt does, and BackendError where the engine cannot be built.
    """
    engine = Engine(model_path, threads)
    cached = engine.from_cache()
    return cached if cached is not None else engine.build()[0]


class Engine:
    """The engine of one model on this machine: in the cache, or yet to be built."""

    def __init__(self, model_path: Path, threads: int, cache: EngineCache | None = None) -> None:
        """Raises BackendError where TensorRT cannot be used here at all, ModelError for a file that is no model."""
        self._tensorrt = load_tensorrt()
        self._model_path = model_path
        self.name = model_path.stem
        self._open_reference: Callable[[], InferenceSession] = lambda: OnnxRuntimeSession(model_path, threads)
        self.reference = self._open_reference()
        self._profile = profile_of(self.reference.inputs)
        self._cache = cache or EngineCache()
        self._key = engine_key(self._tensorrt, model_path, self._profile)

    @property
    def path(self) -> Path:
        """Where the cache keeps it, or will."""
        return self._cache.path(self.name, self._key)

    def from_cache(self) -> InferenceSession | None:
        """A session on the cached engine, checked; None where there is none, or TensorRT refuses it.

        Raises BackendError where it gives other numbers than ONNX Runtime does.
        """
        plan = self._cache.load(self.name, self._key)
        if plan is None:
            return None
        try:
            session = self._session(plan)
        except BackendError as error:
            logger.warning("%s is of no use and is built again: %s", self.path, error)
            self._cache.discard(self.name, self._key)
            return None
        self._check(session)
        return session

    def build(self, progress: Progress | None = None) -> tuple[InferenceSession, str]:
        """A session on an engine that is built now and kept in the cache, and what its check found.

        Raises BackendError where it cannot be built, or gives other numbers than ONNX Runtime does.
        """
        plan = build_engine(self._tensorrt, self._model_path, self._profile, self._cache, progress)
        self._cache.store(self.name, self._key, plan)
        session = self._session(plan)
        return session, f"its numbers differ from ONNX Runtime's by {self._check(session):.1g} of their size at most"

    def _session(self, plan: bytes) -> TensorRtSession:
        return TensorRtSession(self._tensorrt, plan, self._profile, self.reference)

    def _check(self, session: TensorRtSession) -> float:
        """The largest relative difference from ONNX Runtime's numbers."""
        reference = self._open_reference()  # of its own: the other one serves meanwhile, in another thread
        try:
            difference = check_parity(reference, session, _samples(self._profile, session.dtype))
            if session.handed_on:
                raise BackendError("its outputs are not finite")
            return difference
        except BackendError as error:
            raise BackendError(f"the engine for {self._model_path.name} is wrong: {error}") from error
        finally:
            reference.close()


def _samples(profile: Profile, dtype: np.dtype[Any]) -> list[Inputs]:
    """Two shapes, each so often that it is run step by step, recorded and replayed, with other pictures each time."""
    height, width = (max(low, best // 2) for low, best in zip(profile.minimum[1:3], profile.optimum[1:3], strict=True))
    other = (min(3, profile.most), height, width, profile.optimum[3])
    return [{profile.name: pictures(shape, dtype, seed)} for shape in (profile.optimum, other) for seed in range(3)]
