"""The node starts, fails to configure and is repaired, ends on signals, and starts again with its gallery."""

import array
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.types import ByteArray

REPOSITORY = Path(__file__).resolve().parents[2]

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def robot(new_robot: Callable[[], Any]) -> Any:
    """A robot for each test, as each has nodes of its own."""
    return new_robot()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active", "finalized"])
def test_a_signal_ends_it_cleanly_in_every_state(
    robot: Any, start_node: Callable[..., Any], tmp_path: Path, state: str, number: signal.Signals
) -> None:
    node = start_node(tmp_path / "gallery.sqlite3", autostart=state == "active")
    robot.wait_for_state("active" if state == "active" else "unconfigured")
    if transition := {"inactive": "configure", "finalized": "shutdown"}.get(state):
        assert robot.change_state(transition)
    assert robot.state() == state
    assert node.stop(number) == 0
    assert "Traceback" not in node.output
    assert "ERROR" not in node.output


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_it_cleanly_during_an_enrolment(
    robot: Any, start_node: Callable[..., Any], tmp_path: Path, number: signal.Signals
) -> None:
    node = start_node(tmp_path / "gallery.sqlite3")
    robot.wait_for_state("active")
    goal = robot.send_goal(name="Somebody", track_id=-1)
    robot.wait_until(lambda: goal.feedback, "the enrolment's first feedback")
    node.signal(number)
    assert "the node was deactivated" in goal.result()[1].message
    assert node.wait() == 0
    assert "Traceback" not in node.output


def test_who_was_enrolled_is_known_after_a_restart(
    robot: Any,
    new_robot: Callable[[], Any],
    start_node: Callable[..., Any],
    tmp_path: Path,
    astronaut_bgr: ByteArray,
) -> None:
    gallery = tmp_path / "new folder" / "gallery.sqlite3"
    node = start_node(gallery)
    robot.wait_for_state("active")
    goal = robot.send_goal(name="Eileen Collins", images=[bgr_message(Header(), astronaut_bgr)])
    status, enrolled = goal.result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    node.kill()  # without warning, as a power cut
    assert gallery.stat().st_mode & 0o777 == 0o600

    robot = new_robot()
    start_node(gallery)
    robot.wait_for_state("active")
    state = robot.wait_until(lambda: robot.gallery, "the latched gallery")
    assert [person.name for person in state.identities] == ["Eileen Collins"]
    (face,) = robot.show(astronaut_bgr, 3).faces
    assert (face.name, face.identity_id) == ("Eileen Collins", enrolled.identity_id)


def test_a_node_that_cannot_be_configured_says_why_and_is_configured_once_that_is_put_right(
    robot: Any, start_node: Callable[..., Any], tmp_path: Path, astronaut_bgr: ByteArray
) -> None:
    damaged = tmp_path / "damaged.sqlite3"
    GalleryStore.open(damaged, "net", 64).close()
    data = damaged.read_bytes()
    damaged.write_bytes(data[:100] + bytes(len(data) - 100))
    node = start_node(damaged)
    robot.wait_for_state("unconfigured")
    robot.wait_until(lambda: f"The gallery {damaged} is damaged" in node.output, "the reason in the log")
    assert "face-recognition restore" in node.output
    robot.diagnostics = None
    robot.wait_until(
        lambda: robot.diagnostics and "is damaged" in robot.diagnostics.status[0].message, "the reason in /diagnostics"
    )
    assert robot.diagnostics.status[0].level == b"\x02"
    assert not robot.change_state("configure"), "no empty gallery takes its place"
    assert not damaged.exists()
    assert robot.set_parameter("gallery", str(tmp_path / "sound.sqlite3")) == (True, "")
    assert robot.set_parameter("min_face_width", 80.0)[0] is False, "wider than min_enrollment_face_width"
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    assert len(robot.show(astronaut_bgr).faces) == 1
    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")
    assert robot.state() == "unconfigured"
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    assert len(robot.show(astronaut_bgr).faces) == 1
    assert node.stop() == 0


@pytest.mark.parametrize(
    ("parameter", "value", "sentence"),
    [
        ("min_face_size", 4.0, "The parameter min_face_size must lie between 12 and 2000"),
        ("min_looks", 2.5, "The parameter min_looks must be a whole number"),
        ("image_transport", "theora", "image_transport must be one of raw, compressed, not 'theora'"),
    ],
)
def test_a_start_value_out_of_range_ends_the_start_with_a_sentence(
    start_node: Callable[..., Any], tmp_path: Path, parameter: str, value: Any, sentence: str
) -> None:
    node = start_node(tmp_path / "gallery.sqlite3", **{parameter: value})
    assert node.wait() == 1
    assert sentence in node.output
    assert "Traceback" not in node.output


def test_a_parameter_file_that_is_not_there_ends_the_start_with_a_sentence(domain: int, tmp_path: Path) -> None:
    module = "face_recognition_ros.node.process"
    command = [sys.executable, "-m", module, "--ros-args", "--params-file", str(tmp_path / "nowhere.yaml")]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "nowhere.yaml" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_compressed_images_on_a_remapped_topic_are_answered_before_the_simulated_clock_runs(
    robot: Any, start_node: Callable[..., Any], tmp_path: Path, astronaut_bgr: ByteArray
) -> None:
    start_node(
        tmp_path / "gallery.sqlite3",
        remappings={"image": "/camera/image_raw"},
        image_transport="compressed",
        use_sim_time=True,
    )
    robot.wait_for_state("active")
    camera = robot.node.create_publisher(CompressedImage, "/camera/image_raw/compressed", qos_profile_sensor_data)
    header = robot.next_header()
    message = CompressedImage(header=header, format="bgr8; png compressed bgr8")
    message.data = array.array("B", np.asarray(cv2.imencode(".png", astronaut_bgr)[1]).tobytes())
    key = (header.stamp.sec, header.stamp.nanosec)

    def answered() -> Any:
        camera.publish(message)
        return robot.answers.get(key)

    answer = robot.wait_until(answered, "an answer to a compressed image")
    robot.node.destroy_publisher(camera)
    assert answer.header == header
    assert len(answer.faces) == 1
    robot.diagnostics = None
    diagnostics = robot.wait_until(lambda: robot.diagnostics, "diagnostics, which go by the real clock")
    assert diagnostics.header.stamp.sec == 0
