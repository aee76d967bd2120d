"""The torch backend: its numbers on the CPU, and on a GPU where there is one (`pytest -m gpu`)."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from face_recognition_ros.errors import BackendError, ModelError
from face_recognition_ros.models import find_model
from face_recognition_ros.runtime import InferenceSession, create_session

REASON = "torch is not installed here; `make test-training` has it"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("onnx2torch", reason=REASON)

from face_recognition_ros.runtime import parity, torch_cuda  # noqa: E402
from face_recognition_ros.runtime.torch_cuda import TorchCudaSession  # noqa: E402

Inputs = Mapping[str, npt.NDArray[Any]]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU here")


def run(session: InferenceSession, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return session.run({next(iter(session.inputs)): batch})


def reference(network: str) -> InferenceSession:
    return create_session(find_model(network).path, "onnxruntime")[0]


def assert_agrees(session: InferenceSession, network: str, batch: npt.NDArray[Any]) -> None:
    parity.check_parity(reference(network), session, [{next(iter(session.inputs)): batch}])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_says_what_the_file_says(network: str) -> None:
    session, expected = TorchCudaSession(find_model(network).path, device="cpu"), reference(network)
    assert dict(session.inputs) == dict(expected.inputs)
    assert session.outputs == expected.outputs
    assert dict(session.metadata) == dict(expected.metadata)


def test_float16_agrees_with_onnx_runtime(network: str, face_inputs: Inputs) -> None:
    session = TorchCudaSession(find_model(network).path, device="cpu")
    assert session.backend.endswith(", CPU, float16")
    assert_agrees(session, network, face_inputs[network])
    if network == "face_embedding":
        cosines = (run(session, face_inputs[network])[0] * run(reference(network), face_inputs[network])[0]).sum(axis=1)
        assert cosines.min() > 0.9999


def test_float32_serves_where_float16_does_not_agree(
    network: str, face_inputs: Inputs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parity, "RELATIVE_TOLERANCE", 1e-5)
    monkeypatch.setattr(parity, "ABSOLUTE_TOLERANCE", 1e-5)
    with caplog.at_level(logging.WARNING):
        session = TorchCudaSession(find_model(network).path, device="cpu")
    assert session.backend.endswith(", CPU, float32")
    assert "float32, because in float16 its output" in caplog.text
    for actual, expected in zip(
        run(session, face_inputs[network]), run(reference(network), face_inputs[network]), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_other_numbers_than_onnx_runtimes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "RELATIVE_TOLERANCE", 0)
    monkeypatch.setattr(parity, "ABSOLUTE_TOLERANCE", 0)
    with pytest.raises(BackendError, match="differs from ONNX Runtime's"):
        TorchCudaSession(find_model("mtcnn_onet").path, device="cpu")


@pytest.mark.parametrize("count", [0, 1, 3, 16, 21])
def test_takes_any_number_of_samples(count: int, face_inputs: Inputs) -> None:
    session = TorchCudaSession(find_model("mtcnn_rnet").path, device="cpu")
    samples = face_inputs["mtcnn_rnet"][:count]
    assert {len(output) for output in run(session, samples)} == {count}
    if count:
        assert_agrees(session, "mtcnn_rnet", samples)


def test_wrong_inputs_are_refused_with_a_sentence() -> None:
    session = TorchCudaSession(find_model("mtcnn_onet").path, device="cpu")
    for name, batch in (
        ("image", np.zeros((1, 48, 48, 3))),
        ("image", np.zeros((1, 48, 47, 3), np.float32)),
        ("picture", np.zeros((1, 48, 48, 3), np.float32)),
    ):
        with pytest.raises(BackendError, match=r"refused.*takes float32.*\(None, 48, 48, 3\)"):
            session.run({name: batch})


def test_a_closed_session_refuses_to_run(face_inputs: Inputs) -> None:
    session = TorchCudaSession(find_model("mtcnn_onet").path, device="cpu")
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        run(session, face_inputs["mtcnn_onet"])


def test_an_operator_that_cannot_be_read_is_named() -> None:
    with pytest.raises(BackendError, match=r"onnx2torch cannot read face_embedding_int8\.onnx: .*DequantizeLinear"):
        TorchCudaSession(find_model("face_embedding_int8").path, device="cpu")


@pytest.mark.parametrize("content", [b"", b"this is no network", None])
def test_damaged_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(find_model("mtcnn_pnet").path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(ModelError, match=r"damaged\.onnx .* cannot be loaded as an ONNX model"):
        TorchCudaSession(path, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is about a machine without a GPU")
def test_no_gpu_is_said() -> None:
    with pytest.raises(BackendError, match="finds no CUDA GPU"):
        create_session(find_model("mtcnn_onet").path, "torch_cuda", strict=True)
    _, choice = create_session(find_model("mtcnn_onet").path, "torch_cuda")
    assert choice.used == "onnxruntime"


class RecordedGraph:
    """Stands for a CUDA graph where there is no GPU: shows which shapes get one."""

    def __init__(self, compute: Any, batch: npt.NDArray[Any], device: Any) -> None:
        if batch.shape[1] == 50:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        self._compute, self.runs = compute, 0

    def run(self, batch: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        self.runs += 1
        return [output.numpy() for output in self._compute(torch.from_numpy(batch))]


def test_shapes_that_come_again_get_graphs_and_only_so_many(
    face_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_cuda, "_CapturedGraph", RecordedGraph)
    session = TorchCudaSession(find_model("mtcnn_pnet").path, device="cpu")
    session._most_graphs = 2
    frame = face_inputs["mtcnn_pnet"]
    sizes = (frame, frame[:, :60], frame[:, :, :70])
    for _ in range(3):
        for size in sizes:
            assert_agrees(session, "mtcnn_pnet", size)
    assert {shape: graph.runs for shape, graph in session._graphs.items()} == {sizes[0].shape: 2, sizes[1].shape: 2}


def test_what_cannot_be_captured_runs_step_by_step(
    face_inputs: Inputs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch_cuda, "_CapturedGraph", RecordedGraph)
    session = TorchCudaSession(find_model("mtcnn_pnet").path, device="cpu")
    session._most_graphs = 2
    for _ in range(3):
        assert_agrees(session, "mtcnn_pnet", face_inputs["mtcnn_pnet"][:, :50])
    assert session._graphs == {}
    assert caplog.text.count("run step by step: operation not permitted when stream is capturing\n") == 1


# --- on a GPU -------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@needs_gpu
def test_graphs_give_the_numbers_of_onnx_runtime(network: str, face_inputs: Inputs) -> None:
    session = TorchCudaSession(find_model(network).path)
    batch = face_inputs[network]
    for shift in range(4):  # the second time the graph is captured; each run has other pictures
        assert_agrees(session, network, np.roll(batch, shift, axis=2))
    assert len(session._graphs) == 1
    assert torch.cuda.get_device_name() in session.backend


@pytest.mark.gpu
@needs_gpu
def test_graphs_of_several_shapes_do_not_disturb_each_other(face_inputs: Inputs) -> None:
    session = TorchCudaSession(find_model("face_embedding").path)
    crops = face_inputs["face_embedding"]
    for count in (1, 2, 5, 1, 2, 5, 1, 6, 2):
        assert_agrees(session, "face_embedding", crops[:count])
    assert sorted(shape[0] for shape in session._graphs) == [1, 2, 8]


@pytest.mark.gpu
@needs_gpu
def test_shapes_beyond_the_most_run_without_a_graph(face_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_cuda, "MOST_GRAPHS", 1)
    session = TorchCudaSession(find_model("mtcnn_pnet").path)
    frame = face_inputs["mtcnn_pnet"]
    for size in (frame, frame, frame[:, :60], frame[:, :60], frame[:, :60]):
        assert_agrees(session, "mtcnn_pnet", size)
    assert list(session._graphs) == [frame.shape]
