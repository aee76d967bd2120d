"""Looks at a gallery file without changing it: whether it is one, whether it is whole, whether this seal opens it."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.names import name_key
from face_recognition_ros.gallery.schema import LATEST_TIME, MIGRATIONS
from face_recognition_ros.gallery.sealing import Seal, place

APPLICATION_ID = 0x46474C59
"""'FGLY' in the file's header: tells a gallery from any other SQLite file."""
BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that is writing."""
UNIT_TOLERANCE = 0.01
"""How far from 1 the length of a stored embedding may be."""

_META = {"embedding_size": int, "model_id": str, "revision": int}
_SEALED = (
    ("identities", "id", "name"),
    ("identities", "id", "consent"),
    ("templates", "id", "embedding"),
    ("templates", "id", "source"),
    ("crops", "template_id", "picture"),
    ("journal", "revision", "detail"),
)
"""Table, key and column of all that passes through the seal."""
_NUMBERS = (
    ("identities", "created"),
    ("identities", "updated"),
    ("identities", "expires"),
    ("templates", "quality"),
    ("templates", "created"),
)
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file holds, or what is wrong with it."""

    damage: str = ""
    """Empty where the file is whole; the fields below count only then."""
    revision: int = 0
    people: int = 0
    """Including remembered strangers."""
    model_id: str = ""
    """Empty in a file that was made, but stopped before its first transaction."""
    embedding_size: int = 0


def inspect(path: Path, seal: Seal) -> Inspection:
    """Reads all of a gallery file, through a connection that cannot write.

    Raises GalleryError where the file is no gallery, has a newer schema, or does not go with the seal, and
    sqlite3.OperationalError where it cannot be read just now; none of these is damage.
    """
    with read_only(path) as db:
        try:
            db.execute("BEGIN")
            db.text_factory = bytes  # damaged text is damage, and no error of its own
            if db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0:
                return Inspection()
            if pragma(db, "application_id") != APPLICATION_ID:
                raise GalleryError(f"{path} is an SQLite file, but no gallery of faces; give another path.")
            return _inspect_gallery(db, path, seal)
        except sqlite3.DatabaseError as error:
            # SQLITE_ERROR is a statement that does not fit the tables; other operational errors come from outside.
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname != "SQLITE_ERROR":
                raise
            return Inspection(damage=str(error))
        except UnicodeDecodeError as error:  # an error of SQLite's that quotes damaged text
            return Inspection(damage=_text(error.object))


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to an existing file that can change nothing in it."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)) as db:
        yield db


def read_meta(db: sqlite3.Connection) -> dict[str, str | int]:
    """The gallery's properties: model_id, embedding_size, revision, key_check ..."""
    rows = db.execute("SELECT key, value FROM meta").fetchall()
    return {_text(key): _text(value) if isinstance(value, bytes) else value for key, value in rows}


def pragma(db: sqlite3.Connection, name: str) -> int:
    """The value of a pragma that is a number."""
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def insist(attempt: Callable[[], bool]) -> bool:
    """Tries until it succeeds, for BUSY_TIMEOUT at most; for what SQLite itself does not wait for. Whether it did."""
    end = time.monotonic() + BUSY_TIMEOUT
    while not attempt():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def reason(error: Exception) -> str:
    """What an error of SQLite or of the system means, as the end of a sentence without its full stop."""
    kind = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_").split("_")[0]
    meaning = {
        "BUSY": f"another program has kept it locked for {BUSY_TIMEOUT:g} s; try again, or close that program",
        "READONLY": "its file or folder is read-only",
        "FULL": "there is no space left",
        "IOERR": f"the disk failed ({error})",
        "CORRUPT": f"its file is damaged ({error}); close all programs that use it and open it again to see a way out",
    }
    return meaning.get(kind, (error.strerror if isinstance(error, OSError) else None) or str(error))


