"""The commands of `face-recognition` that look after a gallery, on galleries of made-up templates."""

import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from face_recognition_ros.assembly import build_embedder, open_gallery
from face_recognition_ros.cli import main
from face_recognition_ros.embedding import NetworkDescription
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.records import iso_time
from face_recognition_ros.settings import Settings


@pytest.fixture(scope="module")
def network() -> NetworkDescription:
    embedder, _ = build_embedder(Settings())
    embedder.close()
    return embedder.description


class Gallery:
    """A gallery file, and the command that works on it."""

    def __init__(self, path: Path, network: NetworkDescription, key: str = "") -> None:
        self.path = path
        self._network = network
        self._settings = Settings(gallery=str(path), gallery_key=key)

    def open(self) -> GalleryStore:
        return open_gallery(self._settings, self._network.model_id, self._network.embedding_size)

    def template(self, axis: int) -> Template:
        return Template(np.eye(self._network.embedding_size, dtype=np.float32)[axis], 0.9)

    def run(self, *words: object) -> int:
        key = self._settings.gallery_key
        return main([*map(str, words), "--gallery", str(self.path), *(["--set", f"gallery_key={key}"] if key else [])])

    def names(self) -> list[str]:
        with self.open() as store:
            return [person.name for person in store.list_identities()]


@pytest.fixture
def gallery(tmp_path: Path, network: NetworkDescription) -> Gallery:
    """Of Ann and Bo."""
    gallery = Gallery(tmp_path / "gallery.sqlite3", network)
    with gallery.open() as store:
        store.enroll("Ann", [gallery.template(0)])
        store.enroll("Bo", [gallery.template(1)])
    return gallery


def test_identities_are_listed_as_json_and_as_a_table(gallery: Gallery, capsys: pytest.CaptureFixture[str]) -> None:
    with gallery.open() as store:
        store.remember([gallery.template(2)], expires=time.time() + 3600)
    assert gallery.run("identities", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(person["templates"], person["remembered"]) for person in listed] == [(1, False), (1, False), (1, True)]
    assert [person["expires"] is None for person in listed] == [True, True, False]
    assert gallery.run("identities") == 0
    _heading, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [person["identity_id"] for person in listed]


