"""Shards and their index: order, completeness, and a split that keeps people whole."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_recognition_ros.training.data.shards import decode_shards, read_index


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


def test_no_person_is_on_both_sides_of_the_split(shards: Path) -> None:
    index = read_index(shards)
    held_out = index.held_out(0.4)
    assert 0 < held_out.sum() < len(index)
    for person in set(index.identities) - {""}:
        sides = {bool(side) for side, identity in zip(held_out, index.identities, strict=True) if identity == person}
        assert len(sides) == 1
    assert np.array_equal(held_out, index.held_out(0.4)), "the same split every time"
