from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import EnrollmentError, EnrollmentFailure, GalleryError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.enrollment import DEFAULT_TERMS, EnrollmentSession, EnrollmentTerms, enroll_looks
from face_recognition_ros.gallery.matcher import Matcher
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.types import FloatArray, IdentityStatus, Quality, QualityMeasure

from .helpers import names

FORCE = EnrollmentTerms(force=True)
TOO_SMALL = QualityMeasure("size", 30, 0.1, "the face is 30 px wide; come closer, 60 px are needed to enrol")
BLURRED = QualityMeasure("sharpness", 0.01, 0.6, "the face is slightly blurred; hold still, or clean the lens")
SMALL = Quality(0.1, True, False, (BLURRED, TOO_SMALL))


def good(yaw: float = 0.0, pitch: float = 0.0, brightness: float = 120.0) -> Quality:
    """Of a look in that pose and light."""
    values = (("yaw", yaw), ("pitch", pitch), ("exposure", brightness))
    return Quality(0.9, True, True, tuple(QualityMeasure(name, value, 0.9, "") for name, value in values))


@pytest.fixture
def matcher(store: GalleryStore, calibration: Calibration) -> Matcher:
    return Matcher(store, calibration)


@pytest.fixture
def anna(faces: Any) -> FloatArray:
    return faces.people(1)[0]


@pytest.fixture
def bert(faces: Any) -> FloatArray:
    return faces.people(1)[0]


@pytest.fixture
def session(calibration: Calibration) -> EnrollmentSession:
    return EnrollmentSession("Anna", calibration, looks_wanted=3, source="camera")


def feed(session: EnrollmentSession, looks: FloatArray, start: float = 0.0) -> list[tuple[str, ...]]:
    """What is said of the looks of somebody who turns to the left."""
    return [session.add(look, good(yaw=12.0 * i), start + 0.1 * i) for i, look in enumerate(looks)]


