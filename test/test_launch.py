"""The launch files: run for real where launch_pytest is installed, read as source text where it is not.

Without a ROS installation, docs/installation.md says how to run them all the same.
"""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from face_recognition_msgs import srv

from face_recognition_ros.node.parameters import parameters
from face_recognition_ros.testing import NodeClient, assert_nobody_named, assert_seen, make_gallery
from face_recognition_ros.types import ByteArray

from .bags import write_bag

REPOSITORY = Path(__file__).resolve().parent.parent
LAUNCH_FILES = sorted((REPOSITORY / "launch").glob("*.launch.py"))
NODE, CAMERAS, REPLAY = (
    REPOSITORY / "launch" / f"{name}.launch.py" for name in ("face_recognition", "cameras", "replay")
)
REQUIRED = {"namespace", "params_file", "image", "image_transport", "use_sim_time", "autostart", "gallery", "log_level"}

REMAPPED = ("image", "depth", "camera_info", "face_identities")
EILEEN = "Eileen Collins"

HAS_LAUNCH = all(importlib.util.find_spec(name) is not None for name in ("launch", "launch_ros", "launch_pytest"))
needs_launch = pytest.mark.skipif(
    not HAS_LAUNCH,
    reason="launch, launch_ros and launch_pytest are not installed (they have no wheels); see docs/installation.md",
)


def calls(path: Path, function: str) -> Iterator[dict[str, Any]]:
    """The arguments of each call of that function in a source file: keywords by name, the first position as ''."""
    for entry in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(entry, ast.Call) and isinstance(entry.func, ast.Name) and entry.func.id == function:
            positional = {"": ast.literal_eval(entry.args[0])} if entry.args else {}
            yield positional | {str(keyword.arg): keyword.value for keyword in entry.keywords}


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_every_argument_has_a_description(path: Path) -> None:
    declared = list(calls(path, "DeclareLaunchArgument"))
    assert declared
    for argument in declared:
        assert ast.literal_eval(argument["description"]).endswith("."), argument[""]


def test_the_node_can_be_told_all_that_a_robot_needs() -> None:
    declared = {argument[""] for argument in calls(NODE, "DeclareLaunchArgument")}
    assert declared >= REQUIRED


def test_every_launch_configuration_is_a_declared_argument() -> None:
    for path in LAUNCH_FILES:
        declared = {argument[""] for argument in calls(path, "DeclareLaunchArgument")}
        source = ast.parse(path.read_text())
        used = {
            entry.args[0].value
            for entry in ast.walk(source)
            if isinstance(entry, ast.Call)
            and isinstance(entry.func, ast.Name)
            and entry.func.id == "LaunchConfiguration"
            and isinstance(entry.args[0], ast.Constant)
        }
        assert used <= declared, path.name


def test_a_camera_is_told_no_absolute_topic_but_its_own() -> None:
    declared = {argument[""]: argument for argument in calls(CAMERAS, "DeclareLaunchArgument")}
    topics = {name: ast.literal_eval(declared[name]["default_value"]) for name in REMAPPED}
    assert not [name for name, topic in topics.items() if topic.startswith("/")]


def test_arguments_that_are_parameters_leave_the_parameter_file_its_say() -> None:
    declared = {entry[""]: entry for entry in calls(NODE, "DeclareLaunchArgument")}
    shared = declared.keys() & {*parameters(), "use_sim_time"}
    assert shared == {"image_transport", "cameras", "gallery", "autostart", "use_sim_time"}
    assert {ast.literal_eval(declared[name]["default_value"]) for name in shared} == {""}


def test_the_transport_profile_has_room_for_large_images() -> None:
    profile = ElementTree.parse(REPOSITORY / "config" / "fastdds.xml").getroot()
    name = "{http://www.eprosima.com}"
    sizes = [int(entry.text or 0) for entry in profile.iter(f"{name}segment_size")]
    messages = [int(entry.text or 0) for entry in profile.iter(f"{name}maxMessageSize")]
    assert (sizes, messages) == ([64 * 2**20], [16 * 2**20])
    assert {entry.text for entry in profile.iter(f"{name}type")} == {"SHM", "UDPv4"}


@needs_launch
@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_loads_the_file(path: Path) -> None:
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(path))
    described = {argument.name: argument.description for argument in description.get_launch_arguments()}
    assert described
    assert all(described.values())


LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
file, *given = sys.argv[1:]
service = LaunchService()
arguments = [tuple(argument.split(":=", 1)) for argument in given]
description = IncludeLaunchDescription(PythonLaunchDescriptionSource(file), launch_arguments=arguments)
service.include_launch_description(LaunchDescription([description]))
sys.exit(service.run())
"""
"""`ros2 launch FILE NAME:=VALUE ...`, which has no wheel either."""


@needs_launch
@pytest.mark.parametrize(
    ("file", "given", "sentence"),
    [
        (NODE, {"params_file": "none.yaml"}, "none.yaml cannot be used: there is no such file."),
        (NODE, {"params_file": "typo.yaml"}, "typo.yaml cannot be used: there is no parameter min_look; did you mean"),
        (CAMERAS, {"cameras": "a,b", "params_file": "typo.yaml"}, "there is no parameter min_look; did you mean"),
        (
            CAMERAS,
            {"cameras": "a,b", "params_file": "only_a.yaml"},
            "says nothing about the node /b/face_recognition",
        ),
        (CAMERAS, {"cameras": "front,the back"}, "cameras:=front,the back must be names of letters, digits and"),
        (CAMERAS, {"cameras": "front,front"}, "cameras:=front,front names a camera twice"),
        (CAMERAS, {"cameras": "2nd", "together": "true"}, "cameras:=2nd must be names of letters, digits and"),
        (NODE, {"cameras": "front,front"}, "cameras names front twice; each camera needs a name of its own."),
        (REPLAY, {"bag": "nowhere"}, "nowhere; give a bag's folder, or its .mcap or .db3 file."),
        (REPLAY, {"bag": ".", "params_file": "typo.yaml"}, "there is no parameter min_look; did you mean"),
    ],
)
def test_what_cannot_work_is_named_before_anything_starts(
    tmp_path: Path, file: Path, given: dict[str, str], sentence: str
) -> None:
    (tmp_path / "typo.yaml").write_text("/**: {ros__parameters: {min_look: 3}}")
    (tmp_path / "only_a.yaml").write_text("/a/face_recognition: {ros__parameters: {min_looks: 3}}")
    command = [sys.executable, "-c", LAUNCH, str(file), *(f"{name}:={value}" for name, value in given.items())]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    output = ended.stdout + ended.stderr
    assert ended.returncode == 1, output
    assert sentence in output
    assert "Traceback" not in output
    assert "process started" not in output


if HAS_LAUNCH:
    import launch_pytest
    from launch import LaunchDescription
    from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    DOMAIN = 1 + (os.getpid() + 50) % 100

    def launched(file: Path, variables: dict[str, str] | None = None, **given: str) -> LaunchDescription:
        """The launch file with these arguments, shut off from other ROS systems."""
        isolation = {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"} | (variables or {})
        return LaunchDescription(
            [
                *(SetEnvironmentVariable(name, value) for name, value in isolation.items()),
                IncludeLaunchDescription(PythonLaunchDescriptionSource(str(file)), launch_arguments=given.items()),
                launch_pytest.actions.ReadyToTest(),
            ]
        )

    @pytest.fixture
    def gallery(tmp_path: Path, astronaut_path: Path) -> str:
        """The file of a gallery with one person."""
        make_gallery(tmp_path / "gallery.sqlite3", {EILEEN: astronaut_path})
        return str(tmp_path / "gallery.sqlite3")

    @pytest.fixture
    def client() -> Iterator[Callable[[str, str], NodeClient]]:
        """Makes clients, of the node in a namespace, that send images on a topic."""
        made: list[NodeClient] = []

        def make(namespace: str, image: str) -> NodeClient:
            made.append(NodeClient(DOMAIN, namespace, image))
            return made[-1]

        yield make
        for client in made:
            client.close()

    @launch_pytest.fixture
    def node(gallery: str) -> LaunchDescription:
        answers = {"face_identities": "/robot/face_identities"}
        return launched(NODE, gallery=gallery, namespace="robot", image="/head/image_raw", **answers)

    @pytest.mark.launch(fixture=node)
    def test_the_node_activates_itself_and_has_the_topics_it_was_given(client: Any, astronaut_bgr: ByteArray) -> None:
        robot = client("robot", "/head/image_raw")
        robot.wait_for_state("active")
        assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN

    @launch_pytest.fixture
    def managed_node(tmp_path: Path) -> LaunchDescription:
        answers = {"face_identities": "face_identities"}
        return launched(NODE, gallery=str(tmp_path / "new.sqlite3"), autostart="false", image="image", **answers)

    @pytest.mark.launch(fixture=managed_node)
    def test_without_autostart_a_lifecycle_manager_has_the_say(client: Any, astronaut_bgr: ByteArray) -> None:
        manager = client("", "image")
        assert manager.state() == "unconfigured"
        assert manager.change_state("configure")
        assert manager.state() == "inactive"
        assert manager.change_state("activate")
        assert [face.name for face in manager.show(astronaut_bgr).faces] == [""]
        assert manager.change_state("deactivate")
        assert manager.change_state("cleanup")
        assert manager.state() == "unconfigured"

    @launch_pytest.fixture
    def cameras(gallery: str) -> LaunchDescription:
        return launched(CAMERAS, cameras="front, back", gallery=gallery, image="image_raw")

    @pytest.mark.launch(fixture=cameras)
    def test_two_cameras_have_a_node_each_and_share_the_gallery(client: Any, astronaut_bgr: ByteArray) -> None:
        front, back = client("front", "image_raw"), client("back", "image_raw")
        for camera in (front, back):
            camera.wait_for_state("active")
            assert camera.show(astronaut_bgr, 3).faces[0].name == EILEEN
        assert front.call(srv.Forget, "forget", identity=EILEEN).success
        back.seen.clear()
        back.show(astronaut_bgr, 3)
        assert_nobody_named(back.seen)

    @launch_pytest.fixture
    def cameras_together(gallery: str) -> LaunchDescription:
        return launched(
            CAMERAS, cameras="front, back", together="true", namespace="robot", gallery=gallery, image="image_raw"
        )

    @pytest.mark.launch(fixture=cameras_together)
    def test_two_cameras_may_have_one_node(client: Any, astronaut_bgr: ByteArray) -> None:
        robot, front, back = (
            client("robot", "image"),
            client("robot/front", "image_raw"),
            client("robot/back", "image_raw"),
        )
        robot.wait_for_state("active")
        tracks = [camera.show(astronaut_bgr, 3).faces[0] for camera in (front, back)]
        assert [face.name for face in tracks] == [EILEEN, EILEEN]
        assert tracks[0].track_id != tracks[1].track_id, "they come from one process"
        assert robot.call(srv.Forget, "forget", identity=EILEEN).success
        assert [camera.show(astronaut_bgr).faces[0].name for camera in (front, back)] == ["", ""]

    PLAYER = """#!{python}
