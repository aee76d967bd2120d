"""docs/ros_interface.md names what the node has."""

import re
from pathlib import Path

from face_recognition_ros.node.parameters import parameters

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "ros_interface.md").read_text()

TABLE = DOCS.split("## Parameters")[1].split("## Environment")[0]


def test_the_parameter_table_names_all_parameters_in_order() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TABLE, re.MULTILINE) == list(parameters())


def test_the_parameter_table_says_which_are_live() -> None:
    for name, (_, spec) in parameters().items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", TABLE, re.MULTILINE)
        assert (row.split("|")[5].strip() == "yes") == spec.live
        assert spec.description in row
