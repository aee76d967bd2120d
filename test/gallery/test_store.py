import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.errors import GalleryError, UnknownIdentityError
from face_recognition_ros.gallery.sealing import AesGcmSeal, PlainSeal, Seal
from face_recognition_ros.gallery.store import GalleryStore, Template

from .helpers import SIZE, bytes_on_disk, names


def test_enrolled_people_are_there_after_reopening(tmp_path: Path, faces: Any) -> None:
    embeddings = faces.people(3)
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE) as store:
        anna = store.enroll("Anna", faces.as_templates(embeddings))
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE) as store:
        assert store.list_identities() == [anna]
        assert store.revision == 1
        changes = store.changes_since(None)
    assert (changes.revision, changes.complete, changes.removed) == (1, True, ())
    (stored,) = changes.changed
    assert stored.identity == anna
    np.testing.assert_allclose(stored.embeddings, embeddings, atol=1e-6)
    assert (stored.embeddings.dtype, stored.qualities.dtype) == (np.float32, np.float32)
    assert stored.qualities.tolist() == pytest.approx([0.9] * 3)
    assert stored.observed.tolist() == [False] * 3


def test_templates_of_one_person_are_together(store: GalleryStore, faces: Any) -> None:
    expected: dict[str, list[np.ndarray]] = {}
    for name in ("Anna", "Bob", "Anna", "Cleo", "Bob"):
        templates = faces.templates(2)
        person = store.enroll(name, templates).identity_id
        expected.setdefault(person, []).extend(template.embedding for template in templates)
    stored = store.changes_since(None).changed
    assert [one.identity.identity_id for one in stored] == sorted(expected)
    for one in stored:
        np.testing.assert_allclose(one.embeddings, expected[one.identity.identity_id], atol=1e-6)


def test_a_template_is_found_as_it_was_given(store: GalleryStore, faces: Any) -> None:
    clock = itertools.chain([12.5], itertools.repeat(13.5))
    store.clock = lambda: next(clock)
    given = Template(faces.people(1)[0], 0.75, "camera \udc80", b"PNG")
    anna = store.enroll("Anna", [given])
    (stored,) = store.identity_templates(anna.identity_id)
    assert (stored.kind, stored.quality, stored.source) == ("enrolled", 0.75, "camera \\udc80")
    assert (stored.created, anna.created, anna.updated) == (12.5, 12.5, 12.5)
    np.testing.assert_allclose(stored.embedding, given.embedding, atol=1e-6)
    with store._transaction("read") as rows:
        assert rows.crops(anna.identity_id) == {stored.template_id: b"PNG"}


@pytest.mark.parametrize(
    ("embedding", "sentence"),
    [
        (np.ones(32, np.float32), r"shape \(64,\), not \(32,\)"),
        (np.ones(64, np.float32), "unit vector.*length 8"),
        (np.full(64, np.nan, np.float32), "unit vector"),
    ],
)
def test_what_is_no_unit_vector_is_refused(store: GalleryStore, embedding: np.ndarray, sentence: str) -> None:
    with pytest.raises(GalleryError, match=sentence):
        store.enroll("Anna", [Template(embedding, 1.0)])
    assert store.revision == 0


@pytest.mark.parametrize("quality", [np.nan, np.inf])
def test_a_quality_that_is_no_number_is_refused(store: GalleryStore, faces: Any, quality: float) -> None:
    with pytest.raises(GalleryError, match="quality must be a finite number"):
        store.enroll("Anna", [Template(faces.people(1)[0], quality)])
    assert store.revision == 0


def test_enrolling_nothing_is_refused(store: GalleryStore) -> None:
    with pytest.raises(GalleryError, match="at least one"):
        store.enroll("Anna", [])


def test_people_are_found_by_id_and_name_and_missing_ones_explained(store: GalleryStore, faces: Any) -> None:
    hanna = store.enroll("Hanna", faces.templates(1))
    assert store.resolve(hanna.identity_id) == store.resolve("hanna") == hanna
    with pytest.raises(UnknownIdentityError, match="Did you mean 'Hanna'"):
        store.resolve("Hana")
    with pytest.raises(UnknownIdentityError, match="udcff"):
        store.resolve("Hanna\udcff")


