"""The test kit for other packages: what it plays, what it asserts, and what it says where something is wrong."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from face_recognition_msgs.msg import FaceIdentities, FaceIdentity
from lifecycle_msgs.srv import GetState
from rclpy.task import Future
from rosbags.rosbag2 import StoragePlugin
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from face_recognition_ros.assembly import assemble
from face_recognition_ros.demo.processes import PythonProcess
from face_recognition_ros.errors import EnrollmentError, FaceRecognitionError, GalleryError, SettingsError
from face_recognition_ros.settings import Settings
from face_recognition_ros.testing import (
    BagRecording,
    NodeClient,
    NodeTestError,
    PictureRecording,
    Player,
    assert_nobody_named,
    assert_not_named,
    assert_seen,
    make_gallery,
    node_client,
    open_recording,
    running_node,
)
from face_recognition_ros.types import ByteArray

from .bags import PERIOD, START, write_bag

GREY = np.full((12, 16, 3), 90, np.uint8)
STORAGES = [StoragePlugin.SQLITE3, StoragePlugin.MCAP]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeClient]:
    """In a ROS domain where there is no node."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    client = NodeClient(domain=1 + (os.getpid() + 30) % 100)
    yield client
    client.close()


def collect(client: NodeClient, kind: Any, topic: str) -> list[Any]:
    """What will be published on the topic."""
    messages: list[Any] = []
    client.subscribe(kind, topic, messages.append, 1000)
    return messages


def nanoseconds(time: Time) -> int:
    return int(time.sec * 1_000_000_000 + time.nanosec)


def playing(client: NodeClient, player: Player, topic: str) -> Player:
    """The player, started once its topic has a subscriber."""
    client.wait_until(lambda: player.subscriptions(topic), "the subscription")
    return player.start()


# --- assertions -------------------------------------------------------------------------------------------------------


def answer(*names: str) -> FaceIdentities:
    """An image with a face of each name; an empty name is a stranger's."""
    return FaceIdentities(faces=[FaceIdentity(name=name) for name in names])


SEEN = [answer("Anna", ""), answer("Anna", "Bert"), answer(""), answer()]


