"""Listens to the node: every FaceIdentities with the moment at which it came."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from face_recognition_msgs.msg import FaceIdentities, FaceIdentity
from rclpy.event_handler import QoSSubscriptionMatchedInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile

from face_recognition_ros.types import (
    LANDMARKS,
    Candidate,
    Decision,
    Detection,
    IdentityStatus,
    Quality,
    QualityMeasure,
    RecognizedFace,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the node said of one frame."""

    stamp_ns: int
    """The frame's own stamp."""
    received_ns: int
    """When the answer was here, by the same clock."""
    faces: tuple[RecognizedFace, ...]


class Listener(Node):
    """Subscribes to face_identities; `on_answer` gets each."""

    def __init__(
        self, on_answer: Callable[[Answer], None], name: str = "face_identities_listener", namespace: str | None = None
    ) -> None:
        super().__init__(name, namespace=namespace)
        self.publishers_matched = 0
        """How many nodes publish face_identities right now."""
        self._on_answer = on_answer
        self.create_subscription(
            FaceIdentities, "face_identities", self._receive, QoSProfile(depth=100),
            event_callbacks=SubscriptionEventCallbacks(matched=self._on_matched),
        )  # fmt: skip

    def _on_matched(self, info: QoSSubscriptionMatchedInfo) -> None:
        self.publishers_matched = info.current_count

    def _receive(self, message: FaceIdentities) -> None:
        received = time.time_ns()
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        self._on_answer(Answer(stamp, received, tuple(recognized_face(face) for face in message.faces)))


def recognized_face(message: FaceIdentity) -> RecognizedFace:
    """The face that a message describes, without its embedding, which never leaves the node."""
    box = message.box
    corners = np.array([box.x, box.y, box.x + box.width, box.y + box.height], np.float32)
    points = [getattr(message.landmarks, name) for name in LANDMARKS]
    detection = Detection(corners, np.array([[p.x, p.y] for p in points], np.float32), message.detection_score)
    candidates = tuple(
        Candidate(entry.identity_id, entry.name, entry.similarity, entry.confidence) for entry in message.candidates
    )
    measures = tuple(QualityMeasure("complaint", 0.0, 0.0, sentence) for sentence in message.quality_complaints)
    return RecognizedFace(
        track_id=message.track_id,
        detection=detection,
        quality=Quality(message.quality, False, False, measures),
        decision=Decision(IdentityStatus(message.status), candidates),
        embedding=None,
    )
