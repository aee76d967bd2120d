"""Which face of the frames is learned, and what becomes of it when that face goes away."""

import cv2
import numpy as np
import pytest

from face_recognition_ros.errors import EnrollmentError, EnrollmentFailure
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.enrollment import EnrollmentSession
from face_recognition_ros.live_enrollment import LOST_AFTER, STEP_INTO_VIEW, LiveEnrollment
from face_recognition_ros.types import (
    ByteArray,
    Decision,
    Detection,
    FloatArray,
    IdentityStatus,
    Quality,
    QualityMeasure,
    RecognizedFace,
)

SIZE = 64
RANDOM = np.random.default_rng(3)
ANNA, BERT, CARL = (vector / np.linalg.norm(vector) for vector in RANDOM.normal(size=(3, SIZE)).astype(np.float32))
POOR = Quality(0.4, True, False, (QualityMeasure("size", 30, 0.4, "the face is 30 px wide; come closer"),))
GOOD = Quality(0.9, True, True)
NOBODY: list[RecognizedFace] = []


def look(person: FloatArray) -> FloatArray:
    """(64,) that resembles the person: the cosine is about 0.9."""
    vector = person + 0.06 * RANDOM.normal(size=SIZE).astype(np.float32)
    return vector / np.linalg.norm(vector)


def face(
    track: int, person: FloatArray, quality: Quality = GOOD, width: float = 50, crop: ByteArray | None = None
) -> RecognizedFace:
    box = np.array([10, 10, 10 + width, 60], np.float32)
    detection = Detection(box, np.zeros((5, 2), np.float32), 1.0)
    return RecognizedFace(track, detection, quality, Decision(IdentityStatus.UNKNOWN), look(person), crop)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    scores = np.random.default_rng(1)
    genuine, impostor = scores.normal(0.75, 0.08, 5000), scores.normal(0.0, 0.125, 100_000)
    return Calibration.from_scores(genuine.clip(-1, 1), impostor.clip(-1, 1))


@pytest.fixture
def session(calibration: Calibration) -> EnrollmentSession:
    return EnrollmentSession("Anna", calibration, looks_wanted=5, patience=0.0)


def test_the_only_face_is_learned(session: EnrollmentSession) -> None:
    live = LiveEnrollment(session)
    assert live.instruction == "Look straight at the camera.", "nobody has looked yet"
    assert live.see(NOBODY, 0.0) == ("Nobody is in view.",)
    assert live.instruction == STEP_INTO_VIEW
    assert live.see([face(4, ANNA)], 0.1) == ()
    assert live.instruction == "Look straight at the camera."
    assert live.see(NOBODY, 0.2) == ("Track 4 is not in view; nobody is.",)
    assert live.instruction == STEP_INTO_VIEW
    assert session.looks_kept == 1


def test_of_several_faces_none_is_learned_unless_the_largest_is_asked_for(session: EnrollmentSession) -> None:
    faces = [face(4, BERT, width=40), face(6, ANNA, width=70), face(7, CARL, width=50)]
    with pytest.raises(EnrollmentError, match=r"3 faces are in view.*in view: 4, 6, 7") as raised:
        LiveEnrollment(session).see(faces, 0.0)
    assert raised.value.failure is EnrollmentFailure.SEVERAL_FACES
    live = LiveEnrollment(session, largest=True)
    assert live.see(faces, 0.0) == ()
    live.see([face(4, BERT, width=90), face(6, ANNA, width=70)], 0.1)
    assert session.recognizes(ANNA) > 0.5


def test_the_given_track_is_learned_among_others_and_waited_for(session: EnrollmentSession) -> None:
    live = LiveEnrollment(session, track_id=7, largest=True)
    assert live.see([face(3, BERT), face(4, CARL)], 0.0) == ("Track 7 is not in view; there are: 3, 4.",)
    assert live.see([face(3, BERT)], 50.0) == ("Track 7 is not in view; there are: 3.",)
    assert live.see([face(3, BERT), face(7, ANNA)], 50.1) == ()
    assert session.recognizes(ANNA) > 0.5


@pytest.mark.parametrize("track_id", [0, 4])
def test_a_face_that_comes_back_on_another_track_goes_on(session: EnrollmentSession, track_id: int) -> None:
    live = LiveEnrollment(session, track_id)
    assert live.see([face(4, ANNA)], 0.0) == ()
    assert live.see([face(6, BERT)], 1.0) == ("Track 4 is not in view; there are: 6.",)
    assert live.see([face(6, BERT), face(5, ANNA)], LOST_AFTER) == ()
    assert live.see([face(5, ANNA)], LOST_AFTER + 2) == ()
    assert session.looks_kept == 3


