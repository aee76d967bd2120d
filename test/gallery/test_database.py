import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.store import GalleryStore

SIZE = 64


@pytest.fixture
def file(tmp_path: Path, faces: Any) -> Path:
    """A gallery of 60 templates, closed: 12 pages or more."""
    path = tmp_path / "gallery.db"
    with GalleryStore.open(path, "net-a", SIZE) as store:
        for name in ("Anna", "Bob", "Cleo"):
            store.enroll(name, faces.templates(20))
    return path


def test_files_are_readable_by_their_owner_only_whatever_the_umask(tmp_path: Path, faces: Any) -> None:
    before = os.umask(0)
    try:
        with GalleryStore.open(tmp_path / "new" / "gallery.db", "net-a", SIZE) as store:
            store.enroll("Anna", faces.templates(1))
            modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    finally:
        os.umask(before)
    assert modes == {"gallery.db": 0o600, "gallery.db-wal": 0o600, "gallery.db-shm": 0o600}


def test_a_file_that_others_can_read_is_made_private(file: Path) -> None:
    file.chmod(0o644)
    GalleryStore.open(file, "net-a", SIZE).close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_full_synchronisation_secure_deletion_and_wal_are_on(tmp_path: Path) -> None:
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE) as store:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        found = [store._connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]
    assert found == ["wal", 2, 1, 1]


def test_another_networks_gallery_is_refused_and_untouched(file: Path) -> None:
    content = file.read_bytes()
    with pytest.raises(GalleryError, match=r"'net-a' \(64.*'net-b' \(64.*enroll everybody anew"):
        GalleryStore.open(file, "net-b", SIZE)
    with pytest.raises(GalleryError, match=r"'net-a' \(64.*'net-a' \(128"):
        GalleryStore.open(file, "net-a", 128)
    assert file.read_bytes() == content


def test_a_damaged_page_is_found_wherever_it_is_and_the_file_untouched(file: Path) -> None:
    sound = file.read_bytes()
    page = 4096
    assert len(sound) >= 8 * page
    for start in range(0, len(sound), page):
        damaged = sound[:start] + b"\xa5" * page + sound[start + page :]
        file.write_bytes(damaged)
        with pytest.raises(GalleryError, match=r"is damaged \(.*Restore it from a copy"):
            GalleryStore.open(file, "net-a", SIZE)
        assert file.read_bytes() == damaged


def test_a_truncated_file_is_refused_and_untouched(file: Path) -> None:
    half = file.read_bytes()[: file.stat().st_size // 2 + 100]
    file.write_bytes(half)
    with pytest.raises(GalleryError, match="is damaged"):
        GalleryStore.open(file, "net-a", SIZE)
    assert file.read_bytes() == half


def test_a_template_that_is_no_unit_vector_is_damage(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE templates SET embedding = zeroblob(256) WHERE id = 5")
    with GalleryStore.open(file, "net-a", SIZE) as store, pytest.raises(GalleryError, match=r"damaged.*length 1"):
        store.templates()


def test_somebody_elses_file_and_a_newer_schema_are_refused(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE cats (name)")
    with pytest.raises(GalleryError, match="no gallery of faces"):
        GalleryStore.open(other, "net-a", SIZE)
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(GalleryError, match="schema 99"):
        GalleryStore.open(file, "net-a", SIZE)
    with pytest.raises(GalleryError, match="is not a file"):
        GalleryStore.open(tmp_path, "net-a", SIZE)


def test_an_empty_file_is_a_new_gallery(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    path.touch()
    with GalleryStore.open(path, "net-a", SIZE) as store:
        assert store.list_identities() == []
        assert store.revision == 0


def test_a_file_that_is_no_gallery_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing to do with faces, but long enough to be looked at as if it were a database file" * 20)
    path.chmod(0o644)
    with pytest.raises(GalleryError):
        GalleryStore.open(path, "net-a", SIZE)
    assert path.stat().st_mode & 0o777 == 0o644
