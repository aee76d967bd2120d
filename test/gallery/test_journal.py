import time
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.store import GalleryStore

from .helpers import embeddings_of, names


def test_undo_takes_back_everything_in_reverse_order(store: GalleryStore, faces: Any) -> None:
    anna = store.enroll("Anna", faces.templates(2))
    store.enroll("Anna", faces.templates(1))
    bob = store.enroll("Bob", faces.templates(3))
    store.rename("Bob", "Robert")
    before_merge = embeddings_of(store, "Anna"), embeddings_of(store, "Robert")
    store.merge("Anna", "Robert")
    assert "two people again" in store.undo()
    assert store.resolve("Robert").identity_id == bob.identity_id
    np.testing.assert_array_equal(embeddings_of(store, "Anna"), before_merge[0])
    np.testing.assert_array_equal(embeddings_of(store, "Robert"), before_merge[1])
    assert "'Bob' again" in store.undo()
    assert "no longer in the gallery" in store.undo()
    assert "1 of the templates removed" in store.undo()
    assert store.resolve("Anna").templates == 2
    assert repr(anna.name) in store.undo()
    assert names(store) == {}
    with pytest.raises(GalleryError, match="nothing to undo"):
        store.undo()
    assert store.revision == 10


def test_a_forgotten_person_does_not_come_back_through_undo(store: GalleryStore, faces: Any) -> None:
    for name in ("Anna", "Bob", "Cleo", "Dan"):
        store.enroll(name, faces.templates(2))
    store.rename("Dan", "Daniel")
    store.merge("Bob", "Cleo")
    store.merge("Anna", "Bob")
    assert store.forget("Anna").templates == 6
    assert "'Dan' again" in store.undo()
    assert "'Dan'" in store.undo()
    with pytest.raises(GalleryError, match="nothing to undo"):
        store.undo()
    assert names(store) == {}


def test_undo_takes_back_what_was_agreed(store: GalleryStore, faces: Any) -> None:
    later = time.time() + 1000
    store.enroll("Anna", faces.templates(1), consent="for today", expires=later)
    store.set_consent("Anna", "for good", None)
    store.enroll("Anna", faces.templates(1), expires=later + 1)
    assert "1 of the templates" in store.undo()
    assert store.resolve("Anna").expires is None
    assert "as it was agreed before" in store.undo()
    assert (store.resolve("Anna").consent, store.resolve("Anna").expires) == ("for today", later)


def test_undo_makes_a_stranger_of_somebody_who_was_one(store: GalleryStore, faces: Any) -> None:
    later = time.time() + 1000
    stranger = store.remember(faces.templates(2), later)
    for call in (
        lambda: store.rename(stranger.identity_id, "Anna"),
        lambda: store.enroll("Anna", faces.templates(1), stranger.identity_id),
    ):
        person = call()
        assert (person.name, person.remembered, person.expires) == ("Anna", False, None)
        assert "'Anna'" in (sentence := store.undo())
        assert "'stranger 1' again" in sentence
        again = store.resolve(stranger.identity_id)
        assert (again.name, again.remembered, again.expires, again.templates) == ("stranger 1", True, later, 2)


def test_what_happened_by_itself_is_no_undo_step_and_stays(store: GalleryStore, faces: Any) -> None:
    anna = store.enroll("Anna", faces.templates(1))
    store.enroll("Anna", faces.templates(1))
    store.observe(anna.identity_id, faces.templates(2))
    stranger = store.remember(faces.templates(1), time.time() + 1000)
    store.postpone(stranger.identity_id, time.time() + 2000)
    store.undo()
    assert names(store) == {"Anna": 3, "stranger 1": 1}
    store.undo()
    assert names(store) == {"stranger 1": 1}
    with pytest.raises(GalleryError, match="nothing to undo"):
        store.undo()


def test_a_purge_cannot_be_undone(store: GalleryStore, faces: Any) -> None:
    anna = store.enroll("Anna", faces.templates(1))
    store.observe(anna.identity_id, faces.templates(2))
    store.purge_observed()
    assert "no longer in the gallery" in store.undo()


def test_old_entries_are_dropped_and_a_reader_so_far_behind_reads_everything(
    store: GalleryStore, faces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("journal", "store"):
        monkeypatch.setattr(f"face_recognition_ros.gallery.{module}.REVISIONS_KEPT", 3)
    for name in ("Anna", "Bob", "Cleo"):
        store.enroll(name, faces.templates(1))
    cleo = store.resolve("Cleo")
    store.forget("Cleo")
    assert store.changes_since(3).removed == (cleo.identity_id,)
    for _ in range(4):
        store.observe("Anna", faces.templates(1))
    assert store.revision == 8
    assert not store.changes_since(5).complete
    assert store.changes_since(4).complete
    counts = [store._connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in ("journal", "gone")]
    assert counts == [3, 0]
    with pytest.raises(GalleryError, match="nothing to undo"):
        store.undo()
