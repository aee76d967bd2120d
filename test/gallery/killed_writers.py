"""Kills processes that write to a gallery, again and again, and compares what is left with a run that nobody killed.

    python killed_writers.py FOLDER KILLS

Each life of a gallery is a fixed sequence of changes. First they are made in memory: that tells the state before and
after each of them, and who is forgotten by then. Then processes make them on disk: each acknowledges every change
through a pipe and is killed at a random moment, and the next one goes on from there. Prints what was found as JSON.
"""

import json
import os
import random
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.inspection import inspect
from face_recognition_ros.gallery.last_good import copy_of
from face_recognition_ros.gallery.sealing import AesGcmSeal, PlainSeal, Seal
from face_recognition_ros.gallery.store import GalleryStore, Template

SIZE = 16
STEPS = 60
"""Changes in the life of a gallery."""
MOST_ACKNOWLEDGED = 4
"""A process is killed after up to so many of its changes."""
MEAN_DELAY = 0.005
"""Seconds from there to the kill, exponentially distributed: about as long as a change takes."""
STEP_SECONDS = 100.0
"""By the galleries' clock."""
SEALS: tuple[Seal, ...] = (PlainSeal(), PlainSeal(), AesGcmSeal(bytes(range(32))))

State = tuple[int, tuple[object, ...]]


@dataclass
class Life:
    """What the changes of one seed lead to."""

    seed: int
    seal: Seal
    imports: Path
    states: list[State] = field(default_factory=list)
    """Entry i: after i changes."""
    forgotten: list[frozenset[bytes]] = field(default_factory=list)
    """Entry i: what must not be found in any file after i changes."""

    def open(self, path: Path | None, step: int) -> tuple[GalleryStore, Callable[[int], None]]:
        """The gallery at the time of that step, and what sets the time of another."""
        now = [float(step)]
        store = GalleryStore.open(path, "net", SIZE, self.seal, clock=lambda: 1e9 + STEP_SECONDS * now[0])
        return store, lambda later: now.__setitem__(0, float(later))

    def rehearse(self) -> None:
        """Makes all changes in memory."""
        store, set_step = self.open(None, 0)
        gone: set[bytes] = set()
        self.states, self.forgotten = [state_of(store)], [frozenset()]
        for step in range(STEPS):
            before, people = secrets(store), {person.identity_id for person in store.list_identities()}
            set_step(step + 1)
            expired = people - {person.identity_id for person in store.list_identities()}
            forgets = self.change(store, step)
            after = set().union(*secrets(store).values())
            gone.update(*(before[person] for person in (people if forgets else expired)))
            gone -= after  # still there, or imported again
            self.states.append(state_of(store))
            self.forgotten.append(frozenset(gone))
        store.close()

    def change(self, store: GalleryStore, step: int) -> bool:
        """Makes the change of a step, the same for the same seed and state; whether it forgets for good."""
        chance = random.Random(1000 * self.seed + step)
        people = [person.identity_id for person in store.list_identities()]
        now = 1e9 + STEP_SECONDS * (step + 1)
        someone = chance.choice(people) if people else ""
        name, looks = f"Guest{self.seed:03}x{step:02}", templates(chance, chance.randint(1, 4))
        kind = chance.choices(
            ["enroll", "more", "observe", "remember", "rename", "merge", "consent", "undo", "forget", "strangers",
             "expire", "purge", "import"], [8, 3, 4, 4, 2, 2, 2, 4, 3, 1, 1, 1, 1]
        )[0]  # fmt: skip
        if kind == "import":
            store.import_from(self.imports / f"{chance.randrange(4)}.db")
        elif kind == "undo" and journal_has_steps(store):
            store.undo()
        elif kind == "strangers":
            store.forget_strangers()
        elif kind == "expire":
            store.expire()
        elif kind == "purge":
            store.purge_observed()
        elif kind == "remember":
            store.remember(looks, now + STEP_SECONDS * chance.randint(2, 20))
        elif kind == "enroll" or len(people) < 3:
            store.enroll(name, looks, consent=chance.choice([None, "yes"]))
        elif kind == "more":
            store.enroll(name, looks, someone)
        elif kind == "observe":
            old = [each.template_id for each in store.identity_templates(someone) if each.kind == "observed"]
            store.observe(someone, looks, old[:2])
        elif kind == "merge":
            store.merge(*chance.sample(people, 2))
        elif kind == "consent":
            store.set_consent(someone, "until then", now + STEP_SECONDS * chance.randint(2, 20))
        elif kind == "forget":
            store.forget(someone)
        else:
            store.rename(someone, name)
        return kind in ("forget", "strangers", "expire", "purge")


