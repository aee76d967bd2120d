"""While somebody is enrolled, the node in its own process goes on recognising; what is given up leaves no trace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from face_recognition_msgs.action import Enroll
from face_recognition_msgs.msg import FaceIdentity
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.types import ByteArray

EILEEN, GRACE = "Eileen Collins", "Grace Hopper"
WALL = np.full((240, 320, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"


@pytest.fixture(scope="module")
def node(robot: Any, gallery: Path, start_node: Callable[..., Any]) -> Any:
    """An active node; each test leaves the gallery empty."""
    process = start_node(gallery=gallery)
    robot.wait_for_state("active")
    return process


@pytest.fixture
def grace(robot: Any, node: Any, grace_hopper_bgr: ByteArray) -> Any:
    """Her identity id; she is forgotten at the end."""
    status, result = robot.send_goal(name=GRACE, images=[bgr_message(Header(), grace_hopper_bgr)]).result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message
    yield result.identity_id
    robot.call(srv.Forget, "forget", identity=result.identity_id)


def people(robot: Any) -> tuple[int, list[str]]:
    """Revision of the gallery, and the names in it."""
    listed = robot.call(srv.ListIdentities, "list_identities")
    return listed.gallery_revision, [person.name for person in listed.identities]


def lit(picture: ByteArray, light: float) -> ByteArray:
    """The picture in so much of its light."""
    return (picture * light).astype(np.uint8)


def test_every_frame_is_answered_while_somebody_is_enrolled_live(
    robot: Any, grace: str, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    side_by_side = np.hstack([astronaut_bgr, grace_hopper_bgr[:512]])
    robot.show(side_by_side, 3)
    tracks = {face.name: face.track_id for face in robot.show(side_by_side).faces}
    before = people(robot)
    goal = robot.send_goal(name=EILEEN, track_id=tracks[""], looks_wanted=5, timeout=300.0)
    robot.wait_until(lambda: goal.feedback, "the beginning of the enrolment")
    answered = len(robot.answers)
    shown = 0
    while not goal.is_done:
        answer = robot.show(side_by_side)
        shown += 1
        assert {face.track_id for face in answer.faces} == set(tracks.values())
        assert FaceIdentity.KNOWN in {face.status for face in answer.faces if face.track_id == tracks[GRACE]}
    assert len(robot.answers) == answered + shown
    status, result = goal.result()
    assert (status, result.failure, result.looks_kept) == (GoalStatus.STATUS_SUCCEEDED, 0, 5), result.message
    assert people(robot) == (before[0] + 1, [EILEEN, GRACE])
    named = {face.name: face.track_id for face in robot.show(side_by_side).faces}
    assert named == {EILEEN: tracks[""], GRACE: tracks[GRACE]}
    robot.call(srv.Forget, "forget", identity=result.identity_id)


def test_every_frame_is_answered_while_the_pictures_of_a_goal_are_learned(
    robot: Any, node: Any, astronaut_bgr: ByteArray
) -> None:
    pictures = [bgr_message(Header(), lit(astronaut_bgr, light)) for light in np.linspace(0.6, 1.0, 8)]
    goal = robot.send_goal(name=EILEEN, images=pictures)
    robot.show(astronaut_bgr)
    while not goal.is_done:
        assert robot.show(astronaut_bgr).faces
    status, result = goal.result()
    assert (status, result.looks_kept) == (GoalStatus.STATUS_SUCCEEDED, 8), result.message
    robot.call(srv.Forget, "forget", identity=result.identity_id)


def test_looks_in_another_light_are_kept_at_once(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    goal = robot.send_goal(name=EILEEN, looks_wanted=3)
    robot.wait_until(lambda: goal.feedback, "the beginning of the enrolment")
    for light in (1.0, 0.8, 0.6):
        robot.show(lit(astronaut_bgr, light))
    status, result = goal.result()
    assert (status, result.looks_kept) == (GoalStatus.STATUS_SUCCEEDED, 3), result.message
    robot.wait_until(lambda: len(goal.feedback) == 4, "feedback at the beginning and on each frame")
    assert [feedback.looks_kept for feedback in goal.feedback] == [0, 1, 2, 3]
    assert [feedback.instruction for feedback in goal.feedback][-1] == "Thank you, that is enough."
    robot.call(srv.Forget, "forget", identity=result.identity_id)


@pytest.mark.parametrize("pictures", [[], ["face"], ["face", "face", "wall"]], ids=["no frame", "a look", "away again"])
def test_a_cancelled_enrolment_leaves_no_trace(
    robot: Any, node: Any, gallery: Path, pictures: list[str], astronaut_bgr: ByteArray
) -> None:
    before = people(robot)
    on_disk = gallery.read_bytes()
    goal = robot.send_goal(name=EILEEN)
    robot.wait_until(lambda: goal.feedback, "the beginning of the enrolment")
    for picture in pictures:
        robot.show(astronaut_bgr if picture == "face" else WALL)
    robot.wait_until(lambda: len(goal.feedback) > len(pictures), "feedback on each frame")
    goal.cancel()
    status, result = goal.result()
    assert (status, result.success) == (GoalStatus.STATUS_CANCELED, False)
    assert (result.failure, result.gallery_revision) == (Enroll.Result.CANCELED, before[0])
    assert people(robot) == before
    assert gallery.read_bytes() == on_disk
    assert robot.show(astronaut_bgr, 3).faces[0].status == FaceIdentity.UNKNOWN
    assert "Traceback" not in node.output