def test_rename_merge_and_forget_change_the_gallery(gallery: Gallery, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.run("rename", "ann", "Anna") == 0
    assert gallery.run("merge", "Anna", "Bo") == 0
    assert gallery.run("undo") == 0
    assert gallery.names() == ["Anna", "Bo"]
    assert gallery.run("forget", "Bo") == 0
    assert gallery.run("forget", "Bo") == 1
    out, err = capsys.readouterr()
    first, second, third, fourth = out.splitlines()
    assert (first, fourth) == ("Ann is now called Anna", "Bo is forgotten")
    assert second == "Bo is merged into Anna, who has 2 templates now"
    assert "Bo" in third
    assert "'Bo'" in err
    assert gallery.names() == ["Anna"]


def test_all_strangers_are_forgotten(gallery: Gallery, capsys: pytest.CaptureFixture[str]) -> None:
    with gallery.open() as store:
        store.remember([gallery.template(2)], expires=None)
    assert gallery.run("forget", "--all-unknown") == 0
    assert capsys.readouterr().out == "1 remembered strangers are forgotten\n"
    assert gallery.names() == ["Ann", "Bo"]
    for words in (["forget"], ["forget", "Ann", "--all-unknown"]):
        with pytest.raises(SystemExit) as ended:
            gallery.run(*words)
        assert ended.value.code == 2


def test_what_was_learned_in_passing_is_purged(gallery: Gallery, capsys: pytest.CaptureFixture[str]) -> None:
    with gallery.open() as store:
        for name, axis in (("Ann", 2), ("Bo", 3)):
            store.observe(store.resolve(name).identity_id, [gallery.template(axis)])
    assert gallery.run("purge-observed", "Ann") == 0
    assert gallery.run("purge-observed") == 0
    assert capsys.readouterr().out.splitlines() == ["1 templates that were learned in passing are removed"] * 2
    with gallery.open() as store:
        assert [person.templates for person in store.list_identities()] == [1, 1]


def test_consent_is_noted_with_its_end(gallery: Gallery, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.run("consent", "Ann", "aloud, for the tour", "--days", "2") == 0
    with gallery.open() as store:
        ann = store.resolve("Ann")
    said = f"Ann agreed to 'aloud, for the tour', and is remembered until {iso_time(ann.expires or 0.0)}\n"
    assert capsys.readouterr().out == said
    assert ann.consent == "aloud, for the tour"
    assert ann.expires is not None
    assert 0 < time.time() + 2 * 86400 - ann.expires < 3600
    assert gallery.run("consent", "Ann", "") == 0
    with gallery.open() as store:
        assert (store.resolve("Ann").consent, store.resolve("Ann").expires) == ("", None)
    assert gallery.run("consent", "Ann", "", "--days", "1e9") == 1
    assert "later than the year 9999" in capsys.readouterr().err
    for days in ("0", "-1", "nan", "inf", "soon"):
        with pytest.raises(SystemExit) as ended:
            gallery.run("consent", "Ann", "", "--days", days)
        assert ended.value.code == 2


def test_people_travel_in_a_file(
    gallery: Gallery, tmp_path: Path, network: NetworkDescription, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.sqlite3"
    assert gallery.run("export", copy) == 0
    assert gallery.run("export", copy) == 1
    other = Gallery(tmp_path / "other.sqlite3", network)
    with other.open() as store:
        store.enroll("Bo", [other.template(5)])
    assert other.run("import", copy) == 1
    assert other.names() == ["Bo"], "all or nobody"
    assert other.run("import", copy, "--merge-names") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-2:] == ["Ann: new, 1 templates", "Bo: further templates, 2 now"]
    assert str(copy) in err
    assert "'Bo'" in err
    assert other.run("import", copy, "--merge-names") == 0
    assert capsys.readouterr().out == f"all that {copy} holds is in {other.path} already\n"


def test_an_encrypted_gallery_is_read_with_its_key_only(
    tmp_path: Path, network: NetworkDescription, capsys: pytest.CaptureFixture[str]
) -> None:
    key, other = tmp_path / "key", tmp_path / "other key"
    for path in (key, other):
        assert main(["create-key", str(path)]) == 0
        assert path.stat().st_mode & 0o777 == 0o600
    assert main(["create-key", str(key)]) == 1
    assert "must not be replaced" in capsys.readouterr().err
    gallery = Gallery(tmp_path / "gallery.sqlite3", network, str(key))
    with gallery.open() as store:
        store.enroll("Annabella", [gallery.template(0)])
    assert b"Annabella" not in gallery.path.read_bytes()
    assert gallery.run("identities") == 0
    assert "Annabella" in capsys.readouterr().out
    assert main(["identities", "--gallery", str(gallery.path)]) == 1
    assert main(["identities", "--gallery", str(gallery.path), "--set", f"gallery_key={other}"]) == 1
    assert "key" in capsys.readouterr().err
    assert gallery.names() == ["Annabella"]


def test_an_old_gallery_is_encrypted_by_importing_it(
    gallery: Gallery, tmp_path: Path, network: NetworkDescription
) -> None:
    encrypted = Gallery(tmp_path / "encrypted.sqlite3", network, str(tmp_path / "key"))
    assert encrypted.run("import", gallery.path) == 0
    assert encrypted.names() == gallery.names() == ["Ann", "Bo"]
    assert main(["identities", "--gallery", str(encrypted.path)]) == 1


def test_a_gallery_is_written_anew_for_another_network_from_its_crops(
    tmp_path: Path, astronaut_path: Path, grace_hopper_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, int8 = tmp_path / "old", tmp_path / "new", ("--set", "embedding_model=face_embedding_int8")
    for name, path, store_crops in (("Eileen", astronaut_path, "true"), ("Grace", grace_hopper_path, "false")):
        (tmp_path / name).mkdir()
        shutil.copy(path, tmp_path / name / f"{name}{path.suffix}")
        words = ["enroll", str(tmp_path / name), "--gallery", str(old), "--set", f"store_crops={store_crops}"]
        assert main(words) == 0
    assert main(["reembed", str(new), "--gallery", str(old)]) == 1
    assert "already" in capsys.readouterr().err
    assert main(["identities", "--gallery", str(old), *int8]) == 1
    assert "network" in capsys.readouterr().err
    assert main(["reembed", str(new), "--gallery", str(old), *int8]) == 1, "not all of them"
    out, err = capsys.readouterr()
    assert out.startswith(f"{new} has 1 people, 1 templates of ")
    assert err == "Grace: left out, without a crop; enrol this person anew\n"
    assert main(["recognize", str(astronaut_path), "--gallery", str(new), *int8]) == 0
    assert capsys.readouterr().out.startswith(f"{astronaut_path}: Eileen (confidence ")


def damage(path: Path) -> None:
    """Overwrites all of the file but its header."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(path.read_bytes()[:100] + bytes(path.stat().st_size - 100))


def test_a_damaged_gallery_is_restored_from_its_last_good_state(
    gallery: Gallery, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery.names() == ["Ann", "Bo"]
    assert gallery.run("restore") == 1
    assert "is healthy" in capsys.readouterr().err
    damage(gallery.path)
    assert gallery.run("identities") == 1
    assert "is damaged" in capsys.readouterr().err
    assert gallery.run("identities") == 1, "nothing takes its place unasked"
    assert f"face-recognition restore --gallery {gallery.path}" in capsys.readouterr().err
    assert gallery.run("restore") == 0
    out, err = capsys.readouterr()
    assert out == f"{gallery.path} has revision 2 and 2 people\n"
    assert ".damaged-" in err
    assert gallery.names() == ["Ann", "Bo"]


def test_a_damaged_gallery_may_be_given_up(gallery: Gallery, capsys: pytest.CaptureFixture[str]) -> None:
    damage(gallery.path)
    assert gallery.run("identities") == 1
    assert gallery.run("restore", "--empty") == 0
    assert capsys.readouterr().out == f"{gallery.path} has revision 0 and 0 people\n"
    assert gallery.names() == []
