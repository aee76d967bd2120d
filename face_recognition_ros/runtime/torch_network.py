"""Reads an ONNX file into a torch module that a CUDA graph can capture, with onnx2torch."""

import copy
from pathlib import Path
from typing import Any

import onnx
import onnx2torch
import torch
from onnx import version_converter

from face_recognition_ros.errors import BackendError, ModelError

ONNX_OPSET = 17
"""The newest operators that onnx2torch reads completely; released files have newer ones, without using what is new."""


def read_onnx(path: Path) -> Any:
    """The model of an ONNX file, checked; raises ModelError where it is missing, cut short or something else."""
    if not path.is_file():
        raise ModelError(f"There is no model file {path}.")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's errors and onnx's have no common base below Exception
        raise ModelError(
            f"{path} ({path.stat().st_size} bytes) cannot be loaded as an ONNX model; it may be cut short, damaged or "
            f"of another format. onnx says: {str(error).strip().splitlines()[0]}"
        ) from error
    return model


def to_torch(model: Any, name: str) -> Any:
    """The model as a torch module in float32, in evaluation mode.

    Raises BackendError, with this name of the model, where onnx2torch does not know an operator, as int8's.
    """
    if any(opset.domain == "" and opset.version > ONNX_OPSET for opset in model.opset_import):
        model = version_converter.convert_version(model, ONNX_OPSET)
    try:
        network = onnx2torch.convert(model).eval().requires_grad_(False)
    except NotImplementedError as error:
        raise BackendError(f"onnx2torch cannot read {name}: {error}") from error
    _drop_expansions(network)
    return network


def with_half_convolutions(network: Any) -> Any:
    """A copy whose convolutions, which take nearly all of the time, compute in float16.

    Dense layers and what follows them stay in float32, so that unit vectors come out as unit vectors.
    """
    half = copy.deepcopy(network)
    for module in half.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.half().register_forward_pre_hook(lambda _, inputs: (inputs[0].half(),))
        elif isinstance(module, torch.nn.Linear | torch.nn.BatchNorm1d):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    return half


def _drop_expansions(network: Any) -> None:
    """Takes out each Expand before arithmetic, which broadcasts by itself, and the shapes computed for it alone.

    onnx2torch keeps shapes on the GPU and reads them back, in the middle of the network: that takes time, and no CUDA
    graph can do it.
    """
    modules = dict(network.named_modules())

    def kind(node: Any) -> str:
        return type(modules.get(node.target)).__name__ if node.op == "call_module" else ""

    for node in network.graph.nodes:
        if kind(node) == "OnnxExpand" and {kind(user) for user in node.users} == {"OnnxBinaryMathOperation"}:
            node.replace_all_uses_with(node.args[0])
    network.graph.eliminate_dead_code()
    network.recompile()
