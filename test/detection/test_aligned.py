"""Aligned crops go through unchanged; other pictures show no face."""

import numpy as np
import pytest

from face_recognition_ros.alignment import align_face
from face_recognition_ros.detection import create_detector
from face_recognition_ros.errors import ImageError


@pytest.mark.parametrize("size", [112, 128])
def test_the_crop_is_the_middle_of_the_picture(size: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    [face] = create_detector("aligned").detect(picture)
    margin = (size - 112) // 2
    middle = picture[margin : margin + 112, margin : margin + 112]
    assert np.array_equal(align_face(picture, face.landmarks).crop, middle)


@pytest.mark.parametrize("shape", [(112, 128, 3), (96, 96, 3)])
def test_what_cannot_be_a_crop_shows_no_face(shape: tuple[int, ...]) -> None:
    assert create_detector("aligned").detect(np.zeros(shape, np.uint8)) == []


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="must be a"):
        create_detector("aligned").detect(np.zeros((112, 112), np.uint8))
