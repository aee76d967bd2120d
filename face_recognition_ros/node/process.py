"""The node's process: runs the node until a signal ends it, and lets what is due be answered first."""

import signal
import sys
import threading
import time

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import ok, try_shutdown

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.face_recognition_node import FaceRecognitionNode
from face_recognition_ros.node.rclpy_errors import RCLError, UnknownROSArgsError

POLL = 0.2
"""Seconds after which the main thread looks for a signal; Python's handlers run in no other."""

LAST_STEPS = 20
"""How many callbacks may still run at the end, so that whoever waits for an answer gets it."""

LAST_SECONDS = 5.0
"""How long an enrolment or a request may take to end, then."""

GRACE = 0.5
"""Seconds for which, after that, the client of an enrolment may be late to ask for its result, and answers travel."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM; returns the process's exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Instead of rclpy's own handlers, which end the context under the node's feet.
        signal.signal(number, lambda *_: stop.set())
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = FaceRecognitionNode()
        with SingleThreadedExecutor() as executor:
            _run(executor, node, stop)
    except (FaceRecognitionError, RCLError, UnknownROSArgsError) as error:
        rclpy.logging.get_logger("face_recognition").fatal(f"The node ends. {error}")
        return 1
    finally:
        try_shutdown()
    return 0


def _run(executor: Executor, node: FaceRecognitionNode, stop: threading.Event) -> None:
    executor.add_node(node)
    try:
        node.start()
        while ok() and not stop.is_set():
            _spin_once(executor, node)
        grace = 0.0 if node.is_settled else GRACE
        if node.state == "active":
            node.trigger_deactivate()
        _let_requests_end(executor, node, grace)
        if ok() and node.state != "finalized":
            node.trigger_shutdown()
    finally:
        executor.remove_node(node)
        node.destroy_node()


def _let_requests_end(executor: Executor, node: FaceRecognitionNode, grace: float) -> None:
    """Sends the answers that are due; an enrolment's result takes a few steps of the executor after it has ended."""
    now = time.monotonic()
    steps, end, last = 0, now + LAST_SECONDS, now + grace
    while ok() and now < end and (steps < LAST_STEPS or now < last):
        _spin_once(executor, node, timeout=0.01 if grace else 0.0)
        now = time.monotonic()
        if node.is_settled:
            steps += 1
        else:
            last = now + grace


def _spin_once(executor: Executor, node: FaceRecognitionNode, timeout: float = POLL) -> None:
    try:
        executor.spin_once(timeout_sec=timeout)
    except ExternalShutdownException:
        pass  # the loop ends
    except (RCLError, InvalidHandle) as error:
        # A client that left before its answer, or a service that cleanup removed while a request waited.
        node.get_logger().warning(f"A request could not be answered: {error}")


if __name__ == "__main__":
    sys.exit(main())
