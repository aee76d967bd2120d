"""The few statements on identities that changing the gallery and undoing the change have in common."""

import sqlite3

from face_recognition_ros.errors import UnknownIdentityError
from face_recognition_ros.gallery.names import name_key, nobody_called
from face_recognition_ros.types import Identity


def read_revision(db: sqlite3.Connection) -> int:
    """The gallery's present revision."""
    return int(db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])


def read_identities(db: sqlite3.Connection, where: str = "", *values: str) -> list[Identity]:
    """Identities by id: all of them, or those a WHERE clause with its values selects."""
    rows = db.execute(
        "SELECT i.id, i.name, COUNT(t.id), i.created, i.updated FROM identities i"
        f" LEFT JOIN templates t ON t.identity_id = i.id {where} GROUP BY i.id ORDER BY i.id", values
    )  # fmt: skip
    return [Identity(*row) for row in rows.fetchall()]


def find_identity(db: sqlite3.Connection, id_or_name: str) -> Identity:
    """The person of that id or name; raises UnknownIdentityError where there is nobody."""
    found = read_identities(db, "WHERE i.id = ? OR i.name_key = ?", id_or_name, name_key(id_or_name))
    if not found:
        names = db.execute("SELECT name FROM identities").fetchall()
        raise UnknownIdentityError(nobody_called(id_or_name, (row[0] for row in names)))
    return found[0]


def find_holder(db: sqlite3.Connection, name: str) -> str | None:
    """The id of the person of that name, None where there is nobody."""
    row = db.execute("SELECT id FROM identities WHERE name_key = ?", (name_key(name),)).fetchone()
    return None if row is None else str(row[0])


def insert_identity(db: sqlite3.Connection, identity_id: str, name: str, created: float, updated: float) -> None:
    """Adds a person, as yet without templates."""
    row = (identity_id, name, name_key(name), created, updated)
    db.execute("INSERT INTO identities (id, name, name_key, created, updated) VALUES (?, ?, ?, ?, ?)", row)


def touch(db: sqlite3.Connection, identity_id: str, now: float) -> None:
    """Notes when a person was changed."""
    db.execute("UPDATE identities SET updated = ? WHERE id = ?", (now, identity_id))


def set_name(db: sqlite3.Connection, identity_id: str, name: str) -> None:
    """Names a person; the caller has seen that nobody else has the name."""
    db.execute("UPDATE identities SET name = ?, name_key = ? WHERE id = ?", (name, name_key(name), identity_id))


def delete_identity(db: sqlite3.Connection, identity_id: str) -> None:
    """Removes a person and her templates."""
    db.execute("DELETE FROM templates WHERE identity_id = ?", (identity_id,))
    db.execute("DELETE FROM identities WHERE id = ?", (identity_id,))


def mark_traces(db: sqlite3.Connection) -> None:
    """Notes, in the transaction that removes something, that its bytes still have to be erased from the file."""
    db.execute("INSERT OR REPLACE INTO meta VALUES ('traces', 1)")


def has_traces(db: sqlite3.Connection) -> bool:
    """Whether bytes of something removed may still be in the file."""
    return db.execute("SELECT 1 FROM meta WHERE key = 'traces'").fetchone() is not None
