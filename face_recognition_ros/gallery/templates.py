"""The values that go into the gallery's store and come out of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from face_recognition_ros.types import FloatArray, Identity

Kind = Literal["enrolled", "observed"]
"""Enrolled templates are trusted; observed ones were learned in passing."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One look at a person that is worth keeping."""

    embedding: FloatArray
    """(D,) float32 unit vector."""
    quality: float
    """0 to 1, of the look it was made from."""
    source: str = ""
    """Where the look came from: a file, a topic and stamp; for people to read."""
    crop: bytes | None = None
    """The aligned face as a PNG file; the gallery keeps it and does not look at it."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredTemplate:
    """A template as the gallery holds it."""

    template_id: int
    kind: Kind
    embedding: FloatArray
    """(D,) float32 unit vector."""
    quality: float
    """0 to 1."""
    source: str
    created: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class IdentityTemplates:
    """A person with all templates, in the order in which they were stored."""

    identity: Identity
    embeddings: FloatArray
    """(T, D) float32 unit vectors."""
    qualities: FloatArray
    """(T,) float32, 0 to 1."""
    observed: npt.NDArray[np.bool_]
    """(T,) which of them were learned in passing."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What a reader has to do to have the gallery at that revision."""

    revision: int
    complete: bool
    """`changed` is everybody: drop what you have. Otherwise all who are not mentioned are as they were."""
    changed: tuple[IdentityTemplates, ...]
    """By id: those who are new, or changed in any way."""
    removed: tuple[str, ...]
    """Ids of those who are no more; some may be ids that the reader has never seen."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Whom an import brought."""

    added: tuple[Identity, ...]
    extended: tuple[Identity, ...]
    """Those who were there and got further templates."""
