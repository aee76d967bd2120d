"""Several cameras of one node in its own process: one gallery, tracks of their own, and none in another's way."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from face_recognition_msgs.msg import FaceIdentities
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.types import ByteArray

CAMERAS = ["front", "back", "left"]
EILEEN, GRACE = "Eileen Collins", "Grace Hopper"
EMPTY = np.full((240, 320, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def process(robot: Any, tmp_path_factory: pytest.TempPathFactory, start_node: Callable[..., Any]) -> Any:
    """An active node of three cameras, for all tests of this file.

    A face is judged by its first look, and keeps its track however many frames are dropped; each takes its full time.
    """
    gallery = tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"
    once = {"min_looks": 1, "track_max_age": 30.0, "learn_observed": False}
    process = start_node(gallery, cameras=CAMERAS, detection_interval=1, embedding_interval=0.0, **once)
    robot.wait_for_state("active")
    return process


@pytest.fixture(scope="module")
def cameras(domain: int, robot: Any) -> Iterator[dict[str, Any]]:
    """A counterpart for each camera: what it shows comes from that one alone."""
    made = {name: type(robot)(domain, name) for name in CAMERAS}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture(autouse=True)
def node(process: Any, robot: Any, cameras: dict[str, Any]) -> Iterator[Any]:
    """The node with an empty gallery and nobody in view of any camera."""
    for camera in cameras.values():
        camera.turn_back(-600)
    yield process
    for person in robot.call(srv.ListIdentities, "list_identities").identities:
        robot.call(srv.Forget, "forget", identity=person.identity_id)
    assert "Traceback" not in process.output
    assert "reason that nobody expected" not in process.output


def enroll(robot: Any, name: str, bgr: ByteArray) -> Any:
    _, result = robot.send_goal(name=name, images=[bgr_message(Header(), bgr)]).result()
    assert result.success, result.message
    return result


class Flow:
    """Images of several cameras, one of each at every turn of the robot's executor, and when each was answered."""

    def __init__(self, robot: Any, pictures: dict[str, ByteArray]) -> None:
        self._robot = robot
        self._pictures = pictures
        self._images = {
            name: robot.node.create_publisher(Image, f"{name}/image", qos_profile_sensor_data) for name in pictures
        }
        self.sent: dict[str, list[tuple[int, set[str], FaceIdentities]]] = {name: [] for name in pictures}
        """For each answer the node's time of sending it, the names in it, and itself."""
        self._subscriptions = [
            robot.subscribe(FaceIdentities, f"{name}/face_identities", self._taker(name), 100) for name in pictures
        ]

    def _taker(self, camera: str) -> Callable[[FaceIdentities, dict[str, Any]], None]:
        def take(message: FaceIdentities, info: dict[str, Any]) -> None:
            names = {one.name for face in message.faces for one in face.candidates}
            self.sent[camera].append((info["source_timestamp"], names | {face.name for face in message.faces}, message))

        return take

    def run_until(self, condition: Callable[[], Any], what: str) -> Any:
        """What the condition returns when it is true; never waits for an answer, so that frames are always in work."""

        def turn() -> Any:
            for name, picture in self._pictures.items():
                self._images[name].publish(bgr_message(self._robot.next_header(), picture))
            return condition()

        return self._robot.wait_until(turn, what)

    def answers(self, camera: str, revision: int = 0) -> list[FaceIdentities]:
        """Those of a camera that were compared with the gallery of that revision, or a later one."""
        return [message for _, _, message in self.sent[camera] if message.gallery_revision >= revision]

    def stop(self) -> None:
        for subscription in self._subscriptions:
            self._robot.node.destroy_subscription(subscription)
        for publisher in self._images.values():
            self._robot.node.destroy_publisher(publisher)


@pytest.fixture
def flow(robot: Any) -> Iterator[Callable[..., Flow]]:
    made: list[Flow] = []

    def start(**pictures: ByteArray) -> Flow:
        made.append(Flow(robot, pictures))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_every_camera_has_its_topics_and_there_is_none_without_a_name(robot: Any) -> None:
    topics = dict(robot.node.get_topic_names_and_types())
    for name in CAMERAS:
        assert {f"/{name}/{topic}" for topic in ("image", "depth", "camera_info")} < topics.keys()
        assert {f"/{name}/{topic}" for topic in ("face_identities", "debug_image")} < topics.keys()
        assert robot.node.count_subscribers(f"/{name}/image") == 1
    assert robot.node.count_subscribers("/image") == 0


