"""Picture files are read upright, and unusable ones refused with a sentence; folders give people."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.errors import ImageError
from face_recognition_ros.pictures import PersonPictures, people_in, person_name, read_picture

# A picture whose upper half is white, and EXIF data that say: turn me by 180 degrees.
HALF_WHITE = np.vstack([np.full((8, 24, 3), 255, np.uint8), np.zeros((8, 24, 3), np.uint8)])
UPSIDE_DOWN = (
    b"\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x03" + bytes(6)
)


def test_a_picture_is_bgr_uint8(astronaut_path: Path) -> None:
    picture = read_picture(astronaut_path)
    assert (picture.shape, picture.dtype) == ((512, 512, 3), np.uint8)


def test_exif_orientation_turns_the_picture_upright(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", HALF_WHITE)[1].tobytes()
    (tmp_path / "plain.jpg").write_bytes(jpeg)
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + UPSIDE_DOWN + jpeg[2:])
    assert read_picture(tmp_path / "plain.jpg")[:6].mean() > 200
    assert read_picture(tmp_path / "turned.jpg")[:6].mean() < 50


def test_grey_16_bit_and_transparent_pictures_become_bgr_uint8(tmp_path: Path) -> None:
    for name, array in {
        "grey.png": np.full((4, 5), 7, np.uint8),
        "deep.png": np.full((4, 5, 3), 7 * 256, np.uint16),
        "transparent.png": np.full((4, 5, 4), 7, np.uint8),
    }.items():
        assert cv2.imwrite(str(tmp_path / name), array)
        picture = read_picture(tmp_path / name)
        assert (picture.shape, picture.dtype, int(picture[0, 0, 0])) == ((4, 5, 3), np.uint8, 7), name


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0"], ids=["empty", "text", "cut short"])
def test_what_cannot_be_decoded_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"broken\.jpg is no picture"):
        read_picture(path)


def test_what_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"there is no file .*nothing\.png"):
        read_picture(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        read_picture(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Grace_Hopper.jpg", "Grace Hopper"),
        ("Grace__Hopper.JPG", "Grace Hopper"),
        ("J. R. Doe.png", "J. R. Doe"),
        ("J. R. Doe", "J. R. Doe"),
        ("Zoë", "Zoë"),
    ],
)
def test_names_come_from_file_and_folder_names(path: str, name: str) -> None:
    assert person_name(Path(path)) == name


def test_a_folder_gives_its_people_by_name(tmp_path: Path) -> None:
    (tmp_path / "Bo").mkdir()
    files = [
        "Bo/2.png",
        "Bo/1.jpg",
        "Bo/notes.txt",
        "Bo/.hidden.jpg",
        "ann_lee.jpeg",
        "README.md",
        ".thumb.jpg",
        "bo.png",
    ]
    for name in files:
        (tmp_path / name).touch()
    assert people_in(tmp_path) == [
        PersonPictures("ann lee", (tmp_path / "ann_lee.jpeg",)),
        PersonPictures("Bo", (tmp_path / "Bo/1.jpg", tmp_path / "Bo/2.png", tmp_path / "bo.png")),
    ]


def test_a_folder_without_people_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match="shows nobody"):
        people_in(tmp_path)
    with pytest.raises(ImageError, match="there is no folder"):
        people_in(tmp_path / "elsewhere")
