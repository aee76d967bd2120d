"""What the tests of faults share: the integration tests' fixtures, and a robot whose camera can be taken away."""

import time
from collections.abc import Callable, Iterator

import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from ..integration.conftest import Robot, domain, start_node  # noqa: F401


class Witness(Robot):
    """A robot that waits for a moment, and whose camera can stop."""

    def open_camera(self) -> None:
        self._images = self.node.create_publisher(Image, self._image_topic, qos_profile_sensor_data)

    def close_camera(self) -> None:
        """Leaves no publisher of images."""
        self.node.destroy_publisher(self._images)

    def spin_until(self, moment: float) -> None:
        """Takes what comes until that moment, in seconds of time.monotonic; at least once."""
        self._executor.spin_once(timeout_sec=0.0)
        while (left := moment - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)


@pytest.fixture(scope="module")
def robot(domain: int) -> Iterator[Witness]:  # noqa: F811
    """The robot that all tests of a file share."""
    robot = Witness(domain)
    yield robot
    robot.close()


@pytest.fixture
def new_robot(domain: int) -> Iterator[Callable[[], Witness]]:  # noqa: F811
    """Makes robots that have met no node yet: whoever has met one that was killed takes it for alive for 20 s more."""
    made: list[Witness] = []

    def make() -> Witness:
        made.append(Witness(domain))
        return made[-1]

    yield make
    for robot in made:
        robot.close()
