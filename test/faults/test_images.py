"""Whatever a camera sends, or ceases to: the node counts it, says it in one sentence, and answers the next frame."""

import array
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from face_recognition_msgs.msg import FaceIdentities, FaceIdentity
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.testing.node_client import Stamp, stamp_of
from face_recognition_ros.types import ByteArray

from .helpers import OK, WARN, all_settled, counts, diagnosed, resident_mib

EILEEN = "Eileen Collins"
FLOOD_SECONDS = 3.0
WAITING = 5
"""Images that are answered after the end of a flood, at most: one is in work, one waits, some are on their way."""
FLAT_MIB = 120.0
"""By how much the memory may grow for good, beside images: the allocator's heap fills up in the first half minute."""


@pytest.fixture(scope="module")
def node(
    robot: Any, start_node: Callable[..., Any], astronaut_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """An active node that knows Eileen Collins."""
    process = start_node(tmp_path_factory.mktemp("gallery") / "gallery.sqlite3")
    robot.wait_for_state("active")
    picture = bgr_message(Header(), read_picture(astronaut_path))
    status, result = robot.send_goal(name=EILEEN, images=[picture]).result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message
    return process


def test_a_camera_that_stops_is_missed_and_one_that_returns_is_answered(
    robot: Any, node: Any, astronaut_bgr: ByteArray
) -> None:
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    robot.close_camera()
    diagnosed(robot, WARN, "No image has arrived on /image")
    diagnosed(robot, WARN, "nobody publishes it")
    robot.open_camera()
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    diagnosed(robot, OK, "Recognising faces")


def test_resolution_and_encoding_may_change_in_mid_stream(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    for _ in range(2):
        assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
        larger = cv2.resize(astronaut_bgr, None, fx=1.5, fy=1.5)
        assert robot.show(larger, 3).faces[0].name == EILEEN
        grey = cv2.cvtColor(astronaut_bgr, cv2.COLOR_BGR2GRAY)
        height, width = grey.shape
        message = Image(height=height, width=width, encoding="mono8", step=width, data=array.array("B", grey.tobytes()))
        assert len(robot.show(message, 3).faces) == 1
        rgb = bgr_message(Header(), np.ascontiguousarray(astronaut_bgr[..., ::-1]))
        rgb.encoding = "rgb8"
        assert robot.show(rgb, 3).faces[0].name == EILEEN


def flood(robot: Any, picture: ByteArray, rate: float, burst: int, seconds: float) -> list[Stamp]:
    """Publishes the picture so many times a second with ever new stamps, some back to back; returns the stamps."""
    message = bgr_message(Header(), picture)
    stamps, start = [], time.monotonic()
    while time.monotonic() < start + seconds:
        robot.spin_until(start + len(stamps) / rate)
        for _ in range(burst):
            message.header = robot.next_header()
            stamps.append(stamp_of(message))
            robot.publish(message)
    return stamps


@pytest.mark.parametrize(("factor", "rate", "burst"), [(1, 200.0, 20), (6, 30.0, 1)], ids=["200 Hz", "4K"])
def test_a_flood_of_images_costs_no_memory_and_the_newest_one_wins(
    robot: Any, node: Any, astronaut_bgr: ByteArray, factor: int, rate: float, burst: int
) -> None:
    """The small ones come in bursts: a fast machine may answer every one of 200 evenly spaced images a second."""
    picture = np.tile(astronaut_bgr[:360], (factor, 8 if factor > 1 else 1, 1))[:, :3840]
    flood(robot, picture, rate, burst, 1.0)  # whatever memory one such frame needs
    robot.show(astronaut_bgr)
    settled = counts(robot, all_settled)
    memory = resident_mib(node)
    sent: dict[Stamp, int] = {}
    """When the node sent each answer, in nanoseconds: this process may hear of it much later."""
    subscription = robot.subscribe(
        FaceIdentities,
        "face_identities",
        lambda message, info: sent.setdefault(stamp_of(message), info["source_timestamp"]),
        1000,
    )
    stamps = flood(robot, picture, rate, burst, FLOOD_SECONDS)
    end = time.time_ns()
    images = counts(robot, all_settled)
    robot.node.destroy_subscription(subscription)
    answered = [stamp for stamp in sent if stamp in set(stamps)]
    assert 0 < len(answered) <= images["answered"] - settled["answered"] <= len(stamps)
    assert images["received"] - settled["received"] <= len(stamps)
    assert images["dropped"] > settled["dropped"], "more came than can be looked at"
    assert answered == sorted(answered), "in the order in which they were taken"
    late = [stamp for stamp in answered if sent[stamp] > end]
    assert len(late) <= WAITING, "the newest one is answered: there is no queue of those before it"
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    kept = WAITING * picture.nbytes / 2**20  # as large as they were once, the buffers may stay
    assert resident_mib(node) - memory < FLAT_MIB + kept, "what was dropped is gone"


NAN = np.full((32, 32), np.nan, np.float32).tobytes()
BROKEN = {
    "cut short": ({"data": bytes(100)}, "is cut short: 100 bytes"),
    "nothing": ({"width": 0, "height": 0, "step": 0, "data": b""}, "each side must be between 1 and"),
    "step": ({"step": 7}, "has a step of 7 bytes"),
    "claims 2^64 pixels": (
        {"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1},
        "each side must be between 1 and",
    ),
    "claims 2^28 pixels": ({"width": 16384, "height": 16384, "step": 49152}, "is cut short: 100 bytes"),
    "NaN": ({"encoding": "32FC1", "step": 128, "data": NAN}, "the encoding '32FC1' is not supported"),
    "long encoding": ({"encoding": "x" * 1_000_000}, "the encoding 'xxxx"),
}


def test_messages_that_are_no_images_are_refused_with_one_sentence_each(
    robot: Any, node: Any, astronaut_bgr: ByteArray
) -> None:
    before = counts(robot, all_settled)
    memory = resident_mib(node)
    for fields, sentence in BROKEN.values():
        message = bgr_message(Header(frame_id="camera"), astronaut_bgr[:32, :32])
        for name, value in fields.items():
            setattr(message, name, array.array("B", value) if isinstance(value, bytes) else value)

        def refused() -> bool:
            robot.publish(message)  # noqa: B023
            return sentence in node.output  # noqa: B023

        robot.wait_until(refused, f"{sentence!r} in the log")
        for _ in range(20):
            robot.publish(message)
            robot.spin_until(time.monotonic() + 0.005)
    images = counts(robot, lambda now: now["malformed"] >= before["malformed"] + len(BROKEN) and all_settled(now))
    assert images["answered"] == before["answered"]
    assert resident_mib(node) - memory < FLAT_MIB
    for sentence in {sentence for _, sentence in BROKEN.values()}:
        assert node.output.count(sentence) == 1, "reported once, then only counted"
    assert max(map(len, node.output.splitlines())) < 2000
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    assert "Traceback" not in node.output


def test_a_huge_header_comes_back_and_harms_nobody(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    message = bgr_message(robot.next_header(), astronaut_bgr)
    message.header.frame_id = "x" * 1_000_000
    key = (message.header.stamp.sec, message.header.stamp.nanosec)

    def answered() -> Any:
        robot.publish(message)
        return robot.answers.get(key)

    assert len(robot.wait_until(answered, "an answer with a huge header").header.frame_id) == 1_000_000
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN


UPRIGHT = [500.0, 0.0, 256.0, 0.0, 500.0, 256.0, 0.0, 0.0, 1.0]
"""The matrix K of a camera that is calibrated."""


@contextmanager
def depth_camera(robot: Any, picture: ByteArray) -> Iterator[Callable[..., FaceIdentity]]:
    """Shows a depth image, and then the picture with the same stamp; returns the face that is answered.

    At first, a depth image that is as it should be gives the face a position.
    """
    depth = robot.node.create_publisher(Image, "depth", qos_profile_sensor_data)
    camera_info = robot.node.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
    for publisher in (depth, camera_info):
        robot.wait_until(lambda: publisher.get_subscription_count() > 0, "the depth subscriptions")  # noqa: B023

    def show(message: Image, k: Sequence[float] = UPRIGHT) -> FaceIdentity:
        camera_info.publish(CameraInfo(width=picture.shape[1], height=picture.shape[0], k=k))
        message.header = robot.next_header()
        depth.publish(message)
        robot.turn_back(1)  # the colour image has the same stamp
        (face,) = robot.show(picture).faces
        return face

    robot.wait_until(lambda: show(depth_image(picture, 1.5)).has_position, "a face with a position")
    yield show
    robot.node.destroy_publisher(depth)
    robot.node.destroy_publisher(camera_info)


def depth_image(picture: ByteArray, metres: float) -> Image:
    """Everything in the picture is as far away as that."""
    height, width = picture.shape[:2]
    values = array.array("B", np.full((height, width), metres, np.float32).tobytes())
    return Image(height=height, width=width, encoding="32FC1", step=4 * width, data=values)


@pytest.mark.parametrize(("k", "metres"), [(UPRIGHT, math.nan), ([math.nan] * 9, 1.5)], ids=["depth", "camera_info"])
def test_nothing_but_nan_gives_no_position(
    robot: Any, node: Any, astronaut_bgr: ByteArray, k: Sequence[float], metres: float
) -> None:
    with depth_camera(robot, astronaut_bgr) as show:
        robot.wait_until(
            lambda: not show(depth_image(astronaut_bgr, metres), k).has_position, "a face without position"
        )
        for _ in range(5):
            assert not show(depth_image(astronaut_bgr, metres), k).has_position
    assert robot.show(astronaut_bgr).faces[0].name == EILEEN


def told(node: Any, *parts: str) -> int:
    """In how many lines of the log all of the parts are."""
    return sum(all(part in line for part in parts) for line in node.output.splitlines())


BROKEN_DEPTH = {
    "cut short": ({"data": bytes(100)}, "is cut short: 100 bytes"),
    "nothing": ({"width": 0, "height": 0, "step": 0, "data": b""}, "depth: an image of 0x0 pixels"),
    "step": ({"step": 7}, "has a step of 7 bytes; its rows need 2048"),
    "claims 2^64 pixels": (  # of one kind with the one before
        {"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1},
        "depth: an image of 0x0 pixels",
    ),
    "colour": ({"encoding": "bgr8"}, "depth: the encoding 'bgr8' is not supported"),
}


def test_depth_images_that_are_none_cost_the_position_and_one_sentence_each(
    robot: Any, node: Any, astronaut_bgr: ByteArray
) -> None:
    with depth_camera(robot, astronaut_bgr) as show:
        for fields, sentence in BROKEN_DEPTH.values():
            message = depth_image(astronaut_bgr, 1.5)
            for name, value in fields.items():
                setattr(message, name, array.array("B", value) if isinstance(value, bytes) else value)

            def refused() -> bool:
                face = show(message)  # noqa: B023
                assert face.name == EILEEN
                return not face.has_position and told(node, "Depth images are refused", sentence)  # noqa: B023

            robot.wait_until(refused, f"{sentence!r} in the log")
            refused()
            assert told(node, "Depth images are refused", sentence) == 1
        robot.wait_until(lambda: show(depth_image(astronaut_bgr, 1.5)).has_position, "a position again")
    assert "Traceback" not in node.output


def test_a_clock_that_goes_back_ends_tracks_and_forgets_nobody(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    before = robot.show(astronaut_bgr, 3)
    assert before.faces[0].status == FaceIdentity.KNOWN
    robot.turn_back(500)
    after = robot.show(astronaut_bgr)
    assert after.faces[0].track_id > before.faces[0].track_id
    assert after.faces[0].status == FaceIdentity.TENTATIVE, "what was seen before the jump does not count"
    assert robot.show(astronaut_bgr, 2).faces[0].name == EILEEN
    people = robot.call(srv.ListIdentities, "list_identities").identities
    assert [person.name for person in people] == [EILEEN]
    robot.turn_back(-500)
