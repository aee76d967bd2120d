"""The half of the fake TensorRT that builds engines; see fake_tensorrt.py."""

import json
from typing import TYPE_CHECKING, Any

import onnx

if TYPE_CHECKING:
    from .fake_tensorrt import FakeTensorRt

MAGIC = b"ptrt"


def building(fake: "FakeTensorRt", trt: Any) -> list[type]:
    """Classes of the module."""

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        def log(self, severity: int, msg: str) -> None:
            raise NotImplementedError

    class IProgressMonitor:
        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
            raise NotImplementedError

        def phase_finish(self, phase_name: str) -> None:
            raise NotImplementedError

        def step_complete(self, phase_name: str, step: int) -> bool:
            raise NotImplementedError

    class ITensor:
        def __init__(self, name: str, dtype: Any) -> None:
            self._name, self._dtype = name, dtype

        name = property(lambda self: self._name)
        dtype = property(lambda self: self._dtype)

    class ILayer:
        def __init__(self, kind: str, inputs: list[ITensor], outputs: list[ITensor]) -> None:
            self._kind, self._inputs, self._outputs = kind, inputs, outputs

        num_inputs = property(lambda self: len(self._inputs))

        def get_input(self, index: int) -> ITensor:
            return self._inputs[index]

        def set_input(self, index: int, tensor: ITensor) -> None:
            self._inputs[index] = tensor

        def get_output(self, index: int) -> ITensor:
            return self._outputs[index]

    class INetworkDefinition:
        def __init__(self) -> None:
            self._model = b""
            self._inputs: list[ITensor] = []
            self._layers: list[ILayer] = []

        num_inputs = property(lambda self: len(self._inputs))
        num_layers = property(lambda self: len(self._layers))

        def get_input(self, index: int) -> ITensor:
            return self._inputs[index]

        def get_layer(self, index: int) -> ILayer:
            return self._layers[index]

        def add_cast(self, input: ITensor, to_type: Any) -> ILayer:
            cast = ILayer("Cast", [input], [ITensor(f"cast of {input.name}", to_type)])
            self._layers.append(cast)
            return cast

    class ParserError:
        def __init__(self, words: str) -> None:
            self._words = words

        def desc(self) -> str:
            return self._words

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
            fake.listen(logger)
            self._network, self._errors = network, list[ParserError]()

        num_errors = property(lambda self: len(self._errors))

        def get_error(self, index: int) -> ParserError:
            return self._errors[index]

        def parse(self, model: bytes, path: str | None = None) -> bool:
            if fake.cannot_read:
                self._errors.append(ParserError(fake.cannot_read))
                return False
            graph = onnx.ModelProto.FromString(model).graph
            types = {onnx.TensorProto.UINT8: trt.DataType.UINT8, onnx.TensorProto.FLOAT: trt.DataType.FLOAT}
            tensors = {
                entry.name: ITensor(entry.name, types[entry.type.tensor_type.elem_type]) for entry in graph.input
            }
            self._network._inputs = list(tensors.values())
            for node in graph.node:
                outputs = [tensors.setdefault(name, ITensor(name, trt.DataType.FLOAT)) for name in node.output]
                inputs = [tensors.setdefault(name, ITensor(name, trt.DataType.FLOAT)) for name in node.input]
                self._network._layers.append(ILayer(node.op_type, inputs, outputs))
            self._network._model = model
            return True

    class IOptimizationProfile:
        def __init__(self) -> None:
            self._shapes: dict[str, Any] = {}

        def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
            self._shapes[input] = (min, opt, max)

    class IHostMemory(bytes):
        pass

    class ITimingCache:
        def __init__(self, content: bytes) -> None:
            self._content = content

        def serialize(self) -> IHostMemory:
            return IHostMemory(self._content)

    class IBuilderConfig:
        def __init__(self) -> None:
            self._asked: dict[str, Any] = {"flags": set(), "sources": sum(1 << source for source in trt.TacticSource)}
            self._profiles: list[IOptimizationProfile] = []
            self._timings: ITimingCache | None = None
            self._monitor: IProgressMonitor | None = None

        progress_monitor = property(
            lambda self: self._monitor, lambda self, monitor: setattr(self, "_monitor", monitor)
        )

        def set_flag(self, flag: Any) -> None:
            self._asked["flags"].add(trt.BuilderFlag(flag).name)

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            self._asked[trt.MemoryPoolType(pool).name] = pool_size

        def get_tactic_sources(self) -> int:
            return int(self._asked["sources"])

        def set_tactic_sources(self, tactic_sources: int) -> bool:
            self._asked["sources"] = tactic_sources
            return True

        def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
            valid = all(
                len(low) == len(best) == len(high) and all(a <= b <= c for a, b, c in zip(low, best, high, strict=True))
                for low, best, high in profile._shapes.values()
            )
            self._profiles.append(profile)
            return len(self._profiles) - 1 if valid and profile._shapes else -1

        def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
            return ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
            self._asked["timings"] = cache._content
            self._timings = cache
            return True

        def get_timing_cache(self) -> ITimingCache | None:
            return self._timings

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            self._logger = fake.listen(logger)

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            return INetworkDefinition()

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
            fake.builds += 1
            fake.configurations.append(config._asked)
            fake.while_building()
            complaint = fake.fails or self._complaint(network, config)
            if complaint:
                self._logger.log(ILogger.ERROR, complaint)
                return None
            if config._monitor and not _report(config._monitor):
                return None
            if config._timings:
                config._timings._content += b"timed;"
            head = {
                "version": fake.version,
                "gpu": fake.gpu.name,
                "half": "FP16" in config._asked["flags"],
                "shapes": config._profiles[0]._shapes,
            }
            return IHostMemory(MAGIC + json.dumps(head).encode() + b"\n" + network._model)

        def _complaint(self, network: INetworkDefinition, config: IBuilderConfig) -> str:
            kinds = {layer._kind for layer in network._layers}
            for tensor in network._inputs:
                users = {layer._kind for layer in network._layers if tensor in layer._inputs}
                if tensor.dtype == trt.DataType.UINT8 and users != {"Cast"}:
                    return f"{tensor.name} is of uint8 and goes to {sorted(users)}"
            compiles = config._asked["sources"] & (1 << int(trt.TacticSource.JIT_CONVOLUTIONS))
            if fake.version.startswith("10.3.") and compiles and {"Conv", "Sigmoid"} <= kinds:
                return "Could not find any implementation for node PWN(Sigmoid, Mul)"
            return "" if config._profiles else "the network has dynamic shapes, and no profile was defined"

    return [
        *(ILogger, IProgressMonitor, ITensor, ILayer, INetworkDefinition, ParserError, OnnxParser),
        *(IOptimizationProfile, IHostMemory, ITimingCache, IBuilderConfig, Builder),
    ]


def _report(monitor: Any) -> bool:
    """A phase within a phase, as TensorRT reports them; False where the build is to be stopped."""
    monitor.phase_start("Building Engine", None, 3)
    for step in range(3):
        monitor.phase_start("Tactics", "Building Engine", 2)
        answers = [monitor.step_complete("Tactics", inner) for inner in range(2)]
        monitor.phase_finish("Tactics")
        if not (all(answers) and monitor.step_complete("Building Engine", step)):
            monitor.phase_finish("Building Engine")
            return False
    monitor.phase_finish("Building Engine")
    return True
