"""The registry and the options."""

import numpy as np
import pytest

from face_recognition_ros.detection import DetectorOptions, create_detector
from face_recognition_ros.detection.detector import best_first
from face_recognition_ros.errors import SettingsError
from face_recognition_ros.types import Detection


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
