"""For tests of other packages: start the node, play a bag, assert who was seen. See docs/testing_your_robot.md."""

from face_recognition_ros.testing.assertions import NodeTestError, assert_nobody_named, assert_not_named, assert_seen
from face_recognition_ros.testing.galleries import make_gallery
from face_recognition_ros.testing.node_client import NodeClient
from face_recognition_ros.testing.node_process import NodeProcess, running_node
from face_recognition_ros.testing.player import Player
from face_recognition_ros.testing.recordings import BagRecording, PictureRecording, open_recording

__all__ = [
    "BagRecording",
    "NodeClient",
    "NodeProcess",
    "NodeTestError",
    "PictureRecording",
    "Player",
    "assert_nobody_named",
    "assert_not_named",
    "assert_seen",
    "make_gallery",
    "open_recording",
    "running_node",
]