def test_a_refused_change_leaves_no_trace(store: GalleryStore, faces: Any) -> None:
    store.enroll("Anna", faces.templates(1))
    for refused in (
        lambda: store.merge("Anna", "Nobody"),
        lambda: store.rename("Nobody", "Bob"),
        lambda: store.rename("Anna", "\n"),
        lambda: store.forget("Nobody"),
        lambda: store.enroll("Bob", faces.templates(1), "Nobody"),
    ):
        with pytest.raises(GalleryError):
            refused()
    assert store.revision == 1
    assert names(store) == {"Anna": 1}


def test_a_closed_store_says_so(store: GalleryStore) -> None:
    store.close()
    with pytest.raises(GalleryError, match="closed"):
        store.list_identities()


def test_two_stores_on_one_file_see_each_others_changes(tmp_path: Path, faces: Any) -> None:
    path = tmp_path / "gallery.db"
    with GalleryStore.open(path, "net-a", SIZE) as one, GalleryStore.open(path, "net-a", SIZE) as two:
        one.enroll("Anna", faces.templates(1))
        two.enroll("Bob", faces.templates(1))
        assert names(one) == names(two) == {"Anna": 1, "Bob": 1}
        assert one.revision == two.revision == 2


def test_threads_may_write_and_read_at_once(tmp_path: Path, faces: Any) -> None:
    embeddings = faces.people(40)
    failures: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            for i in range(10):
                store.enroll(f"worker {worker}", faces.as_templates(embeddings[worker * 10 + i][None]))
                stored = store.changes_since(None)
                assert all(len(one.embeddings) == one.identity.templates for one in stored.changed)
                total = sum(len(one.embeddings) for one in stored.changed)
                assert stored.revision == total  # one template per revision: a consistent snapshot
        except BaseException as error:
            failures.append(error)

    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE) as store:
        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert store.revision == 40
        assert names(store) == {f"worker {worker}": 10 for worker in range(4)}


