from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import EnrollmentError, GalleryError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.enrollment import EnrollmentSession, enroll_looks
from face_recognition_ros.gallery.matcher import Matcher
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.types import FloatArray, Quality, QualityMeasure

GOOD = Quality(0.9, True, True)
SMALL = Quality(
    0.1,
    True,
    False,
    (QualityMeasure("sharpness", 50, 0.6, "A bit blurred."), QualityMeasure("size", 30, 0.1, "Too far away.")),
)


@pytest.fixture
def matcher(store: GalleryStore, calibration: Calibration) -> Matcher:
    return Matcher(store, calibration)


@pytest.fixture
def anna(faces: Any) -> FloatArray:
    return faces.people(1)[0]


@pytest.fixture
def session(calibration: Calibration) -> EnrollmentSession:
    return EnrollmentSession("Anna", calibration, looks_wanted=3, source="camera")


def feed(session: EnrollmentSession, looks: FloatArray, start: float = 0.0) -> list[str]:
    return [session.add(look, GOOD, start + 0.1 * i).reason for i, look in enumerate(looks)]


def test_different_good_looks_complete_an_enrolment(
    session: EnrollmentSession, store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    assert session.instruction == "Look straight at the camera."
    assert feed(session, faces.looks(anna, 3)) == ["", "", ""]
    assert session.is_complete
    assert "enough" in session.instruction
    assert not session.add(anna, GOOD, 9.0).kept
    assert store.revision == 0  # nothing is stored before finish
    result = session.finish(store, matcher)
    assert result.identity == store.resolve("Anna")
    assert result.identity.templates == 3
    assert result.already_known_as is None
    assert matcher.decide_single(anna).identity is not None


def test_the_same_look_again_is_kept_only_after_some_patience(session: EnrollmentSession, anna: FloatArray) -> None:
    assert session.add(anna, GOOD, 10.0).kept
    assert "too much like" in session.add(anna, GOOD, 10.5).reason
    assert "left" in session.instruction
    assert session.add(anna, GOOD, 11.0).kept
    assert session.looks_kept == 2


def test_a_bad_look_is_refused_with_its_complaints_and_a_remedy(session: EnrollmentSession, anna: FloatArray) -> None:
    outcome = session.add(anna, SMALL, 0.0)
    assert (outcome.kept, outcome.reason) == (False, "A bit blurred. Too far away.")
    assert session.instruction == "Come closer, please."
    assert (
        session.add(None, Quality(0.0, False, False), 0.1).reason == "The face is not good enough to be learned from."
    )
    assert session.add(anna, GOOD, 0.2).kept
    assert "Come closer" not in session.instruction


def test_a_look_at_somebody_else_is_refused(session: EnrollmentSession, faces: Any, anna: FloatArray) -> None:
    feed(session, faces.looks(anna, 2))
    assert "does not agree" in session.add(faces.people(1)[0], GOOD, 1.0).reason
    assert session.looks_kept == 2


def test_a_wrong_first_look_does_not_block_the_session(
    session: EnrollmentSession, faces: Any, anna: FloatArray
) -> None:
    session.add(faces.people(1)[0], GOOD, 0.0)
    assert feed(session, faces.looks(anna, 3), 0.1) == ["", "", ""]
    assert session.is_complete


def test_an_unfinished_session_stores_nothing_and_says_why(
    session: EnrollmentSession, store: GalleryStore, matcher: Matcher, anna: FloatArray
) -> None:
    with pytest.raises(EnrollmentError, match=r"0 of 3 good looks.*the face was not seen"):
        session.finish(store, matcher)
    session.add(anna, GOOD, 0.0)
    session.add(anna, SMALL, 0.1)
    with pytest.raises(EnrollmentError, match=r"1 of 3 good looks.*Too far away"):
        session.finish(store, matcher)
    assert store.revision == 0


def test_a_bad_name_is_refused_before_the_first_look(calibration: Calibration) -> None:
    with pytest.raises(GalleryError, match="empty"):
        EnrollmentSession(" ", calibration)


def test_a_known_face_is_not_enrolled_under_another_name_unless_forced(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    enroll_looks(store, matcher, "Anna", faces.as_templates(faces.looks(anna, 3)))
    again = faces.as_templates(faces.looks(anna, 3))
    result = enroll_looks(store, matcher, "Hanna", again)
    assert result.identity is None
    assert result.already_known_as is not None
    assert result.already_known_as.name == "Anna"
    assert "already known as 'Anna'" in result.message
    assert store.revision == 1
    assert enroll_looks(store, matcher, "Hanna", again, force=True).identity == store.resolve("Hanna")
    assert enroll_looks(store, matcher, "ANNA", again).identity == store.resolve(
        "Anna"
    )  # ambiguous now, yet she is one
    assert store.resolve("Anna").templates == 6


def test_a_name_is_not_given_to_somebody_who_looks_otherwise(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    enroll_looks(store, matcher, "Anna", faces.as_templates(faces.looks(anna, 3)))
    other = faces.as_templates(faces.looks(faces.people(1)[0], 3))
    with pytest.raises(EnrollmentError, match=r"does not resemble.*force"):
        enroll_looks(store, matcher, "anna", other)
    assert store.resolve("Anna").templates == 3
    enroll_looks(store, matcher, "anna", other, force=True)
    assert store.resolve("Anna").templates == 6


def test_looks_at_two_people_are_not_enrolled_as_one(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    looks = [*faces.as_templates(faces.looks(anna, 4)), Template(faces.people(1)[0], 0.9, "bob.jpg")]
    with pytest.raises(EnrollmentError, match=r"bob\.jpg of 5 looks do not resemble"):
        enroll_looks(store, matcher, "Anna", looks, force=True)
    with pytest.raises(EnrollmentError, match="no usable look"):
        enroll_looks(store, matcher, "Anna", [])
    assert store.revision == 0


def test_one_look_is_enough_for_a_still_picture(store: GalleryStore, matcher: Matcher, anna: FloatArray) -> None:
    result = enroll_looks(store, matcher, "Anna", [Template(anna, 0.0, "anna.jpg")])
    assert result.identity is not None
    assert result.identity.templates == 1
    np.testing.assert_allclose(store.templates().embeddings[0], anna, atol=1e-6)
