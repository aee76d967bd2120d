"""A thread for a group of subscriptions: its messages wait for nothing else, and nothing else is done in it."""

import gc
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.publisher import Publisher
from std_msgs.msg import String

from face_recognition_ros.node.group_thread import GroupThread

DEADLINE = 30.0


class Cameras:
    """A node with one subscription for its own thread and one for its executor; both note which thread they ran in."""

    def __init__(self, ros: Any) -> None:
        self._ros = ros
        self.here = threading.current_thread()
        self.taken: dict[str, list[threading.Thread]] = {"camera": [], "other": []}
        self.image_taken = threading.Semaphore(0)
        self.thread = GroupThread(ros.node, "cameras")
        ros.node.create_subscription(String, "camera", self._take_image, 10, callback_group=self.thread.group)
        ros.node.create_subscription(String, "other", self._take_other, 10)
        self.camera, self.other = (ros.robot.create_publisher(String, topic, 10) for topic in self.taken)
        self.thread.start()
        ros.wait_until(lambda: all(self._matched(one) for one in (self.camera, self.other)), "the subscriptions")

    def _matched(self, publisher: Publisher) -> bool:
        return bool(publisher.get_subscription_count() == 1)

    def _take_image(self, message: String) -> None:
        self.taken["camera"].append(threading.current_thread())
        self.image_taken.release()

    def _take_other(self, message: String) -> None:
        self.taken["other"].append(threading.current_thread())


@pytest.fixture
def cameras(ros: Any) -> Iterator[Cameras]:
    bench = Cameras(ros)
    yield bench
    bench.thread.stop()


def test_an_image_is_taken_while_the_executor_does_nothing(cameras: Cameras) -> None:
    for _ in range(3):
        cameras.camera.publish(String())
        assert cameras.image_taken.acquire(timeout=DEADLINE)
    assert cameras.here not in cameras.taken["camera"]


def test_each_takes_its_own_whatever_runs(cameras: Cameras, ros: Any) -> None:
    for _ in range(5):
        cameras.camera.publish(String())
        cameras.other.publish(String())
    ros.wait_until(lambda: all(len(threads) == 5 for threads in cameras.taken.values()), "all messages")
    assert set(cameras.taken["other"]) == {cameras.here}
    assert len(set(cameras.taken["camera"])) == 1
    assert cameras.here not in cameras.taken["camera"]


def test_messages_leave_nothing_behind(cameras: Cameras) -> None:
    """A robot's camera sends a hundred thousand images an hour."""

    def take(messages: int) -> int:
        for _ in range(messages):
            cameras.camera.publish(String())
            assert cameras.image_taken.acquire(timeout=DEADLINE)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = take(500)  # by then what rclpy keeps for further messages is there
        grown = take(2000) - before
    finally:
        tracemalloc.stop()
    assert grown < 2000 * 100, "bytes: no function for each, as rclpy's executors keep where a future is waited for"


def test_it_can_be_ended_twice_and_while_nothing_comes(cameras: Cameras) -> None:
    cameras.thread.stop()
    cameras.thread.stop()


def test_nothing_is_taken_after_the_end(cameras: Cameras, ros: Any) -> None:
    cameras.thread.stop()
    cameras.camera.publish(String())
    cameras.other.publish(String())
    ros.wait_until(lambda: cameras.taken["other"], "the message for the executor, sent after the camera's")
    assert not cameras.taken["camera"]


def test_the_end_of_ros_ends_it(cameras: Cameras, ros: Any) -> None:
    cameras.camera.publish(String())
    assert cameras.image_taken.acquire(timeout=DEADLINE)
    (thread,) = set(cameras.taken["camera"])
    ros.context.try_shutdown()
    thread.join(DEADLINE)
    assert not thread.is_alive()