import argparse, rclpy, time
from pathlib import Path
from rclpy.node import Node
from face_recognition_ros.testing import Player, open_recording
parser = argparse.ArgumentParser()
parser.add_argument("words", nargs=2)
parser.add_argument("bag", type=Path)
parser.add_argument("--clock", action="store_true", required=True)
parser.add_argument("--rate", type=float)
parser.add_argument("--delay", type=float)
given = parser.parse_args()
assert given.words == ["bag", "play"]
rclpy.init()
node = Node("player")
with Player(node, open_recording(given.bag), rate=given.rate) as player:
    while not player.subscriptions("/head/image_raw"):
        rclpy.spin_once(node, timeout_sec=0.1)
    player.start()
    while not player.has_ended:
        rclpy.spin_once(node, timeout_sec=0.1)
"""
    """Stands in for `ros2 bag play`, which has no wheel."""

    @launch_pytest.fixture
    def replay(tmp_path: Path, gallery: str, astronaut_bgr: ByteArray) -> LaunchDescription:
        # Long enough for the test to have found the node before the end.
        bag = write_bag(tmp_path / "bag", {"/head/image_raw": [astronaut_bgr[:300, 80:380]] * 100})
        variables: dict[str, str] = {}
        if shutil.which("ros2") is None:
            stand_in = tmp_path / "bin" / "ros2"
            stand_in.parent.mkdir()
            stand_in.write_text(PLAYER.format(python=sys.executable))
            stand_in.chmod(0o755)
            variables["PATH"] = f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"
        return launched(
            REPLAY, variables, bag=str(bag), gallery=gallery, image="/head/image_raw", rate="1.0", delay="6.0"
        )

    @pytest.mark.launch(fixture=replay)
    def test_a_bag_is_played_to_the_node_on_the_clock_of_the_bag(client: Any) -> None:
        robot = client("", "/head/image_raw")
        seen = robot.identities(until=lambda seen: sum(bool(a.faces and a.faces[0].name) for a in seen) >= 3)
        assert_seen(seen, EILEEN, at_least=3)
        robot.wait_until(lambda: robot.node.count_publishers("/face_identities") == 0, "the end, which is the bag's")
