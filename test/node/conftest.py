"""A node and its client in one process, for tests of what the node offers."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

DEADLINE = 60.0
"""Seconds after which what was waited for counts as never happening: plenty, as the machine may be busy."""


class RosBench:
    """A node named face_recognition and a robot's node, both served by one executor in the test's own thread."""

    def __init__(self) -> None:
        self.context = Context()
        self.context.init(domain_id=1 + (os.getpid() + 70) % 100)
        self.node = Node("face_recognition", context=self.context, enable_rosout=False)
        self.robot = Node("robot", context=self.context, enable_rosout=False)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.node, self.robot):
            self.executor.add_node(node)

    def wait_until(self, condition: Callable[[], Any], what: str) -> Any:
        """What the condition returns, as soon as it is true; fails the test when the time is over."""
        end = time.monotonic() + DEADLINE
        while not (result := condition()):
            if time.monotonic() > end:
                pytest.fail(f"waited {DEADLINE:.0f} s in vain for {what}")
            self.executor.spin_once(timeout_sec=0.02)
        return result

    def close(self) -> None:
        self.executor.shutdown()
        for node in (self.node, self.robot):
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch) -> Iterator[RosBench]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    bench = RosBench()
    yield bench
    bench.close()
