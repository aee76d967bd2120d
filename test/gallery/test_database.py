import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.sealing import AesGcmSeal
from face_recognition_ros.gallery.store import GalleryStore

SIZE = 64
KEY = bytes(range(32))


@pytest.fixture
def file(tmp_path: Path, faces: Any) -> Path:
    """A gallery of 60 templates, closed."""
    path = tmp_path / "gallery.db"
    with GalleryStore.open(path, "net-a", SIZE) as store:
        for name in ("Anna", "Bob", "Cleo"):
            store.enroll(name, faces.templates(20))
    return path


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def content(folder: Path) -> dict[str, bytes]:
    """Without SQLite's shared memory and empty log, which reading makes as well."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    return {name: data for name, data in found.items() if data}


def test_files_are_readable_by_their_owner_only_whatever_the_umask(tmp_path: Path, faces: Any) -> None:
    before = os.umask(0)
    try:
        with GalleryStore.open(tmp_path / "new" / "gallery.db", "net-a", SIZE) as store:
            store.enroll("Anna", faces.templates(1))
            names = ("gallery.db", "gallery.db-wal", "gallery.db-shm", "gallery.db.last-good")
            assert modes(tmp_path / "new") == dict.fromkeys(names, 0o600)
    finally:
        os.umask(before)
    assert modes(tmp_path / "new") == {"gallery.db": 0o600, "gallery.db.last-good": 0o600}


def test_a_file_that_others_can_read_is_made_private(file: Path) -> None:
    file.chmod(0o644)
    GalleryStore.open(file, "net-a", SIZE).close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_full_synchronisation_secure_deletion_and_wal_are_on(tmp_path: Path) -> None:
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE) as store:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        found = [store._connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]
    assert found == ["wal", 2, 1, 1]


def test_another_networks_gallery_is_refused_with_the_way_out_and_untouched(file: Path) -> None:
    before = content(file.parent)
    with pytest.raises(GalleryError, match=r"'net-a' \(64.*'net-b' \(64.*enroll everybody anew.*reembed"):
        GalleryStore.open(file, "net-b", SIZE)
    with pytest.raises(GalleryError, match=r"'net-a' \(64.*'net-a' \(128"):
        GalleryStore.open(file, "net-a", 128)
    assert content(file.parent) == before


def test_somebody_elses_file_and_a_newer_schema_are_refused_and_untouched(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE cats (name)")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = content(tmp_path)
    with pytest.raises(GalleryError, match="no gallery of faces"):
        GalleryStore.open(other, "net-a", SIZE)
    with pytest.raises(GalleryError, match="schema 99"):
        GalleryStore.open(file, "net-a", SIZE)
    with pytest.raises(GalleryError, match="is not a file"):
        GalleryStore.open(tmp_path, "net-a", SIZE)
    assert content(tmp_path) == before


def test_an_empty_file_is_a_new_gallery(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    path.touch()
    with GalleryStore.open(path, "net-a", SIZE) as store:
        assert store.list_identities() == []
        assert store.revision == 0


def test_a_file_that_is_no_database_keeps_its_name_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing to do with faces, but long enough to be looked at as if it were a database file" * 20)
    path.chmod(0o644)
    with pytest.raises(GalleryError, match="no gallery of faces, nor any other SQLite file"):
        GalleryStore.open(path, "net-a", SIZE)
    assert modes(tmp_path) == {"notes.txt": 0o644}


def test_each_mistake_with_the_key_gets_its_sentence_and_changes_nothing(tmp_path: Path, faces: Any) -> None:
    plain, encrypted, seal = tmp_path / "plain.db", tmp_path / "encrypted.db", AesGcmSeal(KEY)
    with GalleryStore.open(plain, "net-a", SIZE) as store:
        store.enroll("Anna", faces.templates(1))
    with GalleryStore.open(encrypted, "net-a", SIZE, seal) as store:
        store.enroll("Anna", faces.templates(1))
    before = content(tmp_path)
    with pytest.raises(GalleryError, match=r"plain\.db is not encrypted; open it without a key file"):
        GalleryStore.open(plain, "net-a", SIZE, seal)
    with pytest.raises(GalleryError, match=r"encrypted\.db is encrypted; give the key file"):
        GalleryStore.open(encrypted, "net-a", SIZE)
    with pytest.raises(GalleryError, match=r"encrypted\.db was encrypted with another key; give the key file"):
        GalleryStore.open(encrypted, "net-a", SIZE, AesGcmSeal(bytes(32)))
    assert content(tmp_path) == before
    with GalleryStore.open(encrypted, "net-a", SIZE, seal) as store:
        assert [person.name for person in store.list_identities()] == ["Anna"]


def test_nothing_of_a_person_is_readable_in_an_encrypted_gallerys_files(tmp_path: Path, faces: Any) -> None:
    def leaks(seal: AesGcmSeal | None, name: str) -> list[bytes]:
        templates = faces.as_templates(faces.people(3), "camera at the door")
        templates[0] = type(templates[0])(templates[0].embedding, 0.9, "camera at the door", b"PNG of a face")
        secrets = [template.embedding.astype("<f4").tobytes()[:16] for template in templates]
        secrets += [b"Zebediah", b"zebediah", b"Methuselah", b"may be filmed", b"camera at the door", b"PNG of a face"]
        with GalleryStore.open(tmp_path / name / "gallery.db", "net-a", SIZE, seal) as store:
            store.enroll("Zebediah", templates, consent="may be filmed")
            store.rename("Zebediah", "Methuselah")
            store.merge("Methuselah", store.enroll("Bob", faces.templates(1)).identity_id)
            open_files = b"".join(content(tmp_path / name).values())
        closed_files = b"".join(content(tmp_path / name).values())
        return [secret for secret in secrets if secret in open_files + closed_files]

    assert len(leaks(None, "plain")) == 9
    assert leaks(AesGcmSeal(KEY), "encrypted") == []


def test_a_gallery_that_another_program_keeps_locked_is_not_damaged(
    file: Path, faces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("face_recognition_ros.gallery.database.BUSY_TIMEOUT", 0.01)
    monkeypatch.setattr("face_recognition_ros.gallery.inspection.BUSY_TIMEOUT", 0.01)
    before = content(file.parent)
    with GalleryStore.open(file, "net-a", SIZE) as store, contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match=r"could not be changed: another program has kept it locked"):
            store.enroll("Dan", faces.templates(1))
        with GalleryStore.open(file, "net-a", SIZE) as reader:  # reading goes on meanwhile
            assert len(reader.list_identities()) == 3
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(GalleryError, match=r"cannot be opened: another program has kept it locked for 0.01 s"):
            GalleryStore.open(file, "net-a", SIZE)
    assert {name: data for name, data in content(file.parent).items() if "-" not in name} == {
        name: data for name, data in before.items() if "-" not in name
    }


@pytest.fixture
def ordinary_folder() -> Iterator[Path]:
    """A folder of a user who is not root, who is this process meanwhile: root may change everything."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)
        if was_root:
            os.seteuid(0)


