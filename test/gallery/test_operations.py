import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from face_recognition_ros.errors import GalleryError, UnknownIdentityError
from face_recognition_ros.gallery.store import GalleryStore, Template

from .helpers import SIZE, Clock, bytes_on_disk, names


def test_a_known_name_or_id_gets_more_templates(store: GalleryStore, faces: Any) -> None:
    anna = store.enroll("Anna", faces.templates(2))
    assert store.enroll("  ANNA ", faces.templates(1)).identity_id == anna.identity_id
    assert store.enroll("not looked at", faces.templates(1), anna.identity_id).name == "Anna"
    assert names(store) == {"Anna": 4}
    with pytest.raises(UnknownIdentityError):
        store.enroll("Bob", faces.templates(1), "p-000000000000")


def test_what_is_stored_is_not_stored_twice(store: GalleryStore, faces: Any) -> None:
    templates = faces.templates(3)
    anna = store.enroll("Anna", templates[:2])
    assert store.enroll("Anna", templates[:2]) == anna
    assert store.revision == 1, "nothing was changed"
    assert store.enroll("Anna", [*templates, templates[2]]).templates == 3
    again = [Template(stored.embedding, 0.5) for stored in store.identity_templates(anna.identity_id)]
    assert store.enroll("Anna", again).templates == 3, "what comes out goes in unaltered"
    assert store.enroll("Bob", templates).templates == 3, "another person may look the same"


def test_rename_keeps_the_person_and_refuses_a_taken_name(store: GalleryStore, faces: Any) -> None:
    anna = store.enroll("Anna", faces.templates(1))
    store.enroll("Bob", faces.templates(1))
    assert store.rename("Anna", "Anna Maria").identity_id == anna.identity_id
    assert store.rename("anna maria", "ANNA MARIA").name == "ANNA MARIA"
    with pytest.raises(GalleryError, match="merge"):
        store.rename("Bob", "Anna Maria")
    assert names(store) == {"ANNA MARIA": 1, "Bob": 1}


def test_merge_moves_all_templates(store: GalleryStore, faces: Any) -> None:
    anna = store.enroll("Anna", faces.templates(2))
    bob = store.enroll("Bob", faces.templates(3))
    assert store.merge("Anna", bob.identity_id).identity_id == anna.identity_id
    assert names(store) == {"Anna": 5}
    with pytest.raises(GalleryError, match="itself"):
        store.merge("Anna", anna.identity_id)


def test_observed_templates_are_told_apart_and_purged(store: GalleryStore, faces: Any) -> None:
    anna = store.enroll("Anna", faces.templates(2))
    bob = store.enroll("Bob", faces.templates(1))
    looks = faces.templates(4)
    assert store.observe(anna.identity_id, looks[:3]).observed == 3
    kinds = [template.kind for template in store.identity_templates(anna.identity_id)]
    assert kinds == ["enrolled", "enrolled", "observed", "observed", "observed"]
    (stored,) = (one for one in store.changes_since(None).changed if one.identity.name == "Anna")
    assert stored.observed.tolist() == [False, False, True, True, True]

    ids = {one.template_id for person in (anna, bob) for one in store.identity_templates(person.identity_id)}
    replaced = store.identity_templates(anna.identity_id)[3].template_id
    others = [one.template_id for one in store.identity_templates(bob.identity_id)]
    enrolled = store.identity_templates(anna.identity_id)[0].template_id
    assert store.observe(anna.identity_id, looks[3:], [replaced, enrolled, *others, 999]).templates == 5
    left = {one.template_id for person in (anna, bob) for one in store.identity_templates(person.identity_id)}
    assert ids - left == {replaced}, "only an observed one of hers"

    revision = store.revision
    assert store.observe(anna.identity_id, looks[3:]).observed == 3
    assert store.purge_observed("Bob") == 0
    assert store.revision == revision, "nothing was changed"
    assert store.purge_observed() == 3
    assert names(store) == {"Anna": 2, "Bob": 1}


