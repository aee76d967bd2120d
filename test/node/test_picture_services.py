"""The services with pictures, between a client and an inference thread that takes its time."""

import array
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from face_recognition_msgs import srv
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.node.picture_services import PictureServices
from face_recognition_ros.recognizer import FrameResult

PICTURE = CompressedImage(
    format="png", data=array.array("B", cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
)


@pytest.fixture
def jobs(ros: Any) -> Iterator[list[tuple[Callable[[], Any], Future]]]:
    """The jobs submitted by the node's services, none of which is done by itself."""
    submitted: list[tuple[Callable[[], Any], Future]] = []

    def submit(job: Callable[[], Any]) -> Future:
        submitted.append((job, Future()))
        return submitted[-1][1]

    assembly = SimpleNamespace(
        store=GalleryStore.open(None, "net", 64),
        recognizer=SimpleNamespace(recognize=lambda picture: FrameResult((), 7)),
    )
    services = PictureServices(ros.node, assembly, submit)  # type: ignore[arg-type]
    yield submitted
    services.destroy()


def call(ros: Any, kind: Any, name: str, **fields: Any) -> Future:
    client = ros.robot.create_client(kind, f"face_recognition/{name}")
    ros.wait_until(client.service_is_ready, f"the service {name}")
    return client.call_async(kind.Request(**fields))


def test_the_node_goes_on_while_a_picture_waits_for_the_inference_thread(ros: Any, jobs: list[Any]) -> None:
    ticks: list[None] = []
    headers: list[Header] = []
    ros.node.create_timer(0.01, lambda: ticks.append(None))
    ros.node.create_subscription(Header, "image", headers.append, 1)
    images = ros.robot.create_publisher(Header, "image", 1)

    answer = call(ros, srv.Recognize, "recognize", compressed=PICTURE)
    ros.wait_until(lambda: jobs, "the job of the request")
    ticks.clear()
    ros.wait_until(lambda: len(ticks) > 2, "the node's timer, which tells the diagnostics")
    ros.wait_until(lambda: images.publish(Header()) or headers, "an image")
    other = call(ros, srv.Verify, "verify")
    ros.wait_until(lambda: len(jobs) == 2, "another request")
    assert not answer.done()
    assert not other.done()

    (job, done), _ = jobs
    done.set_result(job())
    ros.wait_until(answer.done, "the answer")
    assert (answer.result().success, answer.result().gallery_revision) == (True, 7)


def test_a_picture_is_decoded_by_the_inference_thread(ros: Any, jobs: list[Any], monkeypatch: Any) -> None:
    decoded: list[Any] = []
    monkeypatch.setattr(
        "face_recognition_ros.node.picture_services.message_to_bgr", lambda message, field: decoded.append(field)
    )
    call(ros, srv.Recognize, "recognize", compressed=PICTURE)
    call(ros, srv.Verify, "verify", compressed_a=PICTURE, identity="Anna")
    ros.wait_until(lambda: len(jobs) == 2, "the jobs of both requests")
    assert decoded == []
    jobs[0][0]()
    assert decoded == ["image"]
