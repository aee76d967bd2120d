"""A backend that raises or hangs costs the frame, and the networks are loaded anew; the node stays and answers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_msgs.msg import Header

from face_recognition_ros.demo.processes import PythonProcess
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.testing import NodeProcess
from face_recognition_ros.types import ByteArray

from .helpers import ERROR, OK, all_settled, counts, diagnosed

EILEEN = "Eileen Collins"
PROGRAM = str(Path(__file__).with_name("faulty_node.py"))


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written there, the backend does."""
    return tmp_path_factory.mktemp("orders") / "order"


class FaultyNode(NodeProcess):
    """The node with a backend that takes orders; its gallery is in memory and must outlive the networks."""

    def __init__(self, log: Path, order: Path) -> None:
        settings = ("-p", "gallery:=''", "-p", "min_face_size:=80.0")
        PythonProcess.__init__(self, [PROGRAM, str(order), "--ros-args", *settings], {}, log)


@pytest.fixture(scope="module")
def node(domain: int, robot: Any, order: Path) -> Iterator[FaultyNode]:
    """It is active, for all tests of this file."""
    with FaultyNode(order.with_name("output.log"), order) as process:
        robot.wait_for_state("active")
        yield process


@pytest.fixture(scope="module", autouse=True)
def enrolled(robot: Any, node: Any, astronaut_path: Path) -> None:
    enroll(robot, astronaut_path)


def enroll(robot: Any, astronaut_path: Path) -> None:
    picture = bgr_message(Header(), read_picture(astronaut_path))
    status, result = robot.send_goal(name=EILEEN, images=[picture]).result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message


def published(robot: Any, picture: ByteArray, condition: Callable[[], Any], what: str) -> None:
    """Publishes new images until the condition holds, whether or not they are answered."""

    def once_more() -> Any:
        robot.publish(bgr_message(robot.next_header(), picture))
        return condition()

    robot.wait_until(once_more, what)


def test_a_backend_that_raises_costs_a_frame_and_is_loaded_anew(
    robot: Any, node: Any, order: Path, astronaut_bgr: ByteArray
) -> None:
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    order.write_text("raise")
    published(robot, astronaut_bgr, lambda: not order.exists(), "a network that raises")
    values = diagnosed(robot, ERROR, "BackendError: The GPU has fallen off the bus.")
    assert values["images failed"] == "1"
    robot.wait_until(lambda: "The networks were loaded anew" in node.output, "networks that are loaded anew")
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    assert all_settled(counts(robot, all_settled))


def test_a_backend_that_hangs_costs_a_frame_and_its_thread(
    robot: Any, node: Any, order: Path, astronaut_bgr: ByteArray
) -> None:
    track = robot.show(astronaut_bgr, 3).faces[0].track_id
    before = counts(robot, lambda images: True)
    order.write_text("hang 12")
    published(robot, astronaut_bgr, lambda: not order.exists(), "a network that hangs")
    listed = robot.call(srv.ListIdentities, "list_identities")
    assert [person.name for person in listed.identities] == [EILEEN], "the executor does not wait for the network"
    waiting = robot.call(srv.Recognize, "recognize", image=bgr_message(Header(), astronaut_bgr))
    assert waiting.success, "a request that waits meanwhile is answered by the new thread"
    values = diagnosed(robot, ERROR, "A network has not answered for 5 s.")
    assert int(values["images failed"]) == before["failed"] + 1
    face = robot.show(astronaut_bgr, 3).faces[0]
    assert face.name == EILEEN
    assert face.track_id > track, "no id is used twice"
    assert all_settled(counts(robot, all_settled))


def test_a_request_that_meets_a_network_that_hangs_gets_an_answer(
    robot: Any, node: Any, order: Path, astronaut_bgr: ByteArray
) -> None:
    order.write_text("hang 12")
    refused = robot.call(srv.Recognize, "recognize", image=bgr_message(Header(), astronaut_bgr))
    assert not refused.success
    assert "A network has not answered for 5 s." in refused.message
    answered = robot.call(srv.Recognize, "recognize", image=bgr_message(Header(), astronaut_bgr))
    assert [face.name for face in answered.faces] == [EILEEN]


def test_networks_that_cannot_be_loaded_anew_are_tried_again(
    robot: Any, node: Any, order: Path, astronaut_bgr: ByteArray
) -> None:
    order.write_text("hang 12")
    published(robot, astronaut_bgr, lambda: not order.exists(), "a network that hangs")
    order.write_text("refuse")
    robot.wait_until(
        lambda: "The networks could not be loaded anew. No inference backend" in node.output, "the reason in the log"
    )
    published(robot, astronaut_bgr, lambda: "The networks hung, and are not loaded again yet" in node.output, "refusal")
    order.unlink()
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN


def test_loading_that_hangs_in_configure_is_told_and_can_be_tried_again(
    robot: Any, node: Any, order: Path, astronaut_bgr: ByteArray, astronaut_path: Path
) -> None:
    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")
    order.write_text("stall 600")
    client = robot.node.create_client(ChangeState, "face_recognition/change_state")
    robot.wait_until(client.service_is_ready, "the service change_state")
    request = client.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE)))
    diagnosed(robot, OK, "The node is configuring")
    robot.wait_until(request.done, "the end of configure")
    assert not request.result().success
    diagnosed(robot, ERROR, "Networks and gallery were not loaded within 10 s")
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    enroll(robot, astronaut_path)  # its gallery is in memory
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN


def test_deactivated_while_a_network_hangs_it_can_be_activated_again_and_ended(
    robot: Any, node: Any, order: Path, astronaut_bgr: ByteArray
) -> None:
    order.write_text("hang 600")
    published(robot, astronaut_bgr, lambda: not order.exists(), "a network that hangs")
    assert robot.change_state("deactivate")
    assert robot.change_state("activate")
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    assert node.stop() == 0
    assert "Traceback" not in node.output
