import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.last_good import LastGood, copy_of, draft_of
from face_recognition_ros.gallery.recovery import files_set_aside, restore, start_empty
from face_recognition_ros.gallery.sealing import AesGcmSeal, PlainSeal, Seal, place
from face_recognition_ros.gallery.store import GalleryStore, Template

SIZE = 64
PAGE = 4096
SEALS = [PlainSeal(), AesGcmSeal(bytes(range(32)))]
both_seals = pytest.mark.parametrize("seal", SEALS, ids=["plain", "encrypted"])


def make_gallery(path: Path, faces: Any, seal: Seal | None = None) -> dict[str, int]:
    """Three people, three enrolments, one of them with pictures; closed. Returns their names and templates."""
    with GalleryStore.open(path, "net-a", SIZE, seal) as store:
        for name in ("Anna", "Bob", "Cleo"):
            store.enroll(name, faces.templates(8), consent="yes")
        pictures = [Template(look, 0.5, "door", b"picture" * 40) for look in faces.people(2)]
        store.enroll("Anna", pictures)
        store.observe(store.resolve("Bob").identity_id, faces.templates(2))
        return people_of(store)


@pytest.fixture
def file(tmp_path: Path, faces: Any) -> Path:
    make_gallery(tmp_path / "gallery.db", faces)
    return tmp_path / "gallery.db"


def people_of(store: GalleryStore) -> dict[str, int]:
    return {person.name: person.templates for person in store.list_identities()}


def people_in(path: Path, seal: Seal | None = None) -> dict[str, int]:
    with GalleryStore.open(path, "net-a", SIZE, seal) as store:
        return people_of(store)


def refused(path: Path, seal: Seal | None = None) -> str:
    """What opening says."""
    with pytest.raises(GalleryError) as error:
        GalleryStore.open(path, "net-a", SIZE, seal)
    return str(error.value)


