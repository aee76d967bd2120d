"""Who appears in the demo."""

from pathlib import Path

import cv2
import pytest

from face_recognition_ros.assembly import assemble
from face_recognition_ros.demo.cast import (
    STRANGER,
    Person,
    Portrait,
    cast_from,
    first_portrait,
    installed_file,
    load_cast,
    portrait,
    save_cast,
    standard_cast,
)
from face_recognition_ros.errors import EnrollmentError, ImageError
from face_recognition_ros.pictures import PersonPictures
from face_recognition_ros.settings import Settings


def test_the_standard_cast_is_two_people_and_a_stranger() -> None:
    cast = standard_cast()
    assert [(person.pictures.name, person.enrolled) for person in cast] == [
        ("Eileen Collins", True), ("Grace Hopper", True), ("the stranger", False),
    ]  # fmt: skip
    assert all(path.is_file() for person in cast for path in person.pictures.paths)


def test_a_picture_that_is_not_installed_is_named() -> None:
    with pytest.raises(ImageError, match=r"the demo needs faces\.png of the Python package no_such_package"):
        installed_file("no_such_package", "faces.png")
    with pytest.raises(ImageError, match=r"the demo needs faces\.png of the Python package numpy"):
        installed_file("numpy", "faces.png")


@pytest.mark.parametrize(("names", "enrolled"), [("a", [True]), ("ab", [True] * 2), ("abc", [True, True, False])])
def test_of_three_or_more_people_the_last_one_stays_a_stranger(
    tmp_path: Path, names: str, enrolled: list[bool]
) -> None:
    for name in names:
        (tmp_path / f"{name}.jpg").touch()
    assert [person.enrolled for person in cast_from(tmp_path)] == enrolled


def test_a_cast_is_read_as_it_was_saved(tmp_path: Path) -> None:
    cast = [Portrait("Zoë", "a.png", (1.0, 2.0, 3.5, 4.0), True), Portrait("x", "b.png", (0.0, 0.0, 1.0, 1.0), False)]
    save_cast(tmp_path / "cast.json", cast)
    assert load_cast(tmp_path / "cast.json") == cast


def test_a_stranger_needs_only_be_fit_to_be_compared(tmp_path: Path) -> None:
    picture = cv2.imread(str(installed_file(*STRANGER)))
    path = tmp_path / "small.png"
    cv2.imwrite(str(path), cv2.resize(picture, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA))
    pictures = PersonPictures("small", (path,))
    with assemble(Settings()) as assembly:
        assert all(first_portrait(person, assembly.recognizer)[0] for person in standard_cast())
        assert not portrait(Person(pictures, enrolled=False), path, assembly.recognizer).enrolled
        with pytest.raises(EnrollmentError, match="come closer"):
            portrait(Person(pictures, enrolled=True), path, assembly.recognizer)
