from typing import Any

import numpy as np

from face_recognition_ros.gallery.index import TemplateIndex
from face_recognition_ros.gallery.store import GalleryStore


def test_the_best_template_of_each_identity_counts(store: GalleryStore, faces: Any) -> None:
    people = {}
    for name, count in (("Anna", 3), ("Bob", 1), ("Cleo", 5)):
        embeddings = faces.people(count)
        people[store.enroll(name, faces.as_templates(embeddings)).identity_id] = embeddings
    index = TemplateIndex.of(store)
    probes = faces.people(4)
    expected = [
        [max(float(t @ probe) for t in people[who.identity_id]) for who in index.identities] for probe in probes
    ]
    found = index.similarities(probes)
    assert found.shape == (4, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(index.similarities(probes[2]), expected[2], atol=1e-6)
    assert (index.templates, index.revision) == (9, 3)


def test_the_matrix_is_contiguous_and_cannot_be_written(store: GalleryStore, faces: Any) -> None:
    store.enroll("Anna", faces.templates(4))
    matrix = TemplateIndex.of(store).matrix
    assert matrix.flags.c_contiguous
    assert not matrix.flags.writeable
    assert matrix.dtype == np.float32


def test_an_index_does_not_change_with_the_store(store: GalleryStore, faces: Any) -> None:
    store.enroll("Anna", faces.templates(2))
    index = TemplateIndex.of(store)
    store.enroll("Bob", faces.templates(2))
    assert [who.name for who in index.identities] == ["Anna"]
    assert TemplateIndex.of(store).templates == 4


def test_an_empty_gallery_has_no_similarities(store: GalleryStore, faces: Any) -> None:
    index = TemplateIndex.of(store)
    assert index.similarities(faces.people(3)).shape == (3, 0)
    assert index.similarities(faces.people(1)[0]).shape == (0,)
