"""Builds TensorRT engines from ONNX files, with the Python API of TensorRT 10 and 11."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from face_recognition_ros.errors import BackendError
from face_recognition_ros.runtime.cuda import Cuda
from face_recognition_ros.runtime.engine_cache import EngineCache
from face_recognition_ros.runtime.half_precision import can_convert, half_precision
from face_recognition_ros.runtime.profiles import Profile

logger = logging.getLogger(__name__)

WORKSPACE = 1 << 30
"""Bytes of GPU memory that a layer's algorithm may use at most; a Jetson shares them with the CPU."""
RECIPE = "1"
"""Changes with the code below, where it makes other engines of the same file."""

Progress = Callable[[str, int, int], bool]
"""Takes what is being done, steps done and steps in all; returns False to stop the build."""


class BuildStoppedError(BackendError):
    """A build that was stopped on demand."""


@dataclass(frozen=True, slots=True)
class TensorRt:
    """The installed TensorRT and the GPU that it runs on."""

    api: Any
    cuda: Cuda
    log: Any
    """A logger as TensorRT wants it; it keeps the latest complaint."""

    @property
    def version(self) -> str:
        return str(self.api.__version__)

    @property
    def precision(self) -> str:
        """How networks are computed: TensorRT 10 is allowed half precision, 11 takes the types that the file names."""
        if hasattr(self.api.BuilderFlag, "FP16"):
            return "fp16"
        return "fp16, strongly typed" if can_convert() else "fp32, strongly typed (fp16 needs the package onnx)"


def load_tensorrt() -> TensorRt:
    """Raises BackendError, with the reason, where TensorRT, cuda-python or the GPU is missing."""
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # OSError: its libraries
        raise BackendError(f"TensorRT cannot be imported ({error})") from error
    if int(tensorrt.__version__.split(".")[0]) < 10:
        raise BackendError(f"TensorRT {tensorrt.__version__} is too old; 10 or 11 is needed")
    cuda = Cuda()
    return TensorRt(tensorrt, cuda, _log(tensorrt))


def engine_key(tensorrt: TensorRt, model_path: Path, profile: Profile) -> dict[str, str]:
    """All that an engine depends on."""
    return {
        "model sha256": hashlib.sha256(model_path.read_bytes()).hexdigest(),
        **_machine(tensorrt),
        "precision": tensorrt.precision,
        "shapes": str(profile),
        "recipe": RECIPE,
    }


def build_engine(
    tensorrt: TensorRt, model_path: Path, profile: Profile, cache: EngineCache, progress: Progress | None = None
) -> bytes:
    """The serialised engine of a model, which takes minutes; what was timed for it is kept in the cache for the next.

    Raises BackendError with what TensorRT complained of, BuildStoppedError where `progress` wanted it.
    """
    trt = tensorrt.api
    tensorrt.log.complaint = ""
    builder = trt.Builder(tensorrt.log)
    network = builder.create_network(0)
    _parse(tensorrt, network, model_path)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    if hasattr(trt.BuilderFlag, "FP16"):
        config.set_flag(trt.BuilderFlag.FP16)
    if tensorrt.version.startswith("10.3."):
        # There, on Orin, its convolutions compiled on the spot cannot be fused with EfficientNet's Swish: no engine.
        config.set_tactic_sources(config.get_tactic_sources() & ~(1 << int(trt.TacticSource.JIT_CONVOLUTIONS)))
    ranges = builder.create_optimization_profile()
    ranges.set_shape(profile.name, min=profile.minimum, opt=profile.optimum, max=profile.maximum)
    if config.add_optimization_profile(ranges) < 0:
        raise BackendError(f"TensorRT refuses the shapes {profile}: {tensorrt.log.complaint}")
    timings_key = {"content": "timings of algorithms", **_machine(tensorrt)}
    timings = config.create_timing_cache(cache.load("timings", timings_key) or b"")
    config.set_timing_cache(timings, ignore_mismatch=False)
    monitor = _monitor(trt, progress) if progress else None
    if monitor:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor and monitor.error:
        raise monitor.error
    if monitor and monitor.stopped:
        raise BuildStoppedError(f"The build of {model_path.name} was stopped.")
    if plan is None:
        raise BackendError(f"TensorRT cannot build {model_path.name}: {tensorrt.log.complaint or 'it says no reason'}")
    cache.store("timings", timings_key, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _machine(tensorrt: TensorRt) -> dict[str, str]:
    gpu = tensorrt.cuda.gpu
    return {"TensorRT": tensorrt.version, "GPU": gpu.name, "compute capability": gpu.compute_capability}


def _parse(tensorrt: TensorRt, network: Any, model_path: Path) -> None:
    typed = not hasattr(tensorrt.api.BuilderFlag, "FP16")
    content = half_precision(model_path) if typed and can_convert() else model_path.read_bytes()
    parser = tensorrt.api.OnnxParser(network, tensorrt.log)
    if not parser.parse(content):
        reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise BackendError(f"TensorRT cannot read {model_path.name}: {'; '.join(reasons) or tensorrt.log.complaint}")
    _cast_bytes(tensorrt.api, network)


def _cast_bytes(trt: Any, network: Any) -> None:
    """Makes inputs of bytes float before anything else: TensorRT 10's other layers do not take uint8."""
    for tensor in [network.get_input(index) for index in range(network.num_inputs)]:
        if tensor.dtype != trt.uint8:
            continue
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        cast = network.add_cast(tensor, trt.float32).get_output(0)
        for layer in layers:
            for index in range(layer.num_inputs):
                given = layer.get_input(index)
                if given is not None and given.name == tensor.name:
                    layer.set_input(index, cast)


@cache
def _log(trt: Any) -> Any:
    """The one logger of this process: TensorRT ignores all but the first."""
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.WARNING,
        trt.ILogger.INFO: logging.DEBUG,
        trt.ILogger.VERBOSE: logging.NOTSET,
    }

    class Log(trt.ILogger):  # type: ignore[misc]
        """Hands TensorRT's messages on, and keeps its latest complaint, which it has no other way to tell."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.complaint = ""

        def log(self, severity: Any, msg: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            if level >= logging.ERROR:
                self.complaint = msg
            if level:
                logger.log(min(level, logging.WARNING), "TensorRT: %s", msg)

    return Log()


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Reports the outermost phase. TensorRT must see no exception: `error` keeps it, and the build is stopped."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self.stopped = False
            self._outermost: tuple[str, int] | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._outermost = (phase_name, num_steps)
                self._report(0)

        def phase_finish(self, phase_name: str) -> None:
            if self._outermost and self._outermost[0] == phase_name:
                self._report(self._outermost[1])
                self._outermost = None

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._report(step if self._outermost and self._outermost[0] == phase_name else None)
            return not self.stopped

        def _report(self, done: int | None) -> None:
            try:
                if done is not None and self._outermost and not progress(self._outermost[0], done, self._outermost[1]):
                    self.stopped = True
            except BaseException as error:  # KeyboardInterrupt too: this is where Python gets to raise it
                self.error, self.stopped = error, True

    return Monitor()
