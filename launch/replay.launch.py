"""Plays a bag and has the node recognise the faces in it, on the bag's own clock."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration


def generate_launch_description() -> LaunchDescription:
    node_launch = Path(get_package_share_directory("face_recognition_ros")) / "launch" / "face_recognition.launch.py"
    # The delay gives the node the time to load its networks before the first image comes.
    player = ExecuteProcess(
        cmd=[
            *("ros2", "bag", "play", LaunchConfiguration("bag"), "--clock"),
            *("--rate", LaunchConfiguration("rate"), "--delay", LaunchConfiguration("delay")),
        ],
        output="screen",
    )
    # Every other argument of face_recognition.launch.py can be given as well: it is handed on.
    recognition = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(node_launch)), launch_arguments={"use_sim_time": "true"}.items()
    )
    stop_with_bag = RegisterEventHandler(
        OnProcessExit(target_action=player, on_exit=[EmitEvent(event=Shutdown(reason="the bag has ended"))])
    )
    return LaunchDescription([*arguments(), OpaqueFunction(function=check_bag), recognition, player, stop_with_bag])


def check_bag(context: LaunchContext) -> None:
    """Raises FileNotFoundError, which launch shows, before anything starts."""
    bag = Path(context.launch_configurations["bag"])
    if not bag.exists():
        raise FileNotFoundError(f"There is no bag {bag.absolute()}; give a bag's folder, or its .mcap or .db3 file.")


def arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument("bag", description="Folder or file of the bag to play."),
        DeclareLaunchArgument("rate", default_value="1.0", description="How many times faster than recorded."),
        DeclareLaunchArgument("delay", default_value="5.0", description="Seconds to wait before the bag starts."),
    ]
