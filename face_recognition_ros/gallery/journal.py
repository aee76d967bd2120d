"""The gallery's journal: what every revision changed, and what it takes to undo it. It never holds an embedding."""

import json
from typing import Any

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.rows import Rows
from face_recognition_ros.gallery.sealing import place
from face_recognition_ros.types import Identity

REVISIONS_KEPT = 10_000
"""So far back one can undo, and be told what has changed since."""
FIELDS = ("name", "remembered", "consent", "expires")
"""What a change of an identity can change, apart from her templates."""

_UNDOABLE = "operation IN ('enroll', 'rename', 'merge', 'consent', 'import')"


def record(rows: Rows, operation: str, **detail: Any) -> None:
    """Counts the revision up and writes what it takes to undo the operation; without a detail it is no undo step.

    former: of everybody concerned, the fields that were changed as they were before; None for who was not there, all
    FIELDS and created for who is no more. added: ids of new templates. moved: ids of templates by former owner.
    """
    rows.revision += 1
    rows.db.execute("UPDATE meta SET value = ? WHERE key = 'revision'", (rows.revision,))
    entry = (rows.revision, operation, _sealed(rows, rows.revision, detail), rows.now)
    rows.db.execute("INSERT INTO journal (revision, operation, detail, time) VALUES (?, ?, ?, ?)", entry)
    for table in ("journal", "gone"):
        rows.db.execute(f"DELETE FROM {table} WHERE revision <= ?", (rows.revision - REVISIONS_KEPT,))


def former_state(identity: Identity, fields: Any = (*FIELDS, "created")) -> dict[str, Any]:
    """Those fields of an identity, for `record`."""
    return {field: getattr(identity, field) for field in fields}


def undo_last(rows: Rows) -> str:
    """Takes back the latest change that still stands, and its entry; see GalleryStore.undo."""
    last = rows.db.execute(
        f"SELECT revision, operation, detail FROM journal WHERE {_UNDOABLE} ORDER BY revision DESC LIMIT 1"
    ).fetchone()
    if last is None:
        raise GalleryError("There is nothing to undo in the gallery.")
    undone, operation, detail = last[0], last[1], _unsealed(rows, last[0], last[2])
    sentence = _sentence(rows, operation, detail)
    newcomers = [identity_id for identity_id, former in detail["former"].items() if former is None]
    for identity_id, former in detail["former"].items():
        if former is not None:
            (rows.insert if "created" in former else rows.update)(identity_id, **former)
    for identity_id, templates in detail.get("moved", {}).items():
        rows.move(templates, identity_id)
    rows.remove(detail.get("added", []))
    for identity_id in newcomers:  # last: what had been moved to them is out of their hands
        rows.delete(identity_id)
    rows.db.execute("DELETE FROM journal WHERE revision = ?", (undone,))
    record(rows, "undo")
    rows.mark_traces()
    return sentence


def strike_out(rows: Rows, people: set[str]) -> None:
    """Removes all that the journal says of these people, and of anybody who was merged into them."""
    gone = set(people)
    entries = rows.db.execute(f"SELECT revision, detail FROM journal WHERE {_UNDOABLE} ORDER BY revision DESC")
    for revision, sealed in entries.fetchall():  # newest first: it finds who was merged into an absorbed one
        detail = _unsealed(rows, revision, sealed)
        concerned = detail["former"].keys()
        if gone.isdisjoint(concerned):
            continue
        if detail.get("moved"):
            gone.update(concerned)
        others = {person: former for person, former in detail["former"].items() if person not in gone}
        if others:  # of an import: it can still be undone for them
            kept = _sealed(rows, revision, {**detail, "former": others})
            rows.db.execute("UPDATE journal SET detail = ? WHERE revision = ?", (kept, revision))
        else:
            rows.db.execute("DELETE FROM journal WHERE revision = ?", (revision,))


def _sentence(rows: Rows, operation: str, detail: dict[str, Any]) -> str:
    former: dict[str, dict[str, Any] | None] = detail["former"]
    if operation == "import":
        added = sum(state is None for state in former.values())
        return f"Undid an import: {added} people are gone again, {len(former) - added} have lost what it brought them."
    (first, state), *more = former.items()
    name = rows.find(first).name
    again = "".join(f", and {one['name']!r} is a stranger again" for _, one in more if one)
    if state is None:
        return f"Undid the enrolment of {name!r}, who is no longer in the gallery{again}."
    if operation == "enroll" and "name" in state:
        return f"Undid the enrolment of {name!r}, who is {state['name']!r} again{again}."
    if operation == "enroll":
        return f"Undid an enrolment of {name!r}: {len(detail['added'])} of the templates removed{again}."
    if operation == "rename":
        return f"Undid a renaming: {name!r} is {state['name']!r} again."
    if operation == "consent":
        return f"Undid a change of consent: {name!r} is kept as it was agreed before."
    absorbed = more[0][1] or {}
    return f"Undid a merging: {state.get('name', name)!r} and {absorbed['name']!r} are two people again."


def _sealed(rows: Rows, revision: int, detail: dict[str, Any]) -> bytes:
    return rows.seal.seal(json.dumps(detail).encode(), place("journal", revision, "detail"))


def _unsealed(rows: Rows, revision: int, sealed: bytes) -> dict[str, Any]:
    detail: dict[str, Any] = json.loads(rows.seal.unseal(sealed, place("journal", revision, "detail")))
    return detail
