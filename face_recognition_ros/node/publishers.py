"""What the node publishes, with the QoS of each topic."""

from collections.abc import Callable

import numpy as np
from face_recognition_msgs.msg import FaceIdentities, GalleryState
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.drawing import draw_faces
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.node.messages import (
    Locate,
    bgr_message,
    detections_message,
    gallery_message,
    identities_message,
)
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.types import ByteArray

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PICTURES = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class AnswerPublishers:
    """Publishes what a frame showed; silent until the node is active.

    `publish` runs in the inference thread. That is safe: rcl allows publishing from any thread, and the thread is
    ended before a publisher is deactivated or destroyed. Handing results to the executor instead would make every
    answer wait until the next image has been taken from the middleware.
    """

    def __init__(self, node: LifecycleNode, publish_detections: bool, camera: str = "") -> None:
        """camera: name below which its topics are."""
        self._node = node
        self._identities = node.create_lifecycle_publisher(FaceIdentities, below(camera, "face_identities"), RELIABLE)
        self._debug_image = node.create_lifecycle_publisher(Image, below(camera, "debug_image"), PICTURES)
        self._detections = _detections_publisher(node, below(camera, "face_detections")) if publish_detections else None

    def publish(self, header: Header, frame: ByteArray, result: FrameResult, locate: Locate) -> None:
        """Publishes the answers to one image; the debug image is drawn only while somebody subscribes."""
        self._identities.publish(identities_message(header, result, locate))
        if self._detections is not None:
            self._detections.publish(detections_message(header, result.faces))
        if self._debug_image.get_subscription_count() > 0:
            self._debug_image.publish(bgr_message(header, draw_faces(np.asarray(frame), result.faces)))

    def destroy(self) -> None:
        for publisher in (self._identities, self._debug_image, self._detections):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)


class GalleryPublisher:
    """Publishes the gallery's state, latched, whenever its revision is another than the one published last."""

    def __init__(self, node: LifecycleNode, store: GalleryStore) -> None:
        self._node = node
        self._store = store
        self._publisher = node.create_lifecycle_publisher(GalleryState, "gallery", LATCHED)
        self._published = -1

    def publish(self) -> int:
        """In any case, as at activation; returns how many identities there are."""
        revision, identities = self._store.snapshot()
        stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(gallery_message(stamp, revision, self._store.model_id, identities))
        self._published = revision
        return len(identities)

    def publish_changes(self) -> None:
        """Only if there is something new, whichever process it came from."""
        if self._store.revision != self._published:
            count = self.publish()
            self._node.get_logger().info(f"the gallery has changed: revision {self._published}, {count} identities")

    def destroy(self) -> None:
        self._node.destroy_lifecycle_publisher(self._publisher)


def below(camera: str, topic: str) -> str:
    """The camera's topic; without a name it is the only one's."""
    return f"{camera}/{topic}" if camera else topic


def _detections_publisher(node: LifecycleNode, topic: str) -> LifecyclePublisher | None:
    try:
        from vision_msgs.msg import Detection2DArray
    except ImportError:
        node.get_logger().info("vision_msgs is not installed: face_detections is not published")
        return None
    publisher: LifecyclePublisher = node.create_lifecycle_publisher(Detection2DArray, topic, RELIABLE)
    return publisher


Publish = Callable[[Header, ByteArray, FrameResult, Locate], None]
"""What AnswerPublishers.publish is to the frame pipeline."""
