"""The gallery of a running node, with real faces: who is forgotten, expires, is a stranger, or comes from elsewhere."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from face_recognition_msgs import srv
from face_recognition_msgs.msg import FaceIdentities, FaceIdentity
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.types import ByteArray

EILEEN, GRACE = "Eileen Collins", "Grace Hopper"
EMPTY = np.full((240, 320, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"


@pytest.fixture(scope="module")
def process(gallery: Path, robot: Any, start_node: Callable[..., Any]) -> Any:
    """An active node, for all tests of this file."""
    process = start_node(gallery)
    robot.wait_for_state("active")
    return process


@pytest.fixture(autouse=True)
def node(process: Any, robot: Any) -> Iterator[Any]:
    """The node with an empty gallery and nobody in view; each test leaves it as it likes."""
    robot.turn_back(-600)  # the tracks of the test before have ended
    yield process
    robot.set_parameter("remember_unknown", False)
    for person in robot.call(srv.ListIdentities, "list_identities").identities:
        robot.call(srv.Forget, "forget", identity=person.identity_id)
    assert "Traceback" not in process.output
    assert "reason that nobody expected" not in process.output


def picture(bgr: ByteArray) -> Image:
    return bgr_message(Header(), bgr)


def enroll(robot: Any, name: str, bgr: ByteArray) -> Any:
    _, result = robot.send_goal(name=name, images=[picture(bgr)]).result()
    assert result.success, result.message
    return result


def listed(robot: Any) -> list[Any]:
    return list(robot.call(srv.ListIdentities, "list_identities").identities)


def published(robot: Any, revision: int) -> Any:
    """The state of at least that revision on the topic gallery."""
    return robot.wait_until(
        lambda: robot.gallery if robot.gallery and robot.gallery.revision >= revision else None,
        f"revision {revision} on the topic gallery",
    )


class Camera:
    """Publishes a picture at every turn of the robot's executor, and notes when the node sent each answer."""

    def __init__(self, robot: Any, bgr: ByteArray) -> None:
        self._robot = robot
        self._bgr = bgr
        self.sent: list[tuple[int, set[str], int]] = []
        """For each answer the node's time of sending it, the names in it, and its revision."""
        self._subscription = robot.subscribe(FaceIdentities, "face_identities", self._take, 100)

    def _take(self, message: FaceIdentities, info: dict[str, Any]) -> None:
        names = {face.name for face in message.faces} | {one.name for face in message.faces for one in face.candidates}
        self.sent.append((info["source_timestamp"], names, message.gallery_revision))

    def run_until(self, condition: Callable[[], Any], what: str) -> Any:
        """What the condition returns when it is true; never waits for an answer, so that a frame is always in work."""

        def turn() -> Any:
            self._robot.publish(bgr_message(self._robot.next_header(), self._bgr))
            return condition()

        return self._robot.wait_until(turn, what)

    def stop(self) -> None:
        self._robot.node.destroy_subscription(self._subscription)


class Asker:
    """Sends a request whose answer nobody but the test takes, so that it can see when the node has sent it."""

    def __init__(self, robot: Any, kind: Any, name: str) -> None:
        self._node = Node("asker", context=robot.node.context)
        self._client = self._node.create_client(kind, f"face_recognition/{name}")
        self._kind = kind
        robot.wait_until(self._client.service_is_ready, f"the service {name}")

    def send(self, **fields: Any) -> None:
        self._client.call_async(self._kind.Request(**fields))

    def answer(self) -> tuple[int, Any] | None:
        """The node's time of sending the answer, and the answer; None as long as there is none."""
        header, response = self._client.handle.take_response(self._kind.Response)
        return None if header is None else (header.source_timestamp, response)

    def close(self) -> None:
        self._node.destroy_node()


