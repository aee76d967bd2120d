"""The programs that run ours and the peers, as far as they need no environment of their own."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from comparison.entries import entries
from comparison.processes import Answer, Contender, ContenderLostError, Entry
from onnx import TensorProto, helper, numpy_helper

from face_recognition_ros.types import ByteArray

STRIDES = (8, 16, 32)
OFFSETS = np.array([[-0.5, -0.5], [0.5, -0.5], [0, 0], [-0.4, 0.5], [0.4, 0.5]])


def entry(name: str, models: Path | None = None) -> Entry:
    (found,) = (one for one in entries(Path(sys.executable), models, None, 1, 50) if one.name == name)
    return found


def ask(entry: Entry, folder: Path, frame: ByteArray) -> Answer:
    path = folder / "frame.npy"
    np.save(path, frame)
    with Contender(entry, folder / "log", threads=1) as contender:
        return contender.ask(path, 0.0)


def save_model(
    path: Path, nodes: list[Any], weights: dict[str, Any], shape: list[Any], outputs: dict[str, Any]
) -> None:
    graph = helper.make_graph(
        nodes, "stand-in",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def detector_stand_in(path: Path) -> None:
    """With SCRFD's nine outputs; a white square of 16 pixels in the grid of 16 is a face to it, twice as large."""
    nodes, weights, outputs = [], {}, {}
    for stride in STRIDES:
        nodes.append(helper.make_node(
            "AveragePool", ["input"], [f"mean{stride}"], kernel_shape=[stride, stride], strides=[stride, stride]
        ))  # fmt: skip
        brightness = 10.0 if stride == 16 else 0.0
        kinds = {
            "score": (1, [[brightness] * 3, [0] * 3], [-25.0, -100.0] if stride == 16 else [-100.0, -100.0]),
            "box": (4, np.zeros((8, 3)), np.ones(8)),
            "points": (10, np.zeros((20, 3)), np.tile(OFFSETS.ravel(), 2)),
        }
        for kind, (width, factor, shift) in kinds.items():
            name = f"{kind}{stride}"
            weights[f"factor_{name}"] = np.asarray(factor, np.float32)[..., None, None]
            weights[f"shift_{name}"] = np.asarray(shift, np.float32)
            weights[f"shape_{name}"] = np.array([-1, width])
            rows = f"rows_{name}"
            nodes += [
                helper.make_node("Conv", [f"mean{stride}", f"factor_{name}", f"shift_{name}"], [f"map_{name}"]),
                helper.make_node("Transpose", [f"map_{name}"], [f"last_{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"last_{name}", f"shape_{name}"], [rows if kind == "score" else name]),
            ]
            if kind == "score":
                nodes.append(helper.make_node("Sigmoid", [rows], [name]))
            outputs[name] = (kind, [None, width])
    ordered = {name: size for kind in ("score", "box", "points") for name, (k, size) in outputs.items() if k == kind}
    save_model(path, nodes, weights, [1, 3, None, None], ordered)


def network_stand_in(path: Path) -> None:
    """With MobileFaceNet's input and output: the picture's mean colour, times random numbers."""
    matrix = np.random.default_rng(0).standard_normal((3, 512)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    save_model(path, nodes, {"matrix": matrix}, [None, 3, 112, 112], {"embedding": [None, 512]})


@pytest.mark.parametrize(("name", "scale"), [("320", 0.5), ("640", 1.0), ("320_one_pool", 0.5)])
def test_insightface_models_are_run_as_its_package_does(tmp_path: Path, name: str, scale: float) -> None:
    detector_stand_in(tmp_path / "det_500m.onnx")
    network_stand_in(tmp_path / "w600k_mbf.onnx")
    frame = np.zeros((480, 640, 3), np.uint8)
    side = round(16 / scale)  # pixels of the frame that become a cell of the detector's picture
    frame[5 * side : 6 * side, 10 * side : 11 * side] = 255
    answer = ask(entry(f"insightface_{name}", tmp_path), tmp_path, frame)
    centre = np.array([10.0, 5.0]) * side
    (face,) = answer.faces
    assert face["box"] == pytest.approx([*(centre - side), *(centre + side)])
    assert np.allclose(face["landmarks"], centre + OFFSETS * side, atol=0.01)


def test_insightface_on_a_frame_without_faces(tmp_path: Path) -> None:
    detector_stand_in(tmp_path / "det_500m.onnx")
    network_stand_in(tmp_path / "w600k_mbf.onnx")
    assert ask(entry("insightface_320", tmp_path), tmp_path, np.zeros((720, 1280, 3), np.uint8)).faces == []


@pytest.mark.parametrize("name", ["insightface_640", "opencv_yunet_sface", "opencv_yunet"])
def test_without_the_users_model_files_it_is_said_which_are_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ContenderLostError, match=r"no model file .*\.onnx .*--models FOLDER"):
        ask(entry(name, tmp_path), tmp_path, np.zeros((48, 64, 3), np.uint8))


@pytest.mark.parametrize("name", ["ours", "ours_video"])
def test_ours_finds_the_astronaut(tmp_path: Path, astronaut_bgr: ByteArray, name: str) -> None:
    answer = ask(entry(name), tmp_path, astronaut_bgr)
    (face,) = answer.faces
    left, top, right, bottom = face["box"]
    assert left < 224 < right
    assert top < 120 < bottom
    assert np.shape(face["landmarks"]) == (5, 2)
    assert 50 < answer.peak_mib < 1000
