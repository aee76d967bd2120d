"""A model file that is missing, cut short or another: configure fails with a sentence, and a parameter repairs it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from face_recognition_ros.models import find_model
from face_recognition_ros.types import ByteArray

from .helpers import ERROR, diagnosed


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the embedding network and the detector's, each wrong in its way."""
    folder = tmp_path_factory.mktemp("models")
    network = find_model("face_embedding").path
    content = network.read_bytes()
    (folder / "short.onnx").write_bytes(content[: len(content) // 2])
    (folder / "garbage.onnx").write_bytes(bytes(1000))
    (folder / "empty.onnx").write_bytes(b"")
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    (folder / "changed.onnx").write_bytes(changed)
    shutil.copy(network.with_suffix(".json"), folder / "changed.json")
    (folder / "detector").mkdir()
    for name in ("mtcnn_pnet", "mtcnn_rnet"):
        for suffix in (".onnx", ".json"):
            shutil.copy(find_model(name).path.with_suffix(suffix), folder / "detector")
    return folder


@pytest.fixture(scope="module")
def node(robot: Any, models: Path, start_node: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """It was started with a model file that is not there, and lives."""
    gallery = tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"
    process = start_node(gallery, embedding_model=str(models / "nowhere.onnx"))
    robot.wait_for_state("unconfigured")
    return process


def test_at_the_start_a_missing_model_leaves_the_node_alive_and_unconfigured(robot: Any, node: Any) -> None:
    diagnosed(robot, ERROR, "nowhere.onnx; give the path of an .onnx file.")
    assert robot.state() == "unconfigured"


@pytest.mark.parametrize(
    ("parameter", "value", "sentence"),
    [
        ("embedding_model", "short.onnx", "it may be cut short, damaged or of another format"),
        ("embedding_model", "garbage.onnx", "it may be cut short, damaged or of another format"),
        ("embedding_model", "empty.onnx", "it may be cut short, damaged or of another format"),
        ("embedding_model", "changed.onnx", "is cut short or was changed: its sha256 is"),
        ("embedding_model", "no_such_network", "The model no_such_network.onnx is in none of"),
        ("detector_model", "detector", "mtcnn_onet.onnx; give the path of an .onnx file."),
    ],
)
def test_configure_fails_with_a_sentence_and_is_repaired_by_a_parameter(
    robot: Any, node: Any, models: Path, astronaut_bgr: ByteArray, parameter: str, value: str, sentence: str
) -> None:
    for name in ("embedding_model", "detector_model"):
        path = str(models / value) if (models / value).exists() else value
        assert robot.set_parameter(name, path if name == parameter else "") == (True, "")
    assert not robot.change_state("configure")
    diagnosed(robot, ERROR, sentence)
    assert robot.state() == "unconfigured"
    assert robot.set_parameter(parameter, "") == (True, "")
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    assert len(robot.show(astronaut_bgr).faces) == 1
    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")
    assert "Traceback" not in node.output
