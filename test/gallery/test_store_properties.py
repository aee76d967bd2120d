"""Random sequences of changes, on disk and in a plain dictionary at once: both must always agree."""

import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.store import GalleryStore, Template

SIZE = 16
NAMES = st.sampled_from(["Anna", "Bob", "Cleo", "Dan", "Eve"])
People = dict[str, list[int]]


class StoreAgainstDictionary(RuleBasedStateMachine):
    """The model: names to template numbers, and the snapshots that undo goes back to.

    A forgotten person is struck out of all snapshots; a change that concerned nobody else is no longer undoable.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.people: People = {}
        self.past: list[tuple[People, set[int]]] = []
        self.drawn = 0
        self.open()

    def open(self) -> None:
        self.store = GalleryStore.open(self.folder / "gallery.db", "net", SIZE)
        self.store._connection.execute("PRAGMA synchronous = OFF")  # speed; nothing is killed here

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def template(self) -> Template:
        self.drawn += 1
        vector = np.random.default_rng(self.drawn).normal(size=SIZE)
        return Template((vector / np.linalg.norm(vector)).astype(np.float32), 1.0)

    def change(self, concerned: set[int], people: People) -> None:
        self.past.append((self.people, concerned))
        self.people = people

    def refused(self, call: Any, *arguments: Any) -> None:
        before = self.store.revision
        try:
            call(*arguments)
        except GalleryError:
            assert self.store.revision == before
        else:
            raise AssertionError(f"{call.__name__}{arguments} was not refused")

    @rule(name=NAMES, count=st.integers(1, 3))
    def enroll(self, name: str, count: int) -> None:
        templates = [self.template() for _ in range(count)]
        self.store.enroll(name, templates)
        added = list(range(self.drawn - count + 1, self.drawn + 1))
        people = copy.deepcopy(self.people)
        people.setdefault(name, []).extend(added)
        self.change(set(people[name]), people)

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        if old not in self.people or (new in self.people and new != old):
            self.refused(self.store.rename, old, new)
            return
        self.store.rename(old, new)
        people = copy.deepcopy(self.people)
        people[new] = people.pop(old)
        self.change(set(people[new]), people)

    @rule(keep=NAMES, absorb=NAMES)
    def merge(self, keep: str, absorb: str) -> None:
        if keep not in self.people or absorb not in self.people or keep == absorb:
            self.refused(self.store.merge, keep, absorb)
            return
        self.store.merge(keep, absorb)
        people = copy.deepcopy(self.people)
        people[keep] = sorted(people[keep] + people.pop(absorb))
        self.change(set(people[keep]), people)

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        if name not in self.people:
            self.refused(self.store.forget, name)
            return
        self.store.forget(name)
        gone = set(self.people.pop(name))
        past = []
        for snapshot, concerned in self.past:
            if gone.isdisjoint(concerned):
                kept = {who: [t for t in templates if t not in gone] for who, templates in snapshot.items()}
                past.append(({who: templates for who, templates in kept.items() if templates}, concerned))
        self.past = past

    @rule()
    def undo(self) -> None:
        if not self.past:
            self.refused(self.store.undo)
            return
        self.store.undo()
        self.people, _ = self.past.pop()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @invariant()
    def agree(self) -> None:
        stored = self.store.templates()
        rows = iter(stored.embeddings)
        found = {who.name: [next(rows) for _ in range(who.templates)] for who in stored.identities}
        assert set(found) == set(self.people) == {who.name for who in self.store.list_identities()}
        for name, templates in self.people.items():
            expected = []
            for number in templates:
                vector = np.random.default_rng(number).normal(size=SIZE)
                expected.append(vector / np.linalg.norm(vector))
            np.testing.assert_allclose(found[name], expected, atol=1e-6)


TestStoreAgainstDictionary = StoreAgainstDictionary.TestCase
TestStoreAgainstDictionary.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, derandomize=True, database=None
)
