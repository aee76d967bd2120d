"""What the node says of a gallery that fails for a while."""

from types import SimpleNamespace
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.node.face_recognition_node import FaceRecognitionNode


def test_a_gallery_that_fails_for_a_moment_is_an_error_for_that_moment_and_is_logged_once(
    ros: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise GalleryError("The gallery could not be read: database is locked.")

    logged: list[str] = []
    statuses: list[DiagnosticStatus] = []
    node = FaceRecognitionNode(context=ros.context, enable_rosout=False, namespace="robot")
    ros.executor.add_node(node)
    ros.robot.create_subscription(DiagnosticArray, "/diagnostics", lambda message: statuses.extend(message.status), 1)
    monkeypatch.setattr(node, "get_logger", lambda: SimpleNamespace(error=logged.append))
    for _ in range(2):
        node._publish_changes(SimpleNamespace(publish_changes=fail))  # type: ignore[arg-type]
    ros.wait_until(lambda: statuses and statuses[-1].level == DiagnosticStatus.ERROR, "an error in /diagnostics")
    assert "database is locked" in statuses[-1].message
    assert len(logged) == 1
    node._publish_changes(SimpleNamespace(publish_changes=lambda: None))  # type: ignore[arg-type]
    ros.wait_until(lambda: statuses[-1].level == DiagnosticStatus.OK, "diagnostics without the error")
    ros.executor.remove_node(node)
    node.destroy_node()
