"""SCRFD with a user's model file: what its answers mean, on networks that answer what the tests say."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from face_recognition_ros.detection import DetectorOptions
from face_recognition_ros.detection.scrfd import ScrfdDetector
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import find_model
from face_recognition_ros.types import FloatArray

SIDE = 64
PLACES = {8: 64, 16: 16, 32: 4}
PIXEL = (0.0, 127.5, 255.0)
"""Blue, green and red of the picture that is shown."""


def write_network(path: Path, answers: dict[tuple[int, int], FloatArray]) -> Path:
    """A network for pictures of SIDE pixels that gives these answers, by stride and columns; all others are 0.

    To the offsets of stride 8 it adds the mean of each plane of its picture, in turn: x, y, x of the landmarks.
    """
    nodes, outputs = [helper.make_node("ReduceMean", ["picture"], ["means"], axes=[2, 3], keepdims=0)], []
    pads = numpy_helper.from_array(np.array([0, 0, 0, 7]), "pads")
    nodes.append(helper.make_node("Pad", ["means", "pads"], ["shift"]))
    for columns in (10, 1, 4):  # files differ in the order of their answers
        for stride, places in PLACES.items():
            name = f"answer_{columns}_{stride}"
            value = answers.get((stride, columns), np.zeros((2 * places, columns), np.float32))
            shifted = (stride, columns) == (8, 10)
            constant = numpy_helper.from_array(value, name)
            nodes.append(helper.make_node("Constant", [], [f"{name}_0" if shifted else name], value=constant))
            if shifted:
                nodes.append(helper.make_node("Add", [f"{name}_0", "shift"], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(value.shape)))
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, "scrfd", [picture], outputs, [pads])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), path)
    return path


def answer(stride: int, columns: int, row: int, values: list[float]) -> FloatArray:
    answers = np.zeros((2 * PLACES[stride], columns), np.float32)
    answers[row] = values
    return answers


def test_what_the_answers_mean(tmp_path: Path) -> None:
    anchor, column, row = 1, 3, 2
    index = 2 * (row * 8 + column) + anchor
    offsets = [0.0, 0.5, 1.0, 0.5, 0.5, 1.0, 0.25, 1.5, 0.75, 1.5]
    answers = {
        (8, 1): answer(8, 1, index, [0.81]),
        (8, 4): answer(8, 4, index, [1.0, 1.5, 2.0, 2.5]),
        (8, 10): answer(8, 10, index, offsets),
        (32, 1): answer(32, 1, 5, [0.64]),
        (32, 4): answer(32, 4, 5, [0.25, 0.5, 0.75, 0.5]),
    }
    path = write_network(tmp_path / "det.onnx", answers)
    frame = np.full((SIDE, SIDE, 3), PIXEL, np.uint8)
    found = ScrfdDetector(DetectorOptions(min_face_size=20, model=str(path))).search(frame)
    np.testing.assert_allclose(found.scores, [0.9, 0.8], atol=1e-6)
    np.testing.assert_allclose(found.boxes, [[16, 4, 40, 36], [-8, 16, 24, 48]], atol=1e-4)
    red, green, blue = ((value - 127.5) / 128 for value in (255, 127, 0))
    moved = np.array(offsets) + [red, green, blue, *[0] * 7]
    np.testing.assert_allclose(found.landmarks[0], 8 * (np.array([column, row]) + moved.reshape(5, 2)), atol=1e-4)


def test_where_onet_sees_no_face_scrfds_own_stays(tmp_path: Path) -> None:
    answers = {(16, 1): answer(16, 1, 10, [0.64]), (16, 4): answer(16, 4, 10, [1, 1, 1, 1])}
    detector = ScrfdDetector(
        DetectorOptions(model=str(write_network(tmp_path / "det.onnx", answers)), min_face_size=20)
    )
    (face,) = detector.detect(np.zeros((SIDE, SIDE, 3), np.uint8))
    np.testing.assert_allclose(face.box, [0, 0, 32, 32])
    assert face.score == pytest.approx(0.8)
    assert detector.refine(np.zeros((SIDE, SIDE, 3), np.uint8), face.box[None]) == []


def test_other_networks_are_refused(tmp_path: Path) -> None:
    one_anchor = {(8, 1): np.zeros((PLACES[8], 1), np.float32)}
    path = write_network(tmp_path / "one_anchor.onnx", one_anchor)
    with pytest.raises(ModelError, match=r"one_anchor.onnx is no SCRFD model.* boxes and five landmarks"):
        ScrfdDetector(DetectorOptions(model=str(path)))
    for network in ("mtcnn_pnet", "face_embedding"):
        with pytest.raises(ModelError, match=rf"{network}.onnx is no SCRFD model: it takes .* and gives "):
            ScrfdDetector(DetectorOptions(model=str(find_model(network).path)))
    with pytest.raises(ModelError, match="The scrfd detector needs a model file"):
        ScrfdDetector(DetectorOptions())
