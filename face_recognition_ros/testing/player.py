"""Plays a recording to its topics with the pace, and on the clock, that it was recorded with; see `ros2 bag play`."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.replay.sources import NANOSECONDS
from face_recognition_ros.testing.recordings import Recording

CLOCK_PERIOD = 0.025
"""Seconds between two messages on /clock while there is nothing to publish, as `ros2 bag play --clock` has it."""


class Player:
    """Publishes a recording's messages from a thread of its own, each once it is due.

    As with `ros2 bag play --clock`, /clock carries the recording's time for nodes with use_sim_time; it stands still
    while the player is paused, and jumps back where a loop begins anew.
    """

    def __init__(
        self,
        node: Node,
        recording: Recording,
        topics: Mapping[str, str] | None = None,
        rate: float = 1.0,
        loop: bool = False,
        clock: bool = True,
    ) -> None:
        """Creates the publishers on `node`; nothing is published before `start`.

        topics: which of the recording's topics are published, and under what name; None: all, under their own names.
        rate: how many times faster than recorded. Raises FaceRecognitionError for a topic that the recording does not
        have, a type that is not installed, or a rate that is not positive.
        """
        if not rate > 0:
            raise FaceRecognitionError(f"The rate must be larger than 0, not {rate:g}.")
        self._node, self._recording, self._rate, self._loop = node, recording, rate, loop
        self._publishers: dict[str, Publisher] = {}
        for name, target in (topics if topics is not None else {name: name for name in recording.topics}).items():
            self._publishers[name] = self._publisher(name, target)
        self._clock = node.create_publisher(Clock, "/clock", 10) if clock else None
        self._change = threading.Condition()
        self._paused = self._stopping = False
        self._origin = 0
        """Recorded time in nanoseconds at the moment `_anchor` of the monotonic clock."""
        self._anchor = 0.0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self.published: Counter[str] = Counter()
        """Messages published so far on each topic, by the recording's names."""
        self._last: dict[str, tuple[bytes, float]] = {}
        self.loops = 0
        """How often the recording has been played to its end."""

    def start(self) -> Self:
        """Begins to play."""
        self._thread.start()
        return self

    def pause(self) -> None:
        """Nothing but the standing clock is published once this has returned."""
        with self._change:
            self._origin, self._paused = self._now(), True

    def resume(self) -> None:
        """Goes on where it was paused."""
        with self._change:
            if self._paused:
                self._anchor, self._paused = time.monotonic(), False
                self._change.notify()

    @property
    def has_ended(self) -> bool:
        """Whether it was stopped or has come to the end; raises what went wrong where something did."""
        if self._error is not None:
            raise self._error
        return self._thread.ident is not None and not self._thread.is_alive()

    def subscriptions(self, topic: str) -> int:
        """How many subscribe to that topic of the recording."""
        return int(self._publishers[topic].get_subscription_count())

    def last_message(self, topic: str) -> tuple[Any, float] | None:
        """The message published last on that topic of the recording, and when, in seconds of time.monotonic.

        None where there was none yet.
        """
        if topic not in self._last:
            return None
        data, moment = self._last[topic]
        return deserialize_message(data, self._recording.topics[topic].message_class()), moment

    def close(self) -> None:
        """Stops, and removes the publishers; may be called twice."""
        with self._change:
            self._stopping = True
            self._change.notify()
        if self._thread.is_alive():
            self._thread.join()
        for publisher in (*self._publishers.values(), *([self._clock] if self._clock else [])):
            self._node.destroy_publisher(publisher)
        self._publishers, self._clock = {}, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _publisher(self, name: str, target: str) -> Publisher:
        topic = self._recording.topics.get(name)
        if topic is None:
            have = ", ".join(self._recording.topics) or "none"
            raise FaceRecognitionError(f"The recording has no topic {name}; it has {have}.")
        message_class = topic.message_class()
        if message_class is None:
            raise FaceRecognitionError(f"The topic {name} cannot be played: its type {topic.type} is not installed.")
        durability = DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE
        # Reliable, as that is heard by subscribers of both kinds.
        return self._node.create_publisher(message_class, target, QoSProfile(depth=10, durability=durability))

    def _run(self) -> None:
        try:
            while self._play():
                self.loops += 1
                if not self._loop:
                    break
        except Exception as error:  # it is raised where the test looks
            self._error = error

    def _play(self) -> bool:
        """Plays from the start to the end; false where it was stopped before."""
        first = True
        for stamp, topic, data in self._recording.messages():
            if topic not in self._publishers:
                continue
            with self._change:
                if first:
                    self._origin, self._anchor, first = stamp, time.monotonic(), False
                if not self._wait_until(stamp):
                    return False
                self._tell_time(stamp)
                self._last[topic] = data, time.monotonic()
                self._publishers[topic].publish(data)
                self.published[topic] += 1
        if first:
            raise FaceRecognitionError("The recording has no message on the topics that are to be played.")
        return True

    def _wait_until(self, stamp: int) -> bool:
        """Waits, with the lock held, until a message of that time is due; false where the player is to stop."""
        while not self._stopping:
            now = self._now()
            if now >= stamp and not self._paused:
                return True
            self._tell_time(min(now, stamp))
            due = CLOCK_PERIOD if self._paused else (stamp - now) / NANOSECONDS / self._rate
            self._change.wait(min(CLOCK_PERIOD, due))
        return False

    def _now(self) -> int:
        """Recorded time, in nanoseconds, that it is now."""
        elapsed = 0.0 if self._paused else time.monotonic() - self._anchor
        return self._origin + round(elapsed * self._rate * NANOSECONDS)

    def _tell_time(self, stamp: int) -> None:
        if self._clock is not None:
            seconds, nanoseconds = divmod(stamp, NANOSECONDS)
            self._clock.publish(Clock(clock=Time(sec=seconds, nanosec=nanoseconds)))