def test_who_was_seen_passes() -> None:
    assert_seen(SEEN, "Anna", at_least=2)
    assert_seen(SEEN, "Anna", "Bert")
    assert_not_named(SEEN, "Cleo", "Dora")
    assert_nobody_named(SEEN[2:])


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (
            lambda: assert_seen(SEEN, "Anna", "Bert", at_least=2),
            "expected in at least 2 images each, but named: 'Bert' in 1; "
            "of 4 answered images 3 show a face, and named were: 'Anna' in 2, 'Bert' in 1",
        ),
        (lambda: assert_seen([], "Anna"), "'Anna' in 0; of 0 answered images 0 show a face, and named were: nobody"),
        (lambda: assert_not_named(SEEN, "Bert", "Cleo"), "expected not to be named, but named: 'Bert' in 1"),
        (lambda: assert_nobody_named(SEEN), "expected nobody to be named; of 4 answered images"),
        (lambda: assert_nobody_named([]), "no image was answered"),
        (lambda: assert_not_named([], "Anna"), "no image was answered"),
    ],
)
def test_who_was_not_seen_fails_with_what_was(check: Callable[[], None], sentence: str) -> None:
    with pytest.raises(AssertionError) as raised:
        check()
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (lambda: assert_seen(SEEN), "name at least one person"),
        (lambda: assert_not_named(SEEN), "name at least one person"),
        (lambda: assert_seen(SEEN, "Nobody", at_least=0), "at_least must be 1 or more, not 0"),
    ],
)
def test_an_assertion_that_could_not_fail_is_refused(check: Callable[[], None], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check()


# --- recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", STORAGES, ids=lambda storage: storage.name)
def test_a_bag_is_read_by_its_folder_and_by_its_file(tmp_path: Path, storage: StoragePlugin) -> None:
    bag = write_bag(tmp_path / "bag", {"/front/image": [GREY] * 3}, storage, remarks=["a", "b"])
    (file,) = (path for path in bag.iterdir() if path.suffix in (".db3", ".mcap"))
    for path in (bag, file):
        recording = open_recording(path)
        assert {name: topic.type for name, topic in recording.topics.items()} == {
            "/front/image": "sensor_msgs/msg/Image",
            "/remarks": "std_msgs/msg/String",
        }
        rows = list(recording.messages())
        assert [stamp for stamp, _, _ in rows] == sorted(START + i * PERIOD for i in (0, 0, 1, 1, 2))
        assert [topic for _, topic, _ in rows].count("/front/image") == 3


def test_a_bag_is_read_without_its_metadata_and_over_several_files(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    for number, start in ((9, START), (10, START + 3 * PERIOD)):
        part = write_bag(tmp_path / f"part{number}", {"/image": [GREY] * 3}, start=start)
        (part / f"part{number}.db3").rename(bag / f"bag_{number}.db3")
    assert [stamp for stamp, _, _ in BagRecording(bag).messages()] == [START + i * PERIOD for i in range(6)]


def test_pictures_are_played_by_name_each_for_a_while(client: NodeClient, tmp_path: Path) -> None:
    for name, shade in (("b.png", 200), ("a.png", 100)):
        cv2.imwrite(str(tmp_path / name), np.full((12, 16, 3), shade, np.uint8))
    images = collect(client, Image, "image")
    with playing(client, Player(client.node, PictureRecording(tmp_path, 50.0, 0.06)), "image") as player:
        client.wait_until(lambda: player.has_ended and len(images) == 6, "six images")
    assert [image.data[0] for image in images] == [100] * 3 + [200] * 3
    assert [nanoseconds(image.header.stamp) for image in images] == [
        1_000_000_000_000 + i * 20_000_000 for i in range(6)
    ]


@pytest.mark.parametrize("name", ["none", "bad.db3", "bad.mcap", "empty"])
def test_what_is_no_recording_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.db3").write_text("this is no database, whatever its name says")
    (tmp_path / "bad.mcap").write_text("nor is this a log")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FaceRecognitionError, match=f"{name}.* (cannot be read|holds neither)"):
        open_recording(tmp_path / name)


# --- the player -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", STORAGES, ids=lambda storage: storage.name)
def test_all_messages_are_played_in_order_with_the_clock(
    client: NodeClient, tmp_path: Path, storage: StoragePlugin
) -> None:
    words = [f"remark {number}" for number in range(5)]
    bag = BagRecording(write_bag(tmp_path / "bag", {"/image": [GREY] * 5}, storage, words))
    remarks, times = collect(client, String, "/heard"), collect(client, Clock, "/clock")
    topics = {"/remarks": "/heard", "/image": "/image"}
    with playing(client, Player(client.node, bag, topics, rate=2.0), "/remarks") as player:
        client.wait_until(lambda: player.has_ended and len(remarks) == 5, "five remarks")
        client.wait_until(lambda: nanoseconds(times[-1].clock) == START + 4 * PERIOD, "the last time")
        assert player.published == {"/image": 5, "/remarks": 5}
        last, _ = player.last_message("/remarks") or (None, 0.0)
        assert last.data == "remark 4"
    assert [remark.data for remark in remarks] == words
    stamps = [nanoseconds(time.clock) for time in times]
    assert stamps == sorted(stamps)
    assert stamps[0] >= START


def test_the_faster_of_two_players_is_done_first(client: NodeClient, tmp_path: Path) -> None:
    bag = BagRecording(write_bag(tmp_path / "bag", {"/image": [GREY] * 30}))
    with (
        Player(client.node, bag, {"/image": "/slow"}, rate=1.0, clock=False) as slow,
        Player(client.node, bag, {"/image": "/fast"}, rate=4.0, clock=False) as fast,
    ):
        slow.start()
        fast.start()
        client.wait_until(lambda: fast.has_ended, "the end of the faster one")
        assert not slow.has_ended
        assert slow.published["/image"] < fast.published["/image"] == 30


def test_a_paused_player_publishes_nothing_but_the_standing_clock(client: NodeClient, tmp_path: Path) -> None:
    bag = BagRecording(write_bag(tmp_path / "bag", {"/image": [GREY] * 8}))
    images, times = collect(client, Image, "/image"), collect(client, Clock, "/clock")
    with playing(client, Player(client.node, bag), "/image") as player:
        client.wait_until(lambda: player.published["/image"] >= 2, "two images")
        player.pause()
        player.pause()  # of no further effect
        published, count = player.published["/image"], len(times)
        client.wait_until(lambda: len(times) > count + 10, "the clock to go on being told")
        assert len({(time.clock.sec, time.clock.nanosec) for time in times[-5:]}) == 1
        assert player.published["/image"] == published < 8
        assert not player.has_ended
        player.resume()
        player.resume()
        client.wait_until(lambda: player.has_ended and len(images) == 8, "the other images")


def test_a_looping_player_begins_anew_until_it_is_closed(client: NodeClient, tmp_path: Path) -> None:
    bag = BagRecording(write_bag(tmp_path / "bag", {"/image": [GREY] * 3}))
    images = collect(client, Image, "/image")
    player = playing(client, Player(client.node, bag, rate=4.0, loop=True), "/image")
    client.wait_until(lambda: len(images) > 6, "the third loop")
    assert not player.has_ended
    player.close()
    assert player.has_ended
    assert player.loops >= 2
    stamps = [image.header.stamp.nanosec for image in images[:7]]
    assert stamps == [0, PERIOD, 2 * PERIOD, 0, PERIOD, 2 * PERIOD, 0]


def test_what_cannot_be_played_is_refused_with_a_sentence(client: NodeClient, tmp_path: Path) -> None:
    bag = BagRecording(write_bag(tmp_path / "bag", {"/left": [GREY], "/right": [GREY]}, remarks=["a"]))
    with pytest.raises(FaceRecognitionError, match="no topic /middle; it has /left, /right, /remarks"):
        Player(client.node, bag, {"/middle": "image"})
    with pytest.raises(FaceRecognitionError, match="rate must be larger than 0, not -1"):
        Player(client.node, bag, rate=-1.0)
    with pytest.raises(FaceRecognitionError, match=r"which topic is the camera's; .*/left \(sensor_msgs/msg/Image\)"):
        client.play(bag)
    silent = BagRecording(write_bag(tmp_path / "silent", {"/image": []}))
    with Player(client.node, silent).start() as player, pytest.raises(FaceRecognitionError, match="no message"):
        client.wait_until(lambda: player.has_ended, "its end")


def test_a_late_answer_is_none_to_what_is_played_next(client: NodeClient, tmp_path: Path) -> None:
    answers = client.node.create_publisher(FaceIdentities, "face_identities", 10)
    waiting: list[tuple[float, Image]] = []
    client.subscribe(Image, "image", lambda image: waiting.append((time.monotonic() + 0.4, image)), 100)

    def answer() -> None:
        while waiting and waiting[0][0] < time.monotonic():
            answers.publish(FaceIdentities(header=waiting.pop(0)[1].header))

    client.node.create_timer(0.02, answer)
    earlier = write_bag(tmp_path / "earlier", {"/image": [GREY] * 12})
    later = write_bag(tmp_path / "later", {"/image": [GREY] * 3}, start=START + 100 * PERIOD)
    client.play(earlier, loop=True)
    client.identities(until=lambda seen: len(seen) > 14)
    client.play(later)
    stamps = [nanoseconds(answer.header.stamp) for answer in client.identities()]
    assert stamps == [START + (100 + number) * PERIOD for number in range(3)]


# --- galleries --------------------------------------------------------------------------------------------------------


def people(file: Path) -> dict[str, int]:
    """Names and numbers of templates of a gallery."""
    with assemble(Settings(gallery=str(file))) as assembly:
        return {person.name: person.templates for person in assembly.store.list_identities()}


def test_a_gallery_is_made_of_pictures_and_of_another_gallery(
    tmp_path: Path, astronaut_path: Path, grace_hopper_path: Path
) -> None:
    settings = Settings(min_face_size=80.0)
    named, copied, of_folder = (tmp_path / name for name in ("named.sqlite3", "copied.sqlite3", "folder.sqlite3"))
    make_gallery(named, {"Eileen Collins": astronaut_path, "Grace Hopper": [grace_hopper_path]}, settings)
    assert people(named) == {"Eileen Collins": 1, "Grace Hopper": 1}
    content = named.read_bytes()
    make_gallery(copied, named)
    assert people(copied) == people(named)
    assert named.read_bytes() == content
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Eileen_Collins.png").symlink_to(astronaut_path)
    make_gallery(of_folder, tmp_path / "people", settings)
    assert people(of_folder) == {"Eileen Collins": 1}


def test_a_gallery_that_cannot_be_made_is_refused_with_all_reasons(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), GREY)
    with pytest.raises(EnrollmentError, match=r"lacks people. Anna: no picture of a good face; .*empty.png: .*no face"):
        make_gallery(tmp_path / "a.sqlite3", {"Anna": tmp_path / "empty.png"})
    with pytest.raises(GalleryError, match=r"no gallery file and no folder of pictures .*nowhere"):
        make_gallery(tmp_path / "b.sqlite3", tmp_path / "nowhere")
    with pytest.raises(GalleryError, match=r"empty.png is no gallery file"):
        make_gallery(tmp_path / "c.sqlite3", tmp_path / "empty.png")


