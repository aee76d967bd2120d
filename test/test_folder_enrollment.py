"""People are learned from their pictures, with real pictures and the released network."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.errors import EnrollmentError, EnrollmentFailure
from face_recognition_ros.folder_enrollment import enroll_people, only_good_face
from face_recognition_ros.pictures import people_in
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray


@pytest.fixture
def folder(tmp_path: Path, astronaut_path: Path, grace_hopper_path: Path) -> Path:
    (tmp_path / "people" / "Eileen_Collins").mkdir(parents=True)
    shutil.copy(astronaut_path, tmp_path / "people" / "Eileen_Collins" / "portrait.png")
    shutil.copy(grace_hopper_path, tmp_path / "people" / "Grace_Hopper.jpg")
    return tmp_path / "people"


@pytest.fixture
def assembly() -> Iterator[Assembly]:
    with assemble(Settings()) as assembly:
        yield assembly


def test_the_same_folder_again_adds_nothing_and_further_pictures_are_added(
    assembly: Assembly, folder: Path, astronaut_bgr: ByteArray
) -> None:
    people = people_in(folder)
    first = list(enroll_people(assembly, people))
    assert [(report.name, report.looks_kept, report.enrolled) for report in first] == [
        ("Eileen Collins", 1, True),
        ("Grace Hopper", 1, True),
    ]
    before = assembly.store.snapshot()
    assert list(enroll_people(assembly, people)) == first
    assert assembly.store.snapshot() == before
    cv2.imwrite(str(folder / "Eileen_Collins" / "mirrored.png"), astronaut_bgr[:, ::-1])
    (report, _) = enroll_people(assembly, people_in(folder))
    assert report.looks_kept == 2
    assert [person.templates for person in assembly.store.list_identities()] == [2, 1]


@pytest.mark.parametrize("store_crops", [False, True])
def test_the_aligned_faces_are_kept_where_the_settings_say_so(folder: Path, store_crops: bool) -> None:
    with assemble(Settings(store_crops=store_crops)) as assembly:
        reports = list(enroll_people(assembly, people_in(folder)))
        assert all(report.enrolled for report in reports)
        for person in assembly.store.list_identities():
            with assembly.store._transaction("read") as rows:
                crops = list(rows.crops(person.identity_id).values())
            assert len(crops) == store_crops
            for crop in crops:
                picture = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
                (embedding,) = assembly.embedder.embed(picture[None])
                (template,) = assembly.store.identity_templates(person.identity_id)
                np.testing.assert_allclose(embedding, template.embedding, atol=1e-5)


def test_a_picture_must_show_one_good_face(assembly: Assembly, astronaut_bgr: ByteArray) -> None:
    view, embedding = only_good_face(assembly.recognizer, astronaut_bgr)
    assert view.quality.usable_for_enrollment
    assert np.linalg.norm(embedding) == pytest.approx(1)
    wall = np.full((200, 200, 3), 180, np.uint8)
    small = cv2.resize(astronaut_bgr, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    for picture, failure, sentence in (
        (wall, EnrollmentFailure.NO_FACE, "the picture shows no face; it must show exactly one"),
        (np.hstack([astronaut_bgr] * 2), EnrollmentFailure.SEVERAL_FACES, "the picture shows 2 faces"),
        (small, EnrollmentFailure.QUALITY, "come closer, 60 px are needed to enrol"),
    ):
        with pytest.raises(EnrollmentError, match=sentence) as raised:
            only_good_face(assembly.recognizer, np.asarray(picture, np.uint8))
        assert raised.value.failure is failure
