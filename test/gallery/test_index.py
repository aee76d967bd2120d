from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery import index as index_module
from face_recognition_ros.gallery.index import PrototypeIndex, SearchResult, fuse, prototype
from face_recognition_ros.gallery.store import Changes, GalleryStore, Template
from face_recognition_ros.types import FloatArray

SIZE = 64


def index_of(store: GalleryStore) -> PrototypeIndex:
    index = PrototypeIndex(SIZE)
    index.update(store)
    return index


def names(result: SearchResult) -> list[list[str]]:
    return [[hit.identity.name for hit in hits] for hits in result.hits]


def test_fused_templates_are_compared_with_every_probe(store: GalleryStore, faces: Any) -> None:
    people = {name: faces.people(count) for name, count in (("Anna", 3), ("Bob", 1), ("Cleo", 5))}
    for name, embeddings in people.items():
        store.enroll(name, faces.as_templates(embeddings))
    probes = faces.people(4)
    found = index_of(store).search(probes, 3)
    fused = {
        name: embeddings.sum(axis=0) / np.linalg.norm(embeddings.sum(axis=0)) for name, embeddings in people.items()
    }
    for probe, hits in zip(probes, found.hits, strict=True):
        expected = sorted(((float(probe @ vector), name) for name, vector in fused.items()), reverse=True)
        assert [hit.identity.name for hit in hits] == [name for _, name in expected]
        assert [hit.similarity for hit in hits] == pytest.approx([similarity for similarity, _ in expected], abs=1e-6)
    assert (found.revision, found.people, found.strangers) == (3, 3, 0)


def test_qualities_weigh_and_order_does_not(faces: Any) -> None:
    looks, weights = faces.people(5), np.array([0.9, 0.1, 0.5, 0.0, 0.3], np.float32)
    expected = weights @ looks
    order = faces.generator.permutation(5)
    np.testing.assert_allclose(fuse(looks, weights), expected / np.linalg.norm(expected), atol=1e-6)
    np.testing.assert_allclose(fuse(looks[order], weights[order]), fuse(looks, weights), atol=1e-6)


def test_what_cancels_out_has_no_direction(faces: Any) -> None:
    person = faces.people(1)[0]
    assert not fuse(np.stack([person, -person]), np.ones(2)).any()


def test_observed_templates_never_outvote_enrolled_ones(faces: Any) -> None:
    trusted, learned = faces.people(2)
    for count in (1, 3, 50):
        embeddings = np.stack([trusted] + [learned] * count)
        observed = np.array([False] + [True] * count)
        found = prototype(embeddings, np.full(count + 1, 0.8, np.float32), observed)
        assert found @ trusted >= found @ learned - 1e-6
    few = prototype(embeddings[:2], np.array([0.9, 0.3], np.float32), observed[:2])
    assert few @ trusted > few @ learned + 0.1, "few observed ones weigh what they are worth"