def test_looks_in_different_poses_complete_an_enrolment(
    session: EnrollmentSession, store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    assert session.instruction == "Look straight at the camera."
    assert feed(session, faces.looks(anna, 3)) == [(), (), ()]
    assert session.is_complete
    assert "enough" in session.instruction
    assert session.add(anna, good(), 9.0) == ("There are enough looks already.",)
    assert store.revision == 0  # nothing is stored before finish
    result = session.finish(store, matcher)
    assert result.identity == store.resolve("Anna")
    assert result.identity.templates == 3
    assert result.already_known_as is None
    assert matcher.decide_single(anna).identity is not None


def test_the_same_look_again_is_kept_only_after_some_patience(session: EnrollmentSession, anna: FloatArray) -> None:
    assert session.add(anna, good(), 10.0) == ()
    assert session.add(anna, good(yaw=3), 11.5) == ("The look is too much like one that is kept already.",)
    assert "left" in session.instruction
    assert session.add(anna, good(), 12.0) == ()
    assert "right" in session.instruction
    assert session.looks_kept == 2


def test_another_light_or_another_embedding_is_another_look(
    session: EnrollmentSession, calibration: Calibration, faces: Any, anna: FloatArray
) -> None:
    session.add(anna, good(), 0.0)
    assert session.add(anna, good(brightness=150), 0.1) == ()
    far = faces.looks(anna, 1, noise=0.12)[0]
    assert 0.4 < far @ anna < calibration.genuine_mean + calibration.genuine_std
    assert session.add(far, good(), 0.2) == ()


def test_a_bad_look_is_refused_with_its_complaints_and_a_remedy(session: EnrollmentSession, anna: FloatArray) -> None:
    assert session.add(anna, SMALL, 0.0) == (
        "The face is slightly blurred; hold still, or clean the lens.",
        "The face is 30 px wide; come closer, 60 px are needed to enrol.",
    )
    assert session.instruction == "Come closer, please."
    assert session.add(None, Quality(0.0, False, False), 0.1) == ("The face is not good enough to be learned from.",)
    assert session.add(anna, good(), 0.2) == ()
    assert "Come closer" not in session.instruction
    assert session.looks_rejected == 2


def test_a_look_at_somebody_else_is_refused(
    session: EnrollmentSession, faces: Any, anna: FloatArray, bert: FloatArray
) -> None:
    feed(session, faces.looks(anna, 2))
    assert session.add(bert, good(), 1.0) == ("The look does not agree with the other looks.",)
    assert session.looks_kept == 2


def test_a_wrong_first_look_does_not_block_the_session(
    session: EnrollmentSession, faces: Any, anna: FloatArray, bert: FloatArray
) -> None:
    session.add(bert, good(), 0.0)
    assert feed(session, faces.looks(anna, 3), 0.1) == [(), (), ()]
    assert session.is_complete


def test_who_was_learned_is_recognized_and_somebody_else_is_not(
    session: EnrollmentSession, faces: Any, anna: FloatArray, bert: FloatArray
) -> None:
    assert session.recognizes(anna) == 0
    feed(session, faces.looks(anna, 2))
    assert session.recognizes(anna) > 0.8
    assert session.recognizes(bert) == 0


def test_an_unfinished_session_stores_nothing(
    session: EnrollmentSession, store: GalleryStore, matcher: Matcher, anna: FloatArray
) -> None:
    session.add(anna, good(), 0.0)
    with pytest.raises(EnrollmentError, match=r"'Anna' was not enrolled: 1 of 3 good looks\. No other was seen\."):
        session.finish(store, matcher)
    assert store.revision == 0


def test_too_few_looks_are_a_time_out_where_most_were_good(session: EnrollmentSession, anna: FloatArray) -> None:
    for stamp in (0.0, 0.1, 0.2):
        session.add(anna, good(), stamp)
    session.add(anna, SMALL, 0.3)
    error = session.shortfall(20.0)
    assert error.failure is EnrollmentFailure.TIMEOUT
    assert "1 of 3 good looks after 20 s. Others were not kept: the look is too much like" in str(error)


def test_too_few_looks_are_a_matter_of_quality_where_most_were_poor(
    session: EnrollmentSession, anna: FloatArray
) -> None:
    for look in range(5):
        session.add(anna, Quality(0.6, True, False, (BLURRED,)) if look else SMALL, 0.1 * look)
    for stamp in (1.0, 1.1, 1.2):
        session.add(anna, good(), stamp)
    error = session.shortfall()
    assert error.failure is EnrollmentFailure.QUALITY
    reasons = f"{BLURRED.sentence} (5x), {TOO_SMALL.sentence} (1x)."
    assert str(error).endswith(f"1 of 3 good looks. Others were not kept: {reasons}")


def test_too_few_looks_are_a_disagreement_where_most_were_at_others(
    session: EnrollmentSession, faces: Any, anna: FloatArray
) -> None:
    feed(session, faces.looks(anna, 2))
    feed(session, faces.people(3))
    assert session.shortfall().failure is EnrollmentFailure.DISAGREEMENT


def test_a_bad_name_is_refused_before_the_first_look(calibration: Calibration) -> None:
    with pytest.raises(GalleryError, match="empty"):
        EnrollmentSession(" ", calibration)


def test_crops_consent_and_expiry_are_stored(
    session: EnrollmentSession, store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    for i, look in enumerate(faces.looks(anna, 3)):
        session.add(look, good(yaw=12.0 * i), 0.1 * i, b"crop %d" % i)
    person = session.finish(store, matcher, EnrollmentTerms(consent="for today", expires=4e9)).identity
    assert person is not None
    assert (person.consent, person.expires) == ("for today", 4e9)
    with store._transaction("read") as rows:  # whoever keeps pictures reads them by a tool of the gallery only
        assert list(rows.crops(person.identity_id).values()) == [b"crop 0", b"crop 1", b"crop 2"]


def test_a_remembered_stranger_gets_the_name_in_one_change(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    stranger = store.remember(faces.as_templates(faces.looks(anna, 3)), expires=4e9)
    before = store.revision
    result = enroll_looks(store, matcher, "Anna", faces.as_templates(faces.looks(anna, 2)))
    person = store.resolve("Anna")
    assert result.identity == person
    assert (person.identity_id, person.remembered, person.expires) == (stranger.identity_id, False, None)
    assert person.templates == 5
    assert store.revision == before + 1
    assert stranger.name in result.message
    assert matcher.decide_single(anna).status is IdentityStatus.KNOWN
    store.undo()
    (again,) = store.list_identities()
    assert replace(again, updated=stranger.updated) == stranger


@pytest.mark.parametrize("strangers", [1, 2])
@pytest.mark.parametrize("terms", [DEFAULT_TERMS, FORCE])
@pytest.mark.parametrize("known", [False, True])
def test_whoever_was_enrolled_is_known_however_often_she_was_remembered_as_a_stranger(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray, bert: FloatArray, strangers: int,
    terms: EnrollmentTerms, known: bool,
) -> None:  # fmt: skip
    if known:
        store.enroll("Anna", faces.as_templates(faces.looks(anna, 3)))
    other = store.remember(faces.as_templates(bert[None]), expires=4e9)
    for _ in range(strangers):
        store.remember(faces.as_templates(faces.looks(anna, 1)), expires=4e9)
    before, everybody = store.revision, names(store)
    person = enroll_looks(store, matcher, "Anna", faces.as_templates(faces.looks(anna, 2)), terms).identity
    assert person is not None
    assert (person.templates, person.expires) == (3 * known + strangers + 2, None)
    assert names(store).keys() == {"Anna", other.name}
    assert matcher.decide_single(anna).status is IdentityStatus.KNOWN
    assert store.revision == before + 1
    store.undo()
    assert names(store) == everybody


def test_a_stranger_who_is_somebody_else_stays_one(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    store.enroll("Anna", faces.as_templates(anna[None]))
    stranger = store.remember(faces.as_templates(faces.looks(anna, 1, noise=0.15)), expires=4e9)
    looks = faces.as_templates(faces.looks(anna, 2))
    assert 0.5 < matcher.decide_single(looks[0].embedding).candidates[1].similarity < 0.8
    enroll_looks(store, matcher, "Anna", looks)
    assert store.resolve(stranger.identity_id) == stranger


def test_the_same_looks_are_not_stored_twice(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    looks = faces.as_templates(faces.looks(anna, 3))
    enroll_looks(store, matcher, "Anna", looks)
    again = enroll_looks(store, matcher, "Anna", [*looks, *faces.as_templates(faces.looks(anna, 1))])
    assert again.identity is not None
    assert again.identity.templates == 4


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
    assert enroll_looks(store, matcher, "Hanna", again, FORCE).identity == store.resolve("Hanna")
    assert enroll_looks(store, matcher, "ANNA", again).identity == store.resolve(
        "Anna"
    )  # ambiguous now, yet she is one
    assert store.resolve("Anna").templates == 6


def test_a_name_is_not_given_to_somebody_who_looks_otherwise(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray, bert: FloatArray
) -> None:
    enroll_looks(store, matcher, "Anna", faces.as_templates(faces.looks(anna, 3)))
    other = faces.as_templates(faces.looks(bert, 3))
    with pytest.raises(EnrollmentError, match=r"does not resemble.*force") as raised:
        enroll_looks(store, matcher, "anna", other)
    assert raised.value.failure is EnrollmentFailure.DISAGREEMENT
    assert store.resolve("Anna").templates == 3
    enroll_looks(store, matcher, "anna", other, FORCE)
    assert store.resolve("Anna").templates == 6


def test_looks_at_two_people_are_not_enrolled_as_one(
    store: GalleryStore, matcher: Matcher, faces: Any, anna: FloatArray
) -> None:
    looks = [*faces.as_templates(faces.looks(anna, 4)), Template(faces.people(1)[0], 0.9, "bob.jpg")]
    with pytest.raises(EnrollmentError, match=r"bob\.jpg of 5 looks do not resemble") as raised:
        enroll_looks(store, matcher, "Anna", looks, FORCE)
    assert raised.value.failure is EnrollmentFailure.DISAGREEMENT
    with pytest.raises(EnrollmentError, match="no usable look"):
        enroll_looks(store, matcher, "Anna", [])
    assert store.revision == 0


def test_one_look_is_enough_for_a_still_picture(store: GalleryStore, matcher: Matcher, anna: FloatArray) -> None:
    result = enroll_looks(store, matcher, "Anna", [Template(anna, 0.0, "anna.jpg")])
    assert result.identity is not None
    assert result.identity.templates == 1
    np.testing.assert_allclose(store.identity_templates(result.identity.identity_id)[0].embedding, anna, atol=1e-6)
