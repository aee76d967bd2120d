"""Lends a replay a private copy of a gallery, which it may learn into; the given file is only read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from face_recognition_ros.assembly import build_embedder, gallery_seal
from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.database import check_network
from face_recognition_ros.gallery.inspection import inspect, read_only, reason
from face_recognition_ros.settings import Settings


@contextmanager
def private_copy(settings: Settings) -> Iterator[Settings]:
    """The settings with a copy of their gallery in place of it; the copy is sealed as the gallery is, and deleted.

    Raises GalleryError where the gallery is damaged, none, another network's, or sealed otherwise.
    """
    path = Path(settings.gallery).expanduser()
    embedder, _ = build_embedder(settings)
    network = embedder.description
    embedder.close()
    with TemporaryDirectory(prefix="face-recognition-replay-") as folder:
        copy = Path(folder) / "gallery.sqlite3"
        try:
            found = inspect(path, gallery_seal(settings))
            if found.damage or not found.model_id:
                raise GalleryError(
                    f"the gallery {path} is damaged ({found.damage or 'it is empty'}); "
                    f"`face-recognition identities --gallery {path}` shows a way out"
                )
            check_network(found, path, network.model_id, network.embedding_size)
            with read_only(path) as given, closing(sqlite3.connect(copy)) as target:
                given.backup(target)
        except sqlite3.Error as error:
            raise GalleryError(f"the gallery {path} cannot be read: {reason(error)}") from error
        yield replace(settings, gallery=str(copy))