def edit(path: Path, statement: str, *values: object) -> None:
    """Changes the database behind the store's back."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(statement, values)
        db.commit()


def start_again(path: Path, sound: bytes) -> None:
    for other in files_set_aside(path):
        other.unlink()
    path.write_bytes(sound)


def test_a_damaged_page_is_found_wherever_it_is_set_aside_and_restored(file: Path) -> None:
    sound, expected = file.read_bytes(), people_in(file)
    copy = copy_of(file).read_bytes()
    assert len(sound) >= 12 * PAGE
    for start in range(0, len(sound), PAGE):
        damaged = sound[:start] + b"\xa5" * PAGE + sound[start + PAGE :]
        start_again(file, damaged)
        sentence = refused(file)
        (aside,) = (path for path in files_set_aside(file) if not path.name.endswith(("-wal", "-shm")))
        assert "is damaged (" in sentence
        assert f"set aside as {aside}." in sentence
        assert f"Its last good copy {copy_of(file)} has revision 5 and 3 people." in sentence
        assert f"face-recognition restore --gallery {file} " in sentence
        assert f"face-recognition restore --gallery {file} --empty" in sentence
        assert aside.read_bytes() == damaged
        assert not file.exists()
        report = restore(file)
        assert (report.revision, report.people) == (5, 3)
        assert aside in report.set_aside
        assert people_in(file) == expected
        assert copy_of(file).read_bytes() == copy


def test_nothing_takes_a_damaged_gallerys_place_until_somebody_chooses(file: Path, faces: Any) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 + 100])
    assert "is damaged" in refused(file)
    for _ in range(2):
        assert f"The gallery {file} is not there, though it has been. Its last good copy" in refused(file)
        assert not file.exists()
    restore(file)
    with GalleryStore.open(file, "net-a", SIZE) as store:
        store.enroll("Dan", faces.templates(1))
    assert len(people_in(file)) == 4


def test_a_log_is_set_aside_with_its_gallery(file: Path, faces: Any) -> None:
    with GalleryStore.open(file, "net-a", SIZE) as store:
        store.enroll("Dan", faces.templates(1))
        files = {suffix: file.with_name(file.name + suffix).read_bytes() for suffix in ("", "-wal")}
    for suffix, data in files.items():
        file.with_name(file.name + suffix).write_bytes(data)  # as a killed process leaves them
    damaged = files[""][:PAGE] + bytes(len(files[""]) - PAGE)
    file.write_bytes(damaged)
    copy_of(file).unlink()
    assert "does not exist. To start with an empty gallery" in refused(file)
    aside = files_set_aside(file)[0]
    assert aside.read_bytes() == damaged
    assert aside.with_name(aside.name + "-wal").read_bytes() == files["-wal"]
    assert not file.with_name(file.name + "-wal").exists()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE templates SET embedding = zeroblob(256) WHERE id = 5", "not of length 1"),
        ("UPDATE templates SET embedding = zeroblob(255) WHERE id = 5", "has not 64 numbers"),
        ("UPDATE templates SET embedding = 7 WHERE id = 5", "is not what is stored there"),
        (
            "UPDATE templates SET identity_id = 'p-000000000000' WHERE id = 5",
            "an entry of templates belongs to nothing",
        ),
        (
            "UPDATE crops SET template_id = 4000 WHERE template_id = (SELECT MIN(template_id) FROM crops)",
            "an entry of crops belongs to nothing",
        ),
        ("UPDATE templates SET source = x'ff' WHERE id = 5", r"templates.source: 'utf-8'"),
        ("UPDATE identities SET name = x'416e6e65' WHERE name = x'416e6e61'", "and its key differ"),
        ("UPDATE identities SET name_key = 'anne' WHERE name_key = 'anna'", "and its key differ"),
        ("UPDATE journal SET detail = x'7b' WHERE revision = 1", r"journal.detail: "),
        ("ALTER TABLE templates RENAME source TO sourbe", "templates.source is missing"),
        ("DROP TABLE gone", "gone.identity_id is missing"),
        ("DELETE FROM meta WHERE key = 'revision'", "its entry revision is missing"),
        ("UPDATE meta SET value = 'many' WHERE key = 'embedding_size'", "its entry embedding_size is missing"),
        ("UPDATE identities SET expires = x'00' WHERE name_key = 'anna'", "identities.expires is no number"),
        ("UPDATE identities SET expires = 253402300800 WHERE name_key = 'anna'", "identities.expires is no number"),
        ("UPDATE templates SET quality = 'good' WHERE id = 5", "templates.quality is no number"),
        ("UPDATE templates SET quality = 9e999 WHERE id = 5", "templates.quality is no number"),
        ("UPDATE identities SET expires = -9e999 WHERE name_key = 'anna'", "identities.expires is no number"),
        ("UPDATE templates SET kind = 'trusted' WHERE id = 5", "templates.kind is neither enrolled nor observed"),
    ],
)
def test_what_no_gallery_can_hold_is_damage(file: Path, statement: str, found: str) -> None:
    expected = people_in(file)
    edit(file, statement)
    with pytest.raises(GalleryError, match=rf"is damaged \(.*({found}).*set aside as"):
        GalleryStore.open(file, "net-a", SIZE)
    restore(file)
    assert people_in(file) == expected


MOVES = {
    "embeddings of two people": "UPDATE templates SET embedding = (SELECT embedding FROM templates t WHERE t.id ="
    " CASE templates.id WHEN 1 THEN 9 ELSE 1 END) WHERE id IN (1, 9)",
    "a name in the place of a consent": "UPDATE identities SET consent = name",
    "an older embedding elsewhere": "UPDATE templates SET embedding = (SELECT embedding FROM templates WHERE id = 2)"
    " WHERE id = 3",
    "a source in another row": "UPDATE templates SET source = (SELECT source FROM templates WHERE id = 2) WHERE id = 3",
    "two journal entries": "UPDATE journal SET detail = (SELECT detail FROM journal WHERE revision = 2)"
    " WHERE revision = 3",
}


@pytest.mark.parametrize("move", MOVES)
def test_a_sealed_value_that_was_moved_is_damage(tmp_path: Path, faces: Any, move: str) -> None:
    path = tmp_path / "gallery.db"
    expected = make_gallery(path, faces, SEALS[1])
    edit(path, MOVES[move])
    assert "altered or moved" in refused(path, SEALS[1])
    restore(path, SEALS[1])
    assert people_in(path, SEALS[1]) == expected


def flips(data: bytes, count: int) -> list[bytes]:
    """Copies of a file, each with one bit turned over."""
    random = np.random.default_rng(12)
    copies = []
    for at in random.choice(len(data), count, replace=False):
        copies.append(data[:at] + bytes([data[at] ^ (1 << int(random.integers(8)))]) + data[at + 1 :])
    return copies


def test_a_flipped_bit_never_changes_a_name_or_a_face_of_an_encrypted_gallery(tmp_path: Path, faces: Any) -> None:
    def contents() -> list[tuple[str, str, bytes]]:
        with GalleryStore.open(path, "net-a", SIZE, SEALS[1]) as store:
            people = store.changes_since(None).changed
        return [(who.identity.name, who.identity.consent, who.embeddings.tobytes()) for who in people]

    path = tmp_path / "gallery.db"
    make_gallery(path, faces, SEALS[1])
    expected, sound, copy = contents(), path.read_bytes(), copy_of(path).read_bytes()
    noticed = 0
    for flipped in flips(sound, 150):
        start_again(path, flipped)
        copy_of(path).write_bytes(copy)
        try:
            assert contents() == expected
        except GalleryError:
            noticed += 1
    assert 20 < noticed < 150  # the others fell on free space, times and the like


@both_seals
def test_a_healthy_gallery_is_left_as_it_is(tmp_path: Path, faces: Any, seal: Seal) -> None:
    path = tmp_path / "gallery.db"
    make_gallery(path, faces, seal)
    before = path.read_bytes()
    for repair in (restore, start_empty):
        with pytest.raises(GalleryError, match=r"is healthy \(revision 5\); it is left as it is"):
            repair(path, seal)
    with pytest.raises(GalleryError, match="no gallery of faces"):
        restore(Path(shutil.copyfile(__file__, tmp_path / "notes.txt")), seal)
    with pytest.raises(GalleryError, match="is healthy"):
        start_empty(tmp_path / "there is none yet.db", seal)
    assert path.read_bytes() == before
    assert files_set_aside(path) == ()


def test_starting_empty_keeps_everything_that_was_there(file: Path) -> None:
    copy = copy_of(file).read_bytes()
    file.write_bytes(b"\0" * 9000)
    damaged = refused(file)
    report = start_empty(file)
    assert (report.revision, report.people) == (0, 0)
    assert {path.read_bytes() for path in report.set_aside if path.stat().st_size > PAGE} == {copy, b"\0" * 9000}
    assert "file is not a database" in damaged
    assert people_in(file) == {}
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_gallery_that_vanished_or_was_emptied_is_missed(file: Path, spoil: Callable[[Path], None]) -> None:
    expected = people_in(file)
    spoil(file)
    assert "has revision 5 and 3 people" in refused(file)
    restore(file)
    assert people_in(file) == expected


def test_a_log_without_its_gallery_is_not_mixed_with_another(file: Path, faces: Any) -> None:
    expected = people_in(file)
    with GalleryStore.open(file, "net-a", SIZE) as store:
        store.enroll("Dan", faces.templates(1))
        log = file.with_name(file.name + "-wal").read_bytes()
        copy = copy_of(file).read_bytes()
    copy_of(file).write_bytes(copy)
    file.unlink()
    file.with_name(file.name + "-wal").write_bytes(log)
    assert "not there, though it has been" in refused(file)
    restore(file)
    assert people_in(file) == expected
    assert [path.read_bytes() for path in files_set_aside(file) if path.name.endswith("-wal")] == [log]


def test_an_older_file_in_the_gallerys_place_is_not_taken_for_it(file: Path, faces: Any, tmp_path: Path) -> None:
    older = file.read_bytes()
    with GalleryStore.open(file, "net-a", SIZE) as store:
        store.enroll("Dan", faces.templates(1))
    newer = people_in(file)
    file.write_bytes(older)
    assert f"To go on with this file, delete {copy_of(file)}" in refused(file)
    assert file.read_bytes() == older
    assert restore(file).revision == 6
    assert people_in(file) == newer
    file.write_bytes(older)
    copy_of(file).unlink()
    assert len(people_in(file)) == 3


def test_a_copy_that_is_damaged_too_or_of_another_key_is_not_offered(tmp_path: Path, faces: Any, file: Path) -> None:
    copy = copy_of(file).read_bytes()
    copy_of(file).write_bytes(copy[:PAGE] + bytes(PAGE) + copy[2 * PAGE :])
    file.write_bytes(bytes(PAGE))
    assert f"{copy_of(file)} is damaged, too (" in refused(file)
    with pytest.raises(GalleryError, match=r"cannot be restored: its last good copy is damaged, too"):
        restore(file)
    copy_of(file).write_bytes(copy)
    assert "cannot be used (" in refused(file, SEALS[1])
    with pytest.raises(GalleryError, match="is not encrypted"):
        restore(file, SEALS[1])
    assert restore(file).people == 3


def test_two_damages_within_a_second_are_both_kept(file: Path) -> None:
    for filling in (b"\1", b"\2"):
        file.write_bytes(filling * PAGE)
        refused(file)
    assert [path.read_bytes()[:1] for path in files_set_aside(file)] == [b"\1", b"\2"]


OPENER = """
import sys
from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.store import GalleryStore
print("ready", flush=True)
sys.stdin.readline()
try:
    GalleryStore.open(sys.argv[1], "net-a", 64)
