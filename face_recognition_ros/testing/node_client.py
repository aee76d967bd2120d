"""Stands where the robot stands: publishes images, hears the answers, calls the node's services."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from face_recognition_msgs.msg import FaceIdentities, GalleryState
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.demo.processes import PythonProcess, transport_profile
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.replay.bags import IMAGE_TYPES
from face_recognition_ros.testing.assertions import NodeTestError
from face_recognition_ros.testing.player import Player
from face_recognition_ros.testing.recordings import Recording, open_recording
from face_recognition_ros.types import ByteArray

DEADLINE = 60.0
"""Seconds after which what was waited for counts as never happening: plenty, as the machine may be busy."""

ASK_AGAIN = 5.0
"""Seconds after which what may have been lost on the way, and can be said twice, is said again."""

LAST_ANSWER = 5.0
"""Seconds after the end of a recording, without an answer, after which none is expected any more: images are sent best
effort, so the last one may be lost."""

LOCKS_OF_THE_DEAD = 2.0
"""Seconds until nobody waits any more for what a killed process had locked in others' shared memory. Fast DDS 2.14
notices within 1.3 s (a third of healthy_check_timeout_ms, then a lock's timeout) and makes that memory anew; where a
participant is destroyed meanwhile it crashes (SharedMemManager::Listener::close waits for a lock that is unmapped)."""

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}

Stamp = tuple[int, int]
"""Seconds and nanoseconds."""


class NodeClient:
    """A running node's counterpart in a test. All happens in the test's own thread, while it waits for something."""

    process: PythonProcess | None = None
    """The node's, where the test has started it: once it has ended, nothing is waited for."""

    def __init__(self, domain: int | None = None, namespace: str = "", image: str = "image") -> None:
        """domain: ROS domain, None: ROS_DOMAIN_ID's. namespace: the node's. image: topic that it takes images from."""
        # Without the profile images are lost. The middleware reads it once, when a process first takes part in ROS.
        os.environ.setdefault(*transport_profile())
        self._context = Context()
        self._context.init(domain_id=domain)
        self.node = Node("face_recognition_test", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._image_topic = image
        self._images = self.node.create_publisher(Image, image, qos_profile_sensor_data)
        self._clients: dict[str, Any] = {}
        self._player: Player | None = None
        self._camera = ""
        self._tenths = 1000
        self.seen: list[FaceIdentities] = []
        """Every answer so far; `play` begins anew."""
        self.answers: dict[Stamp, FaceIdentities] = {}
        """The last answer for each stamp."""
        self._heard: dict[Stamp, float] = {}
        """When they came, in seconds of time.monotonic."""
        self.gallery: GalleryState | None = None
        self.diagnostics: DiagnosticArray | None = None
        self.subscribe(FaceIdentities, "face_identities", self._take_answer, 10)
        self.subscribe(GalleryState, "gallery", lambda message: setattr(self, "gallery", message), LATCHED)
        self.subscribe(DiagnosticArray, "/diagnostics", lambda message: setattr(self, "diagnostics", message), 10)

    def close(self) -> None:
        """Ends what is played, and leaves ROS; right after a process was killed only once that is safe."""
        if self._player is not None:
            self._player.close()
        time.sleep(max(0.0, PythonProcess.last_kill + LOCKS_OF_THE_DEAD - time.monotonic()))
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def subscribe(self, kind: Any, topic: str, callback: Callable[[Any], Any], qos: Any) -> Subscription:
        """Has the callback called, while the test waits, with each message."""
        return self.node.create_subscription(kind, topic, callback, qos)

    def _take_answer(self, message: FaceIdentities) -> None:
        self.seen.append(message)
        self.answers[stamp_of(message)] = message
        self._heard[stamp_of(message)] = time.monotonic()

    # --- waiting ------------------------------------------------------------------------------------------------------

    def wait_until(self, condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
        """What the condition returns, as soon as it is true.

        Raises NodeTestError when the time is over or the node has ended, with the end of its log.
        """
        return self._insist(lambda: condition, what, seconds, seconds)

    def _insist(
        self, say: Callable[[], Callable[[], Any]], what: str, seconds: float = DEADLINE, again: float = ASK_AGAIN
    ) -> Any:
        """Says something, and says it again while that many seconds bring nothing: it may have been lost on the way.

        `say` returns a condition, and as soon as what this returns is true, it is returned. Raises as wait_until does.
        """
        end = time.monotonic() + seconds
        while True:
            heard, patience = say(), min(end, time.monotonic() + again)
            while not (result := heard()) and time.monotonic() < patience:
                self._require_running(what)
                self._executor.spin_once(timeout_sec=0.05)
            if result:
                return result
            if time.monotonic() >= end:
                raise NodeTestError(f"waited {seconds:.0f} s in vain for {what}{self._log()}")

    def _require_running(self, what: str) -> None:
        if self.process is not None:
            try:
                self.process.require_running()
            except FaceRecognitionError as error:
                raise NodeTestError(f"the node has ended while the test waited for {what}: {error}") from error

    def _log(self) -> str:
        """The end of the node's log, for an error's."""
        if self.process is None:
            return ""
        lines = self.process.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
        return "; the node's log ends:\n" + "\n".join(lines)

    # --- images -------------------------------------------------------------------------------------------------------

    def play(
        self,
        recording: Path | Recording,
        image: str = "",
        rate: float = 1.0,
        loop: bool = False,
        also: Mapping[str, str] | None = None,
        seconds: float = DEADLINE,
    ) -> Player:
        """Begins to play a bag, or a folder of pictures, to the node, with /clock; what was played before is ended.

        image: the camera's topic in the bag; may be left out where there is only one of images. also: further topics of
        the bag, and under what names they are to be published, such as {"/camera/depth/image": "depth"}.

        Raises FaceRecognitionError for what cannot be played, NodeTestError where the node does not subscribe.
        """
        source = open_recording(recording) if isinstance(recording, Path) else recording
        camera = image or _only_camera(source)
        if camera not in source.topics:
            raise FaceRecognitionError(f"The recording has no topic {camera}; it has {', '.join(source.topics)}.")
        compressed = source.topics[camera].type.endswith("CompressedImage")
        topic = self._image_topic + ("/compressed" if compressed else "")
        if self._player is not None:
            self._player.pause()
            self._hear_last_answer(self._player)  # which would be taken for an answer to what is played now
            self._player.close()
        self.seen.clear()
        self.answers.clear()
        self._player = player = Player(self.node, source, {camera: topic, **(also or {})}, rate, loop)
        self._camera = camera
        hint = "; with compressed images it needs image_transport: compressed" if compressed else ""
        self.wait_until(lambda: player.subscriptions(camera), f"a node that subscribes to {topic}{hint}", seconds)
        return player.start()

    def identities(
        self, until: Callable[[Sequence[FaceIdentities]], Any] | None = None, seconds: float = DEADLINE
    ) -> Sequence[FaceIdentities]:
        """The answers to what is played, in the order in which they came, once there are enough.

        until: whether these are enough; None: all, once the recording has been played to its end. A node that is busy
        leaves out images, so a test with `until` does well to loop a short recording.

        Raises NodeTestError where that does not happen in time, or the node answers nothing or has ended.
        """
        if until is not None:
            self.wait_until(lambda: until(self.seen), "enough identities", seconds)
            return tuple(self.seen)
        player = self._player
        if player is None:
            raise NodeTestError("nothing is played: call play first, or say with `until` how long to wait")
        self.wait_until(lambda: player.has_ended, "the end of the recording", seconds)
        self._hear_last_answer(player)
        if not self.seen:
            topic = self.node.resolve_topic_name("face_identities")
            raise NodeTestError(
                f"{player.published[self._camera]} images were played, but no answer came on {topic}, "
                f"where {self.node.count_publishers(topic)} nodes publish{self._log()}"
            )
        return tuple(self.seen)

    def _hear_last_answer(self, player: Player) -> None:
        """Waits for the answer to the image that was published last, unless no further answer comes."""
        published = player.last_message(self._camera)
        if published is None:
            return
        stamp, moment = stamp_of(published[0]), published[1]
        heard, count = time.monotonic(), len(self.seen)
        while self._heard.get(stamp, 0.0) < moment and time.monotonic() - heard < LAST_ANSWER:
            self._require_running("the last answer")
            self._executor.spin_once(timeout_sec=0.05)
            if len(self.seen) > count:
                heard, count = time.monotonic(), len(self.seen)

    def next_header(self) -> Header:
        """A header whose stamp is a tenth of a second after the last one's."""
        self._tenths += 1
        header = Header(frame_id="camera_optical_frame")
        header.stamp.sec, header.stamp.nanosec = self._tenths // 10, self._tenths % 10 * 100_000_000 + 7
        return header

    def publish(self, message: Image) -> None:
        """Publishes an image, once somebody subscribes."""
        self.wait_until(lambda: self._images.get_subscription_count() > 0, "somebody who subscribes to image")
        self._images.publish(message)

    def show(self, picture: ByteArray | Image, times: int = 1) -> FaceIdentities:
        """Publishes the picture, with ever new stamps, until that many were answered; returns the last answer.

        Unlike with `play`, none is left out, however slow the machine is.
        """
        for _ in range(times):
            header = self.next_header()
            if isinstance(picture, Image):
                picture.header = header
            answer = self._answer(picture if isinstance(picture, Image) else bgr_message(header, picture))
        return answer

    def _answer(self, message: Image) -> FaceIdentities:
        stamp = stamp_of(message)

        def say() -> Callable[[], Any]:
            self.publish(message)
            return lambda: self.answers.get(stamp)

        answer: FaceIdentities = self._insist(say, "an answer to an image")
        return answer

    # --- services -----------------------------------------------------------------------------------------------------

    def call(self, kind: Any, name: str, **request: Any) -> Any:
        """The response of the node's service of that name."""
        future = self._ask(kind, name, **request)
        self.wait_until(future.done, f"an answer of {name}")
        return future.result()

    def _ask(self, kind: Any, name: str, **request: Any) -> Any:
        """The future of that response."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, f"face_recognition/{name}")
        client = self._clients[name]
        self.wait_until(client.service_is_ready, f"the service {name}")
        return client.call_async(kind.Request(**request))

    def state(self) -> str:
        """Label of the node's lifecycle state."""

        def ask() -> Callable[[], Any]:
            future = self._ask(GetState, "get_state")
            return lambda: future.result() if future.done() else None

        return str(self._insist(ask, "an answer of get_state").current_state.label)

    def change_state(self, transition: str) -> bool:
        """Whether the transition was made: configure, activate, deactivate, cleanup or shutdown."""
        by_label = transition == "shutdown"  # its id depends on the state
        request = Transition(label=transition) if by_label else Transition(id=TRANSITIONS[transition])
        return bool(self.call(ChangeState, "change_state", transition=request).success)

    def set_parameter(self, name: str, value: Any) -> tuple[bool, str]:
        """Whether it was set, and if not, why."""
        message = Parameter(name, value=value).to_parameter_msg()
        (result,) = self.call(SetParameters, "set_parameters", parameters=[message]).results
        return result.successful, result.reason

    def wait_for_state(self, wanted: str) -> None:
        """Waits until the node's lifecycle state has that label; raises NodeTestError where it does not come to it."""
        end = time.monotonic() + DEADLINE
        while (state := self.state()) != wanted:
            if time.monotonic() > end:
                raise NodeTestError(f"the node is {state} and does not become {wanted}{self._log()}")


def stamp_of(message: Any) -> Stamp:
    """The stamp in the message's header."""
    return message.header.stamp.sec, message.header.stamp.nanosec


def _only_camera(recording: Recording) -> str:
    cameras = [name for name, topic in recording.topics.items() if topic.type in IMAGE_TYPES]
    if len(cameras) != 1:
        have = ", ".join(f"{name} ({topic.type})" for name, topic in recording.topics.items())
        raise FaceRecognitionError(f"Say with `image` which topic is the camera's; the recording has {have or 'none'}.")
    return cameras[0]
