"""A thread for some of a node's subscriptions, so that nothing else of the node delays their messages."""

import threading
from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerGuardCondition
from rclpy.subscription import Subscription

from face_recognition_ros.node.rclpy_errors import RCLError

FOREVER = -1


class GroupThread:
    """Runs the callbacks of one group of a node's subscriptions; the node's own executor runs all others.

    rclpy's executors ask every entity of their nodes before and after each callback. For this node's some forty, that
    is half a millisecond at each end of an image's way to its answer, in which no other thread runs Python. This thread
    waits for its subscriptions and for nothing else, as rclpy.wait_for_message does for one.
    """

    def __init__(self, node: Node, name: str) -> None:
        """name: the thread's. It takes nothing yet; see `start`."""
        self.group = _GroupOfThread()
        """For the subscriptions that are to be served here; they are to be created before `start`, their callbacks take
        the message alone."""
        self._node = node
        self._stopping = False
        self._wake = SignalHandlerGuardCondition(node.context)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._node.context.on_shutdown(self._wake.trigger)
        self._thread.start()

    def stop(self) -> None:
        """Returns when no callback of the group is running and none will be; may be called twice."""
        self._stopping = True
        self._wake.trigger()
        self._thread.join()

    def _run(self) -> None:
        subscriptions = [one for one in self._node.subscriptions if one.callback_group is self.group]
        with ExitStack() as in_use:  # nothing of these is destroyed while the thread runs
            for handle in (self._node.context.handle, self._wake.handle, *(one.handle for one in subscriptions)):
                in_use.enter_context(handle)
            wait_set = rclpy_implementation.WaitSet(len(subscriptions), 1, 0, 0, 0, 0, self._node.context.handle)
            while not self._stopping and self._node.context.ok():
                try:
                    for subscription in self._wait(wait_set, subscriptions):
                        self._serve(subscription)
                except RCLError as error:
                    self._node.get_logger().warning(f"A message could not be taken: {error}")

    def _wait(self, wait_set: Any, subscriptions: Collection[Subscription]) -> list[Subscription]:
        """Those for which there is a message; none where the thread is woken."""
        wait_set.clear_entities()
        for one in subscriptions:
            wait_set.add_subscription(one.handle)
        wait_set.add_guard_condition(self._wake.handle)
        wait_set.wait(FOREVER)
        ready = wait_set.get_ready_entities("subscription")
        return [one for one in subscriptions if one.handle.pointer in ready]

    def _serve(self, subscription: Subscription) -> None:
        taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        if taken is not None and not self._stopping:
            subscription.callback(taken[0])


class _GroupOfThread(CallbackGroup):
    """Its entities are the thread's: whichever executor asks is told that they cannot run now."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""
