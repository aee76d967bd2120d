"""A network's file in half precision, for runtimes that compute in just the types that the file names."""

import importlib.util
from pathlib import Path

KEPT_IN_SINGLE = ("ReduceL2", "Clip")
"""What normalises the embeddings: half precision has no number as small as the bound on their length."""


def can_convert() -> bool:
    """Whether the packages that do it are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def half_precision(model_path: Path) -> bytes:
    """The ONNX file with weights and sums in half precision; its inputs and outputs keep their types."""
    import onnx
    from onnxruntime.transformers import float16

    converted = float16.convert_float_to_float16(
        onnx.load(str(model_path)), keep_io_types=True, op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *KEPT_IN_SINGLE]
    )
    content: bytes = converted.SerializeToString()
    return content
