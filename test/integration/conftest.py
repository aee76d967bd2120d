"""The two sides of an integration test: the node in a process of its own, and the robot that talks to it from here."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT, Signals
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from face_recognition_msgs.action import Enroll
from face_recognition_msgs.msg import FaceIdentities, GalleryState
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.types import ByteArray

REPOSITORY = Path(__file__).resolve().parents[2]

DEADLINE = 60.0
"""Seconds after which what was waited for counts as never happening: plenty, as the machine may be busy."""

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


class NodeProcess:
    """The node, running as users run it."""

    def __init__(self, log: Path, gallery: Path, remappings: dict[str, str] | None = None, **parameters: Any) -> None:
        """Starts it; the names in `parameters` are the node's."""
        parameters = {"gallery": str(gallery), "min_face_size": 80.0, **parameters}
        settings = [word for name, value in parameters.items() for word in ("-p", f"{name}:={_yaml(value)}")]
        settings += [word for old, new in (remappings or {}).items() for word in ("-r", f"{old}:={new}")]
        command = [sys.executable, "-m", "face_recognition_ros.node.process", "--ros-args", *settings]
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=REPOSITORY)

    @property
    def output(self) -> str:
        """All that it has printed so far."""
        return self._log.read_text(errors="replace")

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(DEADLINE)

    def signal(self, number: Signals) -> None:
        self._process.send_signal(number)

    def stop(self, number: Signals = SIGINT) -> int:
        """Its exit code after that signal."""
        self.signal(number)
        return self.wait()

    def kill(self) -> None:
        """Ends it without a warning."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Ends it if it still runs, and kills it if it does not listen."""
        self._process.terminate()
        try:
            self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"'{value}'" if isinstance(value, str) else str(value)


class Robot:
    """Publishes pictures, collects answers and calls services. All happens in the test's own thread."""

    def __init__(self, domain: int, namespace: str = "") -> None:
        """namespace: the node's whom it talks to."""
        self._context = Context()
        self._context.init(domain_id=domain)
        self.node = Node("robot", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._images = self.node.create_publisher(Image, "image", qos_profile_sensor_data)
        self._clients: dict[str, Any] = {}
        self.answers: dict[tuple[int, int], FaceIdentities] = {}
        """By the stamp of their header."""
        self.gallery: GalleryState | None = None
        self.diagnostics: DiagnosticArray | None = None
        self._tenths = 1000
        self.subscribe(FaceIdentities, "face_identities", self._take_answer, 10)
        self.subscribe(GalleryState, "gallery", lambda message: setattr(self, "gallery", message), LATCHED)
        self.subscribe(DiagnosticArray, "/diagnostics", lambda message: setattr(self, "diagnostics", message), 10)
        self.enrollment = ActionClient(self.node, Enroll, "face_recognition/enroll")

    def close(self) -> None:
        self._executor.shutdown()
        self.enrollment.destroy()
        self.node.destroy_node()
        self._context.try_shutdown()

    def subscribe(self, kind: Any, topic: str, callback: Callable[[Any], Any], qos: Any) -> Subscription:
        return self.node.create_subscription(kind, topic, callback, qos)

    def _take_answer(self, message: FaceIdentities) -> None:
        self.answers[message.header.stamp.sec, message.header.stamp.nanosec] = message

    def wait_until(self, condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
        """What the condition returns, as soon as it is true; fails the test when the time is over."""
        end = time.monotonic() + seconds
        while not (result := condition()):
            if time.monotonic() > end:
                pytest.fail(f"waited {seconds:.0f} s in vain for {what}")
            self._executor.spin_once(timeout_sec=0.05)
        return result

    def next_header(self) -> Header:
        """A header whose stamp is a tenth of a second after the last one's."""
        self._tenths += 1
        header = Header(frame_id="camera_optical_frame")
        header.stamp.sec, header.stamp.nanosec = self._tenths // 10, self._tenths % 10 * 100_000_000 + 7
        return header

    def turn_back(self, tenths: int) -> None:
        """Sets the clock that makes the stamps back by tenths of a second."""
        self._tenths -= tenths
        for key in [key for key in self.answers if key > (self._tenths // 10, self._tenths % 10 * 100_000_000 + 7)]:
            del self.answers[key]

    def publish(self, message: Image) -> None:
        self.wait_until(lambda: self._images.get_subscription_count() > 0, "somebody who subscribes to image")
        self._images.publish(message)

    def show(self, picture: ByteArray | Image, times: int = 1) -> FaceIdentities:
        """Publishes the picture, with ever new stamps, until that many were answered; returns the last answer."""
        answered = 0
        while answered < times:
            header = self.next_header()
            if isinstance(picture, Image):
                picture.header = header
            message = picture if isinstance(picture, Image) else bgr_message(header, picture)
            key = (header.stamp.sec, header.stamp.nanosec)
            end = time.monotonic() + DEADLINE
            while key not in self.answers:  # best effort may lose one, so it is published again
                self.publish(message)
                again = min(end, time.monotonic() + 5.0)
                while key not in self.answers and time.monotonic() < again:
                    self._executor.spin_once(timeout_sec=0.05)
                assert time.monotonic() < end, f"an image was not answered within {DEADLINE:.0f} s"
            answered += 1
        return self.answers[key]

    def call(self, kind: Any, name: str, **request: Any) -> Any:
        """The response of the node's service of that name."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, f"face_recognition/{name}")
        client = self._clients[name]
        self.wait_until(client.service_is_ready, f"the service {name}")
        future = client.call_async(kind.Request(**request))
        self.wait_until(future.done, f"an answer of {name}")
        return future.result()

    def state(self) -> str:
        """Label of the node's lifecycle state."""
        return str(self.call(GetState, "get_state").current_state.label)

    def change_state(self, transition: str) -> bool:
        request = Transition(id=TRANSITIONS[transition])
        return bool(self.call(ChangeState, "change_state", transition=request).success)

    def set_parameter(self, name: str, value: Any) -> tuple[bool, str]:
        """Whether it was set, and if not, why."""
        message = Parameter(name, value=value).to_parameter_msg()
        (result,) = self.call(SetParameters, "set_parameters", parameters=[message]).results
        return result.successful, result.reason

    def wait_for_state(self, wanted: str) -> None:
        end = time.monotonic() + DEADLINE
        while (state := self.state()) != wanted:
            assert time.monotonic() < end, f"the node is {state} and does not become {wanted}"

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

    def start(gallery: Path, beside: bool = False, **parameters: Any) -> NodeProcess:
        for earlier in started if not beside else ():
            earlier.end()  # two nodes of one name would answer each other's requests
        log = tmp_path_factory.mktemp("node") / "output.log"
        started.append(NodeProcess(log, gallery, **parameters))
        return started[-1]

    yield start
    for process in started:
        process.end()
