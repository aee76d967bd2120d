"""Writes MTCNN's networks down layer by layer, in the form that ONNX Runtime computes fastest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Weights = dict[str, npt.NDArray[np.float32]]

OPSET, IR_VERSION = 17, 8  # the oldest that hold all we use, so that older runtimes read the files too
VECTOR = 16
"""Channels that ONNX Runtime's convolutions compute together: a layer with fewer takes as long."""
BLANK = -1.0
"""What a blank pixel adds to the values around it for each of its 255 levels: no maximum ever takes one of them."""


class Chain:
    """A network that is one chain of layers, written down as ONNX nodes while it is walked."""

    def __init__(self, weights: Weights, side: int | None = None) -> None:
        """side: of the crops that the network takes; None for one that takes pictures of any size with blanks."""
        self._weights = dict(weights)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, npt.NDArray[np.float32]] = {}
        shape = [side, side, 3] if side else ["height", "width", 4]
        self._input = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *shape])
        self._has_blanks = side is None
        self._last = self._add("Transpose", ["image"], "planes", perm=[0, 3, 1, 2])

    def conv(self, name: str, first: bool = False) -> None:
        """Convolution without padding; the first one takes BGR 0..255 where its weights want RGB (x - 127.5) / 128."""
        weight: npt.NDArray[Any] = self._weights[f"{name}.weight"]
        bias: npt.NDArray[Any] = self._weights[f"{name}.bias"]
        if first:
            bias = bias - weight.sum(axis=(1, 2, 3), dtype=np.float64) * (127.5 / 128)
            weight = weight[:, ::-1] / 128
            if self._has_blanks:
                weight = np.concatenate((weight, np.full_like(weight[:, :1], BLANK)), axis=1)
        self._last = self._add("Conv", [self._last, *self._parameters(name, weight, bias)], name)

    def dense(self, name: str) -> None:
        parameters = self._parameters(name, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])
        self._last = self._add("Gemm", [self._last, *parameters], name, transB=1)

    def flatten(self, name: str, channels: int, side: int) -> None:
        """Flatten for the dense layer `name`, whose weights expect the order width, height, channel."""
        weight = self._weights[f"{name}.weight"].reshape(-1, side, side, channels)
        self._weights[f"{name}.weight"] = weight.transpose(0, 3, 2, 1).reshape(len(weight), -1)
        self._last = self._add("Flatten", [self._last], f"{name}_input", axis=1)

    def prelu(self, name: str, axes_behind: int = 2) -> None:
        """PReLU as slope * x + (1 - slope) * relu(x), which ONNX Runtime computes faster than its PRelu.

        With all slopes at most 1 as slope * x + relu((1 - slope) * x), which it computes in two steps instead of three.
        """
        slope = self._weights[f"{name}.weight"].reshape(-1, *[1] * axes_behind)
        steps = ("Mul", "Relu") if slope.max() <= 1 else ("Relu", "Mul")
        linear = self._add("Mul", [self._last, self._constant(f"{name}_slope", slope)], f"{name}_linear")
        bent, rest = self._last, self._constant(f"{name}_rest", 1 - slope)
        for step in steps:
            bent = self._add(step, [bent, rest] if step == "Mul" else [bent], f"{name}_{step.lower()}")
        self._last = self._add("Add", [linear, bent], name)

    def pool(self, name: str, side: int) -> None:
        self._last = self._add("MaxPool", [self._last], name, kernel_shape=[side, side], strides=[2, 2], ceil_mode=1)

    def conv_pool_prelu(self, conv: str, prelu: str, pool: str, following: str) -> None:
        """First convolution, PReLU and 2x2 maxima; the PReLU is computed after the maxima, on a quarter of the values.

        A slope of 0 or more keeps the order of values, so that maxima may be taken before it. With a slope below 0
        PReLU is max(x, slope * x): such a channel gets a second one with slope * x, and max(a, b) = a + relu(b - a)
        joins the two. A slope over 1 gives the channel with its sign changed, which the convolution `following` undoes.
        """
        slope, weight, bias = (self._weights[key] for key in (f"{prelu}.weight", f"{conv}.weight", f"{conv}.bias"))
        falling = np.flatnonzero(slope < 0)
        self._weights[f"{conv}.weight"] = np.concatenate((weight, weight[falling] * slope[falling, None, None, None]))
        self._weights[f"{conv}.bias"] = np.concatenate((bias, bias[falling] * slope[falling]))
        sign = np.where(slope > 1, -1, 1).astype(np.float32)
        straight, bent = np.zeros((2, VECTOR, len(slope) + len(falling), 1, 1), np.float32)
        for channel, value in enumerate(slope):
            straight[channel, channel] = sign[channel] * value if value >= 0 else 1
            bent[channel, channel] = sign[channel] * (1 - value) if value >= 0 else -1
        bent[falling, len(slope) + np.arange(len(falling))] = 1
        used = self._weights[f"{following}.weight"] * sign[:, None, None]
        self._weights[f"{following}.weight"] = np.pad(used, ((0, 0), (0, VECTOR - len(slope)), (0, 0), (0, 0)))

        self.conv(conv, first=True)
        self.pool(pool, 2)
        kink = self._add("Conv", [self._last, self._constant(f"{prelu}_bent", bent)], f"{prelu}_kink")
        bent_part = self._add("Relu", [kink], f"{prelu}_relu")
        straight_part = self._add(
            "Conv", [self._last, self._constant(f"{prelu}_straight", straight)], f"{prelu}_linear"
        )
        self._last = self._add("Add", [straight_part, bent_part], prelu)

    def widen(self, conv: str, prelu: str, following: str) -> None:
        """Fill the layer's channels up with zeros to whole vectors, without which its maxima take far longer."""
        missing = -len(self._weights[f"{conv}.weight"]) % VECTOR
        for key in (f"{conv}.weight", f"{conv}.bias", f"{prelu}.weight"):
            value = self._weights[key]
            self._weights[key] = np.pad(value, [(0, missing), *[(0, 0)] * (value.ndim - 1)])
        value = self._weights[f"{following}.weight"]
        self._weights[f"{following}.weight"] = np.pad(value, ((0, 0), (0, missing), (0, 0), (0, 0)))

    def model(self, name: str, certainty: str, others: Sequence[str], shape: list[Any]) -> onnx.ModelProto:
        """The network, with the last layers as one: the logit of a face, then what the layers `others` say.

        Softmax of two classes is the sigmoid of the difference of their logits.
        """
        for part in ("weight", "bias"):
            values = self._weights[f"{certainty}.{part}"]
            rows = [values[1:] - values[:1], *(self._weights[f"{other}.{part}"] for other in others)]
            self._weights[f"answers.{part}"] = np.concatenate(rows)
        if self._weights["answers.weight"].ndim == 4:
            self.conv("answers")
        else:
            self.dense("answers")
        size = len(self._weights["answers.weight"])
        output = helper.make_tensor_value_info("answers", TensorProto.FLOAT, ["batch", size, *shape])
        constants = [numpy_helper.from_array(value, key) for key, value in self._constants.items()]
        graph = helper.make_graph(self._nodes, name, [self._input], [output], constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name=__package__
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _parameters(self, name: str, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> list[str]:
        return [self._constant(f"{name}_weight", weight), self._constant(f"{name}_bias", bias)]

    def _constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self._constants[name] = np.ascontiguousarray(value, np.float32)
        return name

    def _add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output
