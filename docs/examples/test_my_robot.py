"""A test to copy: does the robot know the team in its own bag, and does it leave strangers without a name?

The fixtures `people` and `visit` are in conftest.py; put your own pictures and your own bag there.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from face_recognition_ros.testing import NodeClient, assert_not_named, assert_seen, running_node


@pytest.fixture(scope="module")
def node(people: dict[str, Path]) -> Iterator[NodeClient]:
    """The node in a process of its own, shut off from other ROS systems, and active; one for all tests of the file."""
    parameters = {"min_face_size": 60.0, "use_sim_time": True}
    with running_node(people, parameters) as node:
        yield node


def test_the_visitor_is_recognised(node: NodeClient, visit: Path) -> None:
    """A busy machine leaves out images, so the bag is played until there are enough answers."""
    node.play(visit, image="/camera/color/image_raw", loop=True)
    seen = node.identities(until=lambda answers: len(answers) >= 15)
    assert_seen(seen, "Eileen Collins", at_least=5)


def test_nobody_else_is_taken_for_somebody(node: NodeClient, visit: Path) -> None:
    """Played once to the end, twice as fast as it was recorded."""
    node.play(visit, image="/camera/color/image_raw", rate=2.0)
    assert_not_named(node.identities(), "Grace Hopper")
