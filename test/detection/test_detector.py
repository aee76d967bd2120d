"""The registry, the options, and YuNet with a user's model file."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.detection import DetectorOptions, create_detector
from face_recognition_ros.detection.detector import best_first
from face_recognition_ros.errors import ModelError, SettingsError
from face_recognition_ros.types import ByteArray, Detection


def test_unknown_detector() -> None:
    with pytest.raises(SettingsError, match=r"'haar'.*mtcnn, mtcnn_fast, yunet"):
        create_detector("haar")


@pytest.mark.parametrize(
    "options", [{"min_face_size": 5}, {"thresholds": (0.6, 0.7, 1.5)}, {"thresholds": (0.5,)}, {"max_faces": 0}]
)
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=next(iter(options))):
        DetectorOptions(**options)  # type: ignore[arg-type]


def test_best_first_breaks_ties_by_position() -> None:
    def face(left: float, top: float, score: float) -> Detection:
        return Detection(np.array((left, top, left + 1, top + 1), np.float32), np.zeros((5, 2), np.float32), score)

    faces = [face(9, 0, 0.5), face(3, 8, 0.5), face(3, 4, 0.5), face(50, 50, 0.9)]
    assert [tuple(found.box[:2]) for found in best_first(faces, 3)] == [(50, 50), (3, 4), (3, 8)]


@pytest.mark.skipif(
    int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV before version 5 cannot read YuNet's file of dynamic size"
)
def test_yunet_finds_the_face_with_landmarks_in_our_order(shared_data: Path, astronaut_bgr: ByteArray) -> None:
    options = DetectorOptions(model=str(shared_data / "models" / "yunet_dynamic.onnx"))
    detector = create_detector("yunet", options)
    face = detector.detect(astronaut_bgr)[0]
    reference = create_detector("mtcnn").detect(astronaut_bgr)[0]
    np.testing.assert_allclose(face.landmarks, reference.landmarks, atol=6)
    assert detector.detect(np.zeros((333, 47, 3), np.uint8)) == []
    assert "OpenCV" in detector.backend.used


def test_yunet_without_its_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs a model file"):
        create_detector("yunet")
    with pytest.raises(ModelError, match="no model file"):
        create_detector("yunet", DetectorOptions(model=str(tmp_path / "yunet.onnx")))
    (tmp_path / "yunet.onnx").write_bytes(b"this is no network")
    with pytest.raises(ModelError, match="cannot be loaded as a YuNet model"):
        create_detector("yunet", DetectorOptions(model=str(tmp_path / "yunet.onnx")))
