"""A gallery that the node's user may not change: configure fails with a sentence, the file stays, the node lives."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from std_msgs.msg import Header

from face_recognition_ros.demo.processes import PythonProcess
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.testing import NodeProcess
from face_recognition_ros.types import ByteArray

from .helpers import ERROR, diagnosed

EILEEN = "Eileen Collins"
SOMEBODY_ELSE = 65534
PROGRAM = str(Path(__file__).with_name("unprivileged_node.py"))


class UnprivilegedNode(NodeProcess):
    """The node of a user who has no more rights than files and folders say."""

    def __init__(self, log: Path, gallery: Path) -> None:
        settings = ("-p", f"gallery:={gallery}", "-p", "min_face_size:=80.0")
        PythonProcess.__init__(self, [PROGRAM, "--ros-args", *settings], {}, log)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"


@pytest.fixture(scope="module")
def node(
    domain: int, robot: Any, gallery: Path, astronaut_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UnprivilegedNode]:
    """It is active and knows Eileen Collins."""
    with UnprivilegedNode(tmp_path_factory.mktemp("node") / "output.log", gallery) as process:
        robot.wait_for_state("active")
        picture = bgr_message(Header(), read_picture(astronaut_path))
        status, result = robot.send_goal(name=EILEEN, images=[picture]).result()
        assert status == GoalStatus.STATUS_SUCCEEDED, result.message
        yield process


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


@contextmanager
def given_away(path: Path) -> Iterator[None]:
    """The file belongs to somebody else, who lets all others read it, as one that was copied with sudo."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    before = path.stat()
    os.chown(path, SOMEBODY_ELSE, SOMEBODY_ELSE)
    try:
        with mode(path, 0o644):
            yield
    finally:
        os.chown(path, before.st_uid, before.st_gid)


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        (lambda path: mode(path, 0o400), "{path} may not be changed by this user."),
        (lambda path: mode(path, 0o000), "{path} may not be changed by this user."),
        (lambda path: mode(path.parent, 0o500), "{folder} may not be changed by this user."),
        (lambda path: given_away(path), "{path} may not be changed by this user."),
    ],
    ids=["read-only file", "unreadable file", "read-only folder", "somebody else's file"],
)
def test_a_gallery_that_may_not_be_changed_fails_configure_and_is_left_as_it_is(
    robot: Any, node: Any, gallery: Path, astronaut_bgr: ByteArray, spoilt: Callable[[Path], Any], sentence: str
) -> None:
    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")
    before = gallery.read_bytes()
    with spoilt(gallery):
        assert not robot.change_state("configure")
        reason = sentence.format(path=gallery, folder=gallery.parent)
        diagnosed(robot, ERROR, f"The gallery {gallery} cannot be opened: {reason}")
        assert robot.state() == "unconfigured"
    assert gallery.read_bytes() == before
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    assert robot.call(srv.Rename, "rename", identity=EILEEN, new_name="Commander Collins").success, "it may be again"
    assert robot.call(srv.Undo, "undo").success
    assert "Traceback" not in node.output
