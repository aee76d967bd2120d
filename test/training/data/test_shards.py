"""Shards and their index: order, completeness, a split that keeps people whole, and the data set of named faces."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_recognition_ros.training.data.shards import ShardFaces, decode_shards, read_index


def test_faces_come_in_the_order_of_the_index(shards: Path, tmp_path: Path) -> None:
    faces = decode_shards(shards, tmp_path / "faces.npy")
    assert faces.shape == (60, 128, 128, 3)
    with tarfile.open(shards / "faces-1.tar") as tar:
        file = tar.extractfile("000033.webp")
        assert file is not None
        assert np.array_equal(faces[33], np.asarray(Image.open(file)))


def test_decoding_happens_once(shards: Path, tmp_path: Path) -> None:
    first = decode_shards(shards, tmp_path / "faces.npy")
    written = (tmp_path / "faces.npy").stat().st_mtime_ns
    assert np.array_equal(first, decode_shards(shards, tmp_path / "faces.npy"))
    assert (tmp_path / "faces.npy").stat().st_mtime_ns == written


def test_another_face_than_the_index_says_is_refused(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("key,source,identity\n000001,utkface,\n")
    (tmp_path / "faces-0.tar").write_bytes((shards / "faces-0.tar").read_bytes())
    with pytest.raises(ValueError, match=r"000000\.webp stands where index\.csv has 000001"):
        decode_shards(tmp_path, tmp_path / "faces.npy")
    assert not (tmp_path / "faces.npy").exists()


def test_shards_that_lack_faces_or_have_more_are_refused(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "faces-0.tar").write_bytes((shards / "faces-0.tar").read_bytes())
    lines = (shards / "index.csv").read_text().splitlines()
    for listed, complaint in ((60, "hold 30 faces, but .* lists 60"), (29, "stands where index.csv has no more")):
        (tmp_path / "index.csv").write_text("\n".join(lines[: listed + 1]))
        with pytest.raises(ValueError, match=complaint):
            decode_shards(tmp_path, tmp_path / "faces.npy")
        assert not (tmp_path / "faces.npy").exists()


def test_no_person_is_on_both_sides_of_the_split(shards: Path) -> None:
    index = read_index(shards)
    held_out = index.held_out(0.4)
    assert 0 < held_out.sum() < len(index)
    for person in set(index.identities) - {""}:
        sides = {bool(side) for side, identity in zip(held_out, index.identities, strict=True) if identity == person}
        assert len(sides) == 1
    assert np.array_equal(held_out, index.held_out(0.4)), "the same split every time"


def test_the_data_set_has_the_faces_whose_identity_is_known(shards: Path, tmp_path: Path) -> None:
    faces = ShardFaces(shards, tmp_path / "faces.npy")
    index = read_index(shards)
    stored = decode_shards(shards, tmp_path / "faces.npy")
    assert len(faces) == 20, "every third face"
    assert faces.names == tuple(f"celeba:{number}" for number in range(5))
    assert [faces.names[label] for label in faces.labels] == [index.identities[row] for row in faces.rows]
    assert np.array_equal(faces.read([3, 0]), stored[faces.rows[[3, 0]]])
    face, label = faces[7]
    assert np.array_equal(face, stored[faces.rows[7]])
    assert label == faces.labels[7]
    assert not faces.worn.any()


def test_nobody_whom_the_calibration_is_measured_on_is_in_the_data_set(shards: Path, tmp_path: Path) -> None:
    index = read_index(shards)
    held_out = index.held_out(0.4)
    faces = ShardFaces(shards, tmp_path / "faces.npy", held_out=0.4)
    named = {row for row, identity in enumerate(index.identities) if identity}
    assert named & set(np.flatnonzero(held_out)), "there are some to leave out"
    assert set(faces.rows.tolist()) == named - set(np.flatnonzero(held_out))


def test_identities_can_be_chosen_and_limited(shards: Path, tmp_path: Path) -> None:
    faces = ShardFaces(shards, tmp_path / "faces.npy", max_images=3, identities=["celeba:1", "celeba:4"])
    assert faces.names == ("celeba:1", "celeba:4")
    assert np.bincount(faces.labels).tolist() == [3, 3]
    with pytest.raises(ValueError, match="has 5 or more faces; the most that any has is 4"):
        ShardFaces(shards, tmp_path / "faces.npy", min_images=5)


def test_shards_are_decoded_only_when_a_face_is_asked_for(shards: Path, tmp_path: Path) -> None:
    faces = ShardFaces(shards, tmp_path / "faces.npy")
    assert not (tmp_path / "faces.npy").exists()
    faces.read([0])
    assert (tmp_path / "faces.npy").exists()


def test_a_cache_of_other_shards_is_refused(shards: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", np.zeros((2, 128, 128, 3), np.uint8))
    with pytest.raises(ValueError, match=r"faces\.npy holds 2 faces, but .*index\.csv lists 60"):
        decode_shards(shards, tmp_path / "faces.npy")