except GalleryError as error:
    print(error)
"""


def test_of_two_processes_that_find_the_damage_one_sets_it_aside(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:PAGE] * 3)
    openers = [
        subprocess.Popen([sys.executable, "-c", OPENER, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [opener.stdout.readline() for opener in openers if opener.stdout] == ["ready\n", "ready\n"]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    said = sorted((opener.communicate()[0] for opener in openers), key=lambda sentence: "is damaged (" not in sentence)
    assert ["is damaged (" in sentence for sentence in said] == [True, False], said
    assert "is not there, though it has been" in said[1], said
    assert len([path for path in files_set_aside(file) if not path.name.endswith(("-wal", "-shm"))]) == 1


# The last good copy


def copied(path: Path) -> tuple[int, int]:
    """Revision and people of the copy."""
    with contextlib.closing(sqlite3.connect(copy_of(path))) as db:
        revision = db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0]
        return revision, db.execute("SELECT COUNT(*) FROM identities").fetchone()[0]


@both_seals
def test_the_copy_follows_the_first_change_every_tenth_after_it_and_closing(
    tmp_path: Path, faces: Any, seal: Seal
) -> None:
    path = tmp_path / "gallery.db"
    with GalleryStore.open(path, "net-a", SIZE, seal) as store:
        for number in range(1, 25):
            store.enroll(f"guest {number}", faces.templates(1))
            assert copied(path) == ((number - 1) // 10 * 10 + 1,) * 2
    assert copied(path) == (24, 24)
    assert copy_of(path).stat().st_mode & 0o777 == 0o600


def test_of_a_large_gallery_the_copy_is_made_less_often(tmp_path: Path, faces: Any) -> None:
    """One change for each 64 KiB: 1500 templates are 30 or so."""
    path = tmp_path / "gallery.db"
    with GalleryStore.open(path, "net-a", SIZE) as store:
        store.enroll("many", [Template(look, 0.5, "x" * 1000) for look in faces.people(1500)])
        GalleryStore.open(path, "net-a", SIZE).close()
        assert copied(path) == (1, 1)
    with GalleryStore.open(path, "net-a", SIZE) as store:
        expected = path.stat().st_size // 65536
        assert expected > 20
        for _ in range(expected - 1):
            store.enroll("Bob", faces.templates(1))
        assert copied(path) == (1, 1)
        for _ in range(3):
            store.enroll("Bob", faces.templates(1))
        assert copied(path)[0] > expected


def test_opening_makes_the_copy_that_a_killed_process_owes(file: Path, faces: Any) -> None:
    copy_of(file).unlink()
    with GalleryStore.open(file, "net-a", SIZE):
        assert copied(file) == (5, 3)
    stamp = copy_of(file).stat().st_mtime_ns
    GalleryStore.open(file, "net-a", SIZE).close()
    assert copy_of(file).stat().st_mtime_ns == stamp  # nothing has changed


def test_nobody_who_was_forgotten_is_in_the_copy_even_where_the_log_cannot_be_cleaned(
    tmp_path: Path, faces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("face_recognition_ros.gallery.database.BUSY_TIMEOUT", 0.01)
    monkeypatch.setattr("face_recognition_ros.gallery.inspection.BUSY_TIMEOUT", 0.01)
    path = tmp_path / "gallery.db"
    with GalleryStore.open(path, "net-a", SIZE) as store, GalleryStore.open(path, "net-a", SIZE) as other:
        store.enroll("Zebediah", faces.templates(3))
        store.enroll("Bob", faces.templates(3))
        GalleryStore.open(path, "net-a", SIZE).close()
        assert b"Zebediah" in copy_of(path).read_bytes()
        with other._transaction("read") as rows:
            rows.db.execute("SELECT * FROM templates").fetchone()
            with pytest.raises(GalleryError, match="forgotten, but traces remain"):
                store.forget("Zebediah")
            assert b"Zebediah" not in copy_of(path).read_bytes()
            assert copied(path) == (3, 1)


def test_a_copy_that_cannot_be_renewed_is_removed_with_the_person(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: LastGood, db: sqlite3.Connection, path: Path) -> None:
        draft_of(path).write_bytes(b"Anna, in part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LastGood, "_copy", full)
    with GalleryStore.open(file, "net-a", SIZE) as store:
        store.forget("Anna")
        assert not copy_of(file).exists()
        assert not draft_of(file).exists()
    assert "cannot be made: No space left on device" in caplog.text


def test_the_draft_of_a_killed_process_does_not_stay(file: Path) -> None:
    draft_of(file).write_bytes(b"Zebediah, who was forgotten since")
    GalleryStore.open(file, "net-a", SIZE).close()
    assert not draft_of(file).exists()
    assert copied(file) == (5, 3)


def test_values_are_sealed_under_their_places(tmp_path: Path, faces: Any) -> None:
    """What `inspection` checks is what `rows` writes: each sealed column once, with the place of its row."""
    path = tmp_path / "gallery.db"
    make_gallery(path, faces, SEALS[1])
    with contextlib.closing(sqlite3.connect(path)) as db:
        person, name = db.execute("SELECT id, name FROM identities").fetchone()
        picture, face = db.execute("SELECT template_id, picture FROM crops").fetchone()
    assert SEALS[1].unseal(name, place("identities", person, "name")).decode() in ("Anna", "Bob", "Cleo")
    assert SEALS[1].unseal(face, place("crops", picture, "picture")) == b"picture" * 40


def test_through_a_link_it_is_the_same_gallery(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "gallery.db"
    link.symlink_to(file)
    expected = people_in(file)
    monkeypatch.chdir(tmp_path / "links")
    with GalleryStore.open("gallery.db", "net-a", SIZE) as store:
        monkeypatch.chdir(tmp_path)
        store.forget("Anna")
    assert list(link.parent.iterdir()) == [link]
    assert b"Anna" not in copy_of(file).read_bytes()
    file.write_bytes(file.read_bytes()[:PAGE] + bytes(PAGE))
    assert "is damaged" in refused(link)
    restore(link)
    assert link.is_symlink()
    assert len(people_in(file)) == len(expected) - 1


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no UTF-8 text"):
        GalleryStore.open(tmp_path / "gallery\udcff.db", "net-a", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_schema_is_damage(file: Path) -> None:
    sound, expected = file.read_bytes(), people_in(file)
    assert sound.count(b"ON identities (changed)") == 1
    for damaged in (b"ON identities (chang\xf3d)", b"ON identities (chaned) )", b"ON identitjes (changed)"):
        start_again(file, sound.replace(b"ON identities (changed)", damaged))
        assert "is damaged (" in refused(file)
        restore(file)
        assert people_in(file) == expected
