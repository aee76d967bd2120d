"""Who appears in the demo."""

from pathlib import Path

import pytest

from face_recognition_ros.demo.cast import Portrait, cast_from, installed_file, load_cast, save_cast, standard_cast
from face_recognition_ros.errors import ImageError


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
