"""The node's parameters: declared from the settings' specs, read back as settings, changed only to what is allowed."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.settings import Settings, Spec, check, setting, specs

DEFAULT_GALLERY = "~/.ros/face_recognition/gallery.sqlite3"
"""Unlike a program that runs once, a robot wants to know people tomorrow."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What concerns the node only; raises SettingsError as Settings does."""

    image_transport: str = setting(
        "raw", "subscribe to image (raw) or to image/compressed", choices=("raw", "compressed")
    )
    publish_detections: bool = setting(True, "publish face_detections as well, where vision_msgs is installed")
    autostart: bool = setting(True, "configure and activate at start, without waiting for a lifecycle manager")
    cameras: tuple[str, ...] = setting(
        ("",),
        "names of several cameras, below which each has its topics, such as front for front/image; none, or an empty "
        "one: a single camera without a name",
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            check(entry.name, getattr(self, entry.name), entry.metadata["spec"])
        check_cameras(self.cameras)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """At least one; the only one's may be empty."""
        return self.cameras or ("",)


def check_cameras(names: Sequence[str]) -> None:
    """Raises SettingsError unless each name can be part of a topic's and is given once; an empty one stands alone."""
    if list(names) == [""]:
        return
    if not all(re.fullmatch("[A-Za-z]([A-Za-z0-9]|_(?!_))*", name) for name in names):
        raise SettingsError(
            "cameras must be names of letters, digits and single underscores that begin with a letter, or one empty "
            f"name, not {list(names)}"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SettingsError(f"cameras names {twice} twice; each camera needs a name of its own")


def parameters() -> dict[str, tuple[Any, Spec]]:
    """Default and Spec of every parameter, by name."""
    defaults = replace(Settings(), gallery=DEFAULT_GALLERY)
    recognition = {name: (getattr(defaults, name), spec) for name, spec in specs().items()}
    return recognition | {entry.name: (entry.default, entry.metadata["spec"]) for entry in fields(NodeSettings)}


def declare_parameters(node: Node) -> None:
    """Declares all of them on the node; raises SettingsError for a start value of the wrong type or out of range.

    An empty list leaves the default: ROS knows no type of it, and takes the parameter for not set.
    """
    for name, (default, spec) in parameters().items():
        value = list(default) if isinstance(default, tuple) else default
        try:
            node.declare_parameter(name, value, descriptor(default, spec))
        except InvalidParameterTypeException as error:
            raise SettingsError(f"The parameter {name} must be {type_in_words(default)}: {error}.") from error
        except InvalidParameterValueException as error:
            raise SettingsError(
                f"The parameter {name} must lie between {spec.low:g} and {spec.high:g}: {error}."
            ) from error
        if node.get_parameter_or(name).value is None:
            node.set_parameters([Parameter(name, value=value)])
        _check(name, node.get_parameter(name).value, spec)
    read_node_settings(node)


def descriptor(default: Any, spec: Spec) -> ParameterDescriptor:
    """What `ros2 param describe` shows. The type is added when the parameter is declared."""
    constraints = [] if spec.live else ["Can be changed only while the node is unconfigured."]
    if spec.choices:
        constraints.insert(0, f"One of {', '.join(spec.choices)}.")
    described = ParameterDescriptor(description=f"{spec.description[:1].upper()}{spec.description[1:]}.")
    if spec.low is not None and spec.high is not None:
        if isinstance(default, tuple):
            constraints.insert(0, f"Each between {spec.low:g} and {spec.high:g}.")
        elif isinstance(default, float):
            described.floating_point_range = [FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high))]
        else:
            described.integer_range = [IntegerRange(from_value=int(spec.low), to_value=int(spec.high))]
    described.additional_constraints = " ".join(constraints)
    return described


def read_settings(node: Node, changes: Sequence[Parameter] = ()) -> Settings:
    """The parameters as Settings, with the changes applied; raises SettingsError where they do not go together."""
    return Settings.of(**_values(node, specs(), changes))


def read_node_settings(node: Node, changes: Sequence[Parameter] = ()) -> NodeSettings:
    """The node's own parameters; raises SettingsError for one that is not allowed."""
    return NodeSettings(**_values(node, [entry.name for entry in fields(NodeSettings)], changes))


def change_validator(node: Node, is_configured: Callable[[], bool]) -> Callable[[list[Parameter]], SetParametersResult]:
    """A callback for add_on_set_parameters_callback that refuses, with a sentence, what is not allowed.

    Unlike ROS's own read_only flag, which holds for ever, it lets all parameters be set before configure, so that a
    wrong one that made configure fail can be put right. As long as those in force do not go together, each is looked
    at on its own, so that they can be put right one after the other; configure looks at them all.
    """
    declared = parameters()

    def validate(changes: list[Parameter]) -> SetParametersResult:
        try:
            for change in changes:
                if change.name in declared:
                    spec = declared[change.name][1]
                    if is_configured() and not spec.live:
                        raise SettingsError(
                            f"{change.name} is read when the node is configured: "
                            "clean the node up, set the parameter, and configure it again."
                        )
                    _check(change.name, change.value, spec)
            read_node_settings(node, changes)
            if _go_together(node):
                read_settings(node, changes)
        except SettingsError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    return validate


def _go_together(node: Node) -> bool:
    try:
        read_settings(node)
    except SettingsError:
        return False
    return True


def _check(name: str, value: Any, spec: Spec) -> None:
    check(name, untyped(value), spec)


def _values(node: Node, names: Any, changes: Sequence[Parameter]) -> dict[str, Any]:
    changed = {change.name: change.value for change in changes}
    return {name: untyped(changed[name] if name in changed else node.get_parameter(name).value) for name in names}


def untyped(value: Any) -> Any:
    """A parameter's value, with a tuple for a list or an array.array."""
    return tuple(value) if hasattr(value, "tolist") or isinstance(value, list) else value


def type_in_words(default: Any) -> str:
    """What values like the default are called in a sentence."""
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, int):
        return "a whole number"
    if isinstance(default, float):
        return "a number written with a decimal point, such as 40.0"
    if isinstance(default, tuple):
        return "a list of names" if isinstance(default[0], str) else "a list of numbers with decimal points"
    return "a text"
