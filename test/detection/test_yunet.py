"""YuNet with a user's model file: OpenCV's results in full size, and for larger faces nearly the same for less work."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from face_recognition_ros.detection import DetectorOptions, create_detector
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import find_model
from face_recognition_ros.types import ByteArray, Detection


@pytest.fixture
def model(shared_data: Path) -> Path:
    """YuNet for pictures of any size."""
    return shared_data / "models" / "yunet_dynamic.onnx"


def detect(model: Path, picture: ByteArray, min_face_size: float) -> list[Detection]:
    return create_detector("yunet", DetectorOptions(model=str(model), min_face_size=min_face_size)).detect(picture)


def of_fixed_size(model: Path, path: Path, side: int) -> Path:
    """The network as opencv_zoo has it: for one size of pictures only."""
    network = onnx.load(model)
    for dimension in network.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.Clear()
        dimension.dim_value = side
    onnx.save(network, path)
    return path


@pytest.mark.skipif(
    int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV before version 5 cannot read YuNet's file of dynamic size"
)
@pytest.mark.parametrize("columns", [512, 479, 33])
def test_in_full_size_the_faces_are_opencvs(model: Path, astronaut_bgr: ByteArray, columns: int) -> None:
    picture = np.ascontiguousarray(astronaut_bgr[:, :columns])
    opencv = cv2.FaceDetectorYN.create(str(model), "", (picture.shape[1], picture.shape[0]), 0.7, 0.3, 5000)
    _, rows = opencv.detect(picture)
    expected = [row for row in (rows if rows is not None else ()) if max(row[2:4]) >= 24]
    found = detect(model, picture, 24)
    assert len(found) == len(expected)
    for face, row in zip(found, expected, strict=True):
        np.testing.assert_allclose(face.box, (*row[:2], *(row[:2] + row[2:4])), atol=0.01)
        np.testing.assert_allclose(face.landmarks.ravel(), row[4:14], atol=0.01)
        assert face.score == pytest.approx(row[14], abs=1e-3)


@pytest.mark.parametrize("min_face_size", [24, 40, 80])
def test_shown_smaller_the_face_is_where_it_was(model: Path, astronaut_bgr: ByteArray, min_face_size: int) -> None:
    (face,) = detect(model, astronaut_bgr, min_face_size)
    reference = create_detector("mtcnn").detect(astronaut_bgr)[0]
    np.testing.assert_allclose(face.landmarks, reference.landmarks, atol=6)
    np.testing.assert_allclose(face.box, reference.box, atol=16)


def test_a_face_smaller_than_what_is_looked_for_is_none(model: Path, astronaut_bgr: ByteArray) -> None:
    (face,) = detect(model, astronaut_bgr, 40)
    assert detect(model, astronaut_bgr, max(face.width, face.height) * 1.3) == []


def test_a_file_of_fixed_size_sees_frames_larger_and_smaller_than_that(
    model: Path, astronaut_bgr: ByteArray, tmp_path: Path
) -> None:
    fixed = of_fixed_size(model, tmp_path / "yunet.onnx", 320)
    reference = create_detector("mtcnn").detect(astronaut_bgr)[0]
    (face,) = detect(fixed, astronaut_bgr, 20)
    np.testing.assert_allclose(face.landmarks, reference.landmarks, atol=6)
    part = astronaut_bgr[:200, 120:320]
    (face,) = detect(fixed, part, 20)
    np.testing.assert_allclose(face.landmarks + (120, 0), reference.landmarks, atol=6)


def test_pictures_of_odd_sizes_without_a_face(model: Path) -> None:
    detector = create_detector("yunet", DetectorOptions(model=str(model)))
    for shape in ((333, 47, 3), (1, 1, 3), (12, 2000, 3)):
        assert detector.detect(np.zeros(shape, np.uint8)) == []
    assert detector.backend.used == "onnxruntime"


def test_without_its_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs a model file"):
        create_detector("yunet")
    with pytest.raises(ModelError, match="no model file"):
        create_detector("yunet", DetectorOptions(model=str(tmp_path / "yunet.onnx")))
    (tmp_path / "yunet.onnx").write_bytes(b"this is no network")
    with pytest.raises(ModelError, match="cannot be loaded as an ONNX model"):
        create_detector("yunet", DetectorOptions(model=str(tmp_path / "yunet.onnx")))


def test_another_network_is_refused() -> None:
    with pytest.raises(ModelError, match=r"mtcnn_rnet.onnx is not a YuNet model: it takes image and gives answers"):
        create_detector("yunet", DetectorOptions(model=str(find_model("mtcnn_rnet").path)))
