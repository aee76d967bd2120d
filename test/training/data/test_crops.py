"""The stored crop is the robot's crop with a margin, and the face in it the one that the photo is of."""

import cv2
import numpy as np
import pytest

from face_recognition_ros.alignment import align_face
from face_recognition_ros.errors import AlignmentError
from face_recognition_ros.training.data.crops import choose_face, crop_transform, detect_faces, stored_crop
from face_recognition_ros.types import ByteArray, Detection

LANDMARKS = np.array([(200.0, 100.0), (250.0, 105.0), (223.0, 130.0), (203.0, 155.0), (245.0, 158.0)])


def face(left: float, top: float, side: float) -> Detection:
    box = np.array([left, top, left + side, top + side], np.float32)
    return Detection(box, np.zeros((5, 2), np.float32), 0.9)


@pytest.mark.parametrize("enlargement", [0.3, 1.0, 1.9, 7.3])
def test_the_inner_part_is_what_the_robot_cuts_out(astronaut_bgr: ByteArray, enlargement: float) -> None:
    photo = cv2.resize(astronaut_bgr, None, fx=enlargement, fy=enlargement, interpolation=cv2.INTER_AREA)
    landmarks = (LANDMARKS + 0.5) * enlargement - 0.5
    crop = stored_crop(photo, landmarks)
    assert crop.shape == (128, 128, 3)
    difference = crop[8:-8, 8:-8].astype(int) - align_face(photo, landmarks).crop
    # Large photos are averaged on another grid of pixels there, which edges show.
    assert np.abs(difference).mean() < (0.1 if enlargement < 1.5 else 2)
    assert abs(difference.mean()) < 0.1


def test_beyond_the_photo_it_is_black(astronaut_bgr: ByteArray) -> None:
    assert not stored_crop(astronaut_bgr, LANDMARKS - (200, 100))[:30, :30].any()


def test_landmarks_that_form_no_face_are_refused(astronaut_bgr: ByteArray) -> None:
    with pytest.raises(AlignmentError, match="line"):
        stored_crop(astronaut_bgr, np.tile([[3.0, 4.0]], (5, 1)))


@pytest.mark.parametrize(
    ("faces", "chosen"),
    [
        ([], None),
        ([face(0, 0, 50)], 0),
        ([face(0, 0, 50), face(75, 75, 50)], 1),
        ([face(0, 0, 50), face(90, 90, 20)], 0),  # the one in the middle is in the background
        ([face(0, 0, 50), face(140, 0, 50)], None),  # none in the middle
        ([face(60, 60, 50), face(90, 90, 50)], None),  # two in the middle
        ([face(60, 60, 50), face(140, 0, 50), face(0, 140, 45)], 0),
    ],
)
def test_the_photo_is_of_its_large_face_in_the_middle(faces: list[Detection], chosen: int | None) -> None:
    assert choose_face(faces, 200, 200) is (None if chosen is None else faces[chosen])


class OneFace:
    """Sees a face whose landmarks are at a fifth to two fifths of the frame."""

    def detect(self, frame: ByteArray) -> list[Detection]:
        self.shape = frame.shape
        points = (np.array([(0.2, 0.2), (0.4, 0.2), (0.3, 0.3), (0.2, 0.4), (0.4, 0.4)]) * frame.shape[1::-1]) - 0.5
        return [Detection(points[[0, 4]].ravel().astype(np.float32), points.astype(np.float32), 0.9)]


@pytest.mark.parametrize(("size", "seen"), [((500, 1000), (500, 1000)), ((1500, 2000), (768, 1024))])
def test_large_photos_are_searched_at_a_smaller_size(size: tuple[int, int], seen: tuple[int, int]) -> None:
    detector = OneFace()
    (found,) = detect_faces(detector, np.zeros((*size, 3), np.uint8), 1024)  # type: ignore[arg-type]
    assert detector.shape[:2] == seen
    assert found.landmarks[0] == pytest.approx([0.2 * size[1] - 0.5, 0.2 * size[0] - 0.5], abs=1e-2)
    assert found.box == pytest.approx([*found.landmarks[0], *found.landmarks[4]])


def test_the_transform_puts_the_eyes_at_their_place_with_margin() -> None:
    transform = crop_transform(
        np.array([(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)])
    )
    np.testing.assert_allclose(transform, [[1, 0, 8], [0, 1, 8]], atol=1e-9)
