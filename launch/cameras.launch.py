"""Recognises faces in the images of several cameras: by a node for each, or by one together.

The nodes may share one gallery file: who is enrolled before one camera is known before all of them from the next image
on. They are processes of their own, as a Python node cannot be loaded into a container of composable (C++) nodes.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import SetRemap
from rclpy.exceptions import InvalidNamespaceException
from rclpy.validate_namespace import validate_namespace

from face_recognition_ros.node.parameter_files import check_parameter_file

REMAPPED = ("image", "depth", "camera_info", "face_identities")


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*arguments(), OpaqueFunction(function=nodes)])


def arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            "cameras",
            description="Names of the cameras, such as front,back; each has its topics in a namespace of that name.",
        ),
        DeclareLaunchArgument(
            "together",
            default_value="false",
            choices=["true", "false"],
            description="Whether one node looks at all cameras, with one set of networks; else each gets a node.",
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace around those of the cameras."),
        DeclareLaunchArgument(
            "image",
            default_value="camera/color/image_raw",
            description="Topic of a camera's images, within its namespace.",
        ),
        DeclareLaunchArgument(
            "depth",
            default_value="camera/aligned_depth_to_color/image_raw",
            description="Topic of a camera's depth images, within its namespace; need not be there.",
        ),
        DeclareLaunchArgument(
            "camera_info",
            default_value="camera/color/camera_info",
            description="Topic of a camera's calibration, within its namespace; needed for depth only.",
        ),
        DeclareLaunchArgument(
            "face_identities",
            default_value="face_identities",
            description="Topic of the answers to a camera's images, within its namespace.",
        ),
    ]


def nodes(context: LaunchContext) -> list[GroupAction]:
    """The nodes, or the one; every other argument of face_recognition.launch.py is handed on to all."""
    source = PythonLaunchDescriptionSource(
        str(Path(get_package_share_directory("face_recognition_ros")) / "launch" / "face_recognition.launch.py")
    )
    chosen = context.launch_configurations
    namespaces = camera_namespaces(chosen["cameras"], chosen["namespace"])
    if chosen["together"] == "true":
        names = [namespace.rsplit("/", 1)[-1] for namespace in namespaces]
        remaps = [SetRemap(f"{name}/{topic}", f"{name}/{chosen[topic]}") for name in names for topic in REMAPPED]
        given = {"namespace": chosen["namespace"], "cameras": ",".join(names)}
        return [GroupAction([*remaps, IncludeLaunchDescription(source, launch_arguments=given.items())])]
    for namespace in namespaces if "params_file" in chosen else ():  # all of them, before the first is started
        check_parameter_file(Path(chosen["params_file"]).expanduser(), f"/{namespace.strip('/')}/face_recognition")
    return [
        GroupAction([IncludeLaunchDescription(source, launch_arguments=given.items())])
        for given in ({"namespace": namespace, "cameras": ""} for namespace in namespaces)
    ]


def camera_namespaces(cameras: str, around: str) -> list[str]:
    """The namespace of each camera; raises ValueError, which launch shows, for names that cannot be one."""
    names = [name.strip() for name in cameras.split(",")]
    if len(set(names)) < len(names):
        raise ValueError(f"cameras:={cameras} names a camera twice; each needs a namespace of its own.")
    namespaces = [f"{around.rstrip('/')}/{name}" if around else name for name in names]
    for namespace in namespaces:
        try:
            validate_namespace(f"/{namespace.lstrip('/')}")
        except InvalidNamespaceException as error:
            raise ValueError(
                f"cameras:={cameras} must be names of letters, digits and underscores with commas in between, "
                "such as cameras:=front,back."
            ) from error
    return namespaces