WRITER = """
import sys
import numpy as np
from face_recognition_ros.gallery.store import GalleryStore, Template
store = GalleryStore.open(sys.argv[1], "net-a", 64)
row = np.eye(64, dtype=np.float32)
for i in range(len(store.list_identities()), 10**6):
    store.enroll(f"guest {i}", [Template(row[i % 64], 1.0), Template(row[(i + 1) % 64], 1.0)])
    print(i, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    acknowledged = -1
    for lines in (1, 7, 2, 12, 4):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                acknowledged = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.stdout.read().split("\n")[:-1]  # acknowledged between our last look and the kill
            acknowledged = int(rest[-1]) if rest else acknowledged
        with GalleryStore.open(path, "net-a", SIZE) as store:
            found = names(store)
            assert {f"guest {i}" for i in range(acknowledged + 1)} <= set(found)
            assert len(found) - (acknowledged + 1) in (0, 1)  # at most the one that was on its way
            assert set(found.values()) == {2}  # nobody is half there
            assert store.revision == len(found)


def test_nobody_who_reads_waits_for_a_change(tmp_path: Path, faces: Any) -> None:
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE) as store:
        anna = store.enroll("Anna", faces.templates(1))
        answers: list[object] = []

        def read() -> None:
            answers.extend((store.revision, store.snapshot()[1], store.resolve("Anna"), store.next_expiry))
            answers.extend((store.identity_templates(anna.identity_id), store.changes_since(0).changed))

        reader = threading.Thread(target=read)
        with store._transaction("change"):
            reader.start()
            reader.join(timeout=30)
            assert answers[:4] == [1, [anna], anna, None]
        reader.join()
    assert len(answers) == 6


def test_a_snapshot_is_the_revision_and_everybody_by_name(store: GalleryStore, faces: Any) -> None:
    for name in ("bert", "Anna", "Cleo"):
        store.enroll(name, faces.templates(1))
    revision, identities = store.snapshot()
    assert revision == store.revision == 3
    assert [person.name for person in identities] == ["Anna", "bert", "Cleo"]


def test_changes_since_a_revision_are_only_what_has_changed(store: GalleryStore, faces: Any) -> None:
    _, bob, cleo, dan = (store.enroll(name, faces.templates(2)) for name in ("Anna", "Bob", "Cleo", "Dan"))
    seen = store.revision
    assert store.changes_since(seen).changed == ()
    store.merge("Anna", "Bob")
    store.observe(cleo.identity_id, faces.templates(1))
    store.forget("Dan")
    changes = store.changes_since(seen)
    assert (changes.revision, changes.complete) == (7, False)
    assert {one.identity.name: len(one.embeddings) for one in changes.changed} == {"Anna": 4, "Cleo": 3}
    assert set(changes.removed) == {bob.identity_id, dan.identity_id}
    store.enroll("Eve", faces.templates(1))
    changes = store.changes_since(7)
    assert ([one.identity.name for one in changes.changed], changes.removed) == (["Eve"], ())
    for revision in (None, store.revision + 1):
        changes = store.changes_since(revision)
        assert (changes.complete, len(changes.changed), changes.removed) == (True, 3, ())


def test_somebody_whose_removal_is_undone_is_no_longer_removed(store: GalleryStore, faces: Any) -> None:
    store.enroll("Anna", faces.templates(1))
    bob = store.enroll("Bob", faces.templates(1))
    store.merge("Anna", "Bob")
    store.undo()
    changes = store.changes_since(2)
    assert bob.identity_id in {one.identity.identity_id for one in changes.changed}
    assert changes.removed == ()


@pytest.mark.parametrize("seal", [PlainSeal(), AesGcmSeal(bytes(32))], ids=["plain", "encrypted"])
def test_a_sealed_gallery_tells_nobody_and_can_do_the_same(tmp_path: Path, faces: Any, seal: Seal) -> None:
    look = faces.people(1)[0]
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE, seal) as store:
        template = Template(look, 0.9, "kitchen camera", b"PNG of Zebediah")
        store.enroll("Zebediah", [template], consent="asked by Methuselah")
        store.rename("zebediah", "Nebuchadnezzar")
        with pytest.raises(UnknownIdentityError, match="Did you mean 'Nebuchadnezzar'"):
            store.resolve("Nebukadnezar")
        data = bytes_on_disk(tmp_path)
        stored = store.identity_templates(store.resolve("NEBUCHADNEZZAR").identity_id)[0]
        np.testing.assert_allclose(stored.embedding, look, atol=1e-6)
    secrets = (b"kitchen", b"Zebediah", b"Methuselah", b"nebuchadnezzar", stored.embedding.tobytes()[:24])
    assert [secret in data for secret in secrets] == [not seal.encrypts] * len(secrets)


def test_a_value_that_was_moved_is_noticed(tmp_path: Path, faces: Any) -> None:
    """Whoever can write the file cannot make a stranger look like Anna."""
    with GalleryStore.open(tmp_path / "gallery.db", "net-a", SIZE, AesGcmSeal(bytes(32))) as store:
        store.enroll("Anna", faces.templates(1))
        store.enroll("Bob", faces.templates(1))
        store._connection.execute(
            "UPDATE templates SET embedding = (SELECT embedding FROM templates WHERE id = 1) WHERE id = 2"
        )
        with pytest.raises(GalleryError, match="templates/2/embedding cannot be decrypted"):
            store.changes_since(None)


def test_following_the_changes_reads_only_who_has_changed(faces: Any) -> None:
    """What is read is unsealed: a name, a consent and two embeddings each."""

    class CountingSeal(PlainSeal):
        unsealed: list[str]

        def unseal(self, sealed: bytes, context: str) -> bytes:
            self.unsealed.append(context)
            return super().unseal(sealed, context)

    seal = CountingSeal()
    seal.unsealed = []
    store = GalleryStore.open(None, "net-a", SIZE, seal)
    people = [store.enroll(f"guest {i}", faces.templates(2)).identity_id for i in range(20)]
    store.rename("guest 7", "Anna")
    seal.unsealed.clear()
    store.changes_since(20)
    assert len(seal.unsealed) == 4
    assert all(people[7] in context or context.split("/")[1] in ("15", "16") for context in seal.unsealed)