def test_no_answer_names_anybody_after_they_are_forgotten_while_frames_flow(
    robot: Any, astronaut_bgr: ByteArray
) -> None:
    camera, asker = Camera(robot, astronaut_bgr), Asker(robot, srv.Forget, "forget")
    named = unnamed = 0
    for _ in range(5):
        enroll(robot, EILEEN, astronaut_bgr)
        camera.run_until(lambda: camera.sent and EILEEN in camera.sent[-1][1], "the name in an answer")
        camera.sent.clear()
        camera.run_until(lambda: len(camera.sent) > 5, "frames that flow")
        asker.send(identity=EILEEN)
        answered, response = camera.run_until(asker.answer, "the answer")
        assert response.success, response.message
        camera.run_until(lambda: sum(sent > answered for sent, *_ in camera.sent) >= 40, "later frames")  # noqa: B023
        before = [names for sent, names, _ in camera.sent if sent <= answered]
        after = [(names, revision) for sent, names, revision in camera.sent if sent > answered]
        assert any(EILEEN in names for names in before)
        assert not any(EILEEN in names for names, _ in after)
        assert all(revision >= response.gallery_revision for _, revision in after)
        named, unnamed = named + len(before), unnamed + len(after)
    camera.stop()
    asker.close()
    assert named > 25
    assert unnamed >= 200


def test_nothing_that_was_seen_of_a_forgotten_person_counts_any_more(robot: Any, astronaut_bgr: ByteArray) -> None:
    enroll(robot, EILEEN, astronaut_bgr)
    (known,) = robot.show(astronaut_bgr, 3).faces
    assert known.name == EILEEN
    assert robot.call(srv.Forget, "forget", identity=EILEEN).success
    enroll(robot, "Commander Collins", astronaut_bgr)
    answers = [robot.show(astronaut_bgr).faces[0] for _ in range(3)]
    assert {face.track_id for face in answers} == {known.track_id}
    statuses = [face.status for face in answers]
    assert statuses == [FaceIdentity.TENTATIVE, FaceIdentity.TENTATIVE, FaceIdentity.KNOWN], "three new looks"


@pytest.mark.parametrize("state", ["active", "inactive"])
def test_who_has_expired_vanishes_without_a_restart(robot: Any, astronaut_bgr: ByteArray, state: str) -> None:
    enroll(robot, EILEEN, astronaut_bgr)
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    if state == "inactive":
        assert robot.change_state("deactivate")
    noted = robot.call(srv.SetConsent, "set_consent", identity=EILEEN, consent="for a moment", expires_after=0.5)
    assert noted.success, noted.message
    robot.wait_until(lambda: not listed(robot), "the end of the consent")
    robot.wait_until(
        lambda: robot.call(srv.ListIdentities, "list_identities").gallery_revision > noted.gallery_revision,
        "the removal itself",
    )
    if state == "inactive":
        assert robot.change_state("activate")
    assert published(robot, noted.gallery_revision + 1).identities == []
    assert robot.show(astronaut_bgr, 4).faces[0].status == FaceIdentity.UNKNOWN


def test_a_stranger_keeps_an_id_and_becomes_a_person_by_a_name(robot: Any, astronaut_bgr: ByteArray) -> None:
    def remembered() -> Any:
        """The face on a new track, once the node knows it again."""
        robot.show(EMPTY, 15)

        def face() -> Any:
            (seen,) = robot.show(astronaut_bgr).faces
            return seen if seen.remembered else None

        return robot.wait_until(face, "a stranger who is remembered")

    assert robot.set_parameter("remember_unknown", True) == (True, "")
    first, again = remembered(), remembered()
    assert (first.status, first.name) == (FaceIdentity.UNKNOWN, "")
    assert first.track_id != again.track_id
    assert first.identity_id == again.identity_id
    (person,) = listed(robot)
    assert (person.identity_id, person.remembered) == (first.identity_id, True)
    assert person.expires.sec > person.updated.sec

    forgotten = robot.call(srv.Forget, "forget", all_unknown=True)
    assert (forgotten.success, forgotten.forgotten) == (True, 1)
    anew = remembered()
    assert anew.identity_id != first.identity_id

    renamed = robot.call(srv.Rename, "rename", identity=anew.identity_id, new_name=EILEEN)
    assert renamed.success, renamed.message
    (known,) = robot.show(astronaut_bgr).faces
    assert (known.status, known.name, known.identity_id) == (FaceIdentity.KNOWN, EILEEN, anew.identity_id)
    assert not known.remembered
    (person,) = published(robot, renamed.gallery_revision).identities
    assert (person.name, person.remembered, person.expires.sec) == (EILEEN, False, 0)
    nobody = robot.call(srv.Forget, "forget", all_unknown=True)
    assert (nobody.success, nobody.forgotten) == (True, 0)


