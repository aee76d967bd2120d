"""What the node says of a gallery that fails for a while."""

from types import SimpleNamespace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from face_recognition_ros.node.face_recognition_node import FaceRecognitionNode
from face_recognition_ros.runtime import BackendChoice


def test_a_gallery_that_fails_for_a_moment_is_an_error_in_the_diagnostics_for_that_moment(ros: Any) -> None:
    statuses: list[DiagnosticStatus] = []
    node = FaceRecognitionNode(context=ros.context, enable_rosout=False, namespace="robot")
    ros.executor.add_node(node)
    ros.robot.create_subscription(DiagnosticArray, "/diagnostics", lambda message: statuses.extend(message.status), 1)
    keeper = SimpleNamespace(complaint="The gallery could not be read: database is locked.", look_after=lambda: None)
    backend = BackendChoice("auto", "onnxruntime", "there is no GPU")
    node._configured = SimpleNamespace(  # type: ignore[assignment]
        assembly=SimpleNamespace(backend=backend, recognizer=SimpleNamespace(detector_backend=backend)),
        facts=SimpleNamespace(read=dict),
        keeper=keeper,
    )
    ros.wait_until(lambda: statuses and statuses[-1].level == DiagnosticStatus.ERROR, "an error in /diagnostics")
    assert "database is locked" in statuses[-1].message
    keeper.complaint = ""
    ros.wait_until(lambda: statuses[-1].level == DiagnosticStatus.OK, "diagnostics without the error")
    ros.executor.remove_node(node)
    node.destroy_node()
