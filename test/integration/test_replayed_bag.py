"""A bag that is played to the node process, on the bag's own clock: at 1x and 2x, paused, looped, and after a jump."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from face_recognition_msgs.msg import FaceIdentities
from rosbags.rosbag2 import StoragePlugin

from face_recognition_ros.testing import NodeClient, assert_seen, running_node
from face_recognition_ros.types import ByteArray

from ..bags import PERIOD, START, header_at, write_bag

EILEEN = "Eileen Collins"
IMAGES = 20
SECONDS = range(START // 10**9, START // 10**9 + 3)
"""Of the bag's clock."""
DAY = 86_400 * 10**9


@pytest.fixture(scope="module")
def node(astronaut_path: Path) -> Iterator[NodeClient]:
    """Knows one person, and goes by the simulated clock."""
    parameters = {"use_sim_time": True, "min_face_size": 80.0, "learn_observed": False}
    with running_node({EILEEN: astronaut_path}, parameters) as node:
        yield node


@pytest.fixture
def bag(tmp_path: Path, astronaut_bgr: ByteArray) -> Path:
    return write_bag(tmp_path / "bag", {"/camera/image_raw": [astronaut_bgr] * IMAGES})


def last_track(answers: Sequence[FaceIdentities]) -> int:
    return int(answers[-1].faces[0].track_id)


def gallery(node: NodeClient) -> tuple[int, list[tuple[str, int]]]:
    """Revision, and names and numbers of templates."""
    assert node.gallery is not None
    return node.gallery.revision, [(person.name, person.templates) for person in node.gallery.identities]


@pytest.mark.parametrize("storage", [StoragePlugin.SQLITE3, StoragePlugin.MCAP], ids=lambda storage: storage.name)
@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_every_answer_has_the_header_of_an_image_of_the_bag(
    node: NodeClient, tmp_path: Path, astronaut_bgr: ByteArray, rate: float, storage: StoragePlugin
) -> None:
    bag = write_bag(tmp_path / "bag", {"/camera/image_raw": [astronaut_bgr] * IMAGES}, storage)
    player = node.play(bag, rate=rate)
    seen = node.identities()
    assert player.published == {"/camera/image_raw": IMAGES}
    headers = [header_at(index) for index in range(IMAGES)]
    indices = [headers.index(answer.header) for answer in seen]
    assert indices == sorted(set(indices)), "each image is answered once at most, in the bag's order"
    assert indices[-1] == IMAGES - 1, "the newest image wins"
    assert_seen(seen, EILEEN, at_least=1)
    assert {answer.gallery_revision for answer in seen} == {gallery(node)[0]}


def test_the_node_goes_by_the_clock_of_the_bag(node: NodeClient, bag: Path) -> None:
    node.play(bag, loop=True)
    node.diagnostics = None
    node.wait_until(
        lambda: node.diagnostics and node.diagnostics.header.stamp.sec in SECONDS, "diagnostics at the bag's time"
    )
    node.identities(until=lambda seen: seen)


def test_a_paused_bag_is_answered_no_further_and_goes_on(node: NodeClient, bag: Path) -> None:
    player = node.play(bag)
    node.identities(until=lambda seen: len(seen) >= 3)
    player.pause()
    published = player.published["/camera/image_raw"]
    stamp = (header_at(published - 1).stamp.sec, header_at(published - 1).stamp.nanosec)
    node.wait_until(lambda: stamp in node.answers, "the answer to the last image before the pause")
    answered = len(node.seen)
    node.diagnostics = None
    node.wait_until(lambda: node.diagnostics, "diagnostics, which the node goes on to publish")
    assert len(node.seen) == answered
    assert player.published["/camera/image_raw"] == published < IMAGES
    track = last_track(node.seen)
    player.resume()
    seen = node.identities()
    assert player.published["/camera/image_raw"] == IMAGES
    assert last_track(seen) == track, "for the bag's clock no time has passed"


def test_each_loop_has_tracks_of_its_own_and_leaves_the_gallery(node: NodeClient, bag: Path) -> None:
    before = gallery(node)
    node.play(bag, rate=2.0, loop=True)
    loops = node.wait_until(lambda: complete_loops(node.seen), "three loops")
    node.identities(until=lambda seen: seen)
    tracks = [{face.track_id for answer in loop for face in answer.faces} for loop in loops]
    assert all(len(ids) == 1 for ids in tracks), "one person, one track"
    assert len(set().union(*tracks)) == len(tracks), "no track lives on where the clock jumps back"
    for loop in loops:
        assert_seen(loop, EILEEN)
    assert gallery(node) == before


def complete_loops(seen: Sequence[FaceIdentities], wanted: int = 3) -> list[list[FaceIdentities]]:
    """The answers of each time that the bag was played, once there are so many that have ended."""
    loops: list[list[FaceIdentities]] = [[]]
    for answer in seen:
        if loops[-1] and stamp(answer) < stamp(loops[-1][-1]):
            loops.append([])
        loops[-1].append(answer)
    return loops[:-1] if len(loops) > wanted else []


def stamp(answer: FaceIdentities) -> int:
    return int(answer.header.stamp.sec * 10**9 + answer.header.stamp.nanosec)


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
def test_a_jump_of_the_clock_ends_tracks_and_leaves_the_gallery(
    node: NodeClient, bag: Path, tmp_path: Path, astronaut_bgr: ByteArray, jump: int
) -> None:
    before = gallery(node)
    node.play(bag, rate=4.0)
    track = last_track(node.identities())
    other = write_bag(tmp_path / "other", {"image": [astronaut_bgr] * 10}, start=START + IMAGES * PERIOD + jump)
    node.play(other)
    seen = node.identities()
    assert track not in {face.track_id for answer in seen for face in answer.faces}
    assert_seen(seen, EILEEN)
    assert gallery(node) == before