@pytest.mark.parametrize(("target", "mode"), [("gallery.db", 0o400), ("", 0o500)])
def test_a_read_only_file_or_folder_is_explained(ordinary_folder: Path, faces: Any, target: str, mode: int) -> None:
    path = ordinary_folder / "gallery.db"
    with GalleryStore.open(path, "net-a", SIZE) as store:
        store.enroll("Anna", faces.templates(1))
    before = content(ordinary_folder)
    (ordinary_folder / target).chmod(mode)
    with pytest.raises(
        GalleryError, match=r"gallery.db cannot be opened: .* (may not be changed by this user|is read-only)"
    ):
        GalleryStore.open(path, "net-a", SIZE)
    assert content(ordinary_folder) == before


def test_a_full_disk_loses_nothing(file: Path, faces: Any) -> None:
    with GalleryStore.open(file, "net-a", SIZE) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(GalleryError, match="could not be changed: there is no space left"):
            store.enroll("Dan", faces.templates(100))
        assert (store.revision, len(store.list_identities())) == (3, 3)
    with GalleryStore.open(file, "net-a", SIZE) as store:
        assert (store.revision, len(store.list_identities())) == (3, 3)
    assert sorted(modes(file.parent)) == ["gallery.db", "gallery.db.last-good"]


FILLER = """
import resource, sys
import numpy as np
from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.store import GalleryStore, Template
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
store = GalleryStore.open(sys.argv[1], "net-a", 64)
rows = np.random.default_rng(3).normal(size=(3000, 64)).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
for number in range(300):
    try:
        store.enroll(f"guest {number}", [Template(row, 1.0) for row in rows[10 * number : 10 * number + 10]])
    except GalleryError as error:
        print(f"{number} {error}")
        break
try:
    store.close()
except GalleryError:
    pass
"""


def test_a_disk_that_fills_up_under_a_process_loses_nothing_that_it_acknowledged(file: Path) -> None:
    """No file may grow beyond the limit: the log meets it first, then the copy."""
    limit = 10 * file.stat().st_size
    ran = subprocess.run([sys.executable, "-c", FILLER, file, str(limit)], capture_output=True, text=True, check=True)
    guests, sentence = ran.stdout.split(" ", 1)
    assert int(guests) > 3
    assert "could not be changed: the disk failed" in sentence
    with GalleryStore.open(file, "net-a", SIZE) as store:
        assert store.revision == len(store.list_identities()) == 3 + int(guests)
    assert sorted(modes(file.parent)) == ["gallery.db", "gallery.db.last-good"]


def test_a_gallery_that_is_moved_or_replaced_while_it_is_open_takes_no_more_changes(file: Path, faces: Any) -> None:
    with GalleryStore.open(file, "net-a", SIZE) as store:
        file.rename(file.with_name("elsewhere.db"))
        with pytest.raises(GalleryError, match="moved or replaced while it was in use"):
            store.enroll("Dan", faces.templates(1))
        file.touch()
        with pytest.raises(GalleryError, match="moved or replaced while it was in use"):
            store.forget("Anna")
        file.unlink()
        file.with_name("elsewhere.db").rename(file)
        assert store.enroll("Dan", faces.templates(1)).name == "Dan"
