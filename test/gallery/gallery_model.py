"""What GalleryStore promises, in plain dictionaries: the model that random changes are compared with."""

import copy
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

GENERATED = re.compile(r"stranger \d+")


class RefusedError(Exception):
    """The store, too, must refuse this."""


@dataclass
class Stored:
    """A template: `token` is its own, others may have the same number."""

    token: int
    number: int
    observed: bool


@dataclass
class Person:
    name: str
    remembered: bool = False
    consent: str = ""
    expires: float | None = None
    templates: list[Stored] = field(default_factory=list)

    def numbers(self, observed: bool) -> Counter[int]:
        return Counter(one.number for one in self.templates if one.observed == observed)

    def changed_since(self, before: "Person") -> dict[str, Any]:
        """What was different, as it was."""
        fields = ("name", "remembered", "consent", "expires")
        return {name: vars(before)[name] for name in fields if vars(before)[name] != vars(self)[name]}

    def drop(self, tokens: Iterable[int]) -> list[Stored]:
        gone = set(tokens)
        dropped = [one for one in self.templates if one.token in gone]
        self.templates = [one for one in self.templates if one.token not in gone]
        return dropped

    def drop_observed(self) -> list[Stored]:
        return self.drop(one.token for one in self.templates if one.observed)


@dataclass
class Model:
    """What GalleryStore promises, without a file. A step of `past`: who is concerned, and how to take it back."""

    people: dict[str, Person] = field(default_factory=dict)
    past: list[tuple[set[str], Callable[["Model"], None]]] = field(default_factory=list)
    revision: int = 0
    strangers: int = 0
    now: float = 1000.0
    ids: int = 0
    tokens: int = 0

    def new_id(self) -> str:
        self.ids += 1
        return f"p-{self.ids:012x}"

    def alive(self) -> dict[str, Person]:
        return {who: one for who, one in self.people.items() if one.expires is None or one.expires > self.now}

    def find(self, wanted: str) -> str:
        for who, person in self.alive().items():
            if wanted in (who, person.name):
                return who
        raise RefusedError

    def holder(self, name: str) -> str | None:
        return next((who for who, person in self.alive().items() if person.name == name), None)

    def time(self, seconds: int | None) -> float | None:
        return None if seconds is None else self.now + seconds

    def add(self, who: str, numbers: Iterable[int], observed: bool) -> list[int]:
        added = []
        for number in numbers:
            known = self.people[who].numbers(False)
            if number in (known + self.people[who].numbers(True) if observed else known):
                continue
            self.tokens += 1
            self.people[who].templates.append(Stored(self.tokens, number, observed))
            added.append(self.tokens)
        return added

    def strike(self, gone: set[str]) -> None:
        for who in gone:
            self.people.pop(who)
        past = []
        for concerned, back in reversed(self.past):
            if getattr(back, "of_import", False):
                concerned = concerned - gone
            elif not gone.isdisjoint(concerned):
                gone = gone | concerned
                continue
            if concerned:
                past.append((concerned, back))
        self.past = past[::-1]

    def forget_expired(self) -> None:
        if passed := self.people.keys() - self.alive().keys():
            self.revision += 1
            self.strike(set(passed))

    def stranger_name(self) -> str:
        self.strangers += 1
        return f"stranger {self.strangers}"

    def enroll(
        self, name: str, numbers: list[int], wanted: str | None, consent: str | None, seconds: int | None,
        absorb: str | None = None,
    ) -> None:  # fmt: skip
        named = wanted is None or self.people[self.find(wanted)].remembered
        if named and GENERATED.fullmatch(name):
            raise RefusedError
        who, expires = self.holder(name) if wanted is None else self.find(wanted), self.time(seconds)
        other = None if absorb is None else self.find(absorb)
        if other is not None and (other == who or not self.people[other].remembered):
            raise RefusedError
        concerned = {other} - {None}
        if who is None:
            who = self.new_id()
            self.people[who] = Person(name, False, consent or "", expires)
            release = self.absorb(who, other)
            self.add(who, numbers, False)
            self.revision += 1

            def vanish(model: Model) -> None:
                release(model)
                model.people.pop(who)

            self.past.append(({who} | concerned, vanish))
            return
        person = self.people[who]
        before = copy.deepcopy(person)
        if person.remembered:
            if self.holder(name) not in (None, who):
                raise RefusedError
            person.name, person.remembered, person.expires = name, False, None
        person.consent = person.consent if consent is None else consent
        person.expires = person.expires if expires is None else expires
        changed = person.changed_since(before)
        release = self.absorb(who, other)
        added = self.add(who, numbers, False)
        if not added and not changed and other is None:
            return

        def back(model: Model) -> None:
            release(model)
            model.people[who].drop(added)
            vars(model.people[who]).update(changed)

        self.revision += 1
        self.past.append(({who} | concerned, back))

    def absorb(self, who: str, other: str | None) -> Callable[["Model"], None]:
        """Gives one the templates of the other, who is no more; returns what takes it back."""
        if other is None:
            return lambda model: None
        gone = self.people.pop(other)
        tokens = [one.token for one in gone.templates]
        self.people[who].templates += gone.templates

        def release(model: Model) -> None:
            moved = model.people[who].drop(tokens)
            model.people[other] = Person(gone.name, gone.remembered, gone.consent, gone.expires, moved)

        return release

    def observe(self, wanted: str, numbers: list[int], replacing: set[int]) -> None:
        who = self.find(wanted)
        replaced = self.people[who].drop(replacing)
        if self.add(who, numbers, True) or replaced:
            self.revision += 1

    def remember(self, numbers: list[int], seconds: int | None) -> None:
        who = self.new_id()
        self.people[who] = Person(self.stranger_name(), True, "", self.time(seconds))
        self.add(who, numbers, False)
        self.revision += 1

    def postpone(self, wanted: str, seconds: int) -> None:
        person = self.people[self.find(wanted)]
        if not person.remembered:
            raise RefusedError
        person.expires = self.time(seconds)
        self.revision += 1

    def set_consent(self, wanted: str, consent: str, seconds: int | None) -> None:
        who = self.find(wanted)
        person = self.people[who]
        before = person.consent, person.expires
        person.consent, person.expires = consent, self.time(seconds)

        def back(model: Model) -> None:
            model.people[who].consent, model.people[who].expires = before

        self.revision += 1
        self.past.append(({who}, back))

    def rename(self, wanted: str, name: str) -> None:
        who = self.find(wanted)
        if GENERATED.fullmatch(name) or self.holder(name) not in (None, who):
            raise RefusedError
        person = self.people[who]
        before, was_stranger, expiry = person.name, person.remembered, person.expires
        person.name, person.remembered = name, False
        person.expires = None if was_stranger else person.expires

        def back(model: Model) -> None:
            model.people[who].name = before
            if was_stranger:
                model.people[who].remembered, model.people[who].expires = True, expiry

        self.revision += 1
        self.past.append(({who}, back))

    def merge(self, keep: str, absorb: str) -> None:
        kept, absorbed = self.find(keep), self.find(absorb)
        if kept == absorbed:
            raise RefusedError
        first, second = self.people[kept], self.people.pop(absorbed)
        before, tokens = copy.deepcopy(first), [one.token for one in second.templates]
        gone = copy.deepcopy(second)
        first.templates += second.templates
        if first.remembered and not second.remembered:
            first.name, first.remembered, first.consent, first.expires = (
                second.name,
                False,
                second.consent,
                second.expires,
            )
        elif first.remembered == second.remembered:
            first.consent = first.consent or second.consent
            times = [math.inf if one.expires is None else one.expires for one in (first, second)]
            chosen = max(times) if first.remembered else min(times)
            first.expires = None if chosen == math.inf else chosen
        changed = first.changed_since(before)

        def back(model: Model) -> None:
            vars(model.people[kept]).update(changed)
            moved = model.people[kept].drop(tokens)
            model.people[absorbed] = Person(gone.name, gone.remembered, gone.consent, gone.expires, moved)

        self.revision += 1
        self.past.append(({kept, absorbed}, back))

    def forget(self, wanted: str) -> None:
        self.strike({self.find(wanted)})
        self.revision += 1

    def forget_strangers(self) -> None:
        if strangers := {who for who, person in self.people.items() if person.remembered}:
            self.strike(strangers)
            self.revision += 1

    def purge_observed(self, wanted: str | None) -> None:
        people = list(self.people) if wanted is None else [self.find(wanted)]
        dropped = [
            self.people[who].drop(one.token for one in self.people[who].templates if one.observed) for who in people
        ]
        self.revision += any(dropped)

    def import_from(self, source: "Model", merge_names: bool) -> None:
        source.now = self.now
        newcomers, known = [], []
        for who, person in sorted(source.alive().items()):
            holder = who if who in self.people else None
            if holder is None and not person.remembered:
                holder = self.holder(person.name)
                if holder is not None and not merge_names:
                    raise RefusedError
            (newcomers if holder is None else known).append((who, person, holder))
        added, extended = [], {}
        for who, person, _ in newcomers:
            name = person.name
            if person.remembered and self.holder(name) is None:
                self.strangers = max(self.strangers, int(name.split()[1]))
            elif person.remembered:
                name = self.stranger_name()
            self.people[who] = Person(name, person.remembered, person.consent, person.expires)
            self._copy(person, who)
            added.append(who)
        for _, person, holder in known:
            if tokens := self._copy(person, holder):
                extended.setdefault(holder, []).extend(tokens)

        def back(model: Model) -> None:
            for who in added:
                model.people.pop(who, None)
            for who, tokens in extended.items():
                if who in model.people:
                    model.people[who].drop(tokens)

        if added or extended:
            back.of_import = True  # type: ignore[attr-defined]
            self.revision += 1
            self.past.append(({*added, *extended}, back))

    def _copy(self, person: Person, who: str) -> list[int]:
        kinds = (False, True)
        numbers = [[one.number for one in person.templates if one.observed == observed] for observed in kinds]
        return [token for observed in kinds for token in self.add(who, numbers[observed], observed)]

    def undo(self) -> None:
        if not self.past:
            raise RefusedError
        self.past.pop()[1](self)
        self.revision += 1
