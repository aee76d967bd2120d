"""Attribution maps: the released file keeps its numbers in torch, and maps point where a network looks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("onnx2torch", reason=REASON)
pytest.importorskip("pytorch_grad_cam", reason=REASON)

import cv2  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from face_recognition_ros.alignment import TEMPLATE, align_face  # noqa: E402
from face_recognition_ros.errors import BackendError, ImageError  # noqa: E402
from face_recognition_ros.evaluation import attribution, gradcam  # noqa: E402
from face_recognition_ros.models import find_model  # noqa: E402
from face_recognition_ros.quality import assess  # noqa: E402
from face_recognition_ros.recognizer import FaceView  # noqa: E402
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession  # noqa: E402
from face_recognition_ros.types import ByteArray, Detection, FloatArray  # noqa: E402

EYE_CELLS = np.s_[5:7, 3:11]
"""Rows 40 to 55 and columns 24 to 87 of the crop, in cells of 8 pixels."""


@pytest.fixture(scope="module")
def eye_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedding of nothing but the eyes: cells of 8x8 pixels in random filters, all others multiplied by zero."""
    random = np.random.default_rng(0)
    weights = {
        "filters": random.standard_normal((6, 3, 8, 8)).astype(np.float32) / 1000,
        "eyes": np.zeros((1, 1, 14, 14), np.float32),
    }
    weights["eyes"][0, 0][EYE_CELLS] = 1
    nodes = [
        helper.make_node("Transpose", ["faces"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["floats", "filters"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Relu", ["cells"], ["active"]),
        helper.make_node("Mul", ["active", "eyes"], ["seen"]),
        helper.make_node("ReduceMean", ["seen"], ["pooled"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceL2", ["pooled"], ["norm"], axes=[1], keepdims=1),
        helper.make_node("Div", ["pooled", "norm"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        nodes, "eyes", [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["N", 112, 112, 3])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", 6])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("network") / "eyes.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def samples(eye_network: Path) -> list[gradcam.Sample]:
    random = np.random.default_rng(1)
    network = attribution.differentiable(eye_network)

    def sample(name: str) -> gradcam.Sample:
        bare, worn, other = random.integers(0, 256, (3, 112, 112, 3), np.uint8)
        vectors = attribution.embed(network, [bare, worn, other])
        return gradcam.Sample(
            name, {"unmasked": bare, "masked": worn}, {"unmasked": vectors[0], "masked": vectors[1]}, vectors[2]
        )

    return [sample(f"person {number}") for number in range(3)]


def test_the_released_file_keeps_its_numbers_and_gets_gradients() -> None:
    model = find_model("face_embedding").path
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    network = attribution.differentiable(model)
    (expected,) = OnnxRuntimeSession(model).run({"faces": crops[..., ::-1]})
    assert np.abs(attribution.embed(network, list(crops)) - expected).max() < 1e-4
    assert network(attribution.as_batch(list(crops))).requires_grad
    partners = np.roll(expected, 1, axis=0)
    maps = attribution.attribution_maps(network, list(crops), partners)
    assert set(maps) == set(attribution.METHODS)
    for found in maps.values():
        assert found.shape == (3, 112, 112)
        assert found.min() >= 0
        assert found.max() == pytest.approx(1, abs=1e-3)


def test_maps_point_to_the_eyes_of_a_network_that_sees_nothing_else(
    eye_network: Path, samples: list[gradcam.Sample]
) -> None:
    maps = gradcam.explain(attribution.differentiable(eye_network), samples)
    for method in attribution.METHODS:
        for version in ("unmasked", "masked"):
            assert attribution.shares(maps[method][version])["eyes"] > 0.98, method


def test_covering_costs_only_where_the_network_looks(eye_network: Path, samples: list[gradcam.Sample]) -> None:
    lost = gradcam.covering(attribution.differentiable(eye_network), samples)["loss_when_covered"]["unmasked"]
    assert lost["eyes"] > 0.01
    assert (lost["nose"], lost["mouth"]) == pytest.approx((0, 0), abs=1e-6)


def test_an_even_map_has_each_regions_area() -> None:
    even = attribution.shares(np.ones((2, 112, 112), np.float32))
    assert even == pytest.approx({region: attribution.area(region) for region in attribution.REGIONS})
    assert attribution.area("eyes") == pytest.approx(26 * 76 / 112**2)
    one_empty = np.zeros((2, 112, 112), np.float32)
    one_empty[0, 40, 40] = 1
    assert attribution.shares(one_empty) == {"eyes": 1, "nose": 0, "mouth": 0}


def test_a_network_without_gradients_gets_a_sentence(tmp_path: Path) -> None:
    node = helper.make_node("DynamicQuantizeLinear", ["faces"], ["small", "scale", "zero"])
    graph = helper.make_graph(
        [node], "int8", [helper.make_tensor_value_info("faces", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("small", TensorProto.UINT8, [1, 4])],
    )  # fmt: skip
    path = tmp_path / "int8.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    with pytest.raises(BackendError, match=r"Grad-CAM needs an fp32 network: onnx2torch cannot read int8.onnx"):
        attribution.differentiable(path)


def test_without_torch_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "find_spec", lambda name: None if name == "onnx2torch" else "there")
    with pytest.raises(BackendError, match=r"needs onnx2torch.*make training-env"):
        attribution.require_libraries()


class TemplateRecognizer:
    """Finds one face, on the template enlarged twice, wherever the middle is bright."""

    def __init__(self, embed: Callable[[ByteArray], FloatArray]) -> None:
        self._embed = embed

    def view(self, picture: ByteArray) -> list[FaceView]:
        if picture[60:200, 60:180].mean() < 40:
            return []
        landmarks = (2 * TEMPLATE).astype(np.float32)
        detection = Detection(np.array([40, 40, 184, 220], np.float32), landmarks, 1.0)
        aligned = align_face(picture, landmarks)
        return [FaceView(detection, aligned, assess(detection, aligned), self._embed(aligned.crop))]


def test_people_seen_twice_are_explained_and_those_not_found_are_listed(
    eye_network: Path, tmp_path: Path, astronaut_bgr: ByteArray
) -> None:
    landmarks = np.array([[205, 101], [247, 103], [225, 129], [201, 140], [245, 141]], np.float32)
    face = cv2.resize(align_face(astronaut_bgr, landmarks).crop, (224, 224))
    pictures = {"Ada": (face, face[:, ::-1]), "Bea": (face, face // 9), "Cid": (face,), "Dee": (face // 2 + 60, face)}
    for name, shown in pictures.items():
        (tmp_path / name).mkdir()
        for number, picture in enumerate(shown):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), picture)
    network = attribution.differentiable(eye_network)
    recognizer = TemplateRecognizer(lambda crop: attribution.embed(network, [crop])[0])
    samples, failed = gradcam.collect(recognizer, tmp_path, count=9, seed=0)
    assert [sample.name for sample in samples] == ["Ada", "Dee"]
    assert failed == ["Bea/1.png"]
    changed = (samples[0].crops["masked"] != samples[0].crops["unmasked"]).any(axis=2)
    assert changed[85:105, 45:68].mean() > 0.9, "the mask covers the mouth"
    assert not changed[40:55].any(), "and leaves the eyes free"
    assert gradcam.parity(network, samples) < 1e-6
    with pytest.raises(ImageError, match="nobody twice"):
        gradcam.collect(recognizer, tmp_path / "Cid", count=9, seed=0)
