"""OpenVINO on the installed networks: ONNX Runtime's numbers for every shape, and no word to anybody."""

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from face_recognition_ros.detection import DetectorOptions, create_detector
from face_recognition_ros.errors import BackendError, ModelError
from face_recognition_ros.models import find_model
from face_recognition_ros.runtime import InferenceSession, create_session
from face_recognition_ros.types import ByteArray

# Not importorskip: it would import openvino before our module has silenced it.
if find_spec("openvino") is None:
    pytest.skip("openvino is not installed here; `make test-openvino` installs it", allow_module_level=True)

from face_recognition_ros.runtime import openvino as backend
from face_recognition_ros.runtime.openvino import OpenVinoSession

Inputs = Mapping[str, npt.NDArray[Any]]


def run(session: InferenceSession, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return session.run({next(iter(session.inputs)): batch})


def reference(network: str) -> InferenceSession:
    return create_session(find_model(network).path, "onnxruntime")[0]


def assert_same_numbers(session: InferenceSession, network: str, batch: npt.NDArray[Any]) -> None:
    for actual, expected in zip(run(session, batch), run(reference(network), batch), strict=True):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_says_what_the_file_says(network: str) -> None:
    session, expected = OpenVinoSession(find_model(network).path, 1), reference(network)
    assert dict(session.inputs) == dict(expected.inputs)
    assert session.outputs == expected.outputs
    assert dict(session.metadata) == dict(expected.metadata)


def test_gives_the_numbers_of_onnx_runtime(network: str, face_inputs: Inputs) -> None:
    session = OpenVinoSession(find_model(network).path, 2)
    for _ in range(3):  # the third time, a picture's size has a network of its own
        assert_same_numbers(session, network, face_inputs[network])


@pytest.mark.parametrize("count", [0, 1, 3, 21, 90])
def test_takes_any_number_of_samples(count: int, face_inputs: Inputs) -> None:
    session = OpenVinoSession(find_model("mtcnn_rnet").path, 2)
    samples = np.concatenate([face_inputs["mtcnn_rnet"]] * 5)[:count]
    assert_same_numbers(session, "mtcnn_rnet", samples)


def test_embeddings_are_those_of_onnx_runtime(face_inputs: Inputs) -> None:
    crops = face_inputs["face_embedding"]
    expected = run(reference("face_embedding"), crops)[0]
    cosines = (run(OpenVinoSession(find_model("face_embedding").path), crops)[0] * expected).sum(axis=1)
    assert cosines.min() > 0.999999


def test_the_int8_network_runs(face_inputs: Inputs) -> None:
    crops = face_inputs["face_embedding"]
    vectors = run(OpenVinoSession(find_model("face_embedding_int8").path), crops)[0]
    assert (vectors * run(reference("face_embedding"), crops)[0]).sum(axis=1).min() > 0.95


def test_bfloat16_only_when_allowed_and_close_all_the_same(face_inputs: Inputs) -> None:
    path, crops = find_model("face_embedding").path, face_inputs["face_embedding"]
    session = OpenVinoSession(path, allow_bf16=True)
    has_it = "BF16" in backend._core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert (", bf16," in session.backend) == has_it
    assert ", f32," in OpenVinoSession(path).backend
    cosines = (run(session, crops)[0] * run(reference("face_embedding"), crops)[0]).sum(axis=1)
    assert cosines.min() > 0.999


def test_only_sizes_that_come_again_are_compiled_and_only_so_many(
    monkeypatch: pytest.MonkeyPatch, face_inputs: Inputs
) -> None:
    monkeypatch.setattr(backend, "MOST_SHAPES", 2)
    session = OpenVinoSession(find_model("mtcnn_pnet").path, 2)
    frame = face_inputs["mtcnn_pnet"]
    sizes = (frame, frame[:, :60], frame[:, :50], frame[:, :, :70])
    for size in sizes:
        run(session, size)
    assert len(session._requests) == 0
    for size in sizes:
        assert_same_numbers(session, "mtcnn_pnet", size)
    assert list(session._requests) == [sizes[0].shape, sizes[1].shape]
    assert_same_numbers(session, "mtcnn_pnet", frame[:, ::-1])  # an array that is not contiguous


@pytest.mark.parametrize("threads", [1, 2])
def test_says_how_many_threads_a_call_may_use(threads: int) -> None:
    if (os.cpu_count() or 1) < threads:
        pytest.skip(f"this machine has fewer than {threads} cores, and OpenVINO uses no more threads than cores")
    assert OpenVinoSession(find_model("mtcnn_onet").path, threads).backend.endswith(f", CPU, f32, {threads} threads")


def test_finds_the_same_faces(astronaut_bgr: ByteArray) -> None:
    found, expected = (
        create_detector("mtcnn", DetectorOptions(backend=name, strict_backend=True)).detect(astronaut_bgr)
        for name in ("openvino", "onnxruntime")
    )
    assert len(found) == len(expected) == 1
    np.testing.assert_allclose(found[0].box, expected[0].box, atol=0.01)
    np.testing.assert_allclose(found[0].landmarks, expected[0].landmarks, atol=0.01)


def test_wrong_inputs_are_refused_with_a_sentence() -> None:
    session, _ = create_session(find_model("mtcnn_onet").path, "openvino", strict=True)
    for name, batch in (
        ("image", np.zeros((1, 48, 48, 3))),  # OpenVINO itself would take float64
        ("image", np.zeros((1, 48, 47, 3), np.float32)),
        ("image", np.zeros((48, 48, 3), np.float32)),
        ("picture", np.zeros((1, 48, 48, 3), np.float32)),
    ):
        with pytest.raises(BackendError, match=r"refused.*takes float32\(None, 48, 48, 3\)"):
            session.run({name: batch})


def test_a_closed_session_refuses_to_run(face_inputs: Inputs) -> None:
    session = OpenVinoSession(find_model("mtcnn_onet").path)
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        run(session, face_inputs["mtcnn_onet"])


def test_a_network_with_two_inputs_is_left_to_onnx_runtime(tmp_path: Path) -> None:
    x, y, z = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xyz")
    graph = helper.make_graph([helper.make_node("Add", ["x", "y"], ["z"])], "sum", [x, y], [z])
    path = tmp_path / "sum.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    _, choice = create_session(path, "openvino")
    assert (choice.used, "networks with one input" in choice.reason) == ("onnxruntime", True)


@pytest.mark.parametrize("content", [b"", b"this is no network", None])
def test_damaged_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(find_model("mtcnn_pnet").path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(ModelError, match=r"damaged\.onnx .* cannot be loaded as an ONNX model"):
        OpenVinoSession(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        OpenVinoSession(tmp_path / "nothing.onnx")


def test_reports_nothing_to_anybody(tmp_path: Path) -> None:
    """`import openvino` alone writes an id for Google Analytics to the user's home, and sends a message there."""
    code = "import face_recognition_ros.runtime.openvino, sys; print(sys.modules['openvino_telemetry'])"
    home = {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.run([sys.executable, "-c", code], env=os.environ | home, capture_output=True, text=True)
    assert (printed.returncode, printed.stdout.strip()) == (0, "None"), printed.stderr
    assert list(tmp_path.iterdir()) == []
