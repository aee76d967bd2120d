"""Random sequences of changes, on disk and in plain dictionaries at once: both must always agree, and so must readers
who only follow the changes.
"""

import copy
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery import operations
from face_recognition_ros.gallery.sealing import AesGcmSeal, PlainSeal, Seal
from face_recognition_ros.gallery.store import Changes, GalleryStore, IdentityTemplates, Template

from .gallery_model import Model, RefusedError

SIZE = 16
NAMES = ("Anna", "Bob", "Cleo", "Dan")
WHO = st.integers(0, 15)
"""Somebody by id or name, rarely nobody: see `StoreAgainstModel.pick`."""
NUMBERS = st.lists(st.integers(1, 30), min_size=1, max_size=3)
"""Templates are known by the number that their embedding is drawn from; two of one number look the same."""
SECONDS = st.none() | st.integers(1, 40)


def embedding(number: int) -> np.ndarray:
    vector = np.random.default_rng(number).normal(size=SIZE)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def template(number: int) -> Template:
    return Template(embedding(number), 1.0, f"number {number}", b"PNG %d" % number)


NUMBER_OF = {embedding(number).tobytes(): number for number in range(1, 31)}


class Follower:
    """A reader that takes over only what has changed since it last looked."""

    def __init__(self) -> None:
        self.revision: int | None = None
        self.people: dict[str, IdentityTemplates] = {}

    def follow(self, store: GalleryStore) -> None:
        changes = store.changes_since(self.revision)
        assert changes.complete == (self.revision is None)
        for who in changes.removed:
            self.people.pop(who, None)
        self.people |= {one.identity.identity_id: one for one in changes.changed}
        self.revision = changes.revision

    def agrees_with(self, full: Changes) -> bool:
        return contents(self.people.values()) == contents(full.changed)


def contents(people: Iterable[IdentityTemplates]) -> dict[str, Any]:
    return {
        one.identity.identity_id: (
            one.identity, one.embeddings.tobytes(), one.qualities.tobytes(), one.observed.tobytes()
        )
        for one in people
    }  # fmt: skip


