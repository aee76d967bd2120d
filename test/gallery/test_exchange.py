import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.sealing import AesGcmSeal, PlainSeal, Seal
from face_recognition_ros.gallery.store import GalleryStore, Template

from .helpers import SIZE, Clock, bytes_on_disk, embeddings_of, names

KEY = AesGcmSeal(bytes(32))


@pytest.fixture(params=[PlainSeal(), KEY], ids=["plain", "encrypted"])
def seal(request: pytest.FixtureRequest) -> Seal:
    seal: Seal = request.param
    return seal


def filled(path: Path | None, faces: Any, seal: Seal | None = None) -> GalleryStore:
    """Anna with two templates and an observed one, Bob, and a stranger; somebody has left."""
    store = GalleryStore.open(path, "net-a", SIZE, seal)
    store.enroll("Zebediah", faces.templates(1))
    store.rename("Zebediah", "Anna")
    looks = [Template(look, 0.8, "camera", b"PNG") for look in faces.people(2)]
    anna = store.enroll("Anna", looks, consent="for the party", expires=time.time() + 1000)
    store.observe(anna.identity_id, faces.templates(1))
    store.enroll("Bob", faces.templates(1))
    store.remember(faces.templates(1), time.time() + 1000)
    return store


def test_an_export_is_a_complete_gallery_without_a_past(tmp_path: Path, faces: Any, seal: Seal) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "export.db"
    with filled(tmp_path / "gallery.db", faces, seal) as store:
        revision = store.revision
        assert store.export_to(path) == 3
        assert [entry.name for entry in path.parent.iterdir()] == ["export.db"]
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"Zebediah" not in bytes_on_disk(path.parent), "a name she no longer has"
        assert store.revision == revision
        with GalleryStore.open(path, "net-a", SIZE, seal) as copy:
            assert copy.revision == 0
            assert copy.list_identities() == store.list_identities()
            for person in store.list_identities():
                np.testing.assert_array_equal(embeddings_of(copy, person.name), embeddings_of(store, person.name))
            with copy._transaction("read") as rows:
                assert list(rows.crops(rows.find("Anna").identity_id).values()) == [b"PNG", b"PNG"]
            with pytest.raises(GalleryError, match="nothing to undo"):
                copy.undo()
            assert copy.remember(faces.templates(1), None).name == "stranger 2", "numbers are not given twice"


def test_an_export_never_overwrites_a_file(tmp_path: Path, faces: Any) -> None:
    path = tmp_path / "export.db"
    path.write_text("precious")
    with filled(None, faces) as store, pytest.raises(GalleryError, match=r"a file .*export.db already"):
        store.export_to(path)
    assert path.read_text() == "precious"


