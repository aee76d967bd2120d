"""Parameter files are read as ROS reads them, and what is wrong in one is named in a sentence."""

from pathlib import Path

import pytest

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.node.parameter_files import check_parameter_file, check_parameters

CONFIG = Path(__file__).resolve().parents[2] / "config" / "face_recognition.yaml"
NODE = "/robot/face_recognition"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "parameters.yaml"
    path.write_text(text)
    return path


def parameters(text: str) -> str:
    """A file with these for all nodes."""
    return f"/**:\n  ros__parameters: {{{text}}}\n"


def test_the_file_that_comes_with_the_package_is_sound() -> None:
    check_parameter_file(CONFIG, NODE)


@pytest.mark.parametrize(
    "text",
    [
        parameters(
            "min_looks: 5, use_sim_time: true, target_false_accept_rate: 1e-3, detection_thresholds: [.5, 6e-1, 0.7]"
        ),
        "/**/face_recognition: {ros__parameters: {min_looks: 5}}",
        "/*/face_recognition: {ros__parameters: {min_looks: 5}}",
        "/robot/face_recognition: {ros__parameters: {min_looks: 5}}",
        "robot: {face_recognition: {ros__parameters: {min_looks: 5}}}",
        "/robot:\n  face_recognition:\n    ros__parameters:\n",
        "/**: {ros__parameters: {min_looks: 5}}\n/camera: {ros__parameters: {exposure: 3}}",
        parameters("qos_overrides: {/clock: {subscription: {depth: 1}}}"),
        parameters("cameras: [front, back]"),
        parameters("cameras: []"),
    ],
)
def test_what_ros_would_take_is_taken(tmp_path: Path, text: str) -> None:
    check_parameter_file(write(tmp_path, text), NODE)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/**: {ros__parameters: {min_looks: 3}", "it is no YAML: line 1: expected ',' or '}'"),
        ("\x07", "it is no YAML: "),
        ("min_looks: 3", "it must hold names of nodes with ros__parameters below"),
        ("", "it must hold names of nodes with ros__parameters below"),
        (
            "/camera: {ros__parameters: {}}\n/face_recognition: {ros__parameters: {}}",
            f"it says nothing about the node {NODE}, only about /camera, /face_recognition; a section /**: is for all.",
        ),
        ("/**: {ros__parameters: 3}", "ros__parameters must be followed by lines NAME: VALUE, not by 3."),
        (parameters("min_look: 3"), "there is no parameter min_look; did you mean min_looks?"),
        (parameters("zzz: 3"), "there is no parameter zzz; there are detector, detector_model,"),
        (parameters("min_looks: 3.0"), "min_looks must be a whole number between 1 and 50, not 3.0."),
        (parameters("min_looks: true"), "min_looks must be a whole number between 1 and 50, not True."),
        (parameters("min_margin: '0.1'"), "min_margin must be a number written with a decimal point"),
        (parameters("min_face_size: 40"), "such as 40.0 between 12 and 2000, not 40."),
        (parameters("autostart: 1"), "autostart must be true or false, not 1."),
        (parameters("gallery: 7"), "gallery must be a text, not 7."),
        (
            parameters("detection_thresholds: [1, 0.5, 0.5]"),
            "detection_thresholds must be a list of numbers with decimal",
        ),
        (parameters("detection_thresholds: [0.5]"), "detection_thresholds must be three numbers, not [0.5]."),
        (parameters("min_looks: 51"), "min_looks must lie between 1 and 50, not 51."),
        (parameters("cameras: front"), "cameras must be a list of names, not 'front'."),
        (parameters("cameras: [front, 2]"), "cameras must be a list of names, not ['front', 2]."),
        (parameters("cameras: [front, front]"), "cameras names front twice; each camera needs a name of its own."),
        (parameters("image_transport: theora"), "image_transport must be one of raw, compressed, not 'theora'."),
        (parameters("min_face_width: 80.0"), "min_enrollment_face_width (60) must be larger than min_face_width (80)."),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as raised:
        check_parameter_file(path, NODE)
    assert str(raised.value).startswith(f"The parameter file {path} cannot be used: ")
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"/**: \xe4")
    for name, sentence in (
        ("none.yaml", "there is no such file."),
        ("", "Is a directory."),
        ("latin.yaml", "it is no text in UTF-8 (byte 5)."),
    ):
        with pytest.raises(SettingsError, match="cannot be used: ") as raised:
            check_parameter_file(tmp_path / name, NODE)
        assert str(raised.value).endswith(sentence)


def test_what_is_given_goes_before_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, parameters("min_face_width: 80.0"))
    check_parameter_file(path, NODE, {"min_enrollment_face_width": 90.0})
    with pytest.raises(SettingsError, match="one of raw, compressed"):
        check_parameters({"image_transport": "theora"})


def test_a_later_section_goes_before_an_earlier_one(tmp_path: Path) -> None:
    sections = "/**: {ros__parameters: {min_face_width: 80.0}}\n/robot/*: {ros__parameters: {min_face_width: 30.0}}"
    check_parameter_file(write(tmp_path, sections), NODE)
