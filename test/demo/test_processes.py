"""Processes of the demo are ended whatever happens, and one that dies early is reported with its last words."""

from pathlib import Path

import pytest

from face_recognition_ros.demo.processes import PythonProcess, isolated_environment
from face_recognition_ros.errors import FaceRecognitionError

WAITS_FOR_STDIN = "import sys; sys.stdin.read()"


def test_output_goes_where_it_is_wanted(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['COLOUR']); print('oops', file=sys.stderr)"
    process = PythonProcess(["-c", code], {"COLOUR": "blue"}, tmp_path / "log", output=tmp_path / "out")
    process.popen.wait()
    assert process.stop() == 0
    assert ((tmp_path / "out").read_text(), (tmp_path / "log").read_text()) == ("blue\n", "oops\n")


def test_a_process_that_has_ended_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with PythonProcess(["-c", "raise SystemExit('the camera is broken')"], {}, tmp_path / "log") as process:
        process.popen.wait()
        with pytest.raises(FaceRecognitionError, match=r"exit code 1; .*log ends: the camera is broken"):
            process.require_running()


def test_a_running_process_is_fine_and_ends_with_the_block(tmp_path: Path) -> None:
    with PythonProcess(["-c", WAITS_FOR_STDIN], {}, tmp_path / "log") as process:
        process.require_running()
    assert process.popen.returncode is not None


def test_it_ends_when_the_block_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="a fault"),
        PythonProcess(["-c", WAITS_FOR_STDIN], {}, tmp_path / "log") as one,
    ):
        raise ValueError("a fault")
    assert one.popen.returncode is not None


def test_ros_is_shut_off_from_other_machines() -> None:
    environment = isolated_environment()
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert 0 < int(environment["ROS_DOMAIN_ID"]) <= 101
    assert Path(environment["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()
