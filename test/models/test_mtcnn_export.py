"""Reading torch's legacy weight files and writing MTCNN's networks."""

import io
import json
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import find_model, mtcnn_export
from face_recognition_ros.models.torch_pickle import MAGIC_NUMBER, read_state_dict
from face_recognition_ros.runtime import create_session


class Tensor:
    """Pickles itself as torch's tensors do."""

    def __init__(self, storage: "Storage", offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.arguments = (storage, offset, shape, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Storage:
    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype("<f4")


@pytest.fixture
def _torch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two names of torch that its weight files mention, so that one can be written without torch."""

    def _rebuild_tensor_v2() -> None: ...

    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def legacy_file(value: object, storages: list[Storage]) -> bytes:
    """What torch.save wrote before version 1.6."""
    file = io.BytesIO()
    for header in (MAGIC_NUMBER, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
        pickle.dump(header, file, protocol=2)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, Storage):
                key = str(storages.index(obj))
                return "storage", sys.modules["torch"].FloatStorage, key, "cpu", len(obj.values), None
            return None

    Pickler(file, protocol=2).dump(value)
    pickle.dump([str(index) for index in range(len(storages))], file, protocol=2)
    for storage in storages:
        file.write(len(storage.values).to_bytes(8, "little") + storage.values.tobytes())
    return file.getvalue()


@pytest.mark.usefixtures("_torch_names")
def test_state_dict_is_read() -> None:
    storages = [Storage(np.arange(6)), Storage(np.array([7, 8]))]
    tensors = OrderedDict(a=Tensor(storages[0], 0, (2, 3), (3, 1)), b=Tensor(storages[1], 1, (1,), (1,)))
    tensors["transposed"] = Tensor(storages[0], 0, (3, 2), (1, 3))
    read = read_state_dict(legacy_file(tensors, storages))
    np.testing.assert_array_equal(read["a"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(read["b"], [8])
    np.testing.assert_array_equal(read["transposed"], [[0, 3], [1, 4], [2, 5]])


@pytest.mark.usefixtures("_torch_names")
@pytest.mark.parametrize("cut", [1, 30, 150])
def test_truncated_weights_are_refused(cut: int) -> None:
    storage = Storage(np.arange(20))
    content = legacy_file({"a": Tensor(storage, 0, (20,), (1,))}, [storage])
    with pytest.raises(ModelError, match="cut short"):
        read_state_dict(content[:-cut])


@pytest.mark.usefixtures("_torch_names")
def test_tensor_outside_its_storage_is_refused() -> None:
    storage = Storage(np.arange(4))
    with pytest.raises(ModelError, match="outside its storage"):
        read_state_dict(legacy_file({"a": Tensor(storage, 1, (4,), (1,))}, [storage]))


def test_unpickler_runs_no_code(tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {witness}",)

    with pytest.raises(ModelError, match=r"posix\.system"):
        read_state_dict(legacy_file({"a": Attack()}, []))
    with pytest.raises(ModelError, match=r"posix\.system"):
        read_state_dict(pickle.dumps(Attack(), protocol=2))
    assert not witness.exists()


def random_rnet() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    shapes = {
        "conv1": (28, 3, 3, 3), "conv2": (48, 28, 3, 3), "conv3": (64, 48, 2, 2),
        "dense4": (128, 576), "dense5_1": (2, 128), "dense5_2": (4, 128),
    }  # fmt: skip
    weights = {f"{name}.weight": random.normal(0, 0.1, shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": random.normal(0, 0.1, shape[0]) for name, shape in shapes.items()}
    weights |= {f"prelu{n}.weight": random.uniform(0, 0.5, size) for n, size in enumerate((28, 48, 64, 128), 1)}
    return {name: value.astype(np.float32) for name, value in weights.items()}


def rnet_in_numpy(weights: dict[str, np.ndarray], crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """facenet-pytorch's RNet.forward for one (24, 24, 3) BGR crop: softmax probabilities and regression."""

    def conv(x: np.ndarray, name: str) -> np.ndarray:
        weight = weights[f"{name}.weight"]
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2))
        return np.einsum("oikl,ihwkl->ohw", weight, windows) + weights[f"{name}.bias"][:, None, None]

    def prelu(x: np.ndarray, number: int) -> np.ndarray:
        slope = weights[f"prelu{number}.weight"].reshape(-1, *[1] * (x.ndim - 1))
        return np.where(x >= 0, x, slope * x)

    def pool(x: np.ndarray) -> np.ndarray:
        starts = range(0, x.shape[1] - 1, 2)
        return np.stack([np.stack([x[:, r : r + 3, c : c + 3].max((1, 2)) for c in starts], 1) for r in starts], 1)

    x = (crop[:, :, ::-1].transpose(2, 0, 1).astype(np.float64) - 127.5) / 128
    x = pool(prelu(conv(x, "conv1"), 1))
    x = pool(prelu(conv(x, "conv2"), 2))
    x = prelu(conv(x, "conv3"), 3)
    x = prelu(weights["dense4.weight"] @ x.transpose(2, 1, 0).ravel() + weights["dense4.bias"], 4)
    logits, regression = (weights[f"dense5_{n}.weight"] @ x + weights[f"dense5_{n}.bias"] for n in (1, 2))
    return np.exp(logits) / np.exp(logits).sum(), regression


def test_network_computes_what_the_original_does(tmp_path: Path) -> None:
    weights = random_rnet()
    content = mtcnn_export.build_rnet(weights).SerializeToString(deterministic=True)
    assert content == mtcnn_export.build_rnet(weights).SerializeToString(deterministic=True)
    crop = np.random.default_rng(5).uniform(0, 255, (24, 24, 3)).astype(np.float32)
    (tmp_path / "rnet.onnx").write_bytes(content)
    session, _ = create_session(tmp_path / "rnet.onnx")
    probability, regression = session.run({"image": crop[None]})
    expected_probability, expected_regression = rnet_in_numpy(weights, crop)
    np.testing.assert_allclose(probability[0, 0], expected_probability[1], atol=1e-5)
    np.testing.assert_allclose(regression[0], expected_regression, atol=1e-4)


def test_wheel_that_is_not_the_pinned_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = tmp_path / "facenet_pytorch-9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in ("pnet", "rnet", "onet"):
            file.writestr(f"facenet_pytorch/data/{name}.pt", b"other weights")
    assert mtcnn_export.main([str(wheel), "--output", str(tmp_path / "out")]) == 1
    assert mtcnn_export.WEIGHT_SHA256["pnet"] in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("no zip")])
def test_source_without_weights(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "source")
    with pytest.raises(ModelError, match=r"holds no pnet\.pt"):
        mtcnn_export.export(tmp_path / "source", tmp_path / "out")


@pytest.mark.parametrize("name", ["mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet"])
def test_installed_networks_are_as_described(name: str) -> None:
    model = find_model(name)  # `make setup` exports them
    assert model.description is not None
    session, _ = create_session(model.path)
    described = json.loads(model.path.with_suffix(".json").read_text())
    assert [row["name"] for row in described["inputs"]] == list(session.inputs)
    assert [row["name"] for row in described["outputs"]] == list(session.outputs)
    assert model.description.licence
    assert model.description.terms
    assert model.description.origin
