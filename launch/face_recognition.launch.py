"""Starts the face recognition node with a usual robot's topics and a transport that does not lose camera images."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

from face_recognition_ros.node.parameter_files import check_parameter_file

PACKAGE = "face_recognition_ros"
NAME = "face_recognition"
REMAPPED = ("image", "depth", "camera_info", "face_identities")


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory(PACKAGE))
    return LaunchDescription([*arguments(share), *environment(share), OpaqueFunction(function=node)])


def arguments(share: Path) -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share / "config" / "face_recognition.yaml"),
            description="YAML file with the node's parameters.",
        ),
        DeclareLaunchArgument(
            "image",
            default_value="/camera/color/image_raw",
            description="Topic of the camera's images; with image_transport compressed, without /compressed.",
        ),
        DeclareLaunchArgument(
            "depth",
            default_value="/camera/aligned_depth_to_color/image_raw",
            description="Topic of the depth images, registered to the colour camera; need not be there.",
        ),
        DeclareLaunchArgument(
            "camera_info",
            default_value="/camera/color/camera_info",
            description="Topic of the colour camera's calibration; needed for depth only.",
        ),
        DeclareLaunchArgument(
            "face_identities", default_value="/face_identities", description="Topic of the answers to every image."
        ),
        DeclareLaunchArgument(
            "image_transport",
            default_value="",
            choices=["", "raw", "compressed"],
            description="Whether to subscribe to raw or to compressed images; empty: as params_file says.",
        ),
        DeclareLaunchArgument(
            "cameras",
            default_value="",
            description="Names of several cameras for one node, such as front,back; empty: as params_file says.",
        ),
        DeclareLaunchArgument(
            "gallery",
            default_value="",
            description="File with the people whom the robot knows; empty: as params_file says.",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="",
            choices=["", "true", "false"],
            description="Whether the node activates itself, with no lifecycle manager; empty: as params_file says.",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="",
            choices=["", "true", "false"],
            description="Whether the time comes from /clock, as in a simulation; empty: as params_file says.",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="Least severe messages that are logged.",
        ),
    ]


def environment(share: Path) -> list[SetEnvironmentVariable]:
    """What makes large images travel quickly and without loss; a value that is set already stays."""
    defaults = {
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(share / "config" / "fastdds.xml"),
        # Keeps the memory of images in the process, rather than giving it back and asking for it 30 times a second.
        "MALLOC_MMAP_THRESHOLD_": "268435456",
        "MALLOC_TRIM_THRESHOLD_": "536870912",
    }
    return [
        SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value)) for name, value in defaults.items()
    ]


def node(context: LaunchContext) -> list[Node]:
    """The node; an argument that was given goes before what params_file says.

    Raises SettingsError, which launch shows as one sentence, for a file that the node could not be started with.
    """
    chosen = context.launch_configurations
    parameters: dict[str, str | bool | list[str]]
    parameters = {name: chosen[name] for name in ("image_transport", "gallery") if chosen[name]}
    if chosen["cameras"]:
        parameters["cameras"] = [name.strip() for name in chosen["cameras"].split(",")]
    parameters |= {name: chosen[name] == "true" for name in ("autostart", "use_sim_time") if chosen[name]}
    outer = chosen.get("ros_namespace")  # of a launch file around this one, by PushRosNamespace
    namespace = make_namespace_absolute(prefix_namespace(outer, chosen["namespace"])) or ""
    params_file = Path(chosen["params_file"]).expanduser()
    check_parameter_file(params_file, f"{namespace.rstrip('/')}/{NAME}", parameters)
    return [
        Node(
            package=PACKAGE,
            executable="face_recognition_node",
            name=NAME,
            namespace=LaunchConfiguration("namespace"),
            output="screen",
            parameters=[str(params_file), parameters],
            remappings=[(name, LaunchConfiguration(name)) for name in REMAPPED],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        )
    ]