def test_a_change_reads_only_who_has_changed(store: GalleryStore, faces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Anna", "Bob", "Cleo"):
        store.enroll(name, faces.templates(2))
    index = index_of(store)
    taken: list[int] = []
    changes_since = store.changes_since

    def counted(revision: int | None) -> Changes:
        changes = changes_since(revision)
        taken.append(len(changes.changed))
        return changes

    monkeypatch.setattr(store, "changes_since", counted)
    store.enroll("Dan", faces.templates(1))
    index.update(store)
    store.rename("Bob", "Rob")
    store.forget("Anna")
    index.update(store)
    assert taken == [1, 1]
    assert sorted(names(index.search(faces.people(1), 9))[0]) == ["Cleo", "Dan", "Rob"]


def test_similarity_to_one_identity(store: GalleryStore, faces: Any) -> None:
    anna, bob = faces.people(2)
    identity = store.enroll("Anna", [Template(anna, 1.0)])
    store.enroll("Bob", [Template(bob, 1.0)])
    index = index_of(store)
    assert index.similarity(identity.identity_id, anna) == pytest.approx(1.0)
    assert index.similarity(identity.identity_id, bob) == pytest.approx(float(anna @ bob), abs=1e-6)
    assert index.similarity("p-000000000000", anna) is None


def test_remembered_strangers_are_counted_apart(store: GalleryStore, faces: Any) -> None:
    store.enroll("Anna", faces.templates(1))
    stranger = store.remember(faces.templates(3), expires=None)
    index = index_of(store)
    assert (index.people, index.strangers) == (1, 1)
    store.rename(stranger.identity_id, "Bob")
    index.update(store)
    assert (index.people, index.strangers) == (2, 0)


def test_who_has_gone_is_told_once(store: GalleryStore, faces: Any) -> None:
    anna, bob, cleo = (store.enroll(name, faces.templates(1)).identity_id for name in ("Anna", "Bob", "Cleo"))
    index = index_of(store)
    assert index.take_gone() == set()
    store.forget("Anna")
    store.merge("Bob", "Cleo")
    index.update(store)
    assert index.take_gone() == {anna, cleo}
    assert index.take_gone() == set()
    index.drop_expired(now=1e12)
    assert index.take_gone() == set(), "nobody of them expires"
    store.set_consent(bob, "", expires=store.clock() + 60)
    index.update(store)
    index.drop_expired(now=store.clock() + 61)
    assert index.take_gone() == {bob}


def test_an_empty_gallery_finds_nobody(store: GalleryStore, faces: Any) -> None:
    index = index_of(store)
    assert index.search(faces.people(3), 5).hits == ((), (), ())
    assert index.search(np.empty((0, SIZE), np.float32), 5).hits == ()


def test_of_equals_the_smaller_id_comes_first(store: GalleryStore, faces: Any) -> None:
    person = faces.people(1)[0]
    ids = sorted(store.enroll(f"twin {i}", [Template(person, 1.0)]).identity_id for i in range(20))
    (hits,) = index_of(store).search(person[None], 4).hits
    assert [hit.identity.identity_id for hit in hits] == ids[:4]


@pytest.mark.parametrize("size", [1, 7, 2_047, 2_048, 9_000])
@pytest.mark.parametrize("count", [1, 5])
def test_the_best_of_many_are_found_block_by_block(size: int, count: int) -> None:
    values = np.random.default_rng(size).normal(size=size).astype(np.float32).round(2)  # with ties
    near = index_module._nearest(values, min(count, size))
    best = np.sort(values)[::-1][:count]
    assert sorted(values[near], reverse=True)[:count] == best.tolist()
    assert set(np.flatnonzero(values >= best[-1])) <= set(near), "all that equal the last one are there to be ordered"


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enroll", "rename", "merge", "forget", "undo"]), st.integers(0, 7), st.integers(0, 7)
        )
    )
)
def test_following_changes_equals_reading_everything(steps: list[tuple[str, int, int]]) -> None:
    generator = np.random.default_rng(5)

    def vector() -> FloatArray:
        drawn = generator.normal(size=SIZE)
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)

    probes = np.stack([vector() for _ in range(3)])
    with GalleryStore.open(None, "net", SIZE) as store:
        followed = index_of(store)
        for operation, first, second in steps:
            call = {
                "enroll": lambda a, b: store.enroll(f"person {a}", [Template(vector(), 0.1 + b / 10)]),
                "rename": lambda a, b: store.rename(f"person {a}", f"person {b}"),
                "merge": lambda a, b: store.merge(f"person {a}", f"person {b}"),
                "forget": lambda a, b: store.forget(f"person {a}"),
                "undo": lambda a, b: store.undo(),
            }[operation]
            try:
                call(first, second)
            except GalleryError:  # nobody of that name, or nothing to undo: nothing has changed
                continue
            followed.update(store)
            kept, read = followed.search(probes, 9), index_of(store).search(probes, 9)
            assert (kept.revision, kept.people, kept.strangers) == (read.revision, read.people, read.strangers)
            for ours, theirs in zip(kept.hits, read.hits, strict=True):
                assert [hit.identity for hit in ours] == [hit.identity for hit in theirs]
                assert [hit.similarity for hit in ours] == pytest.approx([hit.similarity for hit in theirs], abs=1e-6)
