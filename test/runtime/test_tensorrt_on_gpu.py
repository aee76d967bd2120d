"""TensorRT on a real GPU: `make test-tensorrt`, on the robot. Everywhere else these are skipped, with the reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from face_recognition_ros.errors import BackendError
from face_recognition_ros.models import find_model
from face_recognition_ros.runtime import allow_takeovers, create_session
from face_recognition_ros.runtime.engine_cache import FOLDER_VARIABLE
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
from face_recognition_ros.runtime.parity import check_parity, pictures
from face_recognition_ros.runtime.takeover import TakeoverSession
from face_recognition_ros.runtime.tensorrt import TensorRtSession
from face_recognition_ros.runtime.tensorrt_build import load_tensorrt

pytestmark = pytest.mark.gpu

SHAPES = {
    "mtcnn_pnet": [(1, 324, 194, 4), (1, 12, 12, 4), (1, 720, 578, 4), (1, 97, 131, 4)],
    "mtcnn_rnet": [(1, 24, 24, 3), (7, 24, 24, 3), (256, 24, 24, 3), (300, 24, 24, 3)],
    "mtcnn_onet": [(1, 48, 48, 3), (7, 48, 48, 3), (300, 48, 48, 3)],
    "face_embedding": [(1, 112, 112, 3), (3, 112, 112, 3), (40, 112, 112, 3)],
}


@pytest.fixture(scope="module", autouse=True)
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder of engines, so that all are built; skips where there is no TensorRT or no GPU."""
    try:
        load_tensorrt()
    except BackendError as error:
        pytest.skip(f"TensorRT cannot be used here: {error}")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("engines")
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield folder


@pytest.mark.parametrize("name", SHAPES)
def test_gives_onnx_runtimes_numbers(name: str) -> None:
    path = find_model(name).path
    session, choice = create_session(path, "tensorrt", strict=True)
    assert isinstance(session, TensorRtSession)
    assert choice.used == "tensorrt"
    ((input_name, _),) = session.inputs.items()
    samples: list[dict[str, npt.NDArray[Any]]] = [
        {input_name: pictures(shape, session.dtype, seed)} for shape in SHAPES[name] for seed in range(3)
    ]
    difference = check_parity(OnnxRuntimeSession(path), session, samples)
    assert session.handed_on == 0, "the engine itself did all"
    print(f"{name} on {session.backend}: relative difference from ONNX Runtime at most {difference:.2g}")
    session.close()


def test_takes_over_while_onnx_runtime_serves(engines: Path) -> None:
    for path in engines.glob("mtcnn_rnet-*"):
        path.unlink()
    allow_takeovers()
    session, choice = create_session(find_model("mtcnn_rnet").path, "tensorrt")
    assert isinstance(session, TakeoverSession)
    crops = {"image": pictures((5, 24, 24, 3), np.float32)}
    (before, *_), served_first = session.run(crops), choice.used
    session.wait()
    (after, *_) = session.run(crops)
    assert (served_first, choice.used) == ("onnxruntime", "tensorrt"), choice.reason
    np.testing.assert_allclose(after, before, atol=0.02)


def test_a_damaged_engine_is_built_again(engines: Path) -> None:
    model = find_model("mtcnn_rnet").path
    create_session(model, "tensorrt", strict=True)[0].close()
    (path,) = engines.glob("mtcnn_rnet-*")
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[: whole // 2])
    session, _ = create_session(model, "tensorrt", strict=True)
    assert session.run({"image": pictures((2, 24, 24, 3), np.float32)})[0].shape == (2, 5)
    assert path.stat().st_size > whole // 2