# --- the node ---------------------------------------------------------------------------------------------------------


def test_a_bag_is_played_to_a_node_that_knows_somebody(
    tmp_path: Path, astronaut_path: Path, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    frames = {"/front/image": [astronaut_bgr] * 10, "/back/image": [grace_hopper_bgr] * 10}
    bag = write_bag(tmp_path / "bag", frames)
    parameters = {"min_face_size": 80.0, "learn_observed": False}
    with running_node({"Eileen Collins": astronaut_path}, parameters, namespace="robot") as node:
        player = node.play(bag, "/front/image", loop=True)
        seen = node.identities(until=lambda seen: sum(bool(a.faces and a.faces[0].name) for a in seen) >= 5)
        assert_seen(seen, "Eileen Collins", at_least=5)
        player.close()
        node.play(bag, "/back/image", rate=2.0)
        assert_nobody_named(node.identities())
        assert node.gallery is not None
        assert [person.name for person in node.gallery.identities] == ["Eileen Collins"]


def test_a_node_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path, astronaut_bgr: ByteArray) -> None:
    with running_node(parameters={"autostart": False}, folder=tmp_path) as node:
        assert node.state() == "unconfigured"
        assert node.process is not None
        node.process.kill()
        with pytest.raises(NodeTestError, match=r"ended while the test waited for somebody.*exit code -9; .*node\.log"):
            node.show(astronaut_bgr)
    assert (tmp_path / "node.log").is_file()


