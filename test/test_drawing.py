"""Drawing: the right words in the right colour, inside of the frame, and the frame itself left alone."""

import numpy as np
import pytest

from face_recognition_ros.drawing import COLOURS, ascii_name, draw_faces, label
from face_recognition_ros.types import Candidate, Decision, Detection, IdentityStatus, Quality, RecognizedFace

ANNA, BERT = Candidate("1", "Anna", 0.8, 0.974), Candidate("2", "Bert", 0.7, 0.6)
DECISIONS = {
    IdentityStatus.KNOWN: Decision(IdentityStatus.KNOWN, (ANNA, BERT)),
    IdentityStatus.UNKNOWN: Decision(IdentityStatus.UNKNOWN, (BERT,)),
    IdentityStatus.AMBIGUOUS: Decision(IdentityStatus.AMBIGUOUS, (ANNA, BERT)),
    IdentityStatus.TENTATIVE: Decision(IdentityStatus.TENTATIVE),
}


def recognized(decision: Decision, box: tuple[float, float, float, float]) -> RecognizedFace:
    left, top, right, bottom = box
    at = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
    landmarks = (left, top) + at * (right - left, bottom - top)
    detection = Detection(np.array(box, np.float32), landmarks.astype(np.float32), 0.9)
    return RecognizedFace(1, detection, Quality(1.0, True, True), decision, None)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (IdentityStatus.KNOWN, "Anna 97%"),
        (IdentityStatus.UNKNOWN, "unknown"),
        (IdentityStatus.AMBIGUOUS, "Anna or Bert?"),
        (IdentityStatus.TENTATIVE, "..."),
    ],
)
def test_label_says_what_is_known(status: IdentityStatus, words: str) -> None:
    assert label(recognized(DECISIONS[status], (0, 0, 9, 9))) == words


def test_a_remembered_stranger_is_called_by_the_generated_name_in_the_colour_of_the_unknown() -> None:
    stranger = Candidate("3", "stranger 12", 0.7, 0.9, remembered=True)
    face = recognized(Decision(IdentityStatus.UNKNOWN, (stranger,), stranger=stranger), (200, 200, 300, 320))
    assert label(face) == "stranger 12"
    plate = draw_faces(np.full((480, 640, 3), 90, np.uint8), [face])[150:196, 198:]
    assert (plate == COLOURS[IdentityStatus.UNKNOWN]).all(axis=2).sum() > 100


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Zoë Müller", "Zoe Muller"),
        ("Søren Łuß", "Soren Luss"),
        ("O’Neill", "O'Neill"),
        ("山田 太郎", "?"),
        ("Anna 山", "Anna ?"),
        ("two\nlines", "two lines"),
        ("plain", "plain"),
    ],
)
def test_names_are_spelled_in_ascii(name: str, plain: str) -> None:
    assert ascii_name(name) == plain


@pytest.mark.parametrize("status", IdentityStatus)
@pytest.mark.parametrize("size", [(480, 640), (1080, 1920)])
def test_box_landmarks_and_plate_appear_in_the_statuss_colour(status: IdentityStatus, size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), 90, np.uint8)
    drawn = draw_faces(frame, [recognized(DECISIONS[status], (200, 200, 300, 320))])
    assert (frame == 90).all(), "the frame is left alone"
    assert drawn.shape == frame.shape
    assert drawn.dtype == np.uint8
    colour = COLOURS[status]
    np.testing.assert_array_equal(drawn[260, 200], colour)
    np.testing.assert_array_equal(drawn[320, 250], colour)
    np.testing.assert_array_equal(drawn[248, 230], (255, 255, 255))
    plate = (drawn[150:196, 198:] == colour).all(axis=2)
    assert plate.sum() > 100
    assert (drawn[180:240, 320:] == 90).mean() > 0.5, "most of the frame is untouched"


def test_larger_frames_get_thicker_lines() -> None:
    def painted(height: int, width: int) -> int:
        frame = np.zeros((height, width, 3), np.uint8)
        drawn = draw_faces(frame, [recognized(DECISIONS[IdentityStatus.KNOWN], (100, 100, 200, 200))])
        return int((drawn[170] == COLOURS[IdentityStatus.KNOWN]).all(axis=1).sum())

    assert painted(1440, 1920) > painted(480, 640) > 0


@pytest.mark.parametrize("corner", [(-20, -20), (600, -20), (-20, 440), (600, 440), (280, -20), (280, 440)])
def test_label_stays_inside_of_the_frame(corner: tuple[int, int]) -> None:
    """As much of the plate is to be seen at an edge as in the middle."""

    def plate(x: float, y: float) -> int:
        drawn = draw_faces(np.zeros((480, 640, 3), np.uint8), [recognized(DECISIONS[status], (x, y, x + 60, y + 60))])
        letters_and_plate = (drawn == COLOURS[status]).all(axis=2)
        rows = np.convolve(letters_and_plate.sum(axis=1) > 70, np.ones(3), "same")
        return int((rows == 3).sum())

    status = IdentityStatus.AMBIGUOUS
    assert plate(*corner) == pytest.approx(plate(280, 200), abs=3)
    assert plate(280, 200) > 5


def test_label_of_a_face_at_the_upper_edge_goes_below_it() -> None:
    drawn = draw_faces(
        np.zeros((480, 640, 3), np.uint8), [recognized(DECISIONS[IdentityStatus.KNOWN], (200, 2, 300, 80))]
    )
    blue = (drawn == COLOURS[IdentityStatus.KNOWN]).all(axis=2)
    assert not blue[10:70, 210:290].any(), "the face is not covered"
    assert blue[85:100, 210:260].mean() > 0.3


def test_a_name_wider_than_the_frame_is_written_smaller() -> None:
    name = Decision(IdentityStatus.KNOWN, (Candidate("1", "Anna " * 30, 0.9, 0.9),))
    drawn = draw_faces(np.zeros((480, 640, 3), np.uint8), [recognized(name, (280, 200, 340, 260))])
    plate = (drawn == COLOURS[IdentityStatus.KNOWN]).all(axis=2)
    assert plate[:195, :8].any()
    assert plate[:195, -12:].any()


def test_odd_faces_and_frames_are_drawn_without_a_fault() -> None:
    known = DECISIONS[IdentityStatus.KNOWN]
    broken = RecognizedFace(
        1,
        Detection(np.array([np.nan, 5, np.inf, 9], np.float32), np.full((5, 2), np.nan, np.float32), 0.9),
        Quality(0.0, False, False),
        known,
        None,
    )
    for shape in ((1, 1, 3), (10, 12, 3), (480, 640, 3)):
        for face in (broken, recognized(known, (5, 5, 5, 5)), recognized(known, (-900, -900, 9000, 9000))):
            assert draw_faces(np.zeros(shape, np.uint8), [face]).shape == shape
    frame = np.zeros((48, 64, 3), np.uint8)
    np.testing.assert_array_equal(draw_faces(frame, []), frame)


def test_a_readonly_mirrored_view_can_be_drawn_on() -> None:
    frame = np.zeros((480, 640, 3), np.uint8)[:, ::-1]
    frame.setflags(write=False)
    assert draw_faces(frame, [recognized(DECISIONS[IdentityStatus.KNOWN], (100, 100, 200, 200))]).any()
