"""YuNet with a user's model file: OpenCV's results in full size, placed by O-Net, for less work with larger faces."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from face_recognition_ros.detection import DetectorOptions, create_detector, networks, onet
from face_recognition_ros.detection.detector import FaceRefiner
from face_recognition_ros.detection.yunet import YuNetDetector
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import find_model
from face_recognition_ros.types import ByteArray, Detection


@pytest.fixture
def model(shared_data: Path) -> Path:
    """YuNet for pictures of any size."""
    return shared_data / "models" / "yunet_dynamic.onnx"


def detector(model: Path, min_face_size: float) -> YuNetDetector:
    return YuNetDetector(DetectorOptions(model=str(model), min_face_size=min_face_size))


def detect(model: Path, picture: ByteArray, min_face_size: float) -> list[Detection]:
    return detector(model, min_face_size).detect(picture)


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
    expected = [row for row in (rows if rows is not None else ()) if max(row[2:4]) >= YuNetDetector.smallest_shown]
    found = detector(model, YuNetDetector.smallest_shown).search(picture)
    assert len(found.boxes) == len(expected)
    for box, landmarks, score, row in zip(found.boxes, found.landmarks, found.scores, expected, strict=True):
        np.testing.assert_allclose(box, (*row[:2], *(row[:2] + row[2:4])), atol=0.01)
        np.testing.assert_allclose(landmarks.ravel(), row[4:14], atol=0.01)
        assert score == pytest.approx(row[14], abs=1e-3)


@pytest.mark.parametrize("min_face_size", [20, 40, 80])
def test_shown_smaller_onet_places_the_face(model: Path, astronaut_bgr: ByteArray, min_face_size: int) -> None:
    (face,) = detect(model, astronaut_bgr, min_face_size)
    reference = create_detector("mtcnn").detect(astronaut_bgr)[0]
    np.testing.assert_allclose(face.landmarks, reference.landmarks, atol=3)
    np.testing.assert_allclose(face.box, reference.box, atol=8)
    assert face.score == pytest.approx(reference.score, abs=0.01)


def test_where_onet_sees_no_face_yunets_own_stays(
    model: Path, astronaut_bgr: ByteArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = np.hstack((astronaut_bgr, astronaut_bgr[:, ::-1]))
    two = detector(model, 40)
    alone = two.search(frame)
    assert len(alone.boxes) == 2

    def refuse_one(*arguments: Any) -> Any:
        seen, answers = networks.ask(*arguments)
        answers[0, 0] = -100
        return seen, answers

    monkeypatch.setattr(onet, "ask", refuse_one)
    placed, own = two.detect(frame)
    index = int(np.abs(alone.boxes[:, 0] - own.box[0]).argmin())
    np.testing.assert_array_equal(own.box, alone.boxes[index])
    np.testing.assert_array_equal(own.landmarks, alone.landmarks[index])
    assert own.score == alone.scores[index] < placed.score
    assert np.abs(placed.box - alone.boxes[1 - index]).max() > 0.1


def test_known_faces_are_followed(model: Path, astronaut_bgr: ByteArray) -> None:
    follower = detector(model, 40)
    assert isinstance(follower, FaceRefiner)
    (face,) = follower.detect(astronaut_bgr)
    (moved,) = follower.refine(np.roll(astronaut_bgr, 6, axis=1), face.box[None])
    np.testing.assert_allclose(moved.landmarks, face.landmarks + (6, 0), atol=3)
    assert follower.refine(np.zeros_like(astronaut_bgr), face.box[None]) == []


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
    with pytest.raises(ModelError, match=r"mtcnn_rnet.onnx is no YuNet model: it takes image and gives answers"):
        create_detector("yunet", DetectorOptions(model=str(find_model("mtcnn_rnet").path)))
