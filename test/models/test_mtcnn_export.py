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


def random_weights(shapes: dict[str, tuple[int, ...]], slopes: tuple[float, float]) -> dict[str, np.ndarray]:
    """Each layer's weights and biases, and a PReLU for each but the last ones, with slopes in that range."""
    random = np.random.default_rng(3)
    weights = {f"{name}.weight": random.normal(0, 0.1, shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": random.normal(0, 0.1, shape[0]) for name, shape in shapes.items()}
    bent = [shape[0] for name, shape in shapes.items() if "_" not in name]
    weights |= {f"prelu{n}.weight": random.uniform(*slopes, size) for n, size in enumerate(bent, 1)}
    return {name: value.astype(np.float32) for name, value in weights.items()}


PNET = {
    "conv1": (10, 3, 3, 3), "conv2": (16, 10, 3, 3), "conv3": (32, 16, 3, 3),
    "conv4_1": (2, 32, 1, 1), "conv4_2": (4, 32, 1, 1),
}  # fmt: skip
RNET = {
    "conv1": (28, 3, 3, 3), "conv2": (48, 28, 3, 3), "conv3": (64, 48, 2, 2),
    "dense4": (128, 576), "dense5_1": (2, 128), "dense5_2": (4, 128),
}  # fmt: skip


class Original:
    """The layers of facenet-pytorch's networks in NumPy."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights

    def normalised(self, picture: np.ndarray) -> np.ndarray:
        return (picture[:, :, ::-1].transpose(2, 0, 1).astype(np.float64) - 127.5) / 128

    def conv(self, x: np.ndarray, name: str) -> np.ndarray:
        weight = self.weights[f"{name}.weight"]
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2))
        return np.einsum("oikl,ihwkl->ohw", weight, windows) + self.weights[f"{name}.bias"][:, None, None]

    def prelu(self, x: np.ndarray, number: int) -> np.ndarray:
        slope = self.weights[f"prelu{number}.weight"].reshape(-1, *[1] * (x.ndim - 1))
        return np.where(x >= 0, x, slope * x)

    def pool(self, x: np.ndarray, side: int) -> np.ndarray:
        """Maxima with stride 2; the last ones over what is left."""
        rows, columns = (range(0, max(length - side + 1, 0) + 1, 2) for length in x.shape[1:])
        return np.stack([np.stack([x[:, r : r + side, c : c + side].max((1, 2)) for c in columns], 1) for r in rows], 1)

    def rnet(self, crop: np.ndarray) -> np.ndarray:
        """Answers (5,) for one (24, 24, 3) BGR crop."""
        x = self.pool(self.prelu(self.conv(self.normalised(crop), "conv1"), 1), 3)
        x = self.pool(self.prelu(self.conv(x, "conv2"), 2), 3)
        x = self.prelu(self.conv(x, "conv3"), 3)
        dense = self.weights["dense4.weight"] @ x.transpose(2, 1, 0).ravel() + self.weights["dense4.bias"]
        x = self.prelu(dense, 4)
        logits, regression = (self.weights[f"dense5_{n}.weight"] @ x + self.weights[f"dense5_{n}.bias"] for n in (1, 2))
        return np.concatenate(([logits[1] - logits[0]], regression))

    def pnet(self, picture: np.ndarray) -> np.ndarray:
        """Answers (5, rows, columns) for one (H, W, 3) BGR picture."""
        x = self.pool(self.prelu(self.conv(self.normalised(picture), "conv1"), 1), 2)
        x = self.prelu(self.conv(x, "conv2"), 2)
        x = self.prelu(self.conv(x, "conv3"), 3)
        logits = self.conv(x, "conv4_1")
        return np.concatenate((logits[1:] - logits[:1], self.conv(x, "conv4_2")))


def answers_of(model: Any, path: Path, pictures: np.ndarray) -> np.ndarray:
    path.write_bytes(model.SerializeToString(deterministic=True))
    return np.asarray(create_session(path)[0].run({"image": pictures.astype(np.float32)})[0])


def test_same_weights_give_the_same_bytes() -> None:
    first, second = (mtcnn_export.build_rnet(random_weights(RNET, (0, 0.5))) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


@pytest.mark.parametrize("slopes", [(0.0, 0.5), (-1.5, 1.5)])
def test_rnet_computes_what_the_original_does(tmp_path: Path, slopes: tuple[float, float]) -> None:
    weights = random_weights(RNET, slopes)
    crop = np.random.default_rng(5).uniform(0, 255, (24, 24, 3)).astype(np.float32)
    (answers,) = answers_of(mtcnn_export.build_rnet(weights), tmp_path / "rnet.onnx", crop[None])
    np.testing.assert_allclose(answers, Original(weights).rnet(crop), atol=1e-4)


@pytest.mark.parametrize("size", [(24, 30), (25, 31)])
def test_pnet_computes_what_the_original_does(tmp_path: Path, size: tuple[int, int]) -> None:
    weights = random_weights(PNET, (-1.5, 1.5))
    weights["prelu1.weight"][:7] = (-1.5, -0.5, -0.25, 0.0, 0.5, 1.0, 1.5)  # all cases, and room for all below 0
    weights["prelu1.weight"][7:] = 0.1
    picture = np.random.default_rng(6).uniform(0, 255, (*size, 3)).astype(np.float32)
    expected = Original(weights).pnet(picture)
    blank = np.zeros((40, 40, 4), np.float32)
    blank[..., 3] = 255
    blank[: size[0], : size[1], :3], blank[: size[0], : size[1], 3] = picture, 0
    (answers,) = answers_of(mtcnn_export.build_pnet(weights), tmp_path / "pnet.onnx", blank[None])
    rows, columns = expected.shape[1:]
    np.testing.assert_allclose(answers[:, :rows, :columns], expected, atol=1e-4)


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
