"""One message through the pipeline: whatever it meets, the next one is answered."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.errors import BackendError
from face_recognition_ros.node.depth import DepthBuffer
from face_recognition_ros.node.diagnostics import StreamStatistics
from face_recognition_ros.node.frame_pipeline import FramePipeline, Received
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.node.publishers import AnswerPublishers
from face_recognition_ros.node.rounds import Rounds
from face_recognition_ros.recognizer import FrameResult

NOW = 500.0


class Bench:
    """A pipeline between a recogniser that finds nobody and a list of answers."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.failure: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        """Done while a frame is being published."""
        self.backend_errors: list[int] = []
        self.results: list[float] = []
        self.published: list[Header] = []
        self.logged: list[str] = []
        self.statistics = StreamStatistics(0.0)
        clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=round(NOW * 1e9)))
        self.pipeline = FramePipeline(
            self._publish,
            self.statistics,
            DepthBuffer(),
            clock,
            SimpleNamespace(error=self.logged.append),
            "/camera",
            lambda result, stamp: self.results.append(stamp),
            lambda: self.backend_errors.append(len(self.stamps)),
        )
        self._rounds = Rounds([self.pipeline], self._recognize)

    def process(self, message: Any) -> None:
        self._rounds.process({0: message})

    def _publish(self, header: Header, *_: Any) -> None:
        self.meanwhile()
        self.published.append(header)

    def _recognize(self, images: Mapping[int, Received]) -> dict[int, FrameResult | Exception]:
        self.stamps.append(images[0].stamp)
        return {0: self.failure or FrameResult((), 3, {"detection": 0.01})}


def image(stamp: Time | None = None) -> Image:
    return bgr_message(Header(stamp=stamp or Time(sec=499)), np.zeros((4, 4, 3), np.uint8))


def test_an_image_is_answered_and_timed() -> None:
    bench = Bench()
    bench.process(image(Time(sec=499, nanosec=500_000_000)))
    measured = bench.statistics.measure(0.0)
    assert bench.stamps == [499.5]
    assert (len(bench.published), measured.answered) == (1, 1)
    assert measured.latencies["stamp to answer"] == pytest.approx((0.5, 0.5))
    assert {"conversion", "detection", "publishing", "processing"} < measured.latencies.keys()


def test_an_image_without_stamp_is_taken_for_one_of_now() -> None:
    bench = Bench()
    bench.process(image(Time()))
    assert bench.stamps == pytest.approx([NOW])
    assert bench.published[0].stamp == Time()
    assert "stamp to answer" not in bench.statistics.measure(0.0).latencies


def test_malformed_images_are_reported_once_of_a_kind() -> None:
    bench = Bench()
    for step in (1, 2, 3):
        message = image()
        message.step = step
        bench.process(message)
    message = image()
    message.encoding = "bgr9"
    bench.process(message)
    bench.process(image())
    measured = bench.statistics.measure(0.0)
    assert (measured.malformed, measured.answered) == (4, 1)
    assert len(bench.logged) == 2
    assert "/camera: a bgr8 image of 4x4 pixels has a step of 1 bytes" in bench.logged[0]
    assert "'bgr9'" in measured.last_malformed


def test_a_frame_on_which_recognition_fails_is_dropped_and_the_next_one_answered() -> None:
    bench = Bench()
    bench.failure = BackendError("The GPU is gone.")
    bench.process(image())
    bench.process(image())
    bench.failure = None
    bench.process(image())
    measured = bench.statistics.measure(0.0)
    assert (measured.failed, measured.answered, len(bench.logged)) == (2, 1, 1)
    assert measured.last_failure == "BackendError: The GPU is gone."
    assert len(bench.backend_errors) == 2, "the watchdog hears of each"


def test_a_frame_that_is_given_up_while_it_is_published_is_answered_and_counted_once() -> None:
    bench = Bench()
    bench.meanwhile = lambda: bench.pipeline.give_up("It hangs.")
    bench.process(image())
    measured = bench.statistics.measure(0.0)
    assert (len(bench.published), measured.answered, measured.failed) == (1, 1, 0)
    bench.process(image())
    measured = bench.statistics.measure(0.0)
    assert (len(bench.published), len(bench.results)) == (1, 1), "nothing comes of a pipeline that was given up"
    assert (measured.answered, measured.failed) == (1, 0)


def test_what_fails_after_publishing_is_counted_once_and_reported() -> None:
    bench = Bench()
    bench.results = None  # type: ignore[assignment]
    bench.process(image())
    measured = bench.statistics.measure(0.0)
    assert (measured.answered, measured.failed, len(bench.logged)) == (0, 1, 1)


@pytest.mark.parametrize("subscribers", [0, 1])
def test_the_debug_image_is_drawn_only_while_somebody_subscribes(
    subscribers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(
        "face_recognition_ros.node.publishers.draw_faces", lambda frame, faces: drawn.append(frame) or frame
    )
    published: dict[str, list[Any]] = {}

    def create(kind: type, topic: str, qos: Any) -> Any:
        sent = published.setdefault(topic, [])
        return SimpleNamespace(publish=sent.append, get_subscription_count=lambda: subscribers)

    publishers = AnswerPublishers(SimpleNamespace(create_lifecycle_publisher=create), publish_detections=False)
    publishers.publish(Header(), np.zeros((4, 4, 3), np.uint8), FrameResult((), 1), lambda detection: None)
    assert len(published["face_identities"]) == 1
    assert len(published["debug_image"]) == len(drawn) == subscribers
