"""The node's parameters: declared as the settings say, documented in the parameter file, refused with a sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rcl_interfaces.msg import ParameterType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_dict_from_yaml_file, parameter_value_to_python

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.node.parameters import (
    DEFAULT_GALLERY,
    change_validator,
    declare_parameters,
    parameters,
    read_node_settings,
    read_settings,
)
from face_recognition_ros.settings import Settings, specs

CONFIG = Path(__file__).resolve().parents[2] / "config" / "face_recognition.yaml"


@pytest.fixture
def make_node() -> Iterator[Any]:
    """Makes a node, with these words on its command line."""
    context = Context()
    context.init(domain_id=1)
    nodes: list[Node] = []

    def make(**overrides: Any) -> Node:
        given = [Parameter(name, value=value) for name, value in overrides.items()]
        nodes.append(Node("test_parameters", context=context, parameter_overrides=given, enable_rosout=False))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


def test_every_setting_is_declared_with_type_range_and_description(make_node: Any) -> None:
    node = make_node()
    declare_parameters(node)
    kinds = {
        bool: ParameterType.PARAMETER_BOOL, int: ParameterType.PARAMETER_INTEGER, float: ParameterType.PARAMETER_DOUBLE,
        str: ParameterType.PARAMETER_STRING, tuple: ParameterType.PARAMETER_DOUBLE_ARRAY,
    }  # fmt: skip
    for name, spec in specs().items():
        described = node.describe_parameter(name)
        assert described.type == kinds[type(parameters()[name][0])], name
        assert described.description.lower() == f"{spec.description}.".lower()
        ranges = [*described.floating_point_range, *described.integer_range]
        if ranges:
            assert (ranges[0].from_value, ranges[0].to_value) == (spec.low, spec.high)
        else:
            assert spec.low is None or name == "detection_thresholds"
        assert ("unconfigured" in described.additional_constraints) != spec.live


def test_the_declared_defaults_are_the_settings_own_but_for_the_gallery(make_node: Any) -> None:
    node = make_node()
    declare_parameters(node)
    assert read_settings(node) == Settings(gallery=DEFAULT_GALLERY)
    assert read_node_settings(node).autostart


def test_the_parameter_file_names_all_parameters_with_their_defaults() -> None:
    documented = {
        name: parameter_value_to_python(message.value)
        for name, message in parameter_dict_from_yaml_file(str(CONFIG), use_wildcard=True).items()
    }
    declared = {name: list(value) if isinstance(value, tuple) else value for name, (value, _) in parameters().items()}
    assert documented == declared
    assert list(documented) == list(declared)


def test_every_line_of_the_parameter_file_is_commented() -> None:
    lines = CONFIG.read_text().splitlines()
    start = lines.index("  ros__parameters:") + 1
    for before, line in zip(lines[start:], lines[start + 1 :], strict=False):
        if line.strip() and not line.strip().startswith("#"):
            assert before.strip().startswith("#"), line


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("min_face_size", 40, "The parameter min_face_size must be a number written with a decimal point"),
        ("min_face_size", 1.0, "The parameter min_face_size must lie between 12 and 2000"),
        ("autostart", "perhaps", "The parameter autostart must be true or false"),
        ("detection_thresholds", [1, 2, 3], "The parameter detection_thresholds must be a list of numbers"),
        ("gallery", 3, "The parameter gallery must be a text"),
        ("image_transport", "theora", "image_transport must be one of raw, compressed, not 'theora'"),
        ("detection_thresholds", [0.5, 0.5, 2.0], "detection_thresholds must lie between 0.01 and 0.9999, not 2.0"),
        ("cameras", "front", "The parameter cameras must be a list of names"),
        ("cameras", ["front", "front"], "cameras names front twice; each camera needs a name of its own"),
        *(
            ("cameras", names, "cameras must be names of letters, digits and single underscores")
            for names in (["left eye"], ["front", ""], ["2nd"], ["/front"], ["a/b"], ["front\n"], ["a__b"], ["_a"])
        ),
    ],
)
def test_a_start_value_of_the_wrong_kind_is_refused(make_node: Any, name: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        declare_parameters(make_node(**{name: value}))


@pytest.mark.parametrize(
    ("configured", "name", "value", "sentence"),
    [
        (
            False,
            "backend",
            "cuda",
            "backend must be one of auto, tensorrt, onnxruntime, openvino, openvino_bf16, torch_cuda, not 'cuda'",
        ),
        (False, "image_transport", "theora", "image_transport must be one of raw, compressed, not 'theora'"),
        (False, "detection_thresholds", [0.5, 0.5], "detection_thresholds must be three numbers"),
        (False, "min_face_width", 70.0, "min_enrollment_face_width (60) must be larger than min_face_width (70)"),
        (False, "min_face_size", 2001.0, "out of range"),
        (False, "cameras", ["front", "front"], "cameras names front twice"),
        (True, "cameras", ["front"], "cameras is read when the node is configured"),
        (True, "min_face_size", 60.0, "min_face_size is read when the node is configured"),
    ],
)
def test_a_change_that_is_not_allowed_is_refused_with_a_sentence(
    make_node: Any, configured: bool, name: str, value: Any, sentence: str
) -> None:
    node = make_node()
    declare_parameters(node)
    node.add_on_set_parameters_callback(change_validator(node, lambda: configured))
    before = node.get_parameter(name).value
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert sentence in result.reason
    assert node.get_parameter(name).value == before


def test_an_empty_list_leaves_the_default(make_node: Any) -> None:
    """ROS hands it over as a parameter without a value."""
    node = make_node(cameras=None)
    declare_parameters(node)
    assert read_node_settings(node).cameras == ("",)
    node.set_parameters([Parameter("cameras", Parameter.Type.STRING_ARRAY, [])])
    assert read_node_settings(node).camera_names == ("",)


def test_start_values_that_do_not_go_together_are_put_right_one_after_the_other(make_node: Any) -> None:
    node = make_node(min_face_width=90.0, detection_thresholds=[0.5, 0.5])
    declare_parameters(node)
    node.add_on_set_parameters_callback(change_validator(node, lambda: False))
    for name, value, allowed in (
        ("min_face_width", 30.0, True),
        ("backend", "cuda", False),
        ("detection_thresholds", [0.5, 0.5, 0.5], True),
        ("min_face_width", 90.0, False),
    ):
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert result.successful == allowed, name
    assert read_settings(node).min_face_width == 30.0


def test_allowed_changes_are_made(make_node: Any) -> None:
    node = make_node()
    declare_parameters(node)
    configured = False
    node.add_on_set_parameters_callback(change_validator(node, lambda: configured))
    (result,) = node.set_parameters([Parameter("detection_thresholds", value=[0.5, 0.5, 0.5])])
    assert result.successful
    assert read_settings(node).detection_thresholds == (0.5, 0.5, 0.5)
    assert read_node_settings(node).cameras == ("",)
    (result,) = node.set_parameters([Parameter("cameras", value=["front", "back_2"])])
    assert result.successful
    assert read_node_settings(node).cameras == ("front", "back_2")
    configured = True
    (result,) = node.set_parameters([Parameter("min_looks", value=7)])
    assert result.successful
    assert read_settings(node).min_looks == 7