class StoreAgainstModel(RuleBasedStateMachine):
    """Every rule does the same to both."""

    seal: Seal = PlainSeal()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model = Model()
        self.exports: list[tuple[Path, Model]] = []
        self.constant, self.seldom = Follower(), Follower()
        # The model is asked first and counts its people; the store gives the newest the same id.
        newest = mock.Mock(side_effect=lambda *_: f"p-{self.model.ids:012x}")
        self.patch = mock.patch.multiple(operations, new_identity_id=newest, founded_id=newest)
        self.patch.start()
        self.open()

    def open(self) -> None:
        path = self.folder / "gallery" / "gallery.db"
        self.store = GalleryStore.open(path, "net", SIZE, self.seal, lambda: self.model.now)
        self.store._connection.execute("PRAGMA synchronous = OFF")  # speed; nothing is killed here

    def teardown(self) -> None:
        try:
            while self.both(lambda model: model.undo(), self.store.undo):
                self.agree()
        finally:
            self.patch.stop()
            self.store.close()
            shutil.rmtree(self.folder)

    def both(self, change: Callable[[Model], None], call: Callable[[], object]) -> bool:
        """Makes the change in the model and calls the store; returns whether it was made and not refused."""
        changed = copy.deepcopy(self.model)
        try:
            changed.forget_expired()
            change(changed)
        except RefusedError:
            try:
                call()
            except GalleryError:
                return False
            raise AssertionError("this was not refused") from None
        self.model = changed
        call()
        return True

    def pick(self, who: int, other_than: str = "Nobody") -> str:
        people = sorted(self.model.alive().items())
        if len(people) > 1 and other_than != "Nobody":
            people = [one for one in people if one[0] != self.model.find(other_than)]
        if who == 13 or not people:
            return "Nobody"
        identity_id, person = people[who % len(people)]
        return identity_id if who % 2 else person.name

    def removed(self, change: Callable[[Model], None], call: Callable[[], object]) -> None:
        """As `both`; where something was removed, no byte is left of any template that the gallery does not hold."""
        before = self.model.revision
        if self.both(change, call) and self.model.revision > before:
            held = {one.number for person in self.model.people.values() for one in person.templates}
            stored = b"".join(path.read_bytes() for path in (self.folder / "gallery").iterdir())
            for number in NUMBER_OF.values():
                pieces = embedding(number).tobytes(), b"number %d " % number, b"PNG %d " % number
                assert number in held or not any(piece in stored for piece in pieces)
            if not isinstance(self.seal, PlainSeal):
                assert not any(name.encode() in stored for name in NAMES)

    @initialize(populated=st.booleans())
    def begin(self, populated: bool) -> None:
        """Most of what can go wrong needs several people."""
        if populated:
            self.enroll("Anna", [1, 2], None, None, None)
            self.enroll("Bob", [2, 3], None, None, 30)
            self.remember([4], None)
            self.remember([5, 1], 20)

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.model.now += seconds

    @rule(
        name=st.sampled_from(NAMES * 2 + ("stranger 1",)), numbers=NUMBERS, who=st.none() | WHO,
        consent=st.none() | st.sampled_from(["", "yes"]), seconds=SECONDS, other=st.none() | WHO,
    )  # fmt: skip
    def enroll(
        self, name: str, numbers: list[int], who: int | None, consent: str | None, seconds: int | None,
        other: int | None = None,
    ) -> None:  # fmt: skip
        templates, expires = list(map(template, numbers)), self.model.time(seconds)
        person = None if who is None else self.pick(who)
        absorb = None if other is None else self.pick(other)
        self.both(
            lambda model: model.enroll(name, numbers, person, consent, seconds, absorb),
            lambda: self.store.enroll(name, templates, person, consent, expires, [absorb] if absorb else ()),
        )

    @rule(who=WHO.map(lambda who: who | 1), numbers=NUMBERS, replace=st.booleans())
    def observe(self, who: int, numbers: list[int], replace: bool) -> None:
        templates, tokens, replacing = list(map(template, numbers)), set[int](), []
        holder = self.pick(who)
        if replace and holder != "Nobody":
            observed = [one for one in self.model.people[holder].templates if one.observed][:1]
            tokens = {one.token for one in observed}
            wanted = {one.number for one in observed}
            replacing = [
                one.template_id
                for one in self.store.identity_templates(holder)
                if one.kind == "observed" and NUMBER_OF[one.embedding.tobytes()] in wanted
            ][:1]
            enrolled = [one.template_id for one in self.store.identity_templates(holder) if one.kind == "enrolled"]
            replacing += enrolled  # which are left alone
        self.both(
            lambda model: model.observe(holder, numbers, tokens),
            lambda: self.store.observe(holder, templates, replacing),
        )

    @rule(numbers=NUMBERS, seconds=SECONDS)
    def remember(self, numbers: list[int], seconds: int | None) -> None:
        templates, expires = list(map(template, numbers)), self.model.time(seconds)
        self.both(lambda model: model.remember(numbers, seconds), lambda: self.store.remember(templates, expires))

    @rule(who=WHO, seconds=st.integers(1, 40))
    def postpone(self, who: int, seconds: int) -> None:
        person, expires = self.pick(who), self.model.now + seconds
        self.both(lambda model: model.postpone(person, seconds), lambda: self.store.postpone(person, expires))

    @rule(who=WHO, consent=st.sampled_from(["", "until we leave"]), seconds=SECONDS)
    def set_consent(self, who: int, consent: str, seconds: int | None) -> None:
        person, expires = self.pick(who), self.model.time(seconds)
        self.both(
            lambda model: model.set_consent(person, consent, seconds),
            lambda: self.store.set_consent(person, consent, expires),
        )

    @rule(who=WHO, name=st.sampled_from(NAMES * 2 + ("stranger 1",)))
    def rename(self, who: int, name: str) -> None:
        person = self.pick(who)
        self.both(lambda model: model.rename(person, name), lambda: self.store.rename(person, name))

    @rule(first=WHO, second=WHO)
    def merge(self, first: int, second: int) -> None:
        keep = self.pick(first)
        absorb = self.pick(second, other_than=keep)
        self.both(lambda model: model.merge(keep, absorb), lambda: self.store.merge(keep, absorb))

    @rule(who=WHO)
    def forget(self, who: int) -> None:
        person = self.pick(who)
        self.removed(lambda model: model.forget(person), lambda: self.store.forget(person))

    @rule(which=st.sampled_from(["expired", "expired", "strangers"]))
    def sweep(self, which: str) -> None:
        if which == "strangers":
            self.removed(lambda model: model.forget_strangers(), self.store.forget_strangers)
        else:
            self.removed(lambda model: None, self.store.expire)

    @rule(who=WHO)
    def purge_observed(self, who: int) -> None:
        person = None if who == 1 else self.pick(who)
        self.removed(lambda model: model.purge_observed(person), lambda: self.store.purge_observed(person))

    @rule()
    def undo(self) -> None:
        self.removed(lambda model: model.undo(), self.store.undo)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @rule()
    def export(self) -> None:
        path = self.folder / f"export {len(self.exports)}.db"
        assert self.store.export_to(path) == len(self.model.alive())
        self.exports.append((path, Model(copy.deepcopy(self.model.alive()))))

    @precondition(lambda self: self.exports)
    @rule(data=st.data(), merge_names=st.booleans())
    def import_from(self, data: st.DataObject, merge_names: bool) -> None:
        path, source = data.draw(st.sampled_from(self.exports))
        self.both(
            lambda model: model.import_from(copy.deepcopy(source), merge_names),
            lambda: self.store.import_from(path, merge_names),
        )

    @rule()
    def look(self) -> None:
        self.seldom.follow(self.store)
        assert self.seldom.agrees_with(self.store.changes_since(None))

    @invariant()
    def agree(self) -> None:
        full = self.store.changes_since(None)
        assert full.revision == self.store.revision == self.model.revision
        found = {one.identity.identity_id: one for one in full.changed}
        expected = self.model.alive()
        assert found.keys() == expected.keys()
        assert sorted(one.identity.name for one in full.changed) == [who.name for who in self.store.list_identities()]
        for who, person in expected.items():
            one, identity = found[who], found[who].identity
            assert (identity.name, identity.remembered) == (person.name, person.remembered)
            assert (identity.consent, identity.expires) == (person.consent, person.expires)
            assert (identity.templates, identity.observed) == (len(one.embeddings), int(one.observed.sum()))
            for observed in (False, True):
                numbers = Counter(NUMBER_OF[row.tobytes()] for row in one.embeddings[one.observed == observed])
                assert numbers == person.numbers(observed)
        times = [person.expires for person in self.model.people.values() if person.expires is not None]
        assert self.store.next_expiry == min(times, default=None)
        self.constant.follow(self.store)
        assert self.constant.agrees_with(full)


class EncryptedStoreAgainstModel(StoreAgainstModel):
    """The same with everything sealed."""

    seal = AesGcmSeal(bytes(range(32)))


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, derandomize=True, database=None
)
TestEncryptedStoreAgainstModel = EncryptedStoreAgainstModel.TestCase
TestEncryptedStoreAgainstModel.settings = settings(TestStoreAgainstModel.settings, max_examples=25)
