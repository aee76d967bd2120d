"""Opening networks: the ONNX Runtime session and the honest choice of a backend."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from face_recognition_ros.errors import BackendError, ModelError, SettingsError
from face_recognition_ros.runtime import BACKENDS, InferenceSession, create_session
from face_recognition_ros.runtime.onnx_runtime import workers_places
from face_recognition_ros.runtime.selection import Opener


@pytest.fixture
def doubling_model(tmp_path: Path) -> Path:
    """A network (batch, 2) -> twice that, with a note in its metadata."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"model_id": "doubling-1"})
    path = tmp_path / "doubling.onnx"
    onnx.save(model, str(path))
    return path


def test_session_runs_and_describes_itself(doubling_model: Path) -> None:
    session, choice = create_session(doubling_model, "onnxruntime")
    assert dict(session.inputs) == {"x": (None, 2)}
    assert session.outputs == ("y",)
    assert session.metadata["model_id"] == "doubling-1"
    assert session.backend.startswith("ONNX Runtime ")
    assert (choice.used, choice.reason) == ("onnxruntime", "as requested")
    for batch in (1, 3, 0):
        x = np.arange(2 * batch, dtype=np.float32).reshape(batch, 2)
        np.testing.assert_array_equal(session.run({"x": x})[0], 2 * x)


def test_wrong_input_is_refused_with_a_sentence(doubling_model: Path) -> None:
    session, _ = create_session(doubling_model)
    with pytest.raises(BackendError, match=r"float32\(1, 5\).*\(None, 2\)"):
        session.run({"x": np.zeros((1, 5), np.float32)})


def test_closed_session_refuses_to_run(doubling_model: Path) -> None:
    session, _ = create_session(doubling_model)
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run({"x": np.zeros((1, 2), np.float32)})


@pytest.mark.parametrize(
    ("threads", "processors", "places"),
    [(0, {0, 1}, ""), (1, {0, 1}, ""), (2, {0, 1}, "2"), (2, {3}, ""), (3, {7, 2, 4}, "5,8;5,8"), (3, {0, 1}, "")],
)
def test_threads_leave_the_first_processor_to_their_caller(threads: int, processors: set[int], places: str) -> None:
    assert workers_places(threads, processors) == places


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor has no room for a second thread")
@pytest.mark.parametrize("threads", [0, 2])
def test_threads_use_no_processor_that_is_not_allowed(doubling_model: Path, threads: int) -> None:
    allowed = os.sched_getaffinity(0)
    chosen = set(sorted(allowed)[:2])
    tasks = Path("/proc/self/task")
    before = set(tasks.iterdir())
    os.sched_setaffinity(0, chosen)
    try:
        session, _ = create_session(doubling_model, "onnxruntime", threads=threads)
        (worker,) = set(tasks.iterdir()) - before
    finally:
        os.sched_setaffinity(0, allowed)
    end = time.monotonic() + 60
    while (place := os.sched_getaffinity(int(worker.name))) != {max(chosen)} and time.monotonic() < end:
        time.sleep(0.01)  # it goes there itself, as soon as a busy machine lets it begin
    session.close()
    assert place == {max(chosen)}


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        create_session(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("content", [b"", b"this is no network", None])
def test_damaged_file(doubling_model: Path, content: bytes | None) -> None:
    doubling_model.write_bytes(doubling_model.read_bytes()[:-20] if content is None else content)
    with pytest.raises(ModelError, match="cannot be loaded as an ONNX model"):
        create_session(doubling_model)


@pytest.mark.parametrize(
    ("backend", "library", "install"),
    [
        ("openvino", "openvino", "`pip install openvino`"),
        ("openvino_bf16", "openvino", "`pip install openvino`"),
        ("torch_cuda", "torch", "`pip install torch torchvision onnx onnx2torch`"),
    ],
)
def test_absent_backend_falls_back_and_says_what_to_install(
    doubling_model: Path, monkeypatch: pytest.MonkeyPatch, backend: str, library: str, install: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    for module in ("openvino", "torch_cuda", "torch_network"):
        monkeypatch.delitem(sys.modules, f"face_recognition_ros.runtime.{module}", raising=False)
    _, choice = create_session(doubling_model, backend)
    assert (choice.requested, choice.used) == (backend, "onnxruntime")
    assert choice.reason.startswith(f"{backend}: {library}")
    assert install in choice.reason
    with pytest.raises(BackendError, match=install):
        create_session(doubling_model, backend, strict=True)


def test_auto_takes_only_what_gives_the_same_everywhere(doubling_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def refuse(name: str) -> Opener:
        def opener(model_path: Path, threads: int) -> InferenceSession:
            opened.append(name)
            raise BackendError("not here")

        return opener

    for name in BACKENDS:
        monkeypatch.setitem(BACKENDS, name, refuse(name))
    with pytest.raises(BackendError, match="tensorrt: not here; onnxruntime: not here"):
        create_session(doubling_model)
    assert opened == ["tensorrt", "onnxruntime"]


def test_auto_names_what_it_passed_over(doubling_model: Path) -> None:
    _, choice = create_session(doubling_model)
    assert (choice.requested, choice.used) == ("auto", "onnxruntime")
    assert "tensorrt: " in choice.reason


def test_settings_out_of_range(doubling_model: Path) -> None:
    with pytest.raises(SettingsError, match=r"'tpu'.*auto"):
        create_session(doubling_model, "tpu")
    with pytest.raises(SettingsError, match="-1"):
        create_session(doubling_model, threads=-1)
