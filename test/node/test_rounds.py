"""Messages of several cameras in one round: what is wrong with one costs no other its answer."""

from collections.abc import Mapping
from types import SimpleNamespace

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
from face_recognition_ros.node.rounds import Rounds
from face_recognition_ros.recognizer import FrameResult


class Bench:
    """Three cameras, whose pictures show nobody."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.failures: dict[int, Exception] = {}
        self.failure: Exception | None = None
        self.published: list[str] = []
        self.backend_errors: list[int] = []
        self.statistics = [StreamStatistics(0.0) for _ in range(3)]
        self.rounds = Rounds([self._pipeline(stream) for stream in range(3)], self._recognize)

    def _pipeline(self, stream: int) -> FramePipeline:
        return FramePipeline(
            lambda header, frame, result, locate: self.published.append(header.frame_id),
            self.statistics[stream],
            DepthBuffer(),
            SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=10**9)),  # type: ignore[arg-type]
            SimpleNamespace(error=lambda sentence: None),
            f"/camera{stream}/image",
            lambda result, stamp: None,
            lambda: self.backend_errors.append(stream),
        )

    def _recognize(self, images: Mapping[int, Received]) -> dict[int, FrameResult | Exception]:
        self.asked.append(list(images))
        if self.failure is not None:
            raise self.failure
        return {stream: self.failures.get(stream, FrameResult((), 0, {})) for stream in images}

    def counts(self, what: str) -> list[int]:
        return [getattr(statistics.measure(0.0), what) for statistics in self.statistics]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def image(name: str) -> Image:
    return bgr_message(Header(frame_id=name, stamp=Time(sec=9)), np.zeros((4, 4, 3), np.uint8))


def bad_image() -> Image:
    message = image("bad")
    message.encoding = "bgr9"
    return message


def test_a_round_asks_once_for_all_and_answers_each(bench: Bench) -> None:
    bench.rounds.process({2: image("back"), 0: image("front")})
    bench.rounds.process({1: image("left")})
    assert bench.asked == [[2, 0], [1]]
    assert bench.published == ["back", "front", "left"]
    assert bench.counts("answered") == [1, 1, 1]


def test_a_malformed_image_costs_its_own_camera_an_answer_only(bench: Bench) -> None:
    bench.rounds.process({0: image("front"), 1: bad_image(), 2: image("back")})
    assert bench.published == ["front", "back"]
    assert (bench.counts("answered"), bench.counts("malformed")) == ([1, 0, 1], [0, 1, 0])
    assert "/camera1/image: the encoding 'bgr9'" in bench.statistics[1].measure(0.0).last_malformed
    bench.rounds.process({1: bad_image()})
    assert bench.asked == [[0, 2]], "there is nothing to ask about"


def test_a_network_that_fails_on_one_image_is_told_and_costs_that_camera_an_answer_only(bench: Bench) -> None:
    bench.failures = {2: BackendError("The GPU is gone.")}
    bench.rounds.process({stream: image(str(stream)) for stream in range(3)})
    assert bench.published == ["0", "1"]
    assert (bench.counts("failed"), bench.backend_errors) == ([0, 0, 1], [2])


def test_whatever_goes_wrong_the_thread_goes_on(bench: Bench) -> None:
    bench.failure = RuntimeError("a bug")
    bench.rounds.process({0: image("front"), 2: image("back")})
    assert (bench.counts("failed"), bench.published) == ([1, 0, 1], [])


def test_a_round_that_is_given_up_fails_for_each_of_its_cameras_and_publishes_nothing(bench: Bench) -> None:
    def give_up(images: Mapping[int, Received]) -> dict[int, FrameResult | Exception]:
        bench.rounds.give_up("It hangs.")
        return {0: FrameResult((), 0, {}), 1: BackendError("too late")}

    bench.rounds._recognize = give_up
    bench.rounds.process({0: image("front"), 1: image("left")})
    assert (bench.counts("failed"), bench.counts("answered"), bench.published) == ([1, 1, 0], [0, 0, 0], [])
    assert [one.measure(0.0).last_failure for one in bench.statistics] == ["It hangs.", "It hangs.", ""]
    assert bench.backend_errors == []