def _inspect_gallery(db: sqlite3.Connection, path: Path, seal: Seal) -> Inspection:
    complaints = [_text(row[0]) for row in db.execute("PRAGMA integrity_check(3)")]
    if complaints != ["ok"]:
        return Inspection(damage="; ".join(" ".join(complaint.split()) for complaint in complaints))
    schema = pragma(db, "user_version")
    if schema > len(MIGRATIONS):
        raise GalleryError(
            f"The gallery {path} has schema {schema}, this program knows schemas up to {len(MIGRATIONS)}; "
            "use the newer version of face_recognition_ros that made it."
        )
    if missing := _missing_column(db, schema):
        return Inspection(damage=f"{missing} is missing")
    meta = read_meta(db)
    if wrong := [key for key, kind in _META.items() if not isinstance(meta.get(key), kind)]:
        return Inspection(damage=f"its entry {wrong[0]} is missing")
    _check_key(str(meta.get("key_check", "")), path, seal)
    size, revision = int(meta["embedding_size"]), int(meta["revision"])
    people = int(db.execute("SELECT COUNT(*) FROM identities").fetchone()[0])
    return Inspection(_wrong_values(db, seal, size), revision, people, str(meta["model_id"]), size)


def key_check(seal: Seal) -> str:
    """What tells a seal's key from others without telling the key."""
    return seal.digest("key check") if seal.encrypts else ""


def _check_key(stored: str, path: Path, seal: Seal) -> None:
    if stored == key_check(seal):
        return
    if not stored:
        raise GalleryError(f"The gallery {path} is not encrypted; open it without a key file.")
    if not seal.encrypts:
        raise GalleryError(f"The gallery {path} is encrypted; give the key file that it was made with (gallery_key).")
    raise GalleryError(f"The gallery {path} was encrypted with another key; give the key file that it was made with.")


def _missing_column(db: sqlite3.Connection, schema: int) -> str:
    """The first column that a gallery of that schema has, and this one has not; or an empty string."""
    with closing(sqlite3.connect(":memory:")) as sound:
        for statement in (statement for statements in MIGRATIONS[:schema] for statement in statements):
            sound.execute(statement)
        tables = [row[0] for row in sound.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            for row in sound.execute(f"PRAGMA table_info({table})"):
                if not _has(db, table, row[1]):
                    return f"{table}.{row[1]}"
    return ""


def _wrong_values(db: sqlite3.Connection, seal: Seal, embedding_size: int) -> str:
    """The first broken promise of the gallery's tables, or an empty string."""
    if row := db.execute("PRAGMA foreign_key_check").fetchone():
        return f"an entry of {_text(row[0])} belongs to nothing"
    for table, column in _NUMBERS:
        strange = f"typeof({column}) NOT IN ('real', 'integer', 'null') OR abs({column}) >= {LATEST_TIME}"
        if _has(db, table, column) and db.execute(f"SELECT 1 FROM {table} WHERE {strange}").fetchone():
            return f"{table}.{column} is no number"
    # SQLite passes over the constraints of a file that it may only read.
    if db.execute("SELECT 1 FROM templates WHERE kind NOT IN ('enrolled', 'observed')").fetchone():
        return "templates.kind is neither enrolled nor observed"
    for table, key, column in _SEALED:
        if not _has(db, table, column):
            continue
        rows = db.execute(f"SELECT {key}, {column} FROM {table}")
        while chunk := rows.fetchmany(_ROWS_AT_ONCE):
            try:
                values = [seal.unseal(_blob(value), place(table, _row(row), column)) for row, value in chunk]
                if column == "embedding":
                    _check_embeddings(values, embedding_size)
                elif column == "detail":
                    for value in values:
                        json.loads(value)
                elif column != "picture":
                    for value in values:
                        value.decode()
            except (GalleryError, ValueError) as error:
                return f"{table}.{column}: {error}"
    for name, stored, row in db.execute("SELECT name, name_key, id FROM identities"):
        plain = seal.unseal(name, place("identities", _row(row), "name")).decode()
        if seal.digest(name_key(plain)) != _text(stored):
            return f"identities.name: the name of {_row(row)} and its key differ"
    return ""


def _has(db: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether there is such a column: an older schema has fewer."""
    return column in [_text(row[1]) for row in db.execute(f"PRAGMA table_info({table})")]


def _check_embeddings(values: list[bytes], size: int) -> None:
    if any(len(value) != 4 * size for value in values):
        raise ValueError(f"a template has not {size} numbers")
    lengths = np.linalg.norm(np.frombuffer(b"".join(values), "<f4").reshape(-1, size), axis=1)
    if not np.all(np.abs(lengths - 1.0) < UNIT_TOLERANCE):
        raise ValueError("a template is not of length 1")


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"{value!r} is not what is stored there")
    return value


def _row(key: bytes | int) -> str | int:
    return _text(key) if isinstance(key, bytes) else key


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
