import json
import subprocess
import sys
from pathlib import Path

from face_recognition_ros.gallery.store import GalleryStore

ROUNDS = 15

HAMMER = """
import json, sys
import numpy as np
from face_recognition_ros.gallery.store import GalleryStore, Template

path, me, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
random = np.random.default_rng(ord(me))
store = GalleryStore.open(path, "net", 16)
mirror, known, revisions, others = {}, None, [], set()

def looks(count):
    rows = random.normal(size=(count, 16)).astype(np.float32)
    return [Template(row / np.linalg.norm(row), 0.8) for row in rows]

def catch_up():
    global known
    changes = store.changes_since(known)
    if changes.complete:
        mirror.clear()
    for identity_id in changes.removed:
        mirror.pop(identity_id, None)
    for each in changes.changed:
        mirror[each.identity.identity_id] = (each.identity.name, each.embeddings.tobytes().hex())
        if known is not None and not each.identity.name.startswith(me):
            others.add(each.identity.name)
    known = changes.revision

def wait_for_the_other(word):
    print(word, flush=True)
    sys.stdin.readline()

catch_up()
wait_for_the_other("ready")
for number in range(rounds):
    person = store.enroll(f"{me}{number}", looks(3)).identity_id
    revisions.append(store.revision)
    store.observe(person, looks(1))
    revisions.append(store.revision)
    store.rename(person, f"{me}{number} renamed")
    revisions.append(store.revision)
    catch_up()
    if number % 3 == 0:
        store.forget(person)
        revisions.append(store.revision)
    if number % 3 == 1:
        other = store.enroll(f"{me}{number} again", looks(1))
        revisions.append(store.revision)
        store.merge(person, other.identity_id)
        revisions.append(store.revision)
wait_for_the_other("done")
catch_up()
print(json.dumps({"mirror": mirror, "revisions": revisions, "others": sorted(others)}), flush=True)
store.close()
"""


def test_two_processes_change_one_gallery_at_once_and_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, path, me, str(ROUNDS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for me in "AB"
    ]  # fmt: skip
    for word in ("ready", "done"):
        for process in processes:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == f"{word}\n", process.stderr.read()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go on\n")
            process.stdin.flush()
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    one, two = (json.loads(output) for output, _ in ended)

    with GalleryStore.open(path, "net", 16) as store:
        everybody = store.changes_since(None)
    held = {each.identity.identity_id: [each.identity.name, each.embeddings.tobytes().hex()]
            for each in everybody.changed}  # fmt: skip
    expected = {f"{me}{number} renamed": 5 if number % 3 == 1 else 4
                for me in "AB" for number in range(ROUNDS) if number % 3}  # fmt: skip
    assert {each.identity.name: each.identity.templates for each in everybody.changed} == expected
    assert one["mirror"] == two["mirror"] == held
    for process in (one, two):
        assert all(
            earlier < later for earlier, later in zip(process["revisions"], process["revisions"][1:], strict=False)
        )
        assert len(process["others"]) > ROUNDS / 3  # it did not work alone
    assert everybody.revision == len(one["revisions"]) + len(two["revisions"])
