"""Identity folders as a data set: who is who, which pictures count, and crops of another size."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.errors import ImageError
from face_recognition_ros.training.data.face_folder import FaceFolder, read_crop


def write(path: Path, colour: tuple[int, int, int], side: int = 128) -> None:
    """A picture of one colour, BGR."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((side, side, 3), colour, np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three people with three, one and two pictures, and what is no picture of anybody."""
    for number, name in enumerate(["n2/b.png", "n2/a.webp", "n2/c.jpg", "n10/x.png", "n1/1.PNG", "n1/2.png"]):
        write(tmp_path / "faces" / name, (0, 0, 40 * number))
    (tmp_path / "faces" / "report.csv").touch()
    (tmp_path / "faces" / "n1" / "notes.txt").touch()
    (tmp_path / "faces" / "n1" / ".hidden.png").touch()
    (tmp_path / "faces" / ".trash").mkdir()
    write(tmp_path / "faces" / ".trash" / "1.png", (0, 0, 0))
    return tmp_path / "faces"


def test_folders_are_identities_and_pictures_their_faces(folder: Path) -> None:
    faces = FaceFolder(folder)
    assert faces.names == ("n1", "n10", "n2")
    assert faces.labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert faces.labels.dtype == np.int64
    assert [str(faces.path(row).relative_to(folder)) for row in range(len(faces))] == [
        "n1/1.PNG", "n1/2.png", "n10/x.png", "n2/a.webp", "n2/b.png", "n2/c.jpg",
    ]  # fmt: skip
    face, label = faces[2]
    assert (face.shape, face.dtype, label) == ((128, 128, 3), np.uint8, 1)
    assert face[0, 0].tolist() == [120, 0, 0], "RGB"
    assert faces.read([2, 1])[:, 0, 0].tolist() == [[120, 0, 0], [200, 0, 0]]
    assert faces.read([]).shape == (0, 128, 128, 3)


def test_identities_can_be_limited_and_chosen(folder: Path) -> None:
    assert FaceFolder(folder, min_images=2).names == ("n1", "n2")
    assert FaceFolder(folder, max_images=1).labels.tolist() == [0, 1, 2]
    assert FaceFolder(folder, identities=["n2", "n10"]).labels.tolist() == [0, 1, 1, 1]
    with pytest.raises(ValueError, match="1 of the identities asked for have no face, the first of them 'n3'"):
        FaceFolder(folder, identities=["n1", "n3"])


def test_photos_with_masks_belong_to_the_same_people(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "masked" / "n1" / "1.png", (9, 0, 0))
    write(tmp_path / "masked" / "n3" / "1.png", (9, 0, 0))
    faces = FaceFolder(folder, masked_folder=tmp_path / "masked", identities=["n1", "n3"])
    assert faces.labels.tolist() == [0, 0, 0, 1]
    assert faces.worn.tolist() == [False, False, True, True]
    assert faces[2][0][0, 0].tolist() == [0, 0, 9]
    assert not FaceFolder(folder).worn.any()


def test_crops_without_margin_get_one_of_their_edge(tmp_path: Path) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "crop.png"), crop)
    face = read_crop(tmp_path / "crop.png")
    assert face.shape == (128, 128, 3)
    assert np.array_equal(face[8:-8, 8:-8], crop[:, :, ::-1])
    assert (face[:9, 60] == crop[0, 52, ::-1]).all()


def test_what_is_no_crop_is_refused_with_its_path(tmp_path: Path) -> None:
    write(tmp_path / "Ann" / "photo.png", (0, 0, 0), side=250)
    (tmp_path / "Ann" / "broken.jpg").write_bytes(b"no picture")
    faces = FaceFolder(tmp_path)
    with pytest.raises(ValueError, match=r"photo\.png has 250x250 pixels.*128x128.*preparation"):
        faces[1]
    with pytest.raises(ImageError, match=r"broken\.jpg is no picture"):
        faces.read([0])


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "alone.png", (0, 0, 0))
    with pytest.raises(ValueError, match="each identity needs a folder of its own"):
        FaceFolder(tmp_path)
    with pytest.raises(ValueError, match="there is no folder"):
        FaceFolder(tmp_path / "elsewhere")