def test_people_come_and_go_in_a_file(
    robot: Any, tmp_path: Path, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    path = tmp_path / "people.sqlite3"
    for name, bgr in ((EILEEN, astronaut_bgr), (GRACE, grace_hopper_bgr)):
        enroll(robot, name, bgr)
    exported = robot.call(srv.ExportGallery, "export_gallery", path=str(path))
    assert (exported.success, exported.people) == (True, 2), exported.message
    assert path.stat().st_mode & 0o777 == 0o600
    for name in (EILEEN, GRACE):
        assert robot.call(srv.Forget, "forget", identity=name).success
    imported = robot.call(srv.ImportGallery, "import_gallery", path=str(path))
    assert (imported.success, imported.added, imported.extended) == (True, 2, 0), imported.message
    assert [person.name for person in published(robot, imported.gallery_revision).identities] == [EILEEN, GRACE]
    assert robot.show(grace_hopper_bgr, 3).faces[0].name == GRACE
    undone = robot.call(srv.Undo, "undo")
    assert undone.success, undone.message
    assert listed(robot) == []
    refused = robot.call(srv.ImportGallery, "import_gallery", path="people.sqlite3")
    assert "'people.sqlite3' is not absolute" in refused.message


def test_what_is_learned_in_passing_can_be_purged(robot: Any, astronaut_bgr: ByteArray) -> None:
    """The same face from the other side, out of focus."""
    enroll(robot, EILEEN, astronaut_bgr)
    another_look = cv2.GaussianBlur(astronaut_bgr[:, ::-1], (0, 0), 1.5)

    def learned() -> Any:
        robot.show(EMPTY, 15)
        robot.show(another_look, 20)
        (person,) = listed(robot)
        return person if person.observed else None

    person = robot.wait_until(learned, "a look that is learned")
    assert person.templates == 1 + person.observed
    assert published(robot, 0).identities[0].observed == person.observed
    purged = robot.call(srv.PurgeObserved, "purge_observed")
    assert (purged.success, purged.removed) == (True, person.observed), purged.message
    (person,) = listed(robot)
    assert (person.templates, person.observed) == (1, 0)


def test_two_nodes_on_one_gallery_see_each_others_changes(
    robot: Any, gallery: Path, start_node: Callable[..., Any], new_robot: Callable[..., Any], astronaut_bgr: ByteArray
) -> None:
    other = new_robot("second")
    second = start_node(gallery, beside=True, remappings={"__ns": "/second"})
    other.wait_for_state("active")
    other.show(astronaut_bgr, 3)
    enrolled = enroll(robot, EILEEN, astronaut_bgr)
    answer = other.show(astronaut_bgr)
    assert [face.name for face in answer.faces] == [EILEEN], "known at the next frame"
    assert answer.gallery_revision == enrolled.gallery_revision
    assert [person.name for person in published(other, enrolled.gallery_revision).identities] == [EILEEN]
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    forgotten = other.call(srv.Forget, "forget", identity=EILEEN)
    assert forgotten.success, forgotten.message
    (face,) = robot.show(astronaut_bgr).faces
    assert (face.name, face.identity_id) == ("", ""), "gone at the next frame"
    assert published(robot, forgotten.gallery_revision).identities == []
    assert second.stop() == 0
    assert "Traceback" not in second.output