def test_what_was_observed_can_still_be_enrolled(store: GalleryStore, faces: Any) -> None:
    (first, look) = faces.templates(2)
    anna = store.enroll("Anna", [first])
    store.observe(anna.identity_id, [look])
    assert store.enroll("Anna", [look]).templates == 3
    assert store.observe(anna.identity_id, [look, first]).templates == 3


def test_strangers_get_a_name_once_and_become_people(store: GalleryStore, faces: Any) -> None:
    first = store.remember(faces.templates(3), expires=None)
    second = store.remember(faces.templates(3), expires=time.time() + 60)
    assert (first.name, first.remembered, first.expires) == ("stranger 1", True, None)
    assert (second.name, second.templates, second.observed) == ("stranger 2", 3, 0)
    store.forget("stranger 2")
    third = store.remember(faces.templates(1), expires=time.time() + 60)
    assert third.name == "stranger 3"
    store.postpone(third.identity_id, time.time() + 1000)
    assert store.resolve("stranger 3").expires == pytest.approx(time.time() + 1000, abs=100)
    anna = store.rename("stranger 3", "Anna")
    assert (anna.identity_id, anna.remembered, anna.expires) == (third.identity_id, False, None)
    with pytest.raises(GalleryError, match="'Anna' is no remembered stranger"):
        store.postpone(anna.identity_id, time.time() + 1000)
    with pytest.raises(GalleryError, match="remembered strangers are given"):
        store.enroll("Stranger 4", faces.templates(1))
    with pytest.raises(GalleryError, match="at least one"):
        store.remember([], None)
    assert [person.name for person in store.forget_strangers()] == ["stranger 1"]
    assert store.forget_strangers() == []
    assert names(store) == {"Anna": 1}


def test_merging_a_stranger_into_a_person_keeps_the_person(store: GalleryStore, faces: Any) -> None:
    later = time.time() + 1000
    anna = store.enroll("Anna", faces.templates(1), consent="for the party", expires=later)
    first, second = (store.remember(faces.templates(1), later + i) for i in range(2))
    both = store.merge(first.identity_id, second.identity_id)
    assert (both.name, both.remembered, both.expires, both.templates) == (first.name, True, later + 1, 2)
    merged = store.merge(first.identity_id, "Anna")
    assert (merged.identity_id, merged.name, merged.remembered) == (first.identity_id, "Anna", False)
    assert (merged.consent, merged.expires, merged.templates) == ("for the party", later, 3)
    store.undo()
    assert store.resolve("Anna") == replace(anna, updated=store.resolve("Anna").updated)
    assert store.resolve(first.name).remembered
    kept = store.merge("Anna", first.name)
    assert (kept.identity_id, kept.name, kept.expires) == (anna.identity_id, "Anna", later)


def test_of_two_people_the_earlier_expiry_holds(store: GalleryStore, faces: Any) -> None:
    later = time.time() + 1000
    store.enroll("Anna", faces.templates(1))
    store.enroll("Bob", faces.templates(1), consent="until noon", expires=later)
    merged = store.merge("Anna", "Bob")
    assert (merged.name, merged.consent, merged.expires) == ("Anna", "until noon", later)


