"""The two sides of an integration test: the node in a process of its own, and the robot that talks to it from here."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from face_recognition_msgs.action import Enroll
from rclpy.action import ActionClient

from face_recognition_ros.testing import NodeClient, NodeProcess

REPOSITORY = Path(__file__).resolve().parents[2]


class Robot(NodeClient):
    """Enrols people as well, and has a clock that goes backwards."""

    def __init__(self, domain: int, namespace: str = "") -> None:
        """namespace: the node's whom it talks to."""
        super().__init__(domain, namespace)
        self.enrollment = ActionClient(self.node, Enroll, "face_recognition/enroll")

    def close(self) -> None:
        self.enrollment.destroy()
        super().close()

    def turn_back(self, tenths: int) -> None:
        """Sets the clock that makes the stamps back by tenths of a second."""
        self._tenths -= tenths
        for key in [key for key in self.answers if key > (self._tenths // 10, self._tenths % 10 * 100_000_000 + 7)]:
            del self.answers[key]

    def send_goal(self, **goal: Any) -> "Goal":
        """Sends an enrolment, and returns it when it was accepted."""
        return Goal(self, Enroll.Goal(**goal))


class Goal:
    """An enrolment under way."""

    def __init__(self, robot: Robot, goal: Enroll.Goal) -> None:
        self._robot = robot
        self.feedback: list[Enroll.Feedback] = []
        robot.wait_until(robot.enrollment.server_is_ready, "the action enroll")
        sent = robot.enrollment.send_goal_async(goal, lambda message: self.feedback.append(message.feedback))
        robot.wait_until(sent.done, "an answer to the goal")
        self._handle = sent.result()
        assert self._handle.accepted
        self._result = self._handle.get_result_async()

    @property
    def is_done(self) -> bool:
        return bool(self._result.done())

    def cancel(self) -> None:
        cancelled = self._handle.cancel_goal_async()
        self._robot.wait_until(cancelled.done, "an answer to the cancelling")

    def result(self) -> tuple[int, Enroll.Result]:
        """Status (action_msgs/GoalStatus) and result, once they are there."""
        self._robot.wait_until(self._result.done, "the result of the enrolment")
        return self._result.result().status, self._result.result().result


@pytest.fixture(scope="session")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A ROS domain of this test session's own, on this machine only."""
    number = 1 + os.getpid() % 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(number))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("ROS_LOG_DIR", str(tmp_path_factory.mktemp("ros_log")))
        patch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(REPOSITORY / "config" / "fastdds.xml"))
        yield number


@pytest.fixture(scope="module")
def robot(domain: int) -> Iterator[Robot]:
    """The robot that all tests of a file share."""
    robot = Robot(domain)
    yield robot
    robot.close()


@pytest.fixture
def new_robot(domain: int) -> Iterator[Callable[..., Robot]]:
    """Makes robots that have met no node yet: whoever has met one that was killed takes it for alive for 20 s more."""
    made: list[Robot] = []

    def make(namespace: str = "") -> Robot:
        made.append(Robot(domain, namespace))
        return made[-1]

    yield make
    for robot in made:
        robot.close()


@pytest.fixture(scope="module")
def start_node(domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NodeProcess]]:
    """Starts nodes, one after the other unless one is to run beside; what still runs is ended with the file's tests."""
    started: list[NodeProcess] = []

    def start(
        gallery: Path, beside: bool = False, remappings: dict[str, str] | None = None, **parameters: Any
    ) -> NodeProcess:
        for earlier in started if not beside else ():
            earlier.end()  # two nodes of one name would answer each other's requests
        log = tmp_path_factory.mktemp("node") / "output.log"
        started.append(NodeProcess(log, gallery, {"min_face_size": 80.0, **parameters}, remappings))
        return started[-1]

    yield start
    for process in started:
        process.end()