def test_a_failed_export_leaves_nothing(tmp_path: Path, faces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with filled(None, faces) as store:
        monkeypatch.setattr("face_recognition_ros.gallery.exchange.sync_folder", no_space)
        with pytest.raises(GalleryError, match=r"cannot be exported to .*No space left"):
            store.export_to(tmp_path / "export.db")
        with pytest.raises(GalleryError, match=r"cannot be exported to .*No such file"):
            store.export_to(tmp_path / "nowhere" / "export.db")
    assert list(tmp_path.iterdir()) == []


def test_everybody_is_imported_and_the_source_is_only_read(tmp_path: Path, faces: Any, seal: Seal) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "export.db"
    with filled(None, faces, seal) as source, GalleryStore.open(None, "net-a", SIZE, seal) as store:
        source.export_to(path)
        content = path.read_bytes()
        store.enroll("Cleo", faces.templates(1))
        path.chmod(0o400)
        path.parent.chmod(0o500)
        report = store.import_from(path)
        path.parent.chmod(0o700)
        assert path.read_bytes() == content
        assert [entry.name for entry in path.parent.iterdir()] == ["export.db"]
        assert {person.name for person in report.added} == {"Anna", "Bob", "stranger 1"}
        assert report.extended == ()
        assert store.revision == 2
        for person in source.list_identities():
            here = store.resolve(person.identity_id)
            assert (here.name, here.consent, here.expires) == (person.name, person.consent, person.expires)
            assert (here.templates, here.observed, here.remembered) == (
                person.templates, person.observed, person.remembered
            )  # fmt: skip
            np.testing.assert_array_equal(embeddings_of(store, person.name), embeddings_of(source, person.name))
        with store._transaction("read") as rows:
            assert list(rows.crops(rows.find("Anna").identity_id).values()) == [b"PNG", b"PNG"]
        assert store.import_from(path).added == store.import_from(path).extended == ()
        assert store.revision == 2, "nothing was new"
        assert "3 people are gone again" in store.undo()
        assert names(store) == {"Cleo": 1}


def test_the_same_person_gets_what_is_missing(tmp_path: Path, faces: Any) -> None:
    path = tmp_path / "export.db"
    with filled(None, faces) as store:
        anna = store.resolve("Anna")
        store.export_to(path)
        store.undo()  # Bob
        store.undo()  # two of Anna's looks
        store.rename("Anna", "Anna Maria")
        report = store.import_from(path)
        assert [(person.identity_id, person.name) for person in report.extended] == [(anna.identity_id, "Anna Maria")]
        assert [person.name for person in report.added] == ["Bob"]
        assert names(store) == {"Anna Maria": 4, "Bob": 1, "stranger 1": 1}
        assert "1 people are gone again, 1 have lost" in store.undo()
        assert names(store) == {"Anna Maria": 2, "stranger 1": 1}


def test_names_that_are_taken_are_all_named_unless_they_are_the_same_people(tmp_path: Path, faces: Any) -> None:
    path = tmp_path / "export.db"
    with filled(None, faces) as source:
        source.export_to(path)
    with GalleryStore.open(None, "net-a", SIZE) as store:
        store.enroll("BOB", faces.templates(1))
        store.enroll("anna", faces.templates(1))
        with pytest.raises(GalleryError, match=r"called 'Anna', 'Bob'. Rename"):
            store.import_from(path)
        assert (names(store), store.revision) == ({"anna": 1, "BOB": 1}, 2)
        report = store.import_from(path, merge_names=True)
        assert sorted(person.name for person in report.extended) == ["BOB", "anna"]
        assert names(store) == {"anna": 5, "BOB": 2, "stranger 1": 1}
        store.undo()
        assert names(store) == {"anna": 1, "BOB": 1}


def test_strangers_get_new_numbers_where_theirs_are_taken(tmp_path: Path, faces: Any) -> None:
    with GalleryStore.open(None, "net-a", SIZE) as source:
        for _ in range(3):
            source.remember(faces.templates(1), None)
        source.forget("stranger 2")
        source.export_to(tmp_path / "export.db")
    with GalleryStore.open(None, "net-a", SIZE) as store:
        store.remember(faces.templates(1), None)
        store.import_from(tmp_path / "export.db")
        assert len(names(store)) == 3
        assert set(names(store)) in (
            {"stranger 1", "stranger 2", "stranger 3"},
            {"stranger 1", "stranger 3", "stranger 4"},
        )
        known = {int(name.split()[1]) for name in names(store)}
        assert int(store.remember(faces.templates(1), None).name.split()[1]) == max(known) + 1


def test_the_forgotten_are_struck_out_of_an_import(tmp_path: Path, faces: Any) -> None:
    with filled(None, faces) as source:
        source.export_to(tmp_path / "export.db")
    with GalleryStore.open(None, "net-a", SIZE) as store:
        store.import_from(tmp_path / "export.db")
        store.forget("Anna")
        assert "2 people are gone again, 0" in store.undo()
        assert names(store) == {}


def test_whoever_has_expired_is_neither_exported_nor_imported(tmp_path: Path, faces: Any) -> None:
    clock = Clock()
    with GalleryStore.open(None, "net-a", SIZE, clock=clock) as store:
        store.enroll("Anna", faces.templates(1), expires=1010.0)
        store.enroll("Bob", faces.templates(1), expires=1020.0)
        store.enroll("Cleo", faces.templates(1))
        clock.now = 1015.0
        assert store.export_to(tmp_path / "export.db") == 2
        with sqlite3.connect(tmp_path / "export.db") as copy:
            assert copy.execute("SELECT COUNT(*) FROM templates").fetchone() == (2,)
    clock.now = 1020.0
    with GalleryStore.open(None, "net-a", SIZE, clock=clock) as store:
        assert [person.name for person in store.import_from(tmp_path / "export.db").added] == ["Cleo"]


def test_a_plain_file_goes_into_an_encrypted_gallery(tmp_path: Path, faces: Any) -> None:
    with filled(None, faces) as source:
        source.export_to(tmp_path / "export.db")
    with GalleryStore.open(tmp_path / "here" / "gallery.db", "net-a", SIZE, KEY) as store:
        assert len(store.import_from(tmp_path / "export.db").added) == 3
        assert b"Anna" not in bytes_on_disk(tmp_path / "here")


def test_what_cannot_be_imported_gets_a_sentence(tmp_path: Path, faces: Any) -> None:
    path = tmp_path / "export.db"
    with filled(None, faces, KEY) as source:
        source.export_to(tmp_path / "sealed.db")
    with filled(None, faces) as source:
        source.export_to(path)
    sound = path.read_bytes()
    (tmp_path / "damaged.db").write_bytes(sound[:5000] + b"\xa5" * 4000 + sound[9000:])
    (tmp_path / "short.db").write_bytes(sound[: len(sound) // 2])
    (tmp_path / "cut.db").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("nothing to do with faces " * 100)
    with sqlite3.connect(tmp_path / "cats.db") as cats:
        cats.execute("CREATE TABLE cats (name)")
    (tmp_path / "bent.db").write_bytes(sound)
    with sqlite3.connect(tmp_path / "bent.db") as bent:
        bent.execute("UPDATE templates SET embedding = zeroblob(256) WHERE id = 2")
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    with GalleryStore.open(None, "net-a", SIZE) as store, GalleryStore.open(None, "net-b", SIZE) as other:
        with pytest.raises(GalleryError, match=r"made by the network 'net-a' .*in use is 'net-b'"):
            other.import_from(path)
        for name, sentence in (
            ("damaged.db", "damaged"), ("short.db", "damaged"), ("bent.db", "not of length 1"), ("cut.db", "empty"),
            ("notes.txt", "not a database"), ("cats.db", "no gallery of faces"), ("sealed.db", "is encrypted"),
            ("nobody.db", "no gallery file"), (".", "no gallery file"),
        ):  # fmt: skip
            with pytest.raises(GalleryError, match=sentence):
                store.import_from(tmp_path / name)
        assert (store.revision, names(store)) == (0, {})
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("id", "Anna", "'Anna' is no identity id"),
        ("name", "p-0123456789ab", "reads like an identity id"),
        ("name", "", "must not be empty"),
        ("name", "stranger 7", "remembered strangers"),
    ],
)
def test_nobody_comes_who_could_be_taken_for_somebody_else(
    tmp_path: Path, faces: Any, column: str, value: str, sentence: str
) -> None:
    with GalleryStore.open(None, "net-a", SIZE) as source:
        source.enroll("Mallory", faces.templates(1))
        source.export_to(tmp_path / "bent.db")
    with sqlite3.connect(tmp_path / "bent.db") as bent:
        if column == "id":
            bent.execute("UPDATE identities SET id = ?", (value,))
            bent.execute("UPDATE templates SET identity_id = ?", (value,))
        else:
            bent.execute("UPDATE identities SET name = ?, name_key = ?", (value.encode(), value))
    with GalleryStore.open(None, "net-a", SIZE) as store:
        store.enroll("Anna", faces.templates(1))
        with pytest.raises(GalleryError, match=f"Nobody was imported from .*bent.db: .*{sentence}"):
            store.import_from(tmp_path / "bent.db")
        assert names(store) == {"Anna": 1}
