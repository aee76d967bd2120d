"""The 8-bit file: smaller, near the original, and only where it was asked for."""

from pathlib import Path

import numpy as np
import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("timm", reason=REASON)

import onnx  # noqa: E402

from face_recognition_ros.training import quantization  # noqa: E402
from face_recognition_ros.training.export import embed, export_onnx  # noqa: E402
from face_recognition_ros.training.networks import create_network  # noqa: E402
from face_recognition_ros.training.quantization import Scheme, layers, quantize  # noqa: E402


def faces(count: int) -> np.ndarray:
    """Smooth random pictures."""
    coarse = np.random.default_rng(1).integers(0, 256, (count, 7, 7, 3), np.uint8)
    return np.repeat(np.repeat(coarse, 16, axis=1), 16, axis=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EfficientNet-B0 with random weights, normalised so that it tells faces apart, in float32."""
    torch.manual_seed(0)
    network = create_network("efficientnet_b0", 64).train()
    pixels = torch.from_numpy(faces(16)).permute(0, 3, 1, 2).float()
    for module in network.modules():
        if hasattr(module, "momentum"):
            module.momentum = 1.0  # one pass sets the statistics
    with torch.no_grad():
        network(pixels)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export_onnx(network.eval(), path)
    return path


def test_every_layer_is_of_a_kind(model: Path) -> None:
    kinds = layers(onnx.load(model).graph)
    counts = {kind: len(names) for kind, names in kinds.items()}
    # 16 blocks; the first has no expansion; the last convolution is pointwise
    assert counts == {"stem": 1, "depthwise": 16, "squeeze": 32, "pointwise": 32, "head": 1}


def test_the_8_bit_network_is_smaller_and_near(model: Path, tmp_path: Path) -> None:
    crops = faces(16)
    quantize(model, crops, tmp_path / "int8.onnx", Scheme())
    assert (tmp_path / "int8.onnx").stat().st_size < 0.6 * model.stat().st_size
    before, after = embed(model, crops), embed(tmp_path / "int8.onnx", crops)
    assert (before @ before.T)[np.triu_indices(16, 1)].mean() < 0.5
    assert np.linalg.norm(after, axis=1) == pytest.approx(1, abs=1e-5)
    assert (before * after).sum(axis=1).mean() > 0.8, "random weights magnify small errors; trained ones do less so"
    assert np.array_equal((after @ before.T).argmax(axis=1), np.arange(16)), "each face is nearest to itself"
    assert not np.array_equal(before, after)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8, "preprocessing stays inside"
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param, "any number of faces"


def test_an_unknown_name_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="guess: choose of methods minmax"):
        quantize(model, faces(1), tmp_path / "int8.onnx", Scheme(method="guess"))
    with pytest.raises(ValueError, match="nose: choose of methods"):
        quantize(model, faces(1), tmp_path / "int8.onnx", Scheme(keep=("nose",)))


def test_the_loss_by_hand() -> None:
    labels = np.array(["a", "a", "b", "b"])
    before = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], np.float32)
    after = before.copy()
    after[1] = [0, 0.8, 0.6]  # now nearer to b than to a
    measured = quantization.loss(before, after, labels)
    assert (measured.cosine, measured.worst_cosine) == (pytest.approx(0.75), 0.0)
    assert measured.tar["0.01"] == (1.0, 0.5)
    assert "100.00% -> 50.00% at FAR 0.01" in quantization.summary(measured)
