"""A signal, or the power cut, in each state and during each service: what was acknowledged is there afterwards.

Signals in each state, and during an enrolment, are in test/integration/test_node_lifecycle.py.
"""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.assembly import assemble
from face_recognition_ros.node.inference import WAITING_JOBS
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.settings import Settings
from face_recognition_ros.testing import make_gallery

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
WAYS = {
    "unconfigured": (),
    "finalized": ("shutdown",),
    "inactive": ("configure",),
    "active": ("configure", "activate"),
}
"""To each state, from the first one."""


@pytest.fixture(scope="module")
def pictures(astronaut_path: Path, grace_hopper_path: Path) -> dict[str, Image]:
    paths = {EILEEN: astronaut_path, GRACE: grace_hopper_path}
    return {name: bgr_message(Header(), read_picture(path)) for name, path in paths.items()}


def enroll(robot: Any, name: str, picture: Image) -> Any:
    status, result = robot.send_goal(name=name, images=[picture]).result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message
    return result


def in_flight(robot: Any, names: Sequence[str], picture: Image, folder: Path) -> list[Any]:
    """The requests of these services, sent one right after the other and not waited for."""
    made = {name: SERVICES[name](picture, folder) for name in names}
    clients = {name: robot.node.create_client(kind, f"face_recognition/{name}") for name, (kind, _) in made.items()}
    for name, client in clients.items():
        robot.wait_until(client.service_is_ready, f"the service {name}")
    return [clients[name].call_async(made[name][0].Request(**made[name][1])) for name in names]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, astronaut_path: Path, grace_hopper_path: Path) -> Path:
    """A gallery of two people."""
    path = tmp_path_factory.mktemp("gallery") / "both.sqlite3"
    make_gallery(path, {EILEEN: astronaut_path, GRACE: grace_hopper_path}, Settings(min_face_size=80.0))
    return path


def read(gallery: Path) -> tuple[int, set[str]]:
    """Revision, and who is in it."""
    with assemble(Settings(gallery=str(gallery))) as assembly:
        return assembly.store.revision, {person.name for person in assembly.store.list_identities()}


def test_every_service_is_tried() -> None:
    kinds = {name for name in vars(srv) if name[0].isupper() and "_" not in name}
    assert {service.title().replace("_", "") for service in SERVICES} == kinds


def test_a_killed_node_has_lost_nothing_in_any_state(
    new_robot: Callable[[], Any], start_node: Callable[..., Any], tmp_path: Path, pictures: dict[str, Image]
) -> None:
    gallery = tmp_path / "gallery.sqlite3"
    robot, node = new_robot(), start_node(gallery)
    robot.wait_for_state("active")
    enroll(robot, EILEEN, pictures[EILEEN])
    enroll(robot, GRACE, pictures[GRACE])
    node.kill()
    for state, way in WAYS.items():
        robot, node = new_robot(), start_node(gallery, autostart=False)
        robot.wait_for_state("unconfigured")
        for transition in way:
            assert robot.change_state(transition)
        assert robot.state() == state
        if "configure" in way:
            listed = robot.call(srv.ListIdentities, "list_identities")
            assert {person.name for person in listed.identities} == {EILEEN, GRACE}
        node.kill()
    assert read(gallery)[1] == {EILEEN, GRACE}


@pytest.mark.parametrize("service", SERVICES)
def test_a_node_that_is_killed_during_a_service_keeps_what_it_acknowledged(
    new_robot: Callable[[], Any],
    start_node: Callable[..., Any],
    both: Path,
    tmp_path: Path,
    pictures: dict[str, Image],
    service: str,
) -> None:
    gallery = tmp_path / "gallery.sqlite3"
    for name in ("gallery.sqlite3", "both.sqlite3"):  # the second one is to be imported
        make_gallery(tmp_path / name, both)
    robot, node = new_robot(), start_node(gallery)
    robot.wait_for_state("active")
    acknowledged = robot.call(srv.Rename, "rename", identity=EILEEN, new_name="Commander 2")
    assert acknowledged.success, acknowledged.message
    requests = in_flight(robot, [service] * WAITING_JOBS, pictures[EILEEN], tmp_path)
    robot.wait_until(lambda: any(future.done() for future in requests), "the first answer")
    node.kill()
    revisions = [future.result().gallery_revision for future in requests if future.done()]
    revision, people = read(gallery)
    assert revision >= max([acknowledged.gallery_revision, *revisions])
    assert "Commander 2" in people or service == "undo"
    assert GRACE in people or service in ("rename", "undo", "merge", "forget")


def test_a_node_that_is_killed_during_an_enrolment_keeps_who_was_enrolled_before(
    new_robot: Callable[[], Any], start_node: Callable[..., Any], both: Path, tmp_path: Path
) -> None:
    gallery = tmp_path / "gallery.sqlite3"
    make_gallery(gallery, both)
    robot, node = new_robot(), start_node(gallery)
    robot.wait_for_state("active")
    goal = robot.send_goal(name="Somebody", track_id=-1)
    robot.wait_until(lambda: goal.feedback, "the enrolment's first feedback")
    node.kill()
    assert read(gallery)[1] == {EILEEN, GRACE}


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
    robot.wait_until(lambda: any(future.done() for future in requests), "the first answer")
    node.signal(number)
    robot.wait_until(lambda: all(future.done() for future in requests), "all answers")
    assert all(future.result().message.endswith((".", "?")) for future in requests)
    assert node.wait() == 0
    assert "Traceback" not in node.output
