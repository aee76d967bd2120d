"""Small synthetic galleries: unit vectors, and a calibration measured on random ones."""

import numpy as np
import pytest

from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.types import FloatArray

SIZE = 64


class SyntheticFaces:
    """Draws 64-D unit vectors from one seeded generator."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def people(self, count: int) -> FloatArray:
        """(count, 64) of people who do not resemble each other: cosines of about 0 +- 1/8."""
        vectors = self.generator.normal(size=(count, SIZE)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def looks(self, person: FloatArray, count: int, noise: float = 0.05) -> FloatArray:
        """(count, 64) near a person; the cosine to it is about 1 / sqrt(1 + 64 noise^2)."""
        vectors = person + noise * self.generator.normal(size=(count, SIZE)).astype(np.float32)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def templates(self, count: int) -> list[Template]:
        """Templates of random people, for tests that do not compare them."""
        return self.as_templates(self.people(count))

    @staticmethod
    def as_templates(embeddings: FloatArray, source: str = "") -> list[Template]:
        return [Template(embedding, 0.9, source) for embedding in embeddings]


@pytest.fixture
def faces() -> SyntheticFaces:
    return SyntheticFaces(7)


@pytest.fixture(scope="session")
def synthetic() -> type[SyntheticFaces]:
    """For tests that draw from several seeds, or from one for a whole module."""
    return SyntheticFaces


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    """Of random 64-D vectors as impostors, and genuine pairs around 0.75."""
    drawn = SyntheticFaces(1)
    impostor = np.einsum("nd,nd->n", drawn.people(500_000), drawn.people(500_000))
    return Calibration.from_scores(drawn.generator.normal(0.75, 0.08, 5000).clip(-1, 1), impostor)


@pytest.fixture
def store() -> GalleryStore:
    return GalleryStore.open(None, "net-a", SIZE)
