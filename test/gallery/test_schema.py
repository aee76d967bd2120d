import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.gallery.schema import MIGRATIONS
from face_recognition_ros.gallery.store import GalleryStore

from .helpers import SIZE, embeddings_of, names


@pytest.fixture
def looks(faces: Any) -> np.ndarray:
    people: np.ndarray = faces.people(5)
    return people


@pytest.fixture
def file_of_schema_1(tmp_path: Path, looks: np.ndarray) -> Path:
    """As the first released statements made it: Anna enrolled twice, Bob, renamed Robert, who was merged with Cleo."""
    path = tmp_path / "gallery.db"
    with sqlite3.connect(path) as db:
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {0x46474C59}")
        db.execute("PRAGMA user_version = 1")
        meta = {"model_id": "net-a", "embedding_size": SIZE, "revision": 6}
        db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        for row in (("p-00000000000a", "Anna", "anna", 1.0, 2.0), ("p-00000000000b", "Robert", "robert", 3.0, 6.0)):
            db.execute("INSERT INTO identities VALUES (?, ?, ?, ?, ?)", row)
        for i, owner in enumerate("aabbb"):
            row = (i + 1, f"p-00000000000{owner}", "enrolled", looks[i].tobytes(), 0.9, f"camera {i}", 1.0)
            db.execute("INSERT INTO templates VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        anna, bob, cleo = (f"p-00000000000{letter}" for letter in "abc")
        for revision, operation, detail in (
            (1, "enroll", {"identities": [anna], "created": True, "templates": [1]}),
            (2, "enroll", {"identities": [anna], "created": False, "templates": [2]}),
            (3, "enroll", {"identities": [bob], "created": True, "templates": [3, 4]}),
            (4, "rename", {"identities": [bob], "old_name": "Bob"}),
            (5, "enroll", {"identities": [cleo], "created": True, "templates": [5]}),
            (6, "merge", {"identities": [bob, cleo], "name": "Cleo", "created": 5.0, "templates": [5]}),
        ):
            db.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (revision, operation, json.dumps(detail), 1.0))
    db.close()
    return path


def test_a_gallery_of_schema_1_is_brought_forward(file_of_schema_1: Path, looks: np.ndarray) -> None:
    with GalleryStore.open(file_of_schema_1, "net-a", SIZE) as store:
        assert store.revision == 6
        anna = store.resolve("anna")
        assert (anna.name, anna.created, anna.updated, anna.templates) == ("Anna", 1.0, 2.0, 2)
        assert (anna.observed, anna.remembered, anna.consent, anna.expires) == (0, False, "", None)
        np.testing.assert_array_equal(embeddings_of(store, "Anna"), looks[:2])
        assert [template.source for template in store.identity_templates(anna.identity_id)] == ["camera 0", "camera 1"]
        assert names(store) == {"Anna": 2, "Robert": 3}
    with GalleryStore.open(file_of_schema_1, "net-a", SIZE) as store:
        assert names(store) == {"Anna": 2, "Robert": 3}


def test_what_was_done_in_schema_1_can_still_be_undone(file_of_schema_1: Path) -> None:
    with GalleryStore.open(file_of_schema_1, "net-a", SIZE) as store:
        assert "'Robert' and 'Cleo' are two people again" in store.undo()
        assert names(store) == {"Anna": 2, "Cleo": 1, "Robert": 2}
        assert store.resolve("Cleo").created == 5.0
        assert "'Cleo', who is no longer" in store.undo()
        assert "'Bob' again" in store.undo()
        assert "'Bob', who is no longer" in store.undo()
        assert "1 of the templates removed" in store.undo()
        assert names(store) == {"Anna": 1}
        assert "'Anna'" in store.undo()
        assert names(store) == {}


def test_somebody_of_schema_1_can_be_forgotten(file_of_schema_1: Path) -> None:
    with GalleryStore.open(file_of_schema_1, "net-a", SIZE) as store:
        store.forget("Robert")
        assert "1 of the templates removed" in store.undo()
        assert b"Robert" not in file_of_schema_1.read_bytes()
        assert b"Cleo" not in file_of_schema_1.read_bytes()


def test_a_gallery_of_schema_1_can_be_imported(file_of_schema_1: Path) -> None:
    content = file_of_schema_1.read_bytes()
    with GalleryStore.open(None, "net-a", SIZE) as store:
        assert {person.name for person in store.import_from(file_of_schema_1).added} == {"Anna", "Robert"}
    assert file_of_schema_1.read_bytes() == content
