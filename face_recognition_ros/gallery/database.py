"""Opens the gallery's SQLite file: created private, checked before it is touched, brought to the present schema."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from face_recognition_ros.errors import GalleryError

APPLICATION_ID = 0x46474C59
"""'FGLY' in the file's header: tells a gallery from any other SQLite file."""
BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that is writing."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
        """CREATE TABLE identities (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            name_key TEXT NOT NULL UNIQUE,
            created REAL NOT NULL,
            updated REAL NOT NULL
        )""",
        """CREATE TABLE templates (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            identity_id TEXT NOT NULL REFERENCES identities (id),
            kind TEXT NOT NULL CHECK (kind IN ('enrolled', 'observed')),
            embedding BLOB NOT NULL,
            quality REAL NOT NULL,
            source TEXT NOT NULL,
            created REAL NOT NULL
        )""",
        "CREATE INDEX templates_by_identity ON templates (identity_id, id)",
        """CREATE TABLE journal (
            revision INTEGER PRIMARY KEY,
            operation TEXT NOT NULL,
            detail TEXT NOT NULL,
            time REAL NOT NULL
        )""",
    ),
)
"""Entry i brings a file from schema i to schema i + 1; `PRAGMA user_version` holds the schema. Only ever append."""


def open_database(path: Path | None, model_id: str, embedding_size: int) -> sqlite3.Connection:
    """A connection to the gallery at path (None: in memory), in autocommit mode and usable from any thread.

    A file that is not there is created, readable by its owner only. One that is damaged, is no gallery, or belongs to
    another network raises GalleryError and is left as it was.
    """
    try:
        if path is not None:
            _create(path)
            if path.stat().st_size > 0:
                _check_file(path, model_id, embedding_size)
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
        target = ":memory:" if path is None else path
        connection = sqlite3.connect(target, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.OperationalError) as error:
        raise GalleryError(f"The gallery {path} cannot be opened: {error}.") from error
    try:
        # secure_delete overwrites what is deleted; temp_store keeps faces out of temporary files.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON",
                       "temp_store = MEMORY"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}").fetchall()
        _migrate(connection, model_id, embedding_size)
        _check_network(connection, path, model_id, embedding_size)
    except sqlite3.Error as error:
        connection.close()
        raise GalleryError(f"The gallery {path} cannot be opened: {error}.") from error
    except GalleryError:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Creates the file and its folder where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The mode is given at creation, so there is no moment at which others can open the file.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if not path.is_file():
            raise GalleryError(f"The gallery {path} is not a file; give the path of a gallery file.") from None
        return
    os.fsync(descriptor)
    os.close(descriptor)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)  # the new name, too, must survive a power cut
    os.close(directory)


def _check_file(path: Path, model_id: str, embedding_size: int) -> None:
    """Looks at an existing file through a read-only connection; raises GalleryError where it cannot be our gallery."""
    way_out = "Restore it from a copy, or move it away to start with an empty gallery."
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)) as connection:
        try:
            complaints = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if complaints != ["ok"]:
                found = "; ".join(" ".join(complaint.split()) for complaint in complaints)
                raise GalleryError(f"The gallery {path} is damaged ({found}). {way_out}")
            if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0:
                return  # created, but stopped before its first transaction
            if _pragma(connection, "application_id") != APPLICATION_ID:
                raise GalleryError(f"{path} is an SQLite file, but no gallery of faces; give another path.")
            _check_network(connection, path, model_id, embedding_size)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise GalleryError(f"The gallery {path} is damaged ({error}). {way_out}") from error


def _check_network(connection: sqlite3.Connection, path: Path | None, model_id: str, embedding_size: int) -> None:
    schema = _pragma(connection, "user_version")
    if schema > len(MIGRATIONS):
        raise GalleryError(
            f"The gallery {path} has schema {schema}, this program knows schemas up to {len(MIGRATIONS)}; "
            "use the newer version of face_recognition_ros that made it."
        )
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if (meta["model_id"], meta["embedding_size"]) != (model_id, embedding_size):
        raise GalleryError(
            f"The templates of the gallery {path} were made by the network {meta['model_id']!r} "
            f"({meta['embedding_size']} numbers each), but the network in use is {model_id!r} ({embedding_size}); "
            f"they cannot be compared. Use the network {meta['model_id']!r}, or enroll everybody anew in another file."
        )


def _migrate(connection: sqlite3.Connection, model_id: str, embedding_size: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        schema = _pragma(connection, "user_version")
        for statements in MIGRATIONS[schema:]:
            for statement in statements:
                connection.execute(statement)
        if schema == 0:
            meta = {"model_id": model_id, "embedding_size": embedding_size, "revision": 0}
            connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", meta.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if schema < len(MIGRATIONS):
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
