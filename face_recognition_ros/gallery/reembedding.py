"""Takes a gallery over to another network: new templates from the pictures that were stored with the old ones."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.database import open_database
from face_recognition_ros.gallery.exchange import export_people, import_people
from face_recognition_ros.gallery.inspection import Inspection, inspect, read_meta, read_only, reason
from face_recognition_ros.gallery.rows import Rows
from face_recognition_ros.gallery.sealing import PlainSeal, Seal
from face_recognition_ros.gallery.templates import Kind, Template
from face_recognition_ros.types import FloatArray, Identity


@dataclass(frozen=True, slots=True)
class ReembedReport:
    """Who is in the new gallery, and who is not."""

    people: tuple[Identity, ...]
    """As the new gallery has them, by id; remembered strangers are among them."""
    left_out: tuple[Identity, ...]
    """As the old gallery has them: no enrolled template has a picture. Enroll them anew."""
    templates_left_out: int
    """Of the people who are in the new gallery: templates without a picture."""


def reembed(
    source: Path, destination: Path, model_id: str, embedding_size: int, embed: Callable[[bytes], FloatArray],
    seal: Seal | None = None, clock: Callable[[], float] = time.time,
) -> ReembedReport:  # fmt: skip
    """Writes the gallery at `source`, which is only read, anew for another network, to a file that is not there yet.

    embed: the network's unit vector (embedding_size,) float32 of an aligned face, a PNG file; its errors end it all.
    Ids, names, consent, expiry, kinds and pictures are kept; the journal is not, nor is who has expired. Raises
    GalleryError where a file cannot be used, or the source has that network already; nothing is written then.
    """
    seal, now = seal or PlainSeal(), clock()
    found, strangers = _look(source, seal)
    if (found.model_id, found.embedding_size) == (model_id, embedding_size):
        raise GalleryError(f"The gallery {source} is of the network {model_id!r} already; use it as it is.")
    with (
        closing(open_database(None, found.model_id, found.embedding_size, seal)) as old_db,
        closing(open_database(None, model_id, embedding_size, seal)) as new_db,
    ):
        old = Rows(old_db, str(source), seal, found.embedding_size, now)
        new = Rows(new_db, str(destination), seal, embedding_size, now)
        import_people(old, source, found.model_id, merge_names=False)
        new.reserve_stranger(strangers)
        left_out = [person for person in old.identities() if not _take_over(person, old, new, embed)]
        export_people(new, destination, model_id)
        people, gone = tuple(new.identities()), {person.identity_id for person in left_out}
        templates = sum(person.templates for person in old.identities() if person.identity_id not in gone)
    return ReembedReport(people, tuple(left_out), templates - sum(person.templates for person in people))


def _look(source: Path, seal: Seal) -> tuple[Inspection, int]:
    """What is in the file, and how many strangers were ever remembered there."""
    try:
        found = inspect(source, seal)
        if found.damage:
            raise GalleryError(f"The gallery {source} is damaged ({found.damage}); restore it first.")
        if not found.model_id:
            raise GalleryError(f"The gallery {source} is empty; there is nothing to take over.")
        with read_only(source) as db:
            return found, int(read_meta(db).get("strangers", 0))
    except sqlite3.Error as error:
        raise GalleryError(f"The gallery {source} cannot be read: {reason(error)}.") from error


def _take_over(person: Identity, old: Rows, new: Rows, embed: Callable[[bytes], FloatArray]) -> bool:
    """Adds a person with a new template for each picture; not at all where no enrolled template has one."""
    crops = old.crops(person.identity_id)
    by_kind: dict[Kind, list[Template]] = {"enrolled": [], "observed": []}
    for stored in old.templates(person.identity_id):
        if crop := crops.get(stored.template_id):
            by_kind[stored.kind].append(Template(embed(crop), stored.quality, stored.source, crop))
    if not by_kind["enrolled"]:
        return False
    new.insert(
        person.identity_id, person.created, name=person.name, remembered=person.remembered, consent=person.consent,
        expires=person.expires,
    )  # fmt: skip
    for kind, templates in by_kind.items():
        new.add(person.identity_id, kind, templates)
    return True
