"""A gallery that cannot be read or written: one sentence, and whoever is known already goes on being recognised."""

import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from face_recognition_msgs.action import Enroll
from std_msgs.msg import Header

from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.types import ByteArray

from .helpers import ERROR, all_settled, counts, diagnosed

EILEEN = "Eileen Collins"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"


@pytest.fixture(scope="module")
def node(robot: Any, gallery: Path, start_node: Callable[..., Any], astronaut_path: Path) -> Any:
    """An active node that knows Eileen Collins."""
    process = start_node(gallery)
    robot.wait_for_state("active")
    enroll(robot, EILEEN, read_picture(astronaut_path))
    return process


def enroll(robot: Any, name: str, picture: ByteArray) -> Enroll.Result:
    status, result = robot.send_goal(name=name, images=[bgr_message(Header(), picture)]).result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message
    return result


@contextmanager
def full_disk(process: Any) -> Iterator[None]:
    """No file of the process may grow, or be written beyond its first 4 KiB: to SQLite, a disk without room."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def taken_away(gallery: Path) -> Iterator[None]:
    """The gallery's file is gone from its folder, as on a stick that was pulled out."""
    away = gallery.with_name("away")
    away.mkdir()
    for path in list(gallery.parent.glob("gallery*")):
        shutil.move(path, away / path.name)
    try:
        yield
    finally:
        for path in list(away.iterdir()):
            shutil.move(path, gallery.parent / path.name)
        away.rmdir()


@contextmanager
def locked(gallery: Path) -> Iterator[None]:
    """Another program is in the midst of a change that takes long."""
    with closing(sqlite3.connect(gallery, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_on_a_full_disk_nothing_is_changed_and_recognition_goes_on(
    robot: Any, node: Any, gallery: Path, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    before = robot.call(srv.ListIdentities, "list_identities")
    with full_disk(node):
        refused = robot.call(srv.Rename, "rename", identity=EILEEN, new_name="Somebody")
        assert not refused.success
        assert f"The gallery {gallery} could not be changed" in refused.message
        goal = robot.send_goal(name="Grace Hopper", images=[bgr_message(Header(), grace_hopper_bgr)])
        status, result = goal.result()
        assert (status, result.success) == (GoalStatus.STATUS_ABORTED, False)
        assert f"The gallery {gallery} could not be changed" in result.message
        assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
        assert robot.call(srv.ListIdentities, "list_identities").identities == before.identities
    assert enroll(robot, "Grace Hopper", grace_hopper_bgr).success, "once there is room again"
    assert robot.call(srv.Forget, "forget", identity="Grace Hopper").success
    assert "Traceback" not in node.output


def test_while_another_program_locks_it_frames_are_answered_and_changes_wait_or_are_refused(
    robot: Any, node: Any, gallery: Path, astronaut_bgr: ByteArray
) -> None:
    with locked(gallery):
        client = robot.node.create_client(srv.Rename, "face_recognition/rename")
        robot.wait_until(client.service_is_ready, "the service rename")
        request = client.call_async(srv.Rename.Request(identity=EILEEN, new_name="Somebody"))
        signs_of_life = set()
        while not request.done():
            answer = robot.show(astronaut_bgr)
            if robot.diagnostics and not request.done():
                signs_of_life.add((robot.diagnostics.header.stamp.sec, len(answer.faces)))
        assert len(signs_of_life) >= 3, "frames and diagnostics do not wait with the change"
        refused = request.result()
    assert not refused.success
    assert "another program has kept it locked for 5 s" in refused.message
    renamed = robot.call(srv.Rename, "rename", identity=EILEEN, new_name="Commander Collins")
    assert renamed.success, renamed.message
    assert robot.call(srv.Undo, "undo").success
    assert all_settled(counts(robot, all_settled))


def test_a_gallery_that_is_taken_away_is_missed_and_back_again_is_used(
    robot: Any, node: Any, gallery: Path, astronaut_bgr: ByteArray
) -> None:
    with taken_away(gallery):
        refused = robot.call(srv.Rename, "rename", identity=EILEEN, new_name="Somebody")
        assert not refused.success
        assert str(gallery) in refused.message
        assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    assert robot.call(srv.Rename, "rename", identity=EILEEN, new_name="Commander Collins").success
    assert robot.call(srv.Undo, "undo").success


def folder(path: Path) -> None:
    path.mkdir()


def corrupted(path: Path) -> None:
    GalleryStore.open(path, "net", 64).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(len(content) - 100))


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE songs (title TEXT)")


def text(path: Path) -> None:
    path.write_text("This is no database.\n" * 1000)


def of_another_network(path: Path) -> None:
    GalleryStore.open(path, "another network", 64).close()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (folder, "is not a file; give the path of a gallery file"),
        (corrupted, "is damaged"),
        (foreign, "is an SQLite file, but no gallery of faces"),
        (text, "is no gallery of faces, nor any other SQLite file"),
        (of_another_network, "were made by the network 'another network'"),
    ],
)
def test_a_gallery_that_cannot_be_opened_fails_configure_and_is_left_for_repair(
    robot: Any,
    node: Any,
    gallery: Path,
    tmp_path: Path,
    astronaut_bgr: ByteArray,
    make: Callable[[Path], None],
    sentence: str,
) -> None:
    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")
    bad = tmp_path / "bad.sqlite3"
    make(bad)
    assert robot.set_parameter("gallery", str(bad)) == (True, "")
    assert not robot.change_state("configure")
    diagnosed(robot, ERROR, sentence)
    assert list(tmp_path.glob("bad.sqlite3*")), "nothing was thrown away"
    assert robot.set_parameter("gallery", str(gallery)) == (True, "")
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    assert "Traceback" not in node.output


def test_where_nothing_can_be_written_configure_fails_with_a_sentence(
    robot: Any, node: Any, gallery: Path, astronaut_bgr: ByteArray
) -> None:
    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")
    assert robot.set_parameter("gallery", "/proc/gallery.sqlite3") == (True, "")  # not even root may write there
    assert not robot.change_state("configure")
    diagnosed(robot, ERROR, "The gallery /proc/gallery.sqlite3 cannot be opened")
    assert robot.set_parameter("gallery", str(gallery)) == (True, "")
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    assert "Traceback" not in node.output