def test_who_has_expired_is_returned_by_nothing_and_forgotten_by_the_next_change(tmp_path: Path, faces: Any) -> None:
    clock = Clock()
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE, clock=clock) as store:
        anna = store.enroll("Zebediah", faces.templates(2), consent="for a minute", expires=1060.0)
        bob = store.enroll("Bob", faces.templates(1))
        store.remember(faces.templates(1), expires=1080.0)
        assert store.next_expiry == 1060.0
        assert store.expire() == []
        clock.now = 1060.0
        assert names(store) == {"Bob": 1, "stranger 1": 1}
        changes = store.changes_since(store.revision)
        assert (changes.changed, changes.removed) == ((), (anna.identity_id,))
        for lookup in (store.resolve, store.identity_templates, store.forget):
            with pytest.raises(UnknownIdentityError):
                lookup(anna.identity_id)
        with pytest.raises(UnknownIdentityError):
            store.enroll("", faces.templates(1), anna.identity_id)
        assert (store.revision, store.next_expiry) == (3, 1060.0), "a refused change forgets nobody"
        assert b"Zebediah" in bytes_on_disk(tmp_path)
        other = store.rename("Bob", "zebediah")
        assert (other.identity_id, store.revision) == (bob.identity_id, 5), "the name was free"
        assert b"Zebediah" not in bytes_on_disk(tmp_path)
        assert store.next_expiry == 1080.0
        clock.now = 1090.0
        assert [person.name for person in store.expire()] == ["stranger 1"]
        assert (store.revision, store.next_expiry) == (6, None)


@pytest.mark.parametrize(
    ("expires", "sentence"),
    [(value, "must lie in the future") for value in (999.0, 1000.0, math.inf, math.nan)] + [(3e11, "the year 9999")],
)
def test_an_expiry_must_be_a_time_to_come(faces: Any, expires: float, sentence: str) -> None:
    store = GalleryStore.open(None, "net-a", SIZE, clock=Clock())
    anna = store.enroll("Anna", faces.templates(1))
    for refused in (
        lambda: store.enroll("Anna", faces.templates(1), expires=expires),
        lambda: store.remember(faces.templates(1), expires),
        lambda: store.set_consent("Anna", "", expires),
        lambda: store.postpone(anna.identity_id, expires),
    ):
        with pytest.raises(GalleryError, match=sentence):
            refused()
    assert store.list_identities() == [anna]


def test_consent_is_kept_and_left_alone_where_none_is_given(store: GalleryStore, faces: Any) -> None:
    later = time.time() + 1000
    store.enroll("Anna", faces.templates(1), consent="for today", expires=later)
    anna = store.enroll("Anna", faces.templates(1))
    assert (anna.consent, anna.expires) == ("for today", later)
    anna = store.set_consent("Anna", "for good", None)
    assert (anna.consent, anna.expires) == ("for good", None)


def test_a_stranger_who_was_absorbed_comes_back_by_undo_and_is_forgotten_with_the_person(
    store: GalleryStore, faces: Any
) -> None:
    stranger = store.remember(faces.templates(2), expires=4e9)
    anna = store.enroll("Anna", faces.templates(1), absorb=[stranger.identity_id])
    assert names(store) == {"Anna": 3}
    assert store.undo() == (
        "Undid the enrolment of 'Anna', who is no longer in the gallery, and 'stranger 1' is a stranger again."
    )
    assert names(store) == {stranger.name: 2}
    anna = store.enroll("Anna", faces.templates(1), absorb=[stranger.identity_id])
    for wrong in (anna.identity_id, store.enroll("Bob", faces.templates(1)).identity_id):
        with pytest.raises(GalleryError, match="is no remembered stranger"):
            store.enroll("Anna", faces.templates(1), absorb=[wrong])
    store.forget("Anna")
    store.undo()
    assert names(store) == {}
    with pytest.raises(GalleryError, match="nothing to undo"):
        store.undo()


def test_the_id_of_a_stranger_follows_from_the_founding_looks_and_is_never_given_twice(faces: Any) -> None:
    looks, others = faces.templates(3), faces.templates(3)
    with GalleryStore.open(None, "net-a", SIZE) as first, GalleryStore.open(None, "net-a", SIZE) as second:
        founded = first.remember(looks, None)
        assert second.remember(looks, None).identity_id == founded.identity_id
        first.forget(founded.identity_id)
        again, other = first.remember(looks, None), second.remember(others, None)
    assert len({founded.identity_id, again.identity_id, other.identity_id}) == 3