def test_a_parameter_that_there_is_not_is_refused_before_the_node_starts() -> None:
    with (
        pytest.raises(SettingsError, match=r"there is no parameter min_look; did you mean min_looks\?"),
        running_node(parameters={"min_look": 3}),
    ):
        pass


def test_what_does_not_happen_is_named(client: NodeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = write_bag(tmp_path / "bag", {"/image": [GREY] * 2})
    with pytest.raises(NodeTestError, match="nothing is played"):
        client.identities()
    with pytest.raises(NodeTestError, match="in vain for a node that subscribes to image"):
        client.play(bag, seconds=0.2)
    images = collect(client, Image, "image")
    monkeypatch.setattr(node_client, "LAST_ANSWER", 0.2)
    client.play(bag)
    with pytest.raises(NodeTestError, match="2 images were played, but no answer came on /face_identities, where 0 "):
        client.identities()
    with pytest.raises(NodeTestError, match="waited 0 s in vain for enough identities"):
        client.identities(until=lambda seen: False, seconds=0.1)
    assert len(images) == 2


def test_an_answer_that_is_lost_is_asked_for_again(client: NodeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: Any, response: Any) -> Any:
        response.current_state.label = "active"
        return response

    client.node.create_service(GetState, "face_recognition/get_state", answer)
    ask, lost = client._ask, [Future()]
    monkeypatch.setattr(client, "_ask", lambda *question: lost.pop() if lost else ask(*question))
    monkeypatch.setattr(node_client, "ASK_AGAIN", 0.1)
    assert client.state() == "active"
    assert not lost


def test_nobody_leaves_ros_right_after_a_process_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = NodeClient(domain=1 + (os.getpid() + 30) % 100)
    waits: list[float] = []
    with PythonProcess(["-c", "input()"], {}, tmp_path / "log") as process, monkeypatch.context() as patch:
        patch.setattr(time, "sleep", waits.append)
        assert process.kill() == -signal.SIGKILL
        client.close()
    assert any(0 < seconds <= node_client.LOCKS_OF_THE_DEAD for seconds in waits)
