"""What several tests of the store look at."""

from pathlib import Path

import numpy as np

from face_recognition_ros.gallery.store import GalleryStore

SIZE = 64


def embeddings_of(store: GalleryStore, identity: str) -> np.ndarray:
    return np.stack([template.embedding for template in store.identity_templates(store.resolve(identity).identity_id)])


def names(store: GalleryStore) -> dict[str, int]:
    return {identity.name: identity.templates for identity in store.list_identities()}


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


class Clock:
    """Seconds since the epoch, as the test sets them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now
