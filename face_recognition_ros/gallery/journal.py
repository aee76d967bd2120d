"""The gallery's journal: what every revision changed, and what it takes to undo it. It never holds an embedding."""

import json
import sqlite3
from typing import Any

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.rows import (
    delete_identity,
    find_identity,
    insert_identity,
    read_revision,
    set_name,
    touch,
)


def record(db: sqlite3.Connection, operation: str, now: float, **detail: Any) -> None:
    """Counts the revision up and writes what it takes to undo the operation."""
    db.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
    db.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (read_revision(db), operation, json.dumps(detail), now))


def undo_last(db: sqlite3.Connection, now: float) -> str:
    """Takes back the latest enroll, rename or merge that still stands, and its entry; see GalleryStore.undo."""
    last = db.execute(
        "SELECT revision, operation, detail FROM journal WHERE operation IN ('enroll', 'rename', 'merge')"
        " ORDER BY revision DESC LIMIT 1"
    ).fetchone()
    if last is None:
        raise GalleryError("There is nothing to undo in the gallery.")
    undone, operation, detail = last[0], last[1], json.loads(last[2])
    sentence = {"enroll": _undo_enroll, "rename": _undo_rename, "merge": _undo_merge}[operation](db, detail, now)
    db.execute("DELETE FROM journal WHERE revision = ?", (undone,))
    record(db, "undo", now, undone=undone)
    return sentence


def strike_out(db: sqlite3.Connection, identity_id: str) -> None:
    """Removes all entries that concern a person, or anybody who was merged into her."""
    gone = {identity_id}
    entries = db.execute("SELECT revision, operation, detail FROM journal ORDER BY revision DESC").fetchall()
    for entry, operation, detail in entries:  # newest first: who was merged into an absorbed one is found as well
        involved = json.loads(detail).get("identities", [])
        if gone.isdisjoint(involved):
            continue
        if operation == "merge":
            gone.update(involved)
        db.execute("DELETE FROM journal WHERE revision = ?", (entry,))


def _undo_enroll(db: sqlite3.Connection, detail: dict[str, Any], now: float) -> str:
    person = find_identity(db, detail["identities"][0])
    if detail["created"]:
        delete_identity(db, person.identity_id)
        return f"Undid the enrolment of {person.name!r}, who is no longer in the gallery."
    db.executemany("DELETE FROM templates WHERE id = ?", [(template,) for template in detail["templates"]])
    touch(db, person.identity_id, now)
    return f"Undid an enrolment of {person.name!r}: {len(detail['templates'])} of the templates removed."


def _undo_rename(db: sqlite3.Connection, detail: dict[str, Any], now: float) -> str:
    person = find_identity(db, detail["identities"][0])
    set_name(db, person.identity_id, detail["old_name"])
    touch(db, person.identity_id, now)
    return f"Undid a renaming: {person.name!r} is {detail['old_name']!r} again."


def _undo_merge(db: sqlite3.Connection, detail: dict[str, Any], now: float) -> str:
    kept, absorbed = detail["identities"]
    name = detail["name"]
    insert_identity(db, absorbed, name, detail["created"], now)
    moves = [(absorbed, template) for template in detail["templates"]]
    db.executemany("UPDATE templates SET identity_id = ? WHERE id = ?", moves)
    touch(db, kept, now)
    return f"Undid a merging: {find_identity(db, kept).name!r} and {name!r} are two people again."
