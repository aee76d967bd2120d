"""A thread for some of a node's subscriptions, so that nothing else of the node delays their messages."""

import threading
from contextlib import suppress
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from face_recognition_ros.node.rclpy_errors import RCLError


class GroupThread:
    """Runs the callbacks of one group of a node's entities; the node's own executor runs all others.

    rclpy's executors ask every entity of their nodes before and after each callback. For this node's some forty, that
    is half a millisecond at each end of an image's way to its answer, in which no other thread runs Python.
    """

    def __init__(self, node: Node, name: str) -> None:
        """name: the thread's. It takes nothing yet; see `start`."""
        self.group = _GroupOfThread()
        """For the subscriptions that are to be served here; they are to be created before `start`."""
        self._node = node
        self._stopping = Future()
        self._executor = _GroupExecutor(node, self.group)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.group.thread = self._thread

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when no callback of the group is running and none will be; may be called twice."""
        self._stopping.set_result(None)
        self._thread.join()
        self._executor.shutdown()

    def _run(self) -> None:
        with suppress(ExternalShutdownException):  # the node ends
            while not self._stopping.done():
                self._spin()

    def _spin(self) -> None:
        try:
            self._executor.spin_until_future_complete(self._stopping)
        except (RCLError, InvalidHandle) as error:
            self._node.get_logger().warning(f"A message could not be taken: {error}")


class _GroupOfThread(CallbackGroup):
    """Its entities are for one thread only: whichever executor asks from another is told that they cannot run now."""

    thread: threading.Thread | None = None

    def can_execute(self, entity: Any) -> bool:
        return threading.current_thread() is self.thread

    def beginning_execution(self, entity: Any) -> bool:
        return self.can_execute(entity)

    def ending_execution(self, entity: Any) -> None:
        """Nothing was locked."""


class _GroupExecutor(SingleThreadedExecutor):
    """Runs one group's callbacks of a node that belongs to another executor."""

    def __init__(self, node: Node, group: CallbackGroup) -> None:
        super().__init__(context=node.context)
        self._node = node
        self._group = group

    def get_nodes(self) -> list[Node]:
        return [self._node]

    def can_execute(self, entity: Any) -> bool:
        return entity.callback_group is self._group and super().can_execute(entity)
