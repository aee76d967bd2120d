"""One camera while the node is active: its images, depth and calibration come in here, and are counted and timed."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from face_recognition_ros.node.depth import DepthBuffer
from face_recognition_ros.node.diagnostics import NodeReport, StreamStatistics, diagnostics_status
from face_recognition_ros.node.frame_pipeline import FramePipeline, OnResult, Received
from face_recognition_ros.node.publishers import AnswerPublishers, below
from face_recognition_ros.streams import StreamFrame

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""The SensorData profile, but with room for the newest image only."""


class CameraStream:
    """The subscriptions of one camera, with what is kept for it from activation to deactivation."""

    def __init__(self, node: LifecycleNode, camera: str, answers: AnswerPublishers, transport: str) -> None:
        """camera: name below which its topics are. transport: raw or compressed. No image comes before `open`."""
        self._node = node
        self._camera = camera
        self._answers = answers
        self._kind = CompressedImage if transport == "compressed" else Image
        # As image_transport does it, the remapping of `image` holds for its compressed form as well.
        suffix = "/compressed" if transport == "compressed" else ""
        self.topic = node.resolve_topic_name(below(camera, "image")) + suffix
        self.statistics = StreamStatistics(time.monotonic())
        self._depth = DepthBuffer()
        self._subscriptions: list[Any] = []

    def open(self, offer: Callable[[Any], None], group: CallbackGroup) -> None:
        """Opens the subscriptions; `offer` is called with each image, in the thread of the group."""

        def take(message: Any) -> None:
            self.statistics.image_arrived(time.monotonic())
            offer(message)

        for kind, topic, callback in (
            (Image, below(self._camera, "depth"), self._depth.add_image),
            (CameraInfo, below(self._camera, "camera_info"), self._depth.set_camera_info),
            (self._kind, self.topic, take),
        ):
            subscription = self._node.create_subscription(kind, topic, callback, NEWEST, callback_group=group)
            self._subscriptions.append(subscription)

    def close(self) -> None:
        """Ends the subscriptions."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def create_pipeline(self, on_result: OnResult, on_backend_error: Callable[[], None]) -> FramePipeline:
        """For one inference thread; see FramePipeline."""
        clock, logger = self._node.get_clock(), self._node.get_logger()
        return FramePipeline(
            self._answers.publish, self.statistics, self._depth, clock, logger, self.topic, on_result, on_backend_error
        )

    def frame(self, image: Received, in_full: bool) -> StreamFrame:
        """The image as the recognizer takes it."""
        return StreamFrame(image.picture, image.stamp, in_full, self.statistics.fell_behind())

    def status(self, name: str, hardware_id: str, report: NodeReport) -> DiagnosticStatus:
        """For /diagnostics; the report is that of the node."""
        report = replace(report, topic=self.topic, publishers=self._node.count_publishers(self.topic))
        return diagnostics_status(name, hardware_id, report, self.statistics.measure(time.monotonic()))
