"""The services that change the gallery: in their order, complete before they are answered, and with sentences."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_recognition_msgs import srv
from rclpy.task import Future

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.node.diagnostics import utc
from face_recognition_ros.node.gallery_services import ChangeHooks, GalleryServices
from face_recognition_ros.node.worker import Worker

SIZE = 64


def template(axis: int) -> Template:
    return Template(np.eye(SIZE, dtype=np.float32)[axis], 0.9)


class Bench:
    """The services with a store in memory, a client, and a diary of what the node would do."""

    def __init__(self, ros: Any) -> None:
        self._ros = ros
        self.diary: list[str] = []
        self.store = GalleryStore.open(None, "net", SIZE)
        self.store.enroll("Anna", [template(0)])
        self.worker = Worker("test", lambda: ros.executor.wake())
        self.settled: Future | None = None
        hooks = ChangeHooks(
            changed=lambda: self.diary.append("changed"), forgetting=self._forgetting, forgotten=self._forgotten
        )
        self.services = GalleryServices(ros.node, self.store, self.worker.submit, hooks)

    def _forgetting(self, name: str) -> bool:
        assert self.store.resolve("Anna"), "before the removal"
        self.diary.append(f"forgetting {name}")
        return name == "Newcomer"

    async def _forgotten(self, identity_ids: Sequence[str]) -> None:
        here = {person.identity_id for person in self.store.list_identities()}
        self.diary.append(f"forgotten {sum(one not in here for one in identity_ids)} of {len(identity_ids)}")
        if self.settled is not None:
            await self.settled

    def close(self) -> None:
        self.services.destroy()
        self.worker.stop()
        self.store.close()

    def send(self, kind: Any, name: str, **fields: Any) -> Future:
        client = self._ros.robot.create_client(kind, f"face_recognition/{name}")
        self._ros.wait_until(client.service_is_ready, f"the service {name}")
        return client.call_async(kind.Request(**fields))

    def call(self, kind: Any, name: str, **fields: Any) -> Any:
        answer = self.send(kind, name, **fields)
        self._ros.wait_until(answer.done, f"the answer of {name}")
        return answer.result()


@pytest.fixture
def bench(ros: Any) -> Iterator[Bench]:
    bench = Bench(ros)
    yield bench
    bench.close()


def test_forgetting_is_answered_only_when_nothing_is_in_flight_any_more(ros: Any, bench: Bench) -> None:
    bench.settled = Future()
    answer = bench.send(srv.Forget, "forget", identity="anna")
    ros.wait_until(lambda: "forgotten 1 of 1" in bench.diary, "the removal")
    listed = bench.call(srv.ListIdentities, "list_identities")  # meanwhile the node goes on
    assert listed.identities == []
    assert not answer.done()
    assert bench.services.busy
    bench.settled.set_result(None)
    ros.wait_until(answer.done, "the answer")
    assert not bench.services.busy
    assert (answer.result().success, answer.result().forgotten) == (True, 1)
    assert answer.result().gallery_revision == bench.store.revision
    assert bench.diary == ["forgetting anna", "forgetting Anna", "forgotten 1 of 1", "changed"]


def test_who_is_only_being_enrolled_is_forgotten_too(bench: Bench) -> None:
    ended = bench.call(srv.Forget, "forget", identity="Newcomer")
    assert (ended.success, ended.forgotten) == (True, 0)
    assert "enrolment of 'Newcomer' is ended" in ended.message
    assert not bench.call(srv.Forget, "forget", identity="Nobody").success


@pytest.mark.parametrize("fields", [{}, {"identity": "Anna", "all_unknown": True}], ids=["nobody", "both"])
def test_who_is_to_be_forgotten_must_be_clear(bench: Bench, fields: dict[str, Any]) -> None:
    response = bench.call(srv.Forget, "forget", **fields)
    assert not response.success
    assert "either identity" in response.message
    assert bench.diary == []


def test_what_is_in_flight_is_dropped_also_where_the_file_could_not_be_cleaned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = bench.store.forget

    def fail(identity: str) -> None:
        forget(identity)
        raise GalleryError("Anna is forgotten, but traces remain.")

    monkeypatch.setattr(bench.store, "forget", fail)
    response = bench.call(srv.Forget, "forget", identity="Anna")
    assert (response.success, response.message) == (False, "Anna is forgotten, but traces remain.")
    assert bench.diary == ["forgetting Anna", "forgetting Anna", "forgotten 1 of 1", "changed"]


def test_all_remembered_strangers_are_forgotten_and_nobody_else(bench: Bench) -> None:
    for axis in (1, 2):
        bench.store.remember([template(axis)], expires=None)
    response = bench.call(srv.Forget, "forget", all_unknown=True)
    assert (response.success, response.forgotten) == (True, 2)
    assert [person.name for person in bench.store.list_identities()] == ["Anna"]
    assert bench.diary[2:] == ["forgotten 2 of 2", "changed"]
    again = bench.call(srv.Forget, "forget", all_unknown=True)
    assert (again.success, again.forgotten, again.message) == (True, 0, "There was no remembered stranger.")


def test_the_node_goes_on_while_the_disk_takes_its_time(ros: Any, bench: Bench, tmp_path: Path) -> None:
    ticks: list[None] = []
    ros.node.create_timer(0.01, lambda: ticks.append(None))
    go_on = threading.Event()
    bench.worker.submit(lambda: go_on.wait(30))
    answer = bench.send(srv.ExportGallery, "export_gallery", path=str(tmp_path / "copy"))
    ticks.clear()
    ros.wait_until(lambda: len(ticks) > 2, "the node's timer")
    assert not answer.done()
    go_on.set()
    ros.wait_until(answer.done, "the answer")
    assert (answer.result().success, answer.result().people) == (True, 1)


def test_people_travel_in_a_file_and_back(bench: Bench, tmp_path: Path) -> None:
    path = str(tmp_path / "copy.sqlite3")
    exported = bench.call(srv.ExportGallery, "export_gallery", path=path)
    assert (exported.success, exported.people) == (True, 1), exported.message
    twice = bench.call(srv.ExportGallery, "export_gallery", path=path)
    assert not twice.success
    assert path in twice.message
    bench.store.forget("Anna")
    imported = bench.call(srv.ImportGallery, "import_gallery", path=path)
    assert (imported.success, imported.added, imported.extended) == (True, 1, 0), imported.message
    assert imported.gallery_revision == bench.store.revision
    assert [person.name for person in bench.store.list_identities()] == ["Anna"]
    undone = bench.call(srv.Undo, "undo")
    assert undone.success, undone.message
    assert bench.store.list_identities() == []


@pytest.mark.parametrize("path", ["", "people.sqlite3", "../people.sqlite3", "~nobody-of-this-name/people"])
@pytest.mark.parametrize(
    ("kind", "name"), [(srv.ExportGallery, "export_gallery"), (srv.ImportGallery, "import_gallery")]
)
def test_a_path_that_is_not_absolute_is_refused(bench: Bench, kind: Any, name: str, path: str) -> None:
    response = bench.call(kind, name, path=path)
    assert not response.success
    assert repr(path) in response.message
    assert bench.store.revision == 1


def test_consent_is_noted_until_it_expires(bench: Bench) -> None:
    noted = bench.call(srv.SetConsent, "set_consent", identity="Anna", consent=" aloud ", expires_after=3600.0)
    assert noted.success, noted.message
    (anna,) = bench.store.list_identities()
    assert anna.consent == "aloud"
    assert anna.expires is not None
    assert noted.message == f"'Anna' agreed to 'aloud', and is remembered until {utc(anna.expires)}."
    for_good = bench.call(srv.SetConsent, "set_consent", identity="Anna", consent="aloud")
    assert for_good.message == "'Anna' agreed to 'aloud', and is remembered for good."
    assert bench.store.resolve("Anna").expires is None
    for wrong in (-1.0, float("nan"), float("inf")):
        refused = bench.call(srv.SetConsent, "set_consent", identity="Anna", consent="x", expires_after=wrong)
        assert not refused.success
        assert "expires_after must be a number of seconds" in refused.message
    beyond = bench.call(srv.SetConsent, "set_consent", identity="Anna", consent="x", expires_after=1e15)
    assert "later than the year 9999" in beyond.message
    assert bench.store.resolve("Anna").consent == "aloud"


def test_what_was_learned_in_passing_is_purged(bench: Bench) -> None:
    anna, bert = bench.store.resolve("Anna"), bench.store.enroll("Bert", [template(1)])
    bench.store.observe(anna.identity_id, [template(2), template(3)])
    bench.store.observe(bert.identity_id, [template(4)])
    one = bench.call(srv.PurgeObserved, "purge_observed", identity="Anna")
    assert (one.success, one.removed) == (True, 2), one.message
    everybody = bench.call(srv.PurgeObserved, "purge_observed")
    assert (everybody.success, everybody.removed) == (True, 1), everybody.message
    assert [(person.templates, person.observed) for person in bench.store.list_identities()] == [(1, 0), (1, 0)]


def test_strangers_are_listed_and_get_a_name(bench: Bench) -> None:
    stranger = bench.store.remember([template(1)], expires=None)
    listed = bench.call(srv.ListIdentities, "list_identities")
    assert listed.message == "1 people are in the gallery, and 1 remembered stranger(s)."
    assert [person.remembered for person in listed.identities] == [False, True]
    renamed = bench.call(srv.Rename, "rename", identity=stranger.identity_id, new_name="Bert")
    assert renamed.message == f"{stranger.name!r} is called 'Bert' now."
    assert bench.diary == ["changed"]
    merged = bench.call(srv.Merge, "merge", keep="Anna", absorb="Bert")
    assert merged.message == "'Bert' is merged into 'Anna', who has 2 templates now."
