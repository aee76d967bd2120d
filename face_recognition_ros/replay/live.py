"""Takes images from a live topic, so that what a camera shows now can be looked at as a recording can."""

# Imported first: the ROS wheels restart the program on their import, which must not repeat anything done before.
import rclpy  # isort: skip

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from face_recognition_ros.errors import FaceRecognitionError, ImageError
from face_recognition_ros.node.image_conversion import message_to_bgr
from face_recognition_ros.replay.sources import NANOSECONDS, Closing, SourceFrame

WAITING = 300
"""So many images may wait for their turn; those that come then are dropped, and counted."""
PATIENCE = 15.0
"""Seconds without an image after which the topic counts as silent."""
POLL = 0.2
"""Seconds after which Ctrl-C is looked for."""


class TopicSource(Closing):
    """The images that a topic brings from now on; without end, until the topic is silent."""

    def __init__(self, topic: str) -> None:
        """A topic that ends in /compressed brings CompressedImage, any other Image: image_transport's convention."""
        self.name = topic
        self.count: int | None = None
        self.rate = 15.0
        self._images: queue.Queue[tuple[int, Any]] = queue.Queue(WAITING)
        self._dropped = 0
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("face_recognition_replay", context=self._context)
        kind = CompressedImage if topic.endswith("/compressed") else Image
        profile = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node.create_subscription(kind, topic, self._take, profile)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="images", daemon=True)
        self._thread.start()

    def frames(self) -> Iterator[SourceFrame]:
        last, seen, dropped = time.monotonic(), False, 0
        while time.monotonic() - last < PATIENCE:
            try:
                arrived, message = self._images.get(timeout=POLL)
            except queue.Empty:
                continue
            yield self._frame(message, arrived)
            last, seen = time.monotonic(), True
            if self._dropped > dropped:
                lost, dropped = self._dropped - dropped, self._dropped
                yield SourceFrame(arrived, "", None, f"{self.name}: {lost} images came too fast and were dropped.")
        if not seen:
            raise FaceRecognitionError(
                f"nothing came on {self.name} for {PATIENCE:g} s; `ros2 topic info -v {self.name}` shows who publishes"
            )

    def close(self) -> None:
        self._context.try_shutdown()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()

    def _spin(self) -> None:
        try:
            while self._context.ok():
                self._executor.spin_once(timeout_sec=POLL)
        except ExternalShutdownException:
            return  # closed

    def _take(self, message: Any) -> None:
        try:
            self._images.put_nowait((time.time_ns(), message))
        except queue.Full:
            self._dropped += 1

    def _frame(self, message: Any, arrived: int) -> SourceFrame:
        stamp = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec or arrived
        try:
            return SourceFrame(stamp, message.header.frame_id, message_to_bgr(message, self.name))
        except ImageError as error:
            return SourceFrame(stamp, message.header.frame_id, None, str(error))
