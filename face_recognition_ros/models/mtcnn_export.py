"""Turns the MTCNN weights of the facenet-pytorch wheel into ONNX files, without torch.

`python3 -m face_recognition_ros.models.mtcnn_export WHEEL` is run once, by `make setup`. The networks are those of
K. Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks" (2016), layer for
layer as in facenet_pytorch/models/mtcnn.py.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from face_recognition_ros.errors import FaceRecognitionError, ModelError
from face_recognition_ros.models.catalog import environment_model_folder, user_model_folder
from face_recognition_ros.models.torch_pickle import read_state_dict

Weights = dict[str, npt.NDArray[np.float32]]

SOURCE = "facenet-pytorch 2.6.0"
WEIGHT_SHA256 = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
OPSET, IR_VERSION = 17, 8  # the oldest that hold all we use, so that older runtimes read the files too


class _Chain:
    """A network that is one chain of layers, written down as ONNX nodes while it is walked."""

    def __init__(self, weights: Weights, side: int | None) -> None:
        self._weights = dict(weights)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, npt.NDArray[np.float32]] = {}
        self._outputs: list[onnx.ValueInfoProto] = []
        height, width = (side, side) if side else ("height", "width")
        self._input = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", height, width, 3])
        self._last = self._add("Transpose", ["image"], "planes", perm=[0, 3, 1, 2])

    def conv(self, name: str, first: bool = False) -> None:
        """Convolution without padding; the first one takes BGR 0..255 where its weights want RGB (x - 127.5) / 128."""
        weight: npt.NDArray[Any] = self._weights[f"{name}.weight"]
        bias: npt.NDArray[Any] = self._weights[f"{name}.bias"]
        if first:
            bias = bias - weight.sum(axis=(1, 2, 3), dtype=np.float64) * (127.5 / 128)
            weight = weight[:, ::-1] / 128
        self._last = self._add("Conv", [self._last, *self._parameters(name, weight, bias)], name)

    def dense(self, name: str) -> None:
        self._last = self._add("Gemm", [self._last, *self._dense_parameters(name)], name, transB=1)

    def flatten(self, name: str, channels: int, side: int) -> None:
        """Flatten for the dense layer `name`, whose weights expect the order width, height, channel."""
        weight = self._weights[f"{name}.weight"].reshape(-1, side, side, channels)
        self._weights[f"{name}.weight"] = weight.transpose(0, 3, 2, 1).reshape(len(weight), -1)
        self._last = self._add("Flatten", [self._last], f"{name}_input", axis=1)

    def prelu(self, name: str, axes_behind: int) -> None:
        """PReLU as slope * x + (1 - slope) * relu(x), which ONNX Runtime computes up to twice as fast as its PRelu."""
        slope = self._weights[f"{name}.weight"].reshape(-1, *[1] * axes_behind)
        linear = self._add("Mul", [self._last, self._constant(f"{name}_slope", slope)], f"{name}_linear")
        positive = self._add("Relu", [self._last], f"{name}_positive")
        rest = self._add("Mul", [positive, self._constant(f"{name}_rest", 1 - slope)], f"{name}_scaled")
        self._last = self._add("Add", [linear, rest], name)

    def pool(self, name: str, side: int) -> None:
        self._last = self._add("MaxPool", [self._last], name, kernel_shape=[side, side], strides=[2, 2], ceil_mode=1)

    def probability(self, name: str, shape: list[Any]) -> None:
        """Output: probability of a face; softmax of two classes is the sigmoid of the difference of their logits."""
        weight, bias = (self._weights[f"{name}.{part}"] for part in ("weight", "bias"))
        parameters = self._parameters(name, weight[1:] - weight[:1], bias[1:] - bias[:1])
        if weight.ndim == 4:
            logit = self._add("Conv", [self._last, *parameters], name)
        else:
            logit = self._add("Gemm", [self._last, *parameters], name, transB=1)
        self._add("Sigmoid", [logit], "probability")
        self._outputs.append(helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape))

    def output(self, name: str, output: str, shape: list[Any]) -> None:
        """Output: what the convolution or dense layer `name` says."""
        weight, bias = (self._weights[f"{name}.{part}"] for part in ("weight", "bias"))
        if weight.ndim == 4:
            self._add("Conv", [self._last, *self._parameters(name, weight, bias)], output)
        else:
            self._add("Gemm", [self._last, *self._dense_parameters(name)], output, transB=1)
        self._outputs.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))

    def model(self, name: str) -> onnx.ModelProto:
        constants = [numpy_helper.from_array(value, key) for key, value in self._constants.items()]
        graph = helper.make_graph(self._nodes, name, [self._input], self._outputs, constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name=__package__
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _dense_parameters(self, name: str) -> list[str]:
        return self._parameters(name, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _parameters(self, name: str, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> list[str]:
        return [self._constant(f"{name}_weight", weight), self._constant(f"{name}_bias", bias)]

    def _constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self._constants[name] = np.ascontiguousarray(value, np.float32)
        return name

    def _add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output


def build_pnet(weights: Weights) -> onnx.ModelProto:
    """Proposal network: any image to a map of face probabilities and box regressions with stride 2 and window 12."""
    chain = _Chain(weights, side=None)
    chain.conv("conv1", first=True)
    chain.prelu("prelu1", 2)
    chain.pool("pool1", 2)
    chain.conv("conv2")
    chain.prelu("prelu2", 2)
    chain.conv("conv3")
    chain.prelu("prelu3", 2)
    chain.probability("conv4_1", ["batch", 1, "rows", "columns"])
    chain.output("conv4_2", "regression", ["batch", 4, "rows", "columns"])
    return chain.model("mtcnn_pnet")


def build_rnet(weights: Weights) -> onnx.ModelProto:
    """Refinement network: 24x24 crops to face probability and box regression."""
    chain = _Chain(weights, side=24)
    chain.conv("conv1", first=True)
    chain.prelu("prelu1", 2)
    chain.pool("pool1", 3)
    chain.conv("conv2")
    chain.prelu("prelu2", 2)
    chain.pool("pool2", 3)
    chain.conv("conv3")
    chain.prelu("prelu3", 2)
    chain.flatten("dense4", channels=64, side=3)
    chain.dense("dense4")
    chain.prelu("prelu4", 0)
    chain.probability("dense5_1", ["batch", 1])
    chain.output("dense5_2", "regression", ["batch", 4])
    return chain.model("mtcnn_rnet")


def build_onet(weights: Weights) -> onnx.ModelProto:
    """Output network: 48x48 crops to face probability, box regression and five landmarks."""
    chain = _Chain(weights, side=48)
    chain.conv("conv1", first=True)
    chain.prelu("prelu1", 2)
    chain.pool("pool1", 3)
    chain.conv("conv2")
    chain.prelu("prelu2", 2)
    chain.pool("pool2", 3)
    chain.conv("conv3")
    chain.prelu("prelu3", 2)
    chain.pool("pool3", 2)
    chain.conv("conv4")
    chain.prelu("prelu4", 2)
    chain.flatten("dense5", channels=128, side=3)
    chain.dense("dense5")
    chain.prelu("prelu5", 0)
    chain.probability("dense6_1", ["batch", 1])
    chain.output("dense6_2", "regression", ["batch", 4])
    chain.output("dense6_3", "landmarks", ["batch", 10])
    return chain.model("mtcnn_onet")


BUILDERS: dict[str, Callable[[Weights], onnx.ModelProto]] = {"pnet": build_pnet, "rnet": build_rnet, "onet": build_onet}


def describe(model: onnx.ModelProto, description: str, sha256: str) -> dict[str, Any]:
    """The NAME.json of a network; see catalog.ModelDescription."""
    meanings = {
        "image": "BGR, 0 to 255; normalisation is inside the network",
        "probability": "that the window or crop shows a face",
        "regression": "shift of left, top, right, bottom in units of the window's width and height",
        "landmarks": "five x, then five y, in units of the crop's width and height: eyes, nose, mouth corners",
    }

    def rows(values: Sequence[onnx.ValueInfoProto]) -> list[dict[str, Any]]:
        return [
            {
                "name": value.name,
                "dtype": "float32",
                "shape": [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
                "meaning": meanings[value.name],
            }
            for value in values
        ]

    return {
        "name": model.graph.name,
        "sha256": sha256,
        "description": description,
        "inputs": rows(model.graph.input),
        "outputs": rows(model.graph.output),
        "origin": f"Weights of MTCNN as distributed in {SOURCE} (github.com/timesler/facenet-pytorch), which took them "
        "from github.com/davidsandberg/facenet; trained by the authors of the paper on WIDER FACE and CelebA.",
        "licence": "MIT (facenet-pytorch, facenet)",
        "terms": "WIDER FACE and CelebA are published for non-commercial research.",
    }


def read_weight_files(source: Path) -> dict[str, bytes]:
    """Read pnet.pt, rnet.pt and onet.pt out of a wheel or a folder and verify them; raise ModelError otherwise."""
    contents = {name: _read_weight_file(source, f"{name}.pt") for name in WEIGHT_SHA256}
    for name, content in contents.items():
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != WEIGHT_SHA256[name]:
            raise ModelError(
                f"{name}.pt in {source} is not that of {SOURCE}: its sha256 is {sha256}, not {WEIGHT_SHA256[name]}."
            )
    return contents


def _read_weight_file(source: Path, name: str) -> bytes:
    try:
        if source.is_dir():
            return (source / name).read_bytes()
        with zipfile.ZipFile(source) as wheel:
            return wheel.read(f"facenet_pytorch/data/{name}")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{source} holds no {name} ({error}); give the wheel of {SOURCE} or a folder with its .pt files."
        ) from error


def export(source: Path, target: Path) -> list[Path]:
    """Write mtcnn_pnet, mtcnn_rnet and mtcnn_onet (.onnx and .json) into the target folder and return the .onnx paths.

    The same source gives the same bytes. Raises ModelError where the source is not what it should be.
    """
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in read_weight_files(source).items():
        builder = BUILDERS[name]
        model = builder(read_state_dict(content))
        serialised = model.SerializeToString(deterministic=True)
        summary = (builder.__doc__ or "").strip()
        description = describe(model, summary, hashlib.sha256(serialised).hexdigest())
        path = target / f"{model.graph.name}.onnx"
        _write_atomically(path, serialised)
        _write_atomically(path.with_suffix(".json"), (json.dumps(description, indent=2) + "\n").encode())
        written.append(path)
    return written


def _write_atomically(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)  # NamedTemporaryFile makes it 0600; models are for every user of the environment
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def default_target() -> Path:
    """The environment's own folder in a virtual environment, else the user's."""
    return environment_model_folder() if sys.prefix != sys.base_prefix else user_model_folder()


def main(arguments: Sequence[str] | None = None) -> int:
    """Export, print the paths written and return the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m face_recognition_ros.models.mtcnn_export", description=__doc__)
    parser.add_argument("source", type=Path, metavar="WHEEL", help=f"wheel of {SOURCE}, or a folder with its .pt files")
    parser.add_argument("--output", type=Path, default=default_target(), help="target folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        for path in export(options.source, options.output):
            print(path)
    except (FaceRecognitionError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
