"""Watches over the file of an open gallery: that it stays where it is, and that there is a last good copy of it."""

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.inspection import pragma, read_only, reason
from face_recognition_ros.gallery.sealing import sync_folder

logger = logging.getLogger(__name__)

_CHANGES = 10
_BYTES_PER_CHANGE = 64 * 1024
"""A copy is made after the first change, and then after so many, or the file's size over so many bytes if that is more:
a change then costs no more than writing that many bytes, however large the gallery is."""


class LastGood:
    """Keeps FILE.last-good, a copy of an open gallery made by SQLite and put in place whole.

    It holds nothing that was removed before it was made. A gallery in memory has none.
    """

    def __init__(self, path: Path | None) -> None:
        """`path` is that of the gallery, which is open already."""
        self._path = path
        self._inode = path.stat().st_ino if path else 0
        self._copied = read_revision(copy_of(path)) if path else 0

    def check_in_place(self) -> None:
        """Raises GalleryError where the file is not the one that was opened: changes would be written to nowhere."""
        if self._path and not _is(self._path, self._inode):
            raise GalleryError(
                f"The gallery {self._path} was moved or replaced while it was in use; open it again (restart the node)."
            )

    def update(self, db: sqlite3.Connection) -> str:
        """Makes the copy unless it is of the present revision; returns what is in the way, or an empty string."""
        if not self._path:
            return ""
        try:
            if self._copied != present_revision(db) or draft_of(self._path).exists():
                self._copy(db, self._path)
        except sqlite3.ProgrammingError as error:  # it is closed already
            return reason(error)
        except (sqlite3.Error, OSError) as error:
            logger.warning("The last good copy %s cannot be made: %s.", copy_of(self._path), reason(error))
            return reason(error)
        return ""

    def after_change(self, db: sqlite3.Connection) -> None:
        """Makes the copy if it is due; where it cannot be made, the older one stays."""
        if self._path:
            with contextlib.suppress(sqlite3.Error, OSError):
                size = pragma(db, "page_count") * pragma(db, "page_size")
                if not self._copied or present_revision(db) - self._copied >= max(_CHANGES, size // _BYTES_PER_CHANGE):
                    self._copy(db, self._path)

    def after_removal(self, db: sqlite3.Connection) -> str:
        """Makes the copy anew, or removes it where it cannot be made; returns what is in the way of both, or ''."""
        if not self._path or not self.update(db):
            return ""
        try:
            copy_of(self._path).unlink(missing_ok=True)
            draft_of(self._path).unlink(missing_ok=True)
            sync_folder(self._path.parent)
        except OSError as error:
            return f"{copy_of(self._path)} cannot be removed: {reason(error)}"
        self._copied = 0
        return ""

    def _copy(self, db: sqlite3.Connection, path: Path) -> None:
        durable = pragma(db, "synchronous") > 0
        with locked(draft_of(path)) as descriptor:
            db.execute("VACUUM INTO ?", (str(draft_of(path)),))  # a new file, without free pages and what was in them
            if durable:
                os.fsync(descriptor)
            self._copied = read_revision(draft_of(path))
            draft_of(path).replace(copy_of(path))
            if durable:
                sync_folder(path.parent)


def gallery_file(path: Path | str) -> Path:
    """The file itself that a path means, from wherever and through links: log and copies lie beside it, and only there.

    Raises GalleryError for a name that is no text, which SQLite cannot take.
    """
    file = os.path.realpath(path)
    try:
        file.encode()
    except UnicodeEncodeError:
        raise GalleryError(f"The gallery's path {file!r} is no UTF-8 text; give another one.") from None
    return Path(file)


def copy_of(path: Path) -> Path:
    """Where the last good copy of a gallery is."""
    return path.with_name(f"{path.name}.last-good")


def draft_of(path: Path) -> Path:
    """Where a copy of a gallery is written before it takes its place."""
    return path.with_name(f"{path.name}.last-good.new")


def read_revision(path: Path) -> int:
    """The revision of a copy; 0 where it is missing or damaged."""
    try:
        with read_only(path) as db:
            return present_revision(db)
    except (sqlite3.Error, OSError, TypeError, ValueError):
        return 0


def present_revision(db: sqlite3.Connection) -> int:
    """The revision of an open gallery."""
    return int(db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])


@contextlib.contextmanager
def locked(draft: Path) -> Iterator[int]:
    """The descriptor of that file, emptied; other processes wait their turn. It is deleted at the end if still there.

    Nobody else puts a gallery or its last good copy in place, or sets one aside, meanwhile.
    """
    while True:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is(draft, os.fstat(descriptor).st_ino):  # else another process has renamed or deleted it meanwhile
                os.ftruncate(descriptor, 0)
                try:
                    yield descriptor
                finally:
                    if _is(draft, os.fstat(descriptor).st_ino):
                        draft.unlink()
                return
        finally:
            os.close(descriptor)


def _is(path: Path, inode: int) -> bool:
    try:
        return path.stat().st_ino == inode
    except FileNotFoundError:
        return False