def test_who_is_enrolled_before_one_camera_is_known_by_the_next_image_of_another(
    robot: Any, flow: Callable[..., Flow], astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    """Live, while the second camera looks at her as well and the third at somebody else."""
    shown = flow(front=astronaut_bgr, back=astronaut_bgr, left=grace_hopper_bgr)
    goal = robot.send_goal(name=EILEEN, looks_wanted=1, timeout=300.0)
    shown.run_until(lambda: goal.is_done, "the end of the enrolment")
    status, result = goal.result()
    assert (status, result.failure) == (GoalStatus.STATUS_SUCCEEDED, 0), result.message
    revision = result.gallery_revision
    shown.run_until(lambda: all(len(shown.answers(name, revision)) >= 3 for name in CAMERAS), "answers of all cameras")
    for name, wanted in (("front", EILEEN), ("back", EILEEN), ("left", "")):
        assert {face.name for answer in shown.answers(name, revision) for face in answer.faces} == {wanted}
    tracks = [{face.track_id for answer in shown.answers(name) for face in answer.faces} for name in CAMERAS]
    assert all(len(own) == 1 for own in tracks)
    assert len(set.union(*tracks)) == 3, "no id is given twice"


def test_a_face_of_another_camera_is_enrolled_by_its_track(
    robot: Any, flow: Callable[..., Flow], astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    shown = flow(front=astronaut_bgr, left=grace_hopper_bgr)
    answers = shown.run_until(lambda: shown.answers("left"), "a face before the left camera")
    goal = robot.send_goal(name=GRACE, track_id=answers[0].faces[0].track_id, looks_wanted=1, timeout=300.0)
    shown.run_until(lambda: goal.is_done, "the end of the enrolment")
    _, result = goal.result()
    assert result.success, result.message
    for name, wanted in (("front", ""), ("left", GRACE)):
        (answer, *_) = shown.run_until(lambda: shown.answers(name, result.gallery_revision), "an answer")  # noqa: B023
        assert [face.name for face in answer.faces] == [wanted]


def test_who_is_forgotten_is_named_by_no_camera_any_more(
    robot: Any, flow: Callable[..., Flow], astronaut_bgr: ByteArray
) -> None:
    """Not even by what was in work when the answer was sent."""
    shown = flow(front=astronaut_bgr, back=astronaut_bgr)
    asker = Node("asker", context=robot.node.context)
    client = asker.create_client(srv.Forget, "face_recognition/forget")
    robot.wait_until(client.service_is_ready, "the service forget")
    for _ in range(3):
        enroll(robot, EILEEN, astronaut_bgr)
        for answers in shown.sent.values():
            answers.clear()
        shown.run_until(
            lambda: all(len(sent) > 5 and EILEEN in sent[-1][1] for sent in shown.sent.values()), "the name from both"
        )
        client.call_async(srv.Forget.Request(identity=EILEEN))
        header, response = shown.run_until(lambda: taken(client), "the answer")
        assert response.success, response.message
        forgotten = header.source_timestamp
        shown.run_until(
            lambda: all(sum(when > forgotten for when, *_ in sent) >= 15 for sent in shown.sent.values()),  # noqa: B023
            "later answers",
        )
        after = [names for sent in shown.sent.values() for when, names, _ in sent if when > forgotten]
        assert not any(EILEEN in names for names in after)
    asker.destroy_node()


def taken(client: Any) -> tuple[Any, Any] | None:
    """The answer to the client's request with the node's time of sending it, once it is there."""
    header, response = client.handle.take_response(srv.Forget.Response)
    return None if header is None else (header, response)


def test_a_clock_that_jumps_concerns_its_own_camera(cameras: dict[str, Any], astronaut_bgr: ByteArray) -> None:
    tracks = {name: cameras[name].show(astronaut_bgr).faces[0].track_id for name in ("front", "back")}
    cameras["front"].turn_back(400)
    after = {name: cameras[name].show(astronaut_bgr).faces[0].track_id for name in ("front", "back")}
    assert after["back"] == tracks["back"]
    assert after["front"] > max(tracks.values())


def test_bad_images_of_one_camera_cost_the_others_nothing(
    robot: Any, cameras: dict[str, Any], astronaut_bgr: ByteArray
) -> None:
    bad = bgr_message(Header(), astronaut_bgr[:8, :8])
    bad.encoding = "bgr9"
    for _ in range(5):
        cameras["left"].publish(bad)
        assert len(cameras["back"].show(astronaut_bgr).faces) == 1
    robot.diagnostics = None

    def refused() -> Any:
        cameras["left"].publish(bad)
        cameras["back"].show(EMPTY)
        return robot.diagnostics if robot.diagnostics and values(robot, "left")["images malformed"] != "0" else None

    message = robot.wait_until(refused, "the refused images in /diagnostics")
    assert [status.name for status in message.status] == [
        f"face_recognition/{name}: face recognition" for name in CAMERAS
    ]
    assert values(robot, "back")["images malformed"] == "0"
    assert "/left/image: the encoding 'bgr9'" in values(robot, "left")["last malformed image"]


def values(robot: Any, camera: str) -> dict[str, str]:
    """Of the camera, in the latest diagnostics."""
    status = robot.diagnostics.status[CAMERAS.index(camera)]
    return {entry.key: entry.value for entry in status.values}


def test_a_camera_that_sends_more_than_can_be_answered_keeps_no_other_waiting(
    robot: Any, cameras: dict[str, Any], flow: Callable[..., Flow], astronaut_bgr: ByteArray
) -> None:
    """Of the slow one none is dropped, and none is answered later than a few of the fast one's."""
    assert robot.change_state("deactivate")
    assert robot.change_state("activate")  # everything is counted from here on
    shown = flow(front=np.tile(astronaut_bgr, (2, 2, 1)))  # four faces take far longer to be looked at than to be sent
    back = robot.node.create_publisher(Image, "back/image", qos_profile_sensor_data)
    heard: list[int] = []
    subscription = robot.subscribe(
        FaceIdentities, "back/face_identities", lambda message: heard.append(message.header.stamp.sec), 10
    )
    shown.run_until(lambda: back.get_subscription_count() and len(shown.sent["front"]) > 3, "images that flow")
    waited = []
    for number in range(1, 11):
        message = bgr_message(Header(), EMPTY)
        message.header.stamp.sec = number
        waited.append(0)
        while number not in heard:  # best effort may lose one, so it is published again
            back.publish(message)
            before = len(shown.sent["front"])
            shown.run_until(lambda: number in heard or len(shown.sent["front"]) > before + 40, "answers")  # noqa: B023
            waited[-1] += len(shown.sent["front"]) - before
    robot.node.destroy_subscription(subscription)
    robot.node.destroy_publisher(back)
    assert float(np.median(waited)) <= 4
    robot.diagnostics = None
    robot.wait_until(lambda: robot.diagnostics, "what was counted")
    assert int(values(robot, "front")["images dropped"]) > 0
    assert (values(robot, "back")["images dropped"], values(robot, "back")["images answered"]) == ("0", "10")
