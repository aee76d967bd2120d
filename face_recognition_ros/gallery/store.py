"""Keeps the gallery: identities and their templates in SQLite, every change one journalled transaction."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery import exchange, operations
from face_recognition_ros.gallery.database import open_database, open_reader
from face_recognition_ros.gallery.inspection import reason
from face_recognition_ros.gallery.journal import REVISIONS_KEPT, undo_last
from face_recognition_ros.gallery.last_good import LastGood, gallery_file
from face_recognition_ros.gallery.names import name_key
from face_recognition_ros.gallery.rows import Rows, erase_traces, has_traces
from face_recognition_ros.gallery.sealing import PlainSeal, Seal
from face_recognition_ros.gallery.templates import Changes, IdentityTemplates, ImportReport, StoredTemplate, Template
from face_recognition_ros.types import Identity

__all__ = ["Changes", "GalleryStore", "IdentityTemplates", "ImportReport", "StoredTemplate", "Template"]


class GalleryStore:
    """The people the robot knows, on disk (or in memory).

    Once a method returns, its change has reached the disk; when it raises, nothing has changed (but see `forget`: the
    person may be gone and her bytes not yet). All methods may be called from any thread, and several processes may
    share one file: writers take turns. People are given by id or name; who is not there raises UnknownIdentityError,
    and so does who has expired: nothing returns such people, and the next change forgets them. A file that cannot be
    read or written raises GalleryError.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path | None, model_id: str, embedding_size: int, seal: Seal,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        """Takes over a connection of `database.open_database`; use `GalleryStore.open`."""
        self.path = path
        self.model_id = model_id
        self.embedding_size = embedding_size
        self._where = "in memory" if path is None else str(path)
        self.clock = clock
        self._connection = connection
        self._seal = seal
        self._last_good = LastGood(path)
        self._lock = threading.Lock()
        # Nobody who reads waits for an export or a change of a large gallery; one in memory has but one connection.
        self._reader = connection if path is None else open_reader(path)
        self._reading = self._lock if path is None else threading.Lock()

    @classmethod
    def open(
        cls, path: Path | str | None, model_id: str, embedding_size: int, seal: Seal | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:  # fmt: skip
        """The gallery in the file at path, created with mode 0600 where there is none; None keeps it in memory.

        seal: what everything that says who somebody is passes through; None stores it as it is. clock: seconds since
        the epoch. Raises GalleryError where the file is damaged, no gallery, another network's, or sealed otherwise.
        """
        path = None if path is None else gallery_file(path)
        seal = seal or PlainSeal()
        store = cls(open_database(path, model_id, embedding_size, seal), path, model_id, embedding_size, seal, clock)
        store._settle()  # a process may have been killed between removing and erasing
        store._last_good.update(store._connection)  # of a file that has just been found whole
        return store

    def close(self) -> None:
        """Closes the file; whatever is called after this raises GalleryError."""
        with self._lock:
            self._last_good.update(self._connection)
            self._connection.close()
        with self._reading:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_in_place(self) -> None:
        """Raises GalleryError where the file was moved, replaced or deleted since it was opened."""
        self._last_good.check_in_place()

    @property
    def revision(self) -> int:
        """Grows with every change, whichever process made it; 0 for a new gallery."""
        with self._transaction("read") as rows:
            return rows.revision

    @property
    def next_expiry(self) -> float | None:
        """When `expire` will next have something to do, in seconds since the epoch; None: not as things stand."""
        with self._transaction("read") as rows:
            return rows.next_expiry()

    def list_identities(self) -> list[Identity]:
        """Everybody, by name."""
        return self.snapshot()[1]

    def snapshot(self) -> tuple[int, list[Identity]]:
        """The revision, and everybody at that revision, by name."""
        with self._transaction("read") as rows:
            return rows.revision, sorted(rows.identities(), key=lambda person: name_key(person.name))

    def resolve(self, identity: str) -> Identity:
        """The person of that id or name."""
        with self._transaction("read") as rows:
            return rows.find(identity)

    def identity_templates(self, identity_id: str) -> tuple[StoredTemplate, ...]:
        """A person's templates in the order in which they were stored."""
        with self._transaction("read") as rows:
            return rows.templates(rows.find(identity_id).identity_id)

    def changes_since(self, revision: int | None) -> Changes:
        """What a reader of that revision does not know yet; None: of none.

        Only who has changed is read, unless the revision is not one of this gallery's latest REVISIONS_KEPT.
        """
        with self._transaction("read") as rows:
            if revision is None or not rows.revision - REVISIONS_KEPT <= revision <= rows.revision:
                return Changes(rows.revision, True, rows.people(), ())
            return Changes(rows.revision, False, rows.people(revision), rows.gone_since(revision))

    def enroll(
        self, name: str, templates: Sequence[Template], identity_id: str | None = None, consent: str | None = None,
        expires: float | None = None, absorb: Sequence[str] = (),
    ) -> Identity:  # fmt: skip
        """Adds templates to the person of that id, or of that name, or to a new person of that name.

        With an identity_id the name is looked at for a remembered stranger only, who gets it as by `rename`. consent:
        what the person agreed to; expires: when to forget, in seconds since the epoch, in the future; None leaves each
        as it is. absorb: remembered strangers who are this person, merged into her in the same change. What is stored
        already is not stored twice; where nothing is new, nothing is changed.
        """
        with self._change() as rows:
            return operations.enroll(rows, name, templates, identity_id, consent, expires, absorb)

    def observe(self, identity_id: str, templates: Iterable[Template], replacing: Sequence[int] = ()) -> Identity:
        """Adds templates that were learned in passing, and removes those of that kind whose ids are given.

        Ids of others, and of enrolled templates, are left alone. No undo step. As this happens often, the bytes of what
        was removed stay in the files until something is forgotten, purged or undone.
        """
        with self._change() as rows:
            return operations.observe(rows, identity_id, templates, replacing)

    def remember(self, templates: Sequence[Template], expires: float | None, revision: int | None = None) -> Identity:
        """Adds a stranger under a generated name that is never given twice; the templates count as enrolled.

        expires: when to forget, in seconds since the epoch, in the future; None: never. No undo step. Raises
        StaleRevisionError where the gallery is not at that revision any more: another process may have been first.
        """
        with self._change() as rows:
            return operations.remember(rows, templates, expires, revision)

    def postpone(self, identity_id: str, expires: float) -> None:
        """Sets when a remembered stranger is forgotten, in seconds since the epoch, in the future. No undo step."""
        with self._change() as rows:
            operations.postpone(rows, identity_id, expires)

    def set_consent(self, identity: str, consent: str, expires: float | None) -> Identity:
        """Notes what a person agreed to, and until when; in seconds since the epoch, in the future, None: for good."""
        with self._change() as rows:
            return operations.set_consent(rows, identity, consent, expires)

    def rename(self, identity: str, new_name: str) -> Identity:
        """Gives a person another name; raises GalleryError where somebody else has it (they may want `merge`).

        A remembered stranger becomes a person by this, who does not expire.
        """
        with self._change() as rows:
            return operations.rename(rows, identity, new_name)

    def merge(self, keep: str, absorb: str) -> Identity:
        """Makes two identities one: `keep` takes over all templates, and `absorb` is no more.

        Name, consent and expiry are those of the one who is no stranger. Of two people, the name is that of `keep`,
        and so is the consent unless there is none; the earlier expiry holds: nobody is kept longer than agreed. Two
        strangers stay one, who expires when the later of them would.
        """
        with self._change() as rows:
            return operations.merge(rows, keep, absorb)

    def forget(self, identity: str) -> Identity:
        """Removes a person for good, with all that was merged into her: templates, journal, and their bytes on disk.

        Cannot be undone, and neither can what was done to her before. Where another process holds on to the old
        bytes, she is gone from the gallery all the same, and GalleryError says that the file still has to be cleaned.
        """
        with self._change(settle=False) as rows:
            person = rows.find(identity)
            operations.forget(rows, [person])
        self._settle(f"{person.name!r} is forgotten")
        return person

    def forget_strangers(self) -> list[Identity]:
        """Forgets all remembered strangers, as `forget` does."""
        with self._change(settle=False) as rows:
            strangers = rows.identities("i.remembered")
            if strangers:
                operations.forget(rows, strangers)
        self._settle("All strangers are forgotten")
        return strangers

    def expire(self) -> list[Identity]:
        """Forgets, as `forget` does, everybody whose time has passed."""
        with self._transaction("change") as rows:
            passed = operations.forget_expired(rows)
        self._settle("Everybody whose time has passed is forgotten")
        return passed

    def purge_observed(self, identity: str | None = None) -> int:
        """Removes what was learned of a person (None: everybody) in passing, as `forget` does; how many templates."""
        with self._change(settle=False) as rows:
            purged = operations.purge_observed(rows, identity)
        self._settle("What was learned in passing is removed")
        return purged

    def export_to(self, path: Path | str) -> int:
        """Writes everybody to a new gallery file of mode 0600, sealed as this one is; returns how many there are.

        It has no journal and starts at revision 0. It appears at once, complete and on disk. Raises GalleryError where
        there is a file already.
        """
        with self._transaction("export") as rows:
            return exchange.export_people(rows, Path(path), self.model_id)

    def import_from(self, path: Path | str, merge_names: bool = False) -> ImportReport:
        """Adds the people of another gallery file, which is only read; whoever has expired stays out.

        Who is here by the same id gets the templates that are missing. Where another person here has the name, nobody
        is imported and GalleryError names all of them; with merge_names they are taken for the same people. Strangers
        whose generated name is taken get another one. Raises GalleryError where the file is damaged, no gallery,
        another network's, or sealed otherwise.
        """
        with self._change() as rows:
            return exchange.import_people(rows, Path(path), self.model_id, merge_names)

    def undo(self) -> str:
        """Takes back the latest enroll, rename, merge, set_consent or import that still stands; returns a sentence.

        Raises GalleryError where there is nothing to take back.
        """
        with self._change() as rows:
            return undo_last(rows)

    @contextmanager
    def _change(self, settle: bool = True) -> Iterator[Rows]:
        """A transaction that first forgets who has expired, so that names are free, and is followed by `_settle`."""
        with self._transaction("change") as rows:
            operations.forget_expired(rows)
            yield rows
        if settle:
            self._settle()

    @contextmanager
    def _transaction(self, purpose: Literal["read", "export", "change"]) -> Iterator[Rows]:
        """Holds a lock and a transaction: all of it or nothing reaches the file."""
        lock, db = (self._reading, self._reader) if purpose == "read" else (self._lock, self._connection)
        with lock:
            try:
                if purpose == "change":
                    self._last_good.check_in_place()
                db.execute("BEGIN IMMEDIATE" if purpose == "change" else "BEGIN")
                try:
                    yield Rows(db, self._where, self._seal, self.embedding_size, self.clock())
                    db.execute("COMMIT")
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
            except sqlite3.Error as error:
                failed = "changed" if purpose == "change" else "read"
                raise GalleryError(f"The gallery {self._where} could not be {failed}: {reason(error)}.") from error

    def _settle(self, removed: str = "") -> None:
        """Leaves no removed byte behind, and renews the last good copy where that is due.

        Raises GalleryError where another process prevents it and a sentence says what was `removed`.
        """
        with self._lock:
            db, obstacle = self._connection, ""
            try:
                if not has_traces(db):
                    self._last_good.after_change(db)
                else:
                    # The copy first: erasing may fail.
                    obstacle = " and ".join(filter(None, (self._last_good.after_removal(db), erase_traces(db))))
                    if not obstacle:
                        db.execute("DELETE FROM meta WHERE key = 'traces'")
            except sqlite3.Error as error:
                obstacle = reason(error)
        if obstacle and removed:
            raise GalleryError(
                f"{removed}, but traces remain in the files of the gallery {self._where}: {obstacle}. "
                "Close the other programs that use it; they go with the next change, or when it is opened next."
            )
