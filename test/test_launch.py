"""The launch files: run for real where launch_pytest is installed, read as source text where it is not."""

import ast
import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from face_recognition_ros.node.parameters import parameters

REPOSITORY = Path(__file__).resolve().parent.parent
LAUNCH_FILES = sorted((REPOSITORY / "launch").glob("*.launch.py"))
REQUIRED = {"namespace", "params_file", "image", "image_transport", "use_sim_time", "autostart", "gallery", "log_level"}

HAS_LAUNCH = all(importlib.util.find_spec(name) is not None for name in ("launch", "launch_ros", "launch_pytest"))
needs_launch = pytest.mark.skipif(
    not HAS_LAUNCH,
    reason="launch, launch_ros and launch_pytest are not installed (they have no wheels); run this in a ROS workspace",
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
    declared = {argument[""] for argument in calls(LAUNCH_FILES[0], "DeclareLaunchArgument")}
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


def test_arguments_that_are_parameters_leave_the_parameter_file_its_say() -> None:
    declared = {entry[""]: entry for entry in calls(LAUNCH_FILES[0], "DeclareLaunchArgument")}
    shared = declared.keys() & {*parameters(), "use_sim_time"}
    assert shared == {"image_transport", "gallery", "autostart", "use_sim_time"}
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


if HAS_LAUNCH:
    import launch_pytest
    from launch import LaunchDescription
    from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    DOMAIN = 1 + (os.getpid() + 50) % 100

    @launch_pytest.fixture
    def launched(tmp_path: Path) -> LaunchDescription:
        source = PythonLaunchDescriptionSource(str(LAUNCH_FILES[0]))
        chosen = {"gallery": str(tmp_path / "gallery.sqlite3"), "namespace": "robot"}
        return LaunchDescription(
            [
                SetEnvironmentVariable("ROS_DOMAIN_ID", str(DOMAIN)),
                IncludeLaunchDescription(source, launch_arguments=chosen.items()),
                launch_pytest.actions.ReadyToTest(),
            ]
        )

    @pytest.mark.launch(fixture=launched)
    def test_the_launched_node_becomes_active() -> None:
        from lifecycle_msgs.srv import GetState
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        context = Context()
        context.init(domain_id=DOMAIN)
        observer = Node("observer", context=context)
        executor = SingleThreadedExecutor(context=context)
        client = observer.create_client(GetState, "/robot/face_recognition/get_state")
        executor.add_node(observer)
        try:
            assert client.wait_for_service(60.0)
            state = ""
            end = time.monotonic() + 60
            while state != "active" and time.monotonic() < end:
                answer = client.call_async(GetState.Request())
                executor.spin_until_future_complete(answer, 10.0)
                state = answer.result().current_state.label if answer.done() else ""
            assert state == "active"
        finally:
            executor.shutdown()
            observer.destroy_node()
            context.try_shutdown()
