"""What becomes of a damaged gallery: it is set aside, and the last good copy of it is offered, never silently used."""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.inspection import Inspection, inspect, reason
from face_recognition_ros.gallery.last_good import copy_of, draft_of, gallery_file, locked, read_revision
from face_recognition_ros.gallery.sealing import PlainSeal, Seal, sync_folder


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What `restore` or `start_empty` has done."""

    revision: int
    people: int
    """Including remembered strangers."""
    set_aside: tuple[Path, ...]
    """All that was ever set aside beside the gallery. Nobody is forgotten in there: delete what is not needed."""


def files_set_aside(path: Path) -> tuple[Path, ...]:
    """All that was set aside beside a gallery, oldest first."""
    return tuple(sorted(path.parent.glob(f"{_escape(path.name)}.damaged-*")))


def check(path: Path, seal: Seal) -> Inspection:
    """Inspects the gallery at path before it is opened; where there is none as yet, revision 0 of nobody.

    A damaged file is set aside. GalleryError says what is wrong, and the way out: `restore` or `start_empty`. While
    one of these is needed nothing else is put in the file's place.
    """
    copied = read_revision(copy_of(path))  # before the file is looked at: its own revision is never lower
    found = _examine(path, seal)
    if found and found.damage:
        with _guarded(path):
            found = _examine(path, seal)  # again: another process may have set it aside meanwhile
            if found and found.damage:
                raise GalleryError(
                    f"The gallery {path} is damaged ({found.damage}). It was set aside as {_set_aside(path)}. "
                    f"{_way_out(path, seal)}"
                )
    if found is None:
        raise GalleryError(f"The gallery {path} is not there, though it has been. {_way_out(path, seal)}")
    if found.revision < copied:
        raise GalleryError(
            f"The gallery {path} is at revision {found.revision}: it was changed since, or an older file has taken its "
            f"place. {_way_out(path, seal)} To go on with this file, delete {copy_of(path)}."
        )
    return found


def restore(path: Path, seal: Seal | None = None) -> RestoreReport:
    """Puts the last good copy in the place of a gallery that is damaged, gone, or older than it.

    What was there is set aside. Raises GalleryError where the gallery is healthy or the copy is missing or damaged.
    """
    path, seal = gallery_file(path), seal or PlainSeal()
    with _guarded(path) as draft:
        _refuse_healthy(path, seal)
        found = _inspect_copy(path, seal)
        if found.damage:
            raise GalleryError(f"The gallery {path} cannot be restored: its last good copy {found.damage}.")
        shutil.copyfile(copy_of(path), draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        _set_aside(path)
        draft.replace(path)
        sync_folder(path.parent)
    return RestoreReport(found.revision, found.people, files_set_aside(path))


def start_empty(path: Path, seal: Seal | None = None) -> RestoreReport:
    """Begins anew where a gallery is damaged or gone: what there is, the last good copy too, is set aside.

    Raises GalleryError where the gallery is healthy.
    """
    path = gallery_file(path)
    with _guarded(path):
        _refuse_healthy(path, seal or PlainSeal())
        _set_aside(path, with_copy=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # an empty file says that it is meant
        sync_folder(path.parent)
    return RestoreReport(0, 0, files_set_aside(path))


def _examine(path: Path, seal: Seal) -> Inspection | None:
    """What is at path; None where there is nothing and there should be something."""
    if path.exists() and not path.is_file():
        raise GalleryError(f"The gallery {path} is not a file; give the path of a gallery file.")
    try:
        if path.exists() and path.stat().st_size > 0:
            found = inspect(path, seal)
            if found.damage == "file is not a database" and not (_log_has_content(path) or copy_of(path).exists()):
                raise GalleryError(f"{path} is no gallery of faces, nor any other SQLite file; give another path.")
            return found
        if copy_of(path).exists() or _log_has_content(path):
            return Inspection(damage="the file is empty") if path.exists() else None
        return Inspection() if path.exists() or not files_set_aside(path) else None
    except (OSError, sqlite3.OperationalError) as error:
        raise GalleryError(f"The gallery {path} cannot be opened: {reason(error)}.") from error


def _refuse_healthy(path: Path, seal: Seal) -> None:
    found = _examine(path, seal)
    if found and not found.damage and found.revision >= read_revision(copy_of(path)):
        raise GalleryError(f"The gallery {path} is healthy (revision {found.revision}); it is left as it is.")


def _way_out(path: Path, seal: Seal) -> str:
    command = f"face-recognition restore --gallery {path}"
    found, copy = _inspect_copy(path, seal), copy_of(path)
    if found.damage:
        return f"Its last good copy {copy} {found.damage}. To start with an empty gallery: {command} --empty"
    return (
        f"Its last good copy {copy} has revision {found.revision} and {found.people} people. To take it: {command} "
        f"- or to start with an empty gallery: {command} --empty"
    )


def _inspect_copy(path: Path, seal: Seal) -> Inspection:
    """The last good copy's content; its `damage` is written to follow its name."""
    copy = copy_of(path)
    if not copy.exists():
        return Inspection(damage="does not exist")
    try:
        found = inspect(copy, seal)
    except sqlite3.OperationalError as error:
        return Inspection(damage=f"cannot be read: {reason(error)}")
    except GalleryError as error:
        return Inspection(damage=f"cannot be used ({error})")
    return Inspection(damage=f"is damaged, too ({found.damage})") if found.damage else found


def _set_aside(path: Path, with_copy: bool = False) -> Path:
    """Renames the gallery with its log, as far as they are there; returns the new name of the gallery itself."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    taken = {other.name for other in files_set_aside(path)}
    names = (f"{path.name}.damaged-{stamp}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    aside = path.with_name(next(name for name in names if not any(other.startswith(name) for other in taken)))
    # The gallery first: after a power cut in between, it is missed, and not opened without its log.
    for suffix in ("", "-wal", "-shm", *((".last-good",) if with_copy else ())):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    sync_folder(path.parent)
    return aside


def _log_has_content(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


@contextlib.contextmanager
def _guarded(path: Path) -> Iterator[Path]:
    """An empty draft of mode 0600 for this process alone; raises GalleryError where the folder cannot be changed."""
    try:
        with locked(draft_of(path)):
            yield draft_of(path)
    except OSError as error:
        raise GalleryError(f"The gallery {path} cannot be repaired: {reason(error)}.") from error


def _escape(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
