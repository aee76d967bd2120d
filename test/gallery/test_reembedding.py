import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import GalleryError, ImageError
from face_recognition_ros.gallery.reembedding import reembed
from face_recognition_ros.gallery.sealing import AesGcmSeal, PlainSeal, Seal
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.types import FloatArray

NOW = 1e9
OLD, NEW = 64, 32


def embed(crop: bytes) -> FloatArray:
    """A network to test with: another unit vector for every picture."""
    seed = int.from_bytes(hashlib.sha256(crop).digest()[:8])
    vector = np.random.default_rng(seed).normal(size=NEW)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def with_pictures(faces: Any, *pictures: bytes | None) -> list[Template]:
    looks = faces.people(len(pictures))
    return [Template(look, 0.5, "door", picture) for look, picture in zip(looks, pictures, strict=True)]


@pytest.fixture(params=[PlainSeal(), AesGcmSeal(bytes(32))], ids=["plain", "encrypted"])
def seal(request: pytest.FixtureRequest) -> Seal:
    chosen: Seal = request.param
    return chosen


@pytest.fixture
def source(tmp_path: Path, faces: Any, seal: Seal) -> Path:
    path = tmp_path / "old.db"
    with GalleryStore.open(path, "net-a", OLD, seal, clock=lambda: NOW) as store:
        anna = store.enroll("Anna", with_pictures(faces, b"anna 1", b"anna 2", None), consent="yes", expires=NOW + 90)
        store.observe(anna.identity_id, with_pictures(faces, b"anna 3"))
        bob = store.enroll("Bob", with_pictures(faces, None, None))
        store.observe(bob.identity_id, with_pictures(faces, b"bob, seen in passing only"))
        store.enroll("Cleo", with_pictures(faces, b"cleo"), expires=NOW + 10)
        store.remember(with_pictures(faces, b"stranger 1"), NOW + 50)
        store.remember(with_pictures(faces, b"stranger 2"), NOW + 5)
    return path


def test_everybody_with_pictures_is_taken_over_as_they_were(source: Path, tmp_path: Path, seal: Seal) -> None:
    before = source.read_bytes()
    report = reembed(source, tmp_path / "new.db", "net-b", NEW, embed, seal, clock=lambda: NOW + 20)
    assert source.read_bytes() == before
    assert {person.name for person in report.people} == {"Anna", "stranger 1"}  # Cleo and stranger 2 have expired
    assert [person.name for person in report.left_out] == ["Bob"]
    assert report.templates_left_out == 1
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600

    old = GalleryStore.open(source, "net-a", OLD, seal, clock=lambda: NOW + 20)
    new = GalleryStore.open(tmp_path / "new.db", "net-b", NEW, seal, clock=lambda: NOW + 20)
    with old, new:
        for name in ("Anna", "stranger 1"):
            was, now = old.resolve(name), new.resolve(name)
            for kept in ("identity_id", "name", "created", "consent", "expires", "remembered", "observed"):
                assert getattr(was, kept) == getattr(now, kept), kept
        templates = new.identity_templates(new.resolve("Anna").identity_id)
        assert [each.kind for each in templates] == ["enrolled", "enrolled", "observed"]
        for template, picture in zip(templates, (b"anna 1", b"anna 2", b"anna 3"), strict=True):
            np.testing.assert_allclose(template.embedding, embed(picture), atol=1e-6)
            assert (template.quality, template.source) == (0.5, "door")
        looks = with_pictures_of_size(NEW)
        assert new.remember(looks, None).name == "stranger 3"  # no number is given twice


def with_pictures_of_size(size: int) -> list[Template]:
    return [Template(np.eye(size, dtype=np.float32)[0], 1.0)]


def test_pictures_are_kept_for_the_network_after_the_next(source: Path, tmp_path: Path, seal: Seal) -> None:
    reembed(source, tmp_path / "b.db", "net-b", NEW, embed, seal, clock=lambda: NOW)
    report = reembed(tmp_path / "b.db", tmp_path / "c.db", "net-c", NEW, embed, seal, clock=lambda: NOW)
    assert len(report.people) == 4
    assert report.left_out == ()


def test_what_cannot_be_done_is_explained_and_leaves_nothing(
    source: Path, tmp_path: Path, faces: Any, seal: Seal
) -> None:
    target = tmp_path / "new.db"

    def not_a_picture(crop: bytes) -> FloatArray:
        raise ImageError(f"{crop!r} is no PNG file.")

    with pytest.raises(GalleryError, match="is of the network 'net-a' already"):
        reembed(source, target, "net-a", OLD, embed, seal)
    with pytest.raises(GalleryError, match=r"missing.db cannot be read: unable to open"):
        reembed(tmp_path / "missing.db", target, "net-b", NEW, embed, seal)
    with pytest.raises(ImageError, match="no PNG file"):
        reembed(source, target, "net-b", NEW, not_a_picture, seal, clock=lambda: NOW)
    with pytest.raises(GalleryError, match=r"must have shape \(16,\), not \(32,\)"):
        reembed(source, target, "net-b", 16, embed, seal, clock=lambda: NOW)
    (tmp_path / "empty.db").touch()
    with pytest.raises(GalleryError, match="is empty"):
        reembed(tmp_path / "empty.db", target, "net-b", NEW, embed, seal)
    (tmp_path / "damaged.db").write_bytes(source.read_bytes()[:5000])
    with pytest.raises(GalleryError, match=r"is damaged \(.*restore it first"):
        reembed(tmp_path / "damaged.db", target, "net-b", NEW, embed, seal)
    assert not target.exists()
    target.write_text("something else")
    with pytest.raises(GalleryError, match="There is a file"):
        reembed(source, target, "net-b", NEW, embed, seal, clock=lambda: NOW)
    assert target.read_text() == "something else"
