"""Keeps the gallery: identities and their templates in SQLite, every change one journalled transaction."""

import contextlib
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.database import open_database
from face_recognition_ros.gallery.journal import record, strike_out, undo_last
from face_recognition_ros.gallery.names import clean_name, name_key
from face_recognition_ros.gallery.rows import (
    delete_identity,
    find_holder,
    find_identity,
    has_traces,
    insert_identity,
    mark_traces,
    read_identities,
    read_revision,
    set_name,
    touch,
)
from face_recognition_ros.types import FloatArray, Identity

_UNIT_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One look at a person that is worth keeping."""

    embedding: FloatArray
    """(D,) float32 unit vector."""
    quality: float
    """0 to 1, of the look it was made from."""
    source: str = ""
    """Where the look came from: a file, a topic and stamp; for people to read."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredTemplates:
    """All templates of one revision, as the index wants them."""

    revision: int
    identities: tuple[Identity, ...]
    """Those that have templates, in the order of their rows in `embeddings`."""
    embeddings: FloatArray
    """(T, D) float32 unit vectors, the rows of one identity together: the first `identities[0].templates` are hers."""


class GalleryStore:
    """The people the robot knows, on disk (or in memory).

    Once a method returns, its change has reached the disk; when it raises, nothing has changed (but see `forget`: the
    person may be gone and her bytes not yet). All methods may be
    called from any thread, and several processes may share one file: writers take turns. People are given by id or
    name; who is not there raises UnknownIdentityError. A file that cannot be read or written raises GalleryError.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None, model_id: str, embedding_size: int) -> None:
        """Takes over a connection of `database.open_database`; use `GalleryStore.open`."""
        self.path = path
        self.model_id = model_id
        self.embedding_size = embedding_size
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path | str | None, model_id: str, embedding_size: int) -> Self:
        """The gallery in the file at path, created with mode 0600 where there is none; None keeps it in memory.

        Raises GalleryError where the file is damaged, is no gallery, or holds another network's templates.
        """
        path = None if path is None else Path(path)
        store = cls(open_database(path, model_id, embedding_size), path, model_id, embedding_size)
        store._erase_traces()  # of a process that was killed between removing and erasing
        return store

    def close(self) -> None:
        """Closes the file; whatever is called after this raises GalleryError."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def revision(self) -> int:
        """Grows with every change, whichever process made it; 0 for a new gallery."""
        with self._transaction("read") as db:
            return read_revision(db)

    def list_identities(self) -> list[Identity]:
        """Everybody, by name."""
        with self._transaction("read") as db:
            return _by_name(read_identities(db))

    def snapshot(self) -> tuple[int, list[Identity]]:
        """The revision, and everybody at that revision, by name."""
        with self._transaction("read") as db:
            return read_revision(db), _by_name(read_identities(db))

    def resolve(self, id_or_name: str) -> Identity:
        """The person of that id or name; raises UnknownIdentityError with the names that come near."""
        with self._transaction("read") as db:
            return find_identity(db, id_or_name)

    def templates(self) -> StoredTemplates:
        """All templates and whose they are, of one and the same revision."""
        with self._transaction("read") as db:
            identities = tuple(identity for identity in read_identities(db) if identity.templates)
            rows = db.execute("SELECT embedding FROM templates ORDER BY identity_id, id").fetchall()
            at_revision = read_revision(db)
        data = b"".join(row[0] for row in rows)
        if len(data) != len(rows) * self.embedding_size * 4:
            raise GalleryError(f"The gallery {self.path} is damaged: a template has not {self.embedding_size} numbers.")
        embeddings = np.frombuffer(data, "<f4").astype(np.float32, copy=False).reshape(-1, self.embedding_size)
        norms = np.linalg.norm(embeddings, axis=1)
        if not np.all(np.abs(norms - 1.0) < _UNIT_TOLERANCE):
            raise GalleryError(f"The gallery {self.path} is damaged: a template is not of length 1.")
        return StoredTemplates(at_revision, identities, embeddings)

    def enroll(self, name: str, templates: Sequence[Template], identity_id: str | None = None) -> Identity:
        """Adds templates to the person of that id, or of that name, or to a new person of that name.

        With an identity_id the name is not looked at: a person is renamed by `rename` only.
        """
        if not templates:
            raise GalleryError(f"There is no template to enroll {name!r} with; at least one is needed.")
        blobs = [self._blob(template.embedding) for template in templates]
        name = clean_name(name)
        now = time.time()
        with self._transaction("change") as db:
            holder = find_holder(db, name) if identity_id is None else find_identity(db, identity_id).identity_id
            person = holder or f"p-{uuid.uuid4().hex[:12]}"
            if holder is None:
                insert_identity(db, person, name, now, now)
            added = [
                db.execute(
                    "INSERT INTO templates (identity_id, kind, embedding, quality, source, created)"
                    " VALUES (?, 'enrolled', ?, ?, ?, ?)",
                    (person, blob, float(template.quality), template.source, now),
                ).lastrowid
                for template, blob in zip(templates, blobs, strict=True)
            ]
            touch(db, person, now)
            record(db, "enroll", now, identities=[person], created=holder is None, templates=added)
            return find_identity(db, person)

    def rename(self, identity: str, new_name: str) -> Identity:
        """Gives a person another name; raises GalleryError where somebody else has it (they may want `merge`)."""
        new_name = clean_name(new_name)
        now = time.time()
        with self._transaction("change") as db:
            person = find_identity(db, identity)
            if find_holder(db, new_name) not in (None, person.identity_id):
                raise GalleryError(
                    f"{person.name!r} cannot be renamed: another person is called {new_name!r}. "
                    "Choose another name, or merge the two if they are one person."
                )
            set_name(db, person.identity_id, new_name)
            touch(db, person.identity_id, now)
            record(db, "rename", now, identities=[person.identity_id], old_name=person.name)
            return find_identity(db, person.identity_id)

    def merge(self, keep: str, absorb: str) -> Identity:
        """Makes two identities one: `keep` takes over all templates, and `absorb` is no more."""
        now = time.time()
        with self._transaction("change") as db:
            kept, absorbed = find_identity(db, keep), find_identity(db, absorb)
            if kept.identity_id == absorbed.identity_id:
                raise GalleryError(f"{kept.name!r} cannot be merged with itself; name two people.")
            pair = (kept.identity_id, absorbed.identity_id)
            moved = db.execute("SELECT id FROM templates WHERE identity_id = ? ORDER BY id", pair[1:]).fetchall()
            db.execute("UPDATE templates SET identity_id = ? WHERE identity_id = ?", pair)
            db.execute("DELETE FROM identities WHERE id = ?", pair[1:])
            touch(db, kept.identity_id, now)
            record(db, "merge", now, identities=pair, name=absorbed.name, created=absorbed.created,
                    templates=[row[0] for row in moved])  # fmt: skip
            return find_identity(db, kept.identity_id)

    def forget(self, identity: str) -> Identity:
        """Removes a person for good, with all that was merged into her: templates, journal, and their bytes on disk.

        Cannot be undone, and neither can what was done to her before. Where another process holds on to the old
        bytes, she is gone from the gallery all the same, and GalleryError says that the file still has to be cleaned.
        """
        with self._transaction("change") as db:
            person = find_identity(db, identity)
            strike_out(db, person.identity_id)
            delete_identity(db, person.identity_id)
            record(db, "forget", time.time())
            mark_traces(db)
        if obstacle := self._erase_traces():
            raise GalleryError(
                f"{person.name!r} is forgotten, but traces of the templates remain in the files of the gallery "
                f"{self.path}: {obstacle}. Close the other programs that use it; they go when it is opened next."
            )
        return person

    def undo(self) -> str:
        """Takes back the latest enroll, rename or merge that still stands; returns a sentence that says which.

        Raises GalleryError where there is nothing to take back.
        """
        with self._transaction("change") as db:
            sentence = undo_last(db, time.time())
            mark_traces(db)
        self._erase_traces()
        return sentence

    @contextlib.contextmanager
    def _transaction(self, purpose: Literal["read", "change"]) -> Iterator[sqlite3.Connection]:
        """Holds the lock and a transaction: all of it or nothing reaches the file."""
        with self._lock:
            try:
                self._connection.execute("BEGIN" if purpose == "read" else "BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                finally:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                where = "in memory" if self.path is None else self.path
                failed = "read" if purpose == "read" else "changed"
                raise GalleryError(f"The gallery {where} could not be {failed}: {error}.") from error

    def _erase_traces(self) -> str:
        """Leaves no deleted byte behind; returns what is in the way where another process prevents it, else ''."""
        with self._lock:
            try:
                if not has_traces(self._connection):
                    return ""
                # secure_delete overwrites a deleted cell, but not the copies that a page keeps of cells which were once
                # moved out of it: VACUUM leaves those behind. TRUNCATE empties the write-ahead log.
                self._connection.execute("VACUUM")
                if self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return "another program is reading them"
                self._connection.execute("DELETE FROM meta WHERE key = 'traces'")
            except sqlite3.Error as error:
                return str(error)
        return ""

    def _blob(self, embedding: FloatArray) -> bytes:
        if embedding.shape != (self.embedding_size,):
            raise GalleryError(f"A template must have shape ({self.embedding_size},), not {embedding.shape}.")
        norm = float(np.linalg.norm(embedding))
        if not abs(norm - 1.0) < _UNIT_TOLERANCE:
            raise GalleryError(f"A template must be a unit vector of finite numbers; this one has length {norm:g}.")
        return (embedding / norm).astype("<f4").tobytes()


def _by_name(identities: Iterable[Identity]) -> list[Identity]:
    return sorted(identities, key=lambda identity: name_key(identity.name))
