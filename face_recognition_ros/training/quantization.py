r"""Turns the exported network into one with 8-bit weights and activations, and measures what that loses.

Run it as::

    .venv-training/bin/python -m face_recognition_ros.training.quantization \\
        --model face_recognition_ros/models/face_embedding.onnx --shards DIR --work DIR \\
        --output face_recognition_ros/models/face_embedding_int8.onnx
"""

import argparse
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from sklearn.metrics import roc_curve

from face_recognition_ros.training.data.shards import centre_crops, decode_shards, read_index
from face_recognition_ros.training.export import (
    PairScores,
    add_held_out_arguments,
    calibrate,
    embed,
    held_out_crops,
    pair_scores,
    read_metadata,
    write_description,
    write_metadata,
)

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
"""How the range of an activation is chosen."""
RATES = (1e-2, 1e-3)
BATCH = 16


@dataclass(frozen=True)
class Scheme:
    """What becomes 8-bit, and how.

    The defaults lost least for the size on the first released network (17.1 MB). Mean cosine to its float32 embeddings
    of 256 held-out faces: everything 8-bit 0.971 (5.5 MB), all but depthwise 0.981 (5.9 MB), these defaults 0.996
    (6.2 MB), squeeze kept as well 0.996 (7.9 MB), that with symmetric activations 0.991.
    """

    method: str = "minmax"
    keep: tuple[str, ...] = ("stem", "depthwise", "head")
    """Kinds of layers that stay float32, of KINDS."""


KINDS = ("stem", "depthwise", "pointwise", "squeeze", "head")


@dataclass(frozen=True)
class Loss:
    """What the 8-bit network loses on held-out faces."""

    cosine: float
    """Between both networks' embeddings of a face, mean."""
    worst_cosine: float
    tar: dict[str, tuple[float, float]]
    """TAR at each FAR, before and after."""


class Crops(CalibrationDataReader):  # type: ignore[misc]
    """Faces (N, 112, 112, 3) uint8 RGB in batches, as ONNX Runtime reads them."""

    def __init__(self, crops: npt.NDArray[np.uint8]) -> None:
        self._batches = iter([{"faces": crops[start : start + BATCH]} for start in range(0, len(crops), BATCH)])

    def get_next(self) -> Any:
        return next(self._batches, None)


def layers(graph: onnx.GraphProto) -> dict[str, list[str]]:
    """Names of all layers with weights by kind: the first convolution is the stem, matrix products are the head.

    A convolution is of a squeeze-and-excitation block if what it sees is a mean over all places, or follows from one.
    """
    kinds: dict[str, list[str]] = {kind: [] for kind in KINDS}
    constants = {tensor.name for tensor in graph.initializer}
    squeezed: set[str] = set()
    for node in graph.node:  # in the order of computation
        computed = set(node.input) - constants
        if node.op_type == "ReduceMean" or (computed and computed <= squeezed):
            squeezed.update(node.output)
        if node.op_type in ("Gemm", "MatMul"):
            kinds["head"].append(node.name)
        elif node.op_type == "Conv":
            groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
            if not any(kinds.values()):
                kind = "stem"
            elif node.input[0] in squeezed:
                kind = "squeeze"
            else:
                kind = "depthwise" if groups > 1 else "pointwise"
            kinds[kind].append(node.name)
    return kinds


def quantize(model: Path, crops: npt.NDArray[np.uint8], output: Path, scheme: Scheme) -> None:
    """Writes an 8-bit version (QDQ, a scale per output channel) whose activations' ranges are those of `crops`.

    crops: (N, 112, 112, 3) uint8 RGB training faces. Raises ValueError for a scheme with an unknown name.
    """
    unknown = {scheme.method} - METHODS.keys() | set(scheme.keep) - set(KINDS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: choose of methods {', '.join(METHODS)} and layers {KINDS}")
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        kinds = layers(onnx.load(prepared).graph)
        quantize_static(
            prepared,
            output,
            Crops(crops),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[name for kind in scheme.keep for name in kinds[kind]],
            calibrate_method=METHODS[scheme.method],
        )


def true_accept_rates(scores: PairScores) -> dict[str, float]:
    """TAR at each FAR of RATES."""
    genuine = np.repeat([True, False], [len(scores.genuine), len(scores.impostor)])
    far, tar, _ = roc_curve(genuine, np.concatenate([scores.genuine, scores.impostor]))
    return {f"{rate:g}": float(tar[far <= rate][-1]) for rate in RATES}


def loss(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32], labels: npt.NDArray[np.str_]) -> Loss:
    """Of embeddings (N, D) of the same held-out faces by both networks."""
    cosines = (before * after).sum(axis=1)
    rates = [true_accept_rates(pair_scores(embeddings, labels)) for embeddings in (before, after)]
    return Loss(float(cosines.mean()), float(cosines.min()), {far: (rates[0][far], rates[1][far]) for far in rates[0]})


def summary(measured: Loss) -> str:
    """In two lines for a person."""
    rates = ", ".join(f"{old:.2%} -> {new:.2%} at FAR {far}" for far, (old, new) in measured.tar.items())
    return (
        f"cosine to the float32 embedding: mean {measured.cosine:.4f}, least {measured.worst_cosine:.4f}\nTAR {rates}"
    )


def training_crops(shards: Path, work: Path, held_out: float, count: int) -> npt.NDArray[np.uint8]:
    """(count, 112, 112, 3) uint8 RGB: the same random training faces every time."""
    rows = np.flatnonzero(~read_index(shards).held_out(held_out))
    chosen = np.sort(np.random.default_rng(0).choice(rows, min(count, len(rows)), replace=False))
    return np.ascontiguousarray(centre_crops(decode_shards(shards, work / "faces.npy")[chosen]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the exported network, with its metadata")
    add_held_out_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write; a .json goes beside it")
    parser.add_argument("--faces", type=int, default=256, help="training faces that set the ranges (%(default)s)")
    parser.add_argument("--method", choices=list(METHODS), default=Scheme.method, help="(%(default)s)")
    parser.add_argument("--keep", nargs="*", choices=KINDS, default=Scheme.keep, help="stays float32 (%(default)s)")
    arguments = parser.parse_args()

    crops, labels = held_out_crops(arguments.shards, arguments.work, arguments.held_out)
    training = training_crops(arguments.shards, arguments.work, arguments.held_out, arguments.faces)
    partial = arguments.output.with_suffix(".partial.onnx")
    quantize(arguments.model, training, partial, Scheme(arguments.method, tuple(arguments.keep)))
    before, after = embed(arguments.model, crops), embed(partial, crops)
    print(summary(loss(before, after, labels)))
    description = read_metadata(arguments.model)
    digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    description["model_id"] += f"-int8-{digest[:8]}"  # its own templates: the two networks' do not compare exactly
    write_metadata(partial, description | {"calibration": calibrate(after, labels).to_dict()})
    shutil.move(partial, arguments.output)
    write_description(arguments.output, after.shape[1], f"{description['model_id'].split('-')[0]} in 8 bits")
    sizes = [path.stat().st_size / 1e6 for path in (arguments.model, arguments.output)]
    print(f"{arguments.output}: {description['model_id']}, {sizes[0]:.1f} MB -> {sizes[1]:.1f} MB")


if __name__ == "__main__":
    main()
