"""The gallery's tables in one transaction: rows in and out, sealed on the way, nobody among them who has expired."""

import math
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from face_recognition_ros.errors import GalleryError, UnknownIdentityError
from face_recognition_ros.gallery.inspection import UNIT_TOLERANCE, insist
from face_recognition_ros.gallery.names import generated_name, name_key, nobody_called
from face_recognition_ros.gallery.sealing import Seal, place
from face_recognition_ros.gallery.templates import IdentityTemplates, Kind, StoredTemplate, Template
from face_recognition_ros.types import FloatArray, Identity

ALIVE = "(i.expires IS NULL OR i.expires > ?)"
"""SQL: identity i has not expired at the time that is its value."""

_ROUNDING = 1e-6


@dataclass(slots=True)
class Rows:
    """A transaction on the gallery. What a method changes bears the number of the coming revision."""

    db: sqlite3.Connection
    where: str
    """The gallery's file, for sentences."""
    seal: Seal
    embedding_size: int
    now: float
    """Seconds since the epoch."""
    revision: int = field(init=False)
    """The gallery's present one."""

    def __post_init__(self) -> None:
        self.revision = int(self.db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])

    # Reading

    def identities(self, condition: str = "TRUE", *values: str | float) -> list[Identity]:
        """Identities by id: all of them, or those that meet an SQL condition on i with its values."""
        return self._identities(f"({condition}) AND {ALIVE}", *values, self.now)

    def expired(self) -> list[Identity]:
        """Those whom nothing else returns, since their time has passed, though they are not removed yet."""
        return self._identities("i.id IN (SELECT id FROM identities WHERE expires <= ?)", self.now)

    def find(self, id_or_name: str) -> Identity:
        """The person of that id or name; raises UnknownIdentityError where there is nobody."""
        try:
            found = self.identities("i.id = ? OR i.name_key = ?", id_or_name, self.seal.digest(name_key(id_or_name)))
        except UnicodeEncodeError:  # bytes of a command line that are no text
            found = []
        if not found:
            raise UnknownIdentityError(nobody_called(id_or_name, (person.name for person in self.identities())))
        return found[0]

    def holder(self, name: str) -> Identity | None:
        """The person of that name, None where there is nobody."""
        found = self.identities("i.name_key = ?", self.seal.digest(name_key(name)))
        return found[0] if found else None

    def people(self, since: int = -1) -> tuple[IdentityTemplates, ...]:
        """All who were changed after that revision, by id, with their templates."""
        # Who it is stands in queries of its own: SQLite would use the index of what is sorted by, and read everybody.
        identities = self.identities("i.id IN (SELECT id FROM identities WHERE changed > ?)", since)
        found = self.db.execute(
            "SELECT t.id, t.embedding, t.quality, t.kind = 'observed' FROM templates t WHERE t.identity_id IN"
            f" (SELECT i.id FROM identities i WHERE i.changed > ? AND {ALIVE}) ORDER BY t.identity_id, t.id",
            (since, self.now),
        )
        data, qualities, observed = bytearray(), [], []
        for template_id, embedding, quality, in_passing in found:
            data += self._plain(embedding, "templates", template_id, "embedding")
            qualities.append(quality)
            observed.append(in_passing)
        embeddings = self._vectors(data, len(qualities))
        weights, flags = np.array(qualities, np.float32), np.array(observed, np.bool_)
        ends = np.cumsum([0, *(person.templates for person in identities)])
        return tuple(
            IdentityTemplates(person, embeddings[start:end], weights[start:end], flags[start:end])
            for person, start, end in zip(identities, ends[:-1], ends[1:], strict=True)
        )

    def templates(self, identity_id: str) -> tuple[StoredTemplate, ...]:
        """A person's templates in the order in which they were stored."""
        found = self.db.execute(
            "SELECT id, kind, embedding, quality, source, created FROM templates WHERE identity_id = ? ORDER BY id",
            (identity_id,),
        ).fetchall()
        data = bytearray().join(self._plain(row[2], "templates", row[0], "embedding") for row in found)
        return tuple(
            StoredTemplate(number, kind, vector, quality, self._text(source, "templates", number, "source"), created)
            for (number, kind, _, quality, source, created), vector in zip(
                found, self._vectors(data, len(found)), strict=True
            )
        )

    def crops(self, identity_id: str) -> dict[int, bytes]:
        """A person's pictures by template id, of the templates that have one."""
        found = self.db.execute(
            "SELECT c.template_id, c.picture FROM crops c JOIN templates t ON t.id = c.template_id"
            " WHERE t.identity_id = ?", (identity_id,)
        )  # fmt: skip
        return {row[0]: self._plain(row[1], "crops", row[0], "picture") for row in found}

    def next_expiry(self) -> float | None:
        """When somebody expires next; in the past where somebody has and is not removed yet, None where nobody will."""
        row = self.db.execute("SELECT MIN(expires) FROM identities WHERE expires > 0").fetchone()
        return None if row[0] is None else float(row[0])

    def gone_since(self, revision: int) -> tuple[str, ...]:
        """Ids of all who were removed after that revision, and of those who have expired but are not removed yet."""
        found = self.db.execute(
            "SELECT identity_id FROM gone WHERE revision > ? UNION SELECT id FROM identities WHERE expires <= ?",
            (revision, self.now),
        )
        return tuple(row[0] for row in found)

    # Changing

    def insert(self, identity_id: str, created: float, **fields: Any) -> None:
        """Adds a person with her name, and remembered, consent and expires; as yet without templates."""
        columns = {"id": identity_id, "created": created, **self._columns(identity_id, {"consent": "", **fields})}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self.db.execute(f"INSERT INTO identities ({names}) VALUES ({marks})", tuple(columns.values()))
        self.db.execute("DELETE FROM gone WHERE identity_id = ?", (identity_id,))

    def update(self, identity_id: str, **fields: Any) -> None:
        """Changes some of name, remembered, consent and expires (or none), and notes that the person was changed."""
        columns = self._columns(identity_id, fields)
        assignments = ", ".join(f"{column} = ?" for column in columns)
        self.db.execute(f"UPDATE identities SET {assignments} WHERE id = ?", (*columns.values(), identity_id))

    def delete(self, identity_id: str) -> None:
        """Removes a person, with the templates she has."""
        self.db.execute("DELETE FROM templates WHERE identity_id = ?", (identity_id,))
        self.db.execute("DELETE FROM identities WHERE id = ?", (identity_id,))
        self.db.execute("INSERT OR REPLACE INTO gone VALUES (?, ?)", (identity_id, self.revision + 1))

    def add(self, identity_id: str, kind: Kind, templates: Iterable[Template]) -> list[int]:
        """Stores the templates that the person does not have yet; returns their ids.

        What was learned in passing does not stand in the way of the same look being enrolled.
        """
        hers = self.db.execute(
            "SELECT id, embedding FROM templates WHERE identity_id = ? AND kind IN ('enrolled', ?)", (identity_id, kind)
        )
        known = {self._plain(embedding, "templates", number, "embedding") for number, embedding in hers}
        latest = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'templates'").fetchone()
        template_id = first = latest[0] + 1 if latest else 1
        for template in templates:
            embedding = self.unit(template.embedding).tobytes()
            if embedding in known:
                continue
            if not math.isfinite(template.quality):
                raise GalleryError(f"A template's quality must be a finite number, not {template.quality}.")
            known.add(embedding)
            self.db.execute(
                "INSERT INTO templates (id, identity_id, kind, quality, created, embedding, source)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (template_id, identity_id, kind, float(template.quality), self.now,
                 self._sealed(embedding, "templates", template_id, "embedding"),
                 self._sealed(_bytes(template.source), "templates", template_id, "source")),
            )  # fmt: skip
            if template.crop is not None:
                picture = self._sealed(template.crop, "crops", template_id, "picture")
                self.db.execute("INSERT INTO crops VALUES (?, ?)", (template_id, picture))
            template_id += 1
        return list(range(first, template_id))

    def move(self, template_ids: Iterable[int], identity_id: str) -> None:
        """Makes templates another person's; those that are no more stay so."""
        moves = [(identity_id, template_id) for template_id in template_ids]
        self.db.executemany("UPDATE templates SET identity_id = ? WHERE id = ?", moves)

    def remove(self, template_ids: Iterable[int]) -> None:
        """Removes templates and their pictures."""
        self.db.executemany("DELETE FROM templates WHERE id = ?", [(template_id,) for template_id in template_ids])

    def remove_observed(self, identity_id: str) -> None:
        """Removes all that was learned of a person in passing."""
        self.db.execute("DELETE FROM templates WHERE identity_id = ? AND kind = 'observed'", (identity_id,))

    def new_stranger_name(self) -> str:
        """A generated name that nobody has or ever had."""
        while True:
            number = self._strangers() + 1
            self.reserve_stranger(number)
            if self.holder(generated_name(number)) is None:
                return generated_name(number)

    def reserve_stranger(self, number: int) -> None:
        """Sees to it that no stranger will be given that number, or a smaller one."""
        latest = max(number, self._strangers())
        self.db.execute("INSERT OR REPLACE INTO meta VALUES ('strangers', ?)", (latest,))

    def mark_traces(self) -> None:
        """Notes, in the transaction that removes something, that its bytes still have to be erased from the file."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES ('traces', 1)")

    def unit(self, embedding: FloatArray) -> FloatArray:
        """The embedding (D,) as it is stored; raises GalleryError unless it is a unit vector of the right size."""
        if embedding.shape != (self.embedding_size,):
            raise GalleryError(f"A template must have shape ({self.embedding_size},), not {embedding.shape}.")
        norm = float(np.linalg.norm(embedding.astype(np.float64)))
        if not abs(norm - 1.0) < UNIT_TOLERANCE:
            raise GalleryError(f"A template must be a unit vector of finite numbers; this one has length {norm:g}.")
        # One that comes out of a gallery goes into it unaltered: it is known again by its bytes.
        scaled = embedding if abs(norm - 1.0) < _ROUNDING else embedding / norm
        return scaled.astype("<f4")

    def _identities(self, condition: str, *values: str | float) -> list[Identity]:
        found = self.db.execute(
            "SELECT i.id, i.name, COUNT(t.id), i.created, i.updated, COUNT(t.id) FILTER (WHERE t.kind = 'observed'),"
            " i.remembered, i.consent, i.expires FROM identities i LEFT JOIN templates t ON t.identity_id = i.id"
            f" WHERE {condition} GROUP BY i.id ORDER BY i.id", values
        )  # fmt: skip
        return [
            Identity(
                identity_id, self._text(name, "identities", identity_id, "name"), templates, created, updated, observed,
                bool(remembered), self._text(consent, "identities", identity_id, "consent"), expires,
            )
            for identity_id, name, templates, created, updated, observed, remembered, consent, expires in found
        ]  # fmt: skip

    def _strangers(self) -> int:
        row = self.db.execute("SELECT value FROM meta WHERE key = 'strangers'").fetchone()
        return 0 if row is None else int(row[0])

    def _sealed(self, plain: bytes, table: str, row: str | int, column: str) -> bytes:
        return self.seal.seal(plain, place(table, row, column))

    def _plain(self, sealed: bytes, table: str, row: str | int, column: str) -> bytes:
        return self.seal.unseal(sealed, place(table, row, column))

    def _text(self, sealed: bytes, table: str, row: str | int, column: str) -> str:
        return self._plain(sealed, table, row, column).decode()

    def _columns(self, identity_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        """What is stored of a person's fields, and that they were changed now."""
        columns = {**fields, "updated": self.now, "changed": self.revision + 1}
        for column in ("name", "consent"):
            if column in fields:
                columns[column] = self._sealed(_bytes(fields[column]), "identities", identity_id, column)
        if "name" in fields:
            columns["name_key"] = self.seal.digest(name_key(fields["name"]))
        return columns

    def _vectors(self, data: bytearray, count: int) -> FloatArray:
        size = self.embedding_size
        if len(data) != count * size * 4:
            raise GalleryError(f"The gallery {self.where} is damaged: a template has not {size} numbers.")
        vectors = np.frombuffer(data, "<f4").astype(np.float32, copy=False).reshape(-1, size)
        if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < UNIT_TOLERANCE):
            raise GalleryError(f"The gallery {self.where} is damaged: a template is not of length 1.")
        return vectors


def has_traces(db: sqlite3.Connection) -> bool:
    """Whether bytes of something removed may still be in the file."""
    return db.execute("SELECT 1 FROM meta WHERE key = 'traces'").fetchone() is not None


def erase_traces(db: sqlite3.Connection) -> str:
    """Leaves no removed byte in the file or its log; returns what is in the way, or an empty string."""
    # secure_delete overwrites a deleted cell, but not the copies that a page keeps of cells which were once moved out
    # of it: VACUUM leaves those behind. TRUNCATE empties the write-ahead log; SQLite waits for readers, but not for
    # another process that is doing the same.
    db.execute("VACUUM")
    emptied = insist(lambda: not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    return "" if emptied else "another program is reading them"


def _bytes(text: str) -> bytes:
    # A file's name may hold what is no Unicode.
    return text.encode("utf-8", "backslashreplace")