def templates(chance: random.Random, count: int) -> list[Template]:
    """Random ones, some with a picture of more than a page."""
    rows = np.random.default_rng(chance.getrandbits(32)).normal(size=(count, SIZE)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pictures = [chance.randbytes(chance.choice([300, 6000])) if chance.random() < 0.3 else None for _ in rows]
    return [Template(row, 0.75, "door", picture) for row, picture in zip(rows, pictures, strict=True)]


def journal_has_steps(store: GalleryStore) -> bool:
    """Whether there is something to undo."""
    with store._transaction("read") as rows:
        steps = "('enroll', 'rename', 'merge', 'consent', 'import')"
        return bool(rows.db.execute(f"SELECT 1 FROM journal WHERE operation IN {steps}").fetchone())


def state_of(store: GalleryStore) -> State:
    """All that a gallery holds, but for the random ids."""
    revision, people = store.snapshot()
    held = []
    for person in people:
        looks = [(each.template_id, each.kind, each.embedding.tobytes(), each.quality, each.source, each.created)
                 for each in store.identity_templates(person.identity_id)]  # fmt: skip
        with store._transaction("read") as rows:
            pictures = tuple(sorted(rows.crops(person.identity_id).items()))
        held.append((person.name, person.remembered, person.consent, person.expires, person.created, person.updated,
                     tuple(looks), pictures))  # fmt: skip
    return revision, tuple(held)


def secrets(store: GalleryStore) -> dict[str, set[bytes]]:
    """Pieces by which each person would be found in a file."""
    found = {}
    for person in store.list_identities():
        looks = {each.embedding.tobytes()[20:44] for each in store.identity_templates(person.identity_id)}
        with store._transaction("read") as rows:
            looks |= {picture[100:124] for picture in rows.crops(person.identity_id).values()}
        found[person.identity_id] = looks | ({person.name.encode()} if person.name.startswith("Guest") else set())
    return found


def write(life: Life, path: Path, start: int, pipe: int) -> None:
    """What a process does until it is killed."""
    store, set_step = life.open(path, start)
    for step in range(start, STEPS):
        set_step(step + 1)
        life.change(store, step)
        os.write(pipe, b".")
    store.close()


def kill_one(life: Life, path: Path, start: int, chance: random.Random) -> tuple[int, bool]:
    """Starts a process and kills it; returns how many changes are acknowledged, and whether it was still alive."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            write(life, path, start, writing)
        except BaseException as error:
            os.write(2, f"life {life.seed}: {error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    os.close(writing)
    acknowledged, awaited = start, chance.randint(0, MOST_ACKNOWLEDGED)
    while acknowledged < start + awaited and (more := os.read(reading, 1)):
        acknowledged += len(more)
    select.select([], [], [], chance.expovariate(1 / MEAN_DELAY))  # the random moment
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    while more := os.read(reading, 100):
        acknowledged += len(more)
    os.close(reading)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise GalleryError("a process failed by itself")
    return acknowledged, os.WIFSIGNALED(status)


def check(life: Life, path: Path, acknowledged: int) -> int:
    """Compares what is on disk with the rehearsal; returns how many changes it holds."""

    def see_that_nobody_is_back(step: int) -> None:
        data = {file.name: file.read_bytes() for file in path.parent.glob("*")}
        for name, content in data.items():
            if any(secret in content for secret in life.forgotten[step]):
                raise GalleryError(f"somebody who was forgotten is in {name}")

    see_that_nobody_is_back(acknowledged)  # before anything has been cleaned up
    store, set_step = life.open(path, acknowledged)
    step = acknowledged if store.revision == life.states[acknowledged][0] else acknowledged + 1
    set_step(step)
    if step > STEPS or state_of(store) != life.states[step]:
        raise GalleryError("something is lost, or half there")
    see_that_nobody_is_back(step)
    store.close()
    if copy_of(path).exists():
        copy = inspect(copy_of(path), life.seal)
        if copy.damage or copy.revision not in {state[0] for state in life.states[: step + 1]}:
            raise GalleryError(f"the last good copy is none: {copy}")
    return step


def prepare_imports(folder: Path) -> Path:
    """Galleries to import from, not encrypted."""
    folder.mkdir()
    for number in range(4):
        with GalleryStore.open(None, "net", SIZE, clock=lambda: 1e9) as store:
            for letter in "ab":
                store.enroll(f"Imported{number}{letter}", templates(random.Random(f"{number}{letter}"), 2))
            store.export_to(folder / f"{number}.db")
    return folder


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    imports = prepare_imports(folder / "imports")
    outcomes: Counter[str] = Counter()
    problems = []
    started = time.monotonic()
    seed = 0
    while outcomes["kills"] < kills and not problems:
        life = Life(seed, SEALS[seed % len(SEALS)], imports)
        life.rehearse()
        path = folder / str(seed) / "gallery.db"
        chance, step = random.Random(seed), 0
        while step < STEPS:
            try:
                acknowledged, killed = kill_one(life, path, step, chance)
                step = check(life, path, acknowledged)
            except GalleryError as error:
                problems.append(f"seed {seed}, after {step} changes: {error}")
                break
            outcomes["kills"] += killed
            outcomes["not acknowledged, but done"] += step > acknowledged
            outcomes["forgotten"] = max(outcomes["forgotten"], len(life.forgotten[step]))
        seed += 1
    seconds = time.monotonic() - started
    print(json.dumps({"problems": problems, "lives": seed, "seconds": round(seconds, 1), **outcomes}))


if __name__ == "__main__":
    main()