def test_who_was_in_view_beside_the_face_is_somebody_else_however_alike(session: EnrollmentSession) -> None:
    live = LiveEnrollment(session, track_id=4)
    live.see([face(4, ANNA), face(5, ANNA)], 0.0)
    assert live.see([face(5, ANNA)], 1.0) == ("Track 4 is not in view; there are: 5.",)
    assert session.looks_kept == 1


def test_of_those_who_resemble_the_face_the_one_who_does_most_goes_on(session: EnrollmentSession) -> None:
    live = LiveEnrollment(session)
    live.see([face(4, ANNA)], 0.0)
    cousin = (ANNA + BERT) / np.linalg.norm(ANNA + BERT)
    assert session.recognizes(cousin) > 0
    live.see([face(5, cousin), face(6, ANNA)], 1.0)
    assert live.see([face(5, cousin)], 1.1) == ("Track 6 is not in view; there are: 5.",)


@pytest.mark.parametrize("faces", [NOBODY, [face(6, BERT)], [face(6, ANNA)]], ids=["nobody", "another", "too late"])
@pytest.mark.parametrize("track_id", [0, 4])
def test_a_face_that_is_out_of_view_for_long_is_lost(
    session: EnrollmentSession, track_id: int, faces: list[RecognizedFace]
) -> None:
    live = LiveEnrollment(session, track_id)
    live.see([face(4, ANNA)], 10.0)
    live.see(NOBODY, 10.0 + LOST_AFTER)
    with pytest.raises(EnrollmentError, match="out of view for more than 3 s, with 1 of 5 looks kept") as raised:
        live.see(faces, 10.1 + LOST_AFTER)
    assert raised.value.failure is EnrollmentFailure.FACE_LOST


def test_a_clock_that_is_set_back_loses_no_face(session: EnrollmentSession) -> None:
    live = LiveEnrollment(session)
    live.see([face(4, ANNA)], 1000.0)
    live.see(NOBODY, 10.0)
    with pytest.raises(EnrollmentError):
        live.see(NOBODY, 10.1 + LOST_AFTER)


def test_a_passer_by_of_whom_nothing_was_learned_is_not_waited_for(session: EnrollmentSession) -> None:
    live = LiveEnrollment(session)
    live.see([face(4, BERT, POOR)], 0.0)
    live.see(NOBODY, 2 * LOST_AFTER)
    assert live.see([face(5, ANNA)], 3 * LOST_AFTER) == ()


def test_a_given_track_of_which_nothing_was_learned_is_lost_all_the_same(session: EnrollmentSession) -> None:
    live = LiveEnrollment(session, track_id=4)
    live.see([face(4, ANNA, POOR)], 0.0)
    assert live.see([face(5, ANNA)], 1.0) == ("Track 4 is not in view; there are: 5.",)
    with pytest.raises(EnrollmentError, match="out of view"):
        live.see([face(5, ANNA)], 0.1 + LOST_AFTER)


@pytest.mark.parametrize("store_crops", [True, False])
def test_crops_are_kept_without_loss_where_they_are_wanted(session: EnrollmentSession, store_crops: bool) -> None:
    crop = RANDOM.integers(0, 256, (112, 112, 3), np.uint8)
    LiveEnrollment(session, store_crops=store_crops).see([face(4, ANNA, crop=crop)], 0.0)
    (template,) = session.templates
    if store_crops:
        assert template.crop is not None
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(template.crop, np.uint8), cv2.IMREAD_COLOR), crop)
    else:
        assert template.crop is None


@pytest.mark.parametrize(
    ("track_id", "frames", "failure", "sentence"),
    [
        (0, [], EnrollmentFailure.NO_FACE, "for 20 s no image was processed; does the camera send any?"),
        (0, [NOBODY], EnrollmentFailure.NO_FACE, "for 20 s nobody was in view."),
        (7, [[face(3, BERT)]], EnrollmentFailure.NO_FACE, "for 20 s track 7 was not in view."),
        (0, [[face(3, ANNA)]], EnrollmentFailure.TIMEOUT, "1 of 5 good looks after 20 s. No other was seen."),
        (0, [[face(3, ANNA, POOR)], NOBODY], EnrollmentFailure.QUALITY, "the face is 30 px wide; come closer (1x)."),
    ],
    ids=["no frame", "nobody", "not the one given", "too few", "too poor"],
)
def test_what_is_said_when_the_time_is_over(
    session: EnrollmentSession,
    track_id: int,
    frames: list[list[RecognizedFace]],
    failure: EnrollmentFailure,
    sentence: str,
) -> None:
    live = LiveEnrollment(session, track_id)
    for number, faces in enumerate(frames):
        live.see(faces, 0.1 * number)
    error = live.timed_out(20.0)
    assert error.failure is failure
    assert str(error).startswith("'Anna' was not enrolled: ")
    assert str(error).endswith(sentence)
