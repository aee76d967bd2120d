"""Opens the gallery's SQLite file: created private, checked before it is touched, brought to the present schema."""

import os
import sqlite3
from pathlib import Path

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.inspection import (
    APPLICATION_ID,
    BUSY_TIMEOUT,
    Inspection,
    insist,
    key_check,
    pragma,
    reason,
)
from face_recognition_ros.gallery.recovery import check
from face_recognition_ros.gallery.schema import MIGRATIONS
from face_recognition_ros.gallery.sealing import PlainSeal, Seal, sync_folder


def open_database(
    path: Path | None, model_id: str, embedding_size: int, seal: Seal | None = None
) -> sqlite3.Connection:
    """A connection to the gallery at path (None: in memory), in autocommit mode and usable from any thread.

    A file that is not there is created, readable by its owner only. One that is damaged is set aside (see `recovery`).
    One that is no gallery, belongs to another network or does not go with the seal is left as it was, and so is one
    that cannot be read or written. Each raises GalleryError.
    """
    seal = seal or PlainSeal()
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _require_rights(path)
            check_network(check(path, seal), path, model_id, embedding_size)
            _make_private(path)
        target = ":memory:" if path is None else path
        connection = sqlite3.connect(target, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _write_ahead(connection)
            # secure_delete overwrites what is deleted; temp_store keeps faces out of temporary files.
            for setting in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY"):
                connection.execute(f"PRAGMA {setting}").fetchall()
            migrate(connection, model_id, embedding_size, seal)
        except sqlite3.Error:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise GalleryError(f"The gallery {path} cannot be opened: {reason(error)}.") from error
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switches to the write-ahead log; raises sqlite3.OperationalError where the file stays locked for BUSY_TIMEOUT.

    SQLite itself does not wait here: of two processes that open a new file at once, it refuses one.
    """

    def switched() -> bool:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise
        return True

    if not insist(switched):
        connection.execute("PRAGMA journal_mode = WAL").fetchall()  # for its error


def open_reader(path: Path) -> sqlite3.Connection:
    """A second connection to an open gallery that only reads, so that readers need not wait for a long change."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _require_rights(path: Path) -> None:
    """Raises GalleryError where this user may not change all files of the gallery, before anything is made beside it.

    SQLite gives its log and its shared memory the gallery's mode, and a reader may have left them there.
    """
    for place in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"), path.parent):
        allowed = not place.exists() or os.access(place, os.R_OK | os.W_OK, effective_ids=True)
        if not allowed and place.exists():  # still: another process may just have closed the gallery
            raise GalleryError(f"The gallery {path} cannot be opened: {place} may not be changed by this user.")


def _make_private(path: Path) -> None:
    """Creates the file where it is missing, and takes from others what they may do with it."""
    try:
        # The mode is given at creation, so there is no moment at which others can open the file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        sync_folder(path.parent)  # the new name must survive a power cut
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(path.stat().st_mode & 0o700)


def check_network(found: Inspection, path: Path, model_id: str, embedding_size: int) -> None:
    """Raises GalleryError where the file at path holds templates of another network."""
    if found.model_id and (found.model_id, found.embedding_size) != (model_id, embedding_size):
        raise GalleryError(
            f"The templates of the gallery {path} were made by the network {found.model_id!r} "
            f"({found.embedding_size} numbers each), but the network in use is {model_id!r} ({embedding_size}); "
            f"they cannot be compared. Use the network {found.model_id!r}, or enroll everybody anew in another file. "
            f"Where pictures were stored (store_crops), face-recognition reembed makes a file for the new network."
        )


def migrate(connection: sqlite3.Connection, model_id: str, embedding_size: int, seal: Seal) -> None:
    """Brings a new or an older gallery to the present schema."""
    if pragma(connection, "user_version") == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        schema = pragma(connection, "user_version")  # once more: another process may have been first
        for statements in MIGRATIONS[schema:]:
            for statement in statements:
                connection.execute(statement)
        if schema == 0:
            meta = {"model_id": model_id, "embedding_size": embedding_size, "revision": 0}
            if seal.encrypts:
                meta["key_check"] = key_check(seal)
            connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", meta.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
