"""Carries people from one gallery to another: a complete gallery file out, the people of such a file in."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.database import check_network, migrate, open_database
from face_recognition_ros.gallery.inspection import inspect, read_only, reason
from face_recognition_ros.gallery.journal import record
from face_recognition_ros.gallery.names import IDENTITY_ID, clean_name, generated_number
from face_recognition_ros.gallery.rows import ALIVE, Rows
from face_recognition_ros.gallery.sealing import PlainSeal, Seal, sync_folder
from face_recognition_ros.gallery.templates import ImportReport, Kind, Template
from face_recognition_ros.types import Identity

_COPIED = {
    # Rows keep their ids, and with them their seals.
    "identities": "SELECT id, name, name_key, created, updated, remembered, consent, expires FROM identities i",
    "templates": "SELECT t.id, t.identity_id, t.kind, t.embedding, t.quality, t.source, t.created FROM templates t"
    " JOIN identities i ON i.id = t.identity_id",
    "crops": "SELECT c.template_id, c.picture FROM crops c JOIN templates t ON t.id = c.template_id"
    " JOIN identities i ON i.id = t.identity_id",
}


def export_people(rows: Rows, path: Path, model_id: str) -> int:
    """See GalleryStore.export_to."""
    with _new_file(path) as draft, closing(open_database(draft, model_id, rows.embedding_size, rows.seal)) as copy:
        copy.execute("BEGIN IMMEDIATE")
        for table, query in _COPIED.items():
            found = rows.db.execute(f"{query} WHERE {ALIVE}", (rows.now,))
            columns = [column[0] for column in found.description]
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            copy.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", found)
        strangers = rows.db.execute("SELECT key, value FROM meta WHERE key = 'strangers'")
        copy.executemany("INSERT INTO meta VALUES (?, ?)", strangers)
        people = int(copy.execute("SELECT COUNT(*) FROM identities").fetchone()[0])
        copy.execute("COMMIT")
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, which can be read where nothing can be written
    return people


def import_people(rows: Rows, path: Path, model_id: str, merge_names: bool) -> ImportReport:
    """See GalleryStore.import_from."""
    with _copy_in_memory(rows, path, model_id) as source:
        people = source.identities()
        _require_sound(people, path)
        newcomers, known = _places(rows, people, path, merge_names)
        former: dict[str, dict[str, object] | None] = {}
        added: list[int] = []
        for person in newcomers:
            name = person.name
            number = generated_number(name) if person.remembered else None
            if number is not None and rows.holder(name) is None:
                rows.reserve_stranger(number)
            elif person.remembered:
                name = rows.new_stranger_name()
            rows.insert(
                person.identity_id, person.created, name=name, remembered=person.remembered, consent=person.consent,
                expires=person.expires,
            )  # fmt: skip
            _add(rows, source, person.identity_id, person.identity_id)
            former[person.identity_id] = None
        for person, holder in known:
            brought = _add(rows, source, person.identity_id, holder.identity_id)
            if brought:
                rows.update(holder.identity_id)
                former.setdefault(holder.identity_id, {})
                added += brought
    if former:
        record(rows, "import", former=former, added=added)
    imported = [(rows.find(identity_id), state is None) for identity_id, state in former.items()]
    return ImportReport(
        tuple(person for person, is_new in imported if is_new),
        tuple(person for person, is_new in imported if not is_new),
    )


@contextmanager
def _copy_in_memory(rows: Rows, path: Path, model_id: str) -> Iterator[Rows]:
    """What another gallery's file holds, brought to the present schema; the file itself is only read."""
    if not path.is_file():
        raise GalleryError(f"There is no gallery file {path} to import from.")
    try:
        seal = _seal_of(path, rows.seal)
        found = inspect(path, seal)
        if found.damage or not found.model_id:
            raise GalleryError(f"Nobody was imported: {path} is damaged ({found.damage or 'it is empty'}).")
        check_network(found, path, model_id, rows.embedding_size)
        with read_only(path) as file, closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            file.backup(copy)
            migrate(copy, model_id, rows.embedding_size, seal)
            yield Rows(copy, str(path), seal, rows.embedding_size, rows.now)
    except sqlite3.Error as error:
        raise GalleryError(f"Nobody was imported from {path}: {reason(error)}.") from error


def _seal_of(path: Path, seal: Seal) -> Seal:
    """The seal of the gallery here where the file is encrypted, else a plain one."""
    with suppress(sqlite3.DatabaseError), read_only(path) as file:
        if file.execute("SELECT 1 FROM meta WHERE key = 'key_check'").fetchone() is None:
            return PlainSeal()
        if not seal.encrypts:
            raise GalleryError(
                f"Nobody was imported: {path} is encrypted, and the gallery here is not. Import it into a gallery "
                "that is encrypted with the same key."
            )
    return seal


def _require_sound(people: list[Identity], path: Path) -> None:
    """Raises GalleryError where an id or a name is one that no gallery gives, and could be taken for somebody else."""
    try:
        for person in people:
            if not IDENTITY_ID.fullmatch(person.identity_id):
                raise GalleryError(f"{person.identity_id!r} is no identity id.")
            if not person.remembered:
                clean_name(person.name)
    except GalleryError as error:
        raise GalleryError(f"Nobody was imported from {path}: {error}") from None


def _places(
    rows: Rows, people: list[Identity], path: Path, merge_names: bool
) -> tuple[list[Identity], list[tuple[Identity, Identity]]]:
    """Who of the people is new here, and who belongs to whom that is here already."""
    here = {person.identity_id: person for person in rows.identities()}
    newcomers, known, taken = [], [], []
    for person in people:
        holder = here.get(person.identity_id)
        if holder is None and not person.remembered:
            holder = rows.holder(person.name)
            if holder is not None and not merge_names:
                taken.append(person.name)
        if holder is None:
            newcomers.append(person)
        else:
            known.append((person, holder))
    if taken:
        names = ", ".join(map(repr, sorted(taken)))
        raise GalleryError(
            f"Nobody was imported from {path}: other people here are called {names}. "
            "Rename them first, or import with merge_names if people of one name are the same."
        )
    return newcomers, known


def _add(rows: Rows, source: Rows, theirs: str, ours: str) -> list[int]:
    """Stores a person's templates in the source for the one here; returns the ids of those that were new."""
    crops = source.crops(theirs)
    by_kind: dict[Kind, list[Template]] = {"enrolled": [], "observed": []}
    for stored in source.templates(theirs):
        crop = crops.get(stored.template_id)
        by_kind[stored.kind].append(Template(stored.embedding, stored.quality, stored.source, crop))
    return [added for kind, templates in by_kind.items() if templates for added in rows.add(ours, kind, templates)]


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A path to write to; what is there in the end appears under the given one, at once and on disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # the name is ours from now on
    except FileExistsError:
        raise GalleryError(f"There is a file {path} already; export to a new one.") from None
    except OSError as error:
        raise GalleryError(f"The gallery cannot be exported to {path}: {error.strerror}.") from error
    try:
        yield draft
        draft.replace(path)
        sync_folder(path.parent)
    except (OSError, sqlite3.Error, GalleryError) as error:
        path.unlink(missing_ok=True)
        raise GalleryError(f"The gallery cannot be exported to {path}: {error}.") from error
    finally:
        for leftover in ("", "-wal", "-shm", "-journal"):
            Path(f"{draft}{leftover}").unlink(missing_ok=True)
