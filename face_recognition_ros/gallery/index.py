"""Compares probes with all templates of the gallery at once: exact cosine similarity, best template per identity."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.types import FloatArray, Identity


@dataclass(frozen=True, slots=True, eq=False)
class TemplateIndex:
    """The gallery at one revision, ready to be searched; immutable, so that threads may share it."""

    revision: int
    identities: tuple[Identity, ...]
    """I of them, each with at least one template."""
    matrix: FloatArray
    """(T, D) float32, contiguous: unit vectors, the rows of one identity together."""
    starts: npt.NDArray[np.intp]
    """(I,) the first row of each identity."""

    @classmethod
    def of(cls, store: GalleryStore) -> Self:
        """The index of all that the store holds now."""
        stored = store.templates()
        matrix = np.ascontiguousarray(stored.embeddings)
        matrix.flags.writeable = False
        counts = np.array([identity.templates for identity in stored.identities], dtype=np.intp)
        return cls(stored.revision, stored.identities, matrix, np.cumsum(counts) - counts)

    @property
    def templates(self) -> int:
        """How many, T."""
        return len(self.matrix)

    def similarities(self, probes: FloatArray) -> FloatArray:
        """Cosine of each probe and the best template of each identity.

        probes: (D,) or (N, D) float32 unit vectors. Returns (I,) or (N, I) float32, in the order of `identities`.
        """
        cosines = probes @ self.matrix.T
        if not self.identities:
            return cosines
        return np.asarray(np.maximum.reduceat(cosines, self.starts, axis=-1))
