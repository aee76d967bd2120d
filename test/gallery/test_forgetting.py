from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.store import GalleryStore, Template

from .helpers import SIZE, Clock, bytes_on_disk, names


def test_forget_leaves_no_bytes_in_the_files(tmp_path: Path) -> None:
    """People come, merge and go, with templates of many sizes, so that SQLite moves cells between pages.

    With this seed, secure_delete and a truncated log alone leave ten pieces of forgotten templates behind.
    """
    random = np.random.default_rng(31)
    pieces: dict[str, list[bytes]] = {}
    seen_before = seen_after = 0
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE) as store:
        store._connection.execute("PRAGMA synchronous = OFF")  # this test is about bytes, not about power cuts
        for _ in range(150):
            name, other = (f"Somebody{i}" for i in random.integers(25, size=2))
            action = random.random()
            if name in pieces and action < 0.25:
                before = bytes_on_disk(tmp_path)
                store.forget(name)
                after = bytes_on_disk(tmp_path)
                secrets = [blob[i : i + 24] for blob in pieces.pop(name) for i in range(0, 232, 24)]
                seen_before += sum(secret in before for secret in secrets)
                seen_after += sum(secret in after for secret in secrets)
            elif name in pieces and other in pieces and name != other and action < 0.4:
                store.merge(name, other)
                pieces[name] += pieces.pop(other)
            else:
                rows = random.normal(size=(int(random.integers(1, 12)), SIZE)).astype(np.float32)
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)
                store.enroll(name, [Template(row, 0.9, "source " * int(random.integers(12))) for row in rows])
                pieces.setdefault(name, []).extend(row.tobytes() for row in rows)
    assert seen_before > 1000
    assert seen_after == 0


def test_forget_leaves_no_name_in_the_files(tmp_path: Path, faces: Any) -> None:
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE) as store:
        store.enroll("Zebediah", faces.templates(2))
        store.rename("Zebediah", "Methuselah")
        store.enroll("Bob", faces.templates(2))
        assert b"Zebediah" in bytes_on_disk(tmp_path)
        store.forget("Methuselah")
        for name in (b"Zebediah", b"zebediah", b"Methuselah", b"methuselah"):
            assert name not in bytes_on_disk(tmp_path)
        assert b"Bob" in bytes_on_disk(tmp_path)


def test_forget_says_when_another_reader_keeps_the_bytes_and_reopening_erases_them(
    tmp_path: Path, faces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("face_recognition_ros.gallery.database.BUSY_TIMEOUT", 0.01)
    monkeypatch.setattr("face_recognition_ros.gallery.inspection.BUSY_TIMEOUT", 0.01)
    path = tmp_path / "gallery.db"
    with GalleryStore.open(path, "net-a", SIZE) as store, GalleryStore.open(path, "net-a", SIZE) as other:
        store.enroll("Zebediah", faces.templates(1))
        with other._transaction("read") as rows:
            rows.db.execute("SELECT * FROM templates").fetchone()
            with pytest.raises(GalleryError, match="'Zebediah' is forgotten, but traces"):
                store.forget("Zebediah")
            assert names(store) == {}
    GalleryStore.open(path, "net-a", SIZE).close()
    assert b"Zebediah" not in bytes_on_disk(tmp_path)


def test_forgetting_in_any_way_leaves_no_bytes_in_the_files(tmp_path: Path, faces: Any) -> None:
    """Names, consents, sources, pictures and embeddings, each removed in another way."""
    clock = Clock()
    looks = faces.people(12)

    def template(i: int) -> Template:
        return Template(looks[i], 0.9, f"source {i:02}", b"picture %02d" % i)

    def gone(*numbers: int, words: tuple[str, ...] = ()) -> bool:
        data = bytes_on_disk(tmp_path)
        pieces = [
            piece for i in numbers for piece in (looks[i].tobytes()[:24], b"source %02d" % i, b"picture %02d" % i)
        ]
        return not any(piece in data for piece in [*pieces, *(word.encode() for word in words)])

    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE, clock=clock) as store:
        anna = store.enroll("Methuselah", [template(0)], consent="said Zebediah", expires=1060.0).identity_id
        store.enroll("Bob", [template(1)])
        store.observe("Bob", [template(2)])
        store.observe(anna, [template(3)])
        store.enroll("Bob", [template(4)])
        store.undo()
        assert gone(4)
        assert store.purge_observed("Bob") == 1
        assert gone(2)
        assert not any(gone(i) for i in (0, 1, 3))
        clock.now = 1060.0
        store.expire()
        assert gone(0, 3, words=("Methuselah", "methuselah", "Zebediah"))
        store.remember([template(5)], None)
        store.rename("stranger 1", "Ephraim")
        store.undo()
        assert gone(words=("Ephraim", "ephraim"))
        store.forget_strangers()
        assert gone(5, words=("stranger 1",))
        assert not gone(1, words=("Bob",))
