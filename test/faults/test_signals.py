"""A signal, or the power cut, in each state and during each service: what was acknowledged is there afterwards.

Signals in each state, and during an enrolment, are in test/integration/test_node_lifecycle.py.
"""

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import read_picture

EILEEN, GRACE = "Eileen Collins", "Grace Hopper"

SERVICES: dict[str, Callable[[Image, Path], tuple[Any, dict[str, Any]]]] = {
    "recognize": lambda picture, folder: (srv.Recognize, {"image": picture}),
    "verify": lambda picture, folder: (srv.Verify, {"image_a": picture, "image_b": picture}),
    "list_identities": lambda picture, folder: (srv.ListIdentities, {}),
    "rename": lambda picture, folder: (srv.Rename, {"identity": GRACE, "new_name": "Rear Admiral Hopper"}),
    "undo": lambda picture, folder: (srv.Undo, {}),
    "set_consent": lambda picture, folder: (srv.SetConsent, {"identity": GRACE, "consent": "aloud"}),
    "purge_observed": lambda picture, folder: (srv.PurgeObserved, {}),
    "export_gallery": lambda picture, folder: (srv.ExportGallery, {"path": str(folder / "export.sqlite3")}),
    "import_gallery": lambda picture, folder: (
        srv.ImportGallery,
        {"path": str(folder / "both.sqlite3"), "merge_names": True},
    ),
    "merge": lambda picture, folder: (srv.Merge, {"keep": "Commander 2", "absorb": GRACE}),
    "forget": lambda picture, folder: (srv.Forget, {"identity": GRACE}),
}
GROUPS = [list(SERVICES)[first : first + 4] for first in range(0, len(SERVICES), 4)]


@pytest.fixture(scope="module")
def pictures(astronaut_path: Path, grace_hopper_path: Path) -> dict[str, Image]:
    paths = {EILEEN: astronaut_path, GRACE: grace_hopper_path}
    return {name: bgr_message(Header(), read_picture(path)) for name, path in paths.items()}


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one that every node of this file takes over from the one before."""
    return tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"


def enroll(robot: Any, name: str, picture: Image) -> Any:
    status, result = robot.send_goal(name=name, images=[picture]).result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message
    return result


def in_flight(robot: Any, names: list[str], picture: Image, folder: Path) -> dict[str, Any]:
    """The requests of these services, sent and not waited for."""
    clients = {}
    for name in names:
        kind, fields = SERVICES[name](picture, folder)
        clients[name] = (robot.node.create_client(kind, f"face_recognition/{name}"), kind.Request(**fields))
    for name, (client, _) in clients.items():
        robot.wait_until(client.service_is_ready, f"the service {name}")
    return {name: client.call_async(request) for name, (client, request) in clients.items()}


def test_a_killed_node_has_lost_nothing_in_any_state(
    new_robot: Callable[[], Any], start_node: Callable[..., Any], gallery: Path, pictures: dict[str, Image]
) -> None:
    robot, node = new_robot(), start_node(gallery)
    robot.wait_for_state("active")
    enroll(robot, EILEEN, pictures[EILEEN])
    enroll(robot, GRACE, pictures[GRACE])
    exported = robot.call(srv.ExportGallery, "export_gallery", path=str(gallery.with_name("both.sqlite3")))
    assert exported.success, exported.message
    node.kill()
    for state in ("unconfigured", "inactive"):
        robot, node = new_robot(), start_node(gallery, autostart=False)
        robot.wait_for_state("unconfigured")
        if state == "inactive":
            assert robot.change_state("configure")
            listed = robot.call(srv.ListIdentities, "list_identities")
            assert {person.name for person in listed.identities} == {EILEEN, GRACE}
        node.kill()


@pytest.mark.parametrize("group", range(len(GROUPS)), ids=lambda number: "+".join(GROUPS[number]))
def test_a_node_that_is_killed_during_services_keeps_what_it_acknowledged(
    new_robot: Callable[[], Any],
    start_node: Callable[..., Any],
    gallery: Path,
    pictures: dict[str, Image],
    group: int,
) -> None:
    robot, node = new_robot(), start_node(gallery)
    robot.wait_for_state("active")
    name = robot.call(srv.ListIdentities, "list_identities").identities[0].name
    acknowledged = robot.call(srv.Rename, "rename", identity=name, new_name=f"Commander {group}")
    assert acknowledged.success, acknowledged.message
    requests = in_flight(robot, GROUPS[group], pictures[EILEEN], gallery.parent)
    wanted = random.Random(group).randrange(len(requests))
    robot.wait_until(lambda: sum(future.done() for future in requests.values()) >= wanted, "some of the answers")
    node.kill()
    revisions = [acknowledged.gallery_revision]
    revisions += [future.result().gallery_revision for future in requests.values() if future.done()]

    robot, node = new_robot(), start_node(gallery)
    robot.wait_for_state("active")
    listed = robot.call(srv.ListIdentities, "list_identities")
    assert listed.success, listed.message
    assert listed.gallery_revision >= max(revisions)
    undone = "undo" in requests
    assert undone or f"Commander {group}" in {person.name for person in listed.identities}
    assert len(robot.show(pictures[EILEEN]).faces) == 1
    node.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_during_all_services_lets_each_be_answered(
    new_robot: Callable[[], Any],
    start_node: Callable[..., Any],
    tmp_path: Path,
    pictures: dict[str, Image],
    number: signal.Signals,
) -> None:
    robot, node = new_robot(), start_node(tmp_path / "gallery.sqlite3")
    robot.wait_for_state("active")
    enroll(robot, GRACE, pictures[GRACE])
    requests = in_flight(robot, list(SERVICES), pictures[EILEEN], tmp_path)
    robot.wait_until(lambda: any(future.done() for future in requests.values()), "the first answer")
    node.signal(number)
    robot.wait_until(lambda: all(future.done() for future in requests.values()), "all answers")
    assert all(future.result().message.endswith((".", "?")) for future in requests.values())
    assert node.wait() == 0
    assert "Traceback" not in node.output
