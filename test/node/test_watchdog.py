"""The watchdog: what hangs is given up and replaced, what fails is loaded anew, and nothing waits for ever."""

import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Header

from face_recognition_ros.errors import BackendError, FaceRecognitionError
from face_recognition_ros.node.depth import DepthBuffer
from face_recognition_ros.node.diagnostics import StreamStatistics
from face_recognition_ros.node.frame_pipeline import FramePipeline
from face_recognition_ros.node.inference import LIMIT
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.node.rounds import Rounds
from face_recognition_ros.node.watchdog import LOADING_LIMIT, MOST_HANGING, PAUSE, Watchdog
from face_recognition_ros.recognizer import FrameResult

DEADLINE = 30.0
IMAGE = bgr_message(Header(), np.zeros((4, 4, 3), np.uint8))


class Bench:
    """A watchdog over networks that do what is asked for: answer, raise, or hang until they are released."""

    lacks_networks = False

    def __init__(self) -> None:
        self.mood = "answer"
        self.loading = "answer"
        self.loads = self.losses = 0
        self.released = threading.Event()
        self.begun = threading.Semaphore(0)
        self.loading_begun = threading.Semaphore(0)
        self.loaded = threading.Semaphore(0)
        self.published = threading.Semaphore(0)
        self.logged: list[str] = []
        self.statistics, self.beside = StreamStatistics(0.0), StreamStatistics(0.0)
        log = SimpleNamespace(error=self.logged.append, warning=self.logged.append)
        self.watchdog = Watchdog(self, self._rounds, [self.statistics, self.beside], lambda: None, log)

    def _rounds(self, on_backend_error: Callable[[], None]) -> Rounds:
        pipelines = [
            FramePipeline(
                lambda header, frame, result, locate: self.published.release(),
                statistics,
                DepthBuffer(),
                SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=10**9)),
                SimpleNamespace(error=self.logged.append),
                "/camera",
                lambda result, stamp: None,
                on_backend_error,
            )
            for statistics in (self.statistics, self.beside)
        ]
        return Rounds(pipelines, self._recognize)

    def _recognize(self, images: Mapping[int, Any]) -> dict[int, FrameResult | Exception]:
        self.begun.release()
        self.obey(self.mood)
        return dict.fromkeys(images, FrameResult((), 0, {}))

    def obey(self, mood: str) -> None:
        if mood == "hang":
            assert self.released.wait(DEADLINE)
        if mood == "raise":
            raise BackendError("The GPU is gone.")

    def give_up_networks(self) -> None:
        self.losses += 1
        self.lacks_networks = True

    def load_networks(self) -> None:
        losses = self.losses
        self.loads += 1
        self.loading_begun.release()
        try:
            self.obey(self.loading)
            if self.losses > losses:
                raise BackendError("They were given up meanwhile.")
            self.lacks_networks = False
        finally:
            self.loaded.release()

    def show(self, mood: str = "answer") -> None:
        """Offers an image and waits until it is in work."""
        self.mood = mood
        self.watchdog.offer(IMAGE)
        self.wait(self.begun)

    def let_finish(self) -> None:
        """Returns when what was begun before has been done."""
        done = threading.Event()
        self.watchdog.submit(done.set)
        assert done.wait(DEADLINE)

    def look(self, times: int) -> None:
        for _ in range(times):
            self.watchdog.look()

    def wait(self, semaphore: threading.Semaphore) -> None:
        assert semaphore.acquire(timeout=DEADLINE)

    @property
    def settled(self) -> tuple[int, int]:
        """Images answered and failed."""
        measured = self.statistics.measure(0.0)
        return measured.answered, measured.failed


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.released.set()
    bench.watchdog.stop()


def hang(bench: Bench) -> None:
    """One frame hangs and is given up."""
    bench.show("hang")
    bench.look(LIMIT + 2)


def test_a_frame_is_given_up_after_its_looks_and_the_next_one_is_answered(bench: Bench) -> None:
    bench.show("hang")
    bench.look(LIMIT + 1)
    assert bench.settled == (0, 0)
    bench.look(1)
    assert bench.settled == (0, 1)
    assert "A network has not answered for 5 s." in bench.logged[0]
    bench.show()
    bench.wait(bench.published)
    assert bench.loads == 1


def test_what_a_given_up_thread_returns_late_is_not_published_nor_counted(bench: Bench) -> None:
    hang(bench)
    (thread,) = bench.watchdog._hanging
    bench.released.set()
    thread._thread.join(DEADLINE)
    assert not thread.is_alive
    assert not bench.published.acquire(blocking=False)
    assert bench.settled == (0, 1)


def test_a_hang_costs_every_stream_of_the_round_its_frame_and_no_other_stream_any(bench: Bench) -> None:
    held = threading.Event()
    bench.watchdog.submit(lambda: held.wait(DEADLINE))
    for stream in (0, 1):
        bench.watchdog.offer(IMAGE, stream)
    bench.mood = "hang"
    held.set()
    bench.wait(bench.begun)
    bench.look(2 * LIMIT + 1)
    assert bench.settled == (0, 0), "two frames have the time of two"
    bench.look(1)
    failed = [statistics.measure(0.0).failed for statistics in (bench.statistics, bench.beside)]
    assert failed == [1, 1]
    hang(bench)
    failed = [statistics.measure(0.0).failed for statistics in (bench.statistics, bench.beside)]
    assert failed == [2, 1]
    assert "not answered for 5 s" in bench.beside.measure(0.0).last_failure, "it concerns them all"


def test_a_job_that_hangs_is_answered_and_those_that_wait_are_done_by_the_next_thread(bench: Bench) -> None:
    begun = threading.Event()

    def job() -> None:
        begun.set()
        bench.obey("hang")

    stuck = bench.watchdog.submit(job)
    assert begun.wait(DEADLINE)
    done = threading.Event()
    waiting = [bench.watchdog.submit(lambda: 42), bench.watchdog.submit(done.set, urgent=True)]
    bench.look(LIMIT + 2)
    with pytest.raises(FaceRecognitionError, match="has not answered for 5 s"):
        stuck.result()
    assert done.wait(DEADLINE)
    answered = threading.Event()
    waiting[0].add_done_callback(lambda _: answered.set())
    assert answered.wait(DEADLINE)
    assert waiting[0].result() == 42
    assert bench.settled == (0, 0), "no image failed"


def test_a_frame_at_work_for_few_looks_after_a_long_one_is_not_given_up(bench: Bench) -> None:
    for _ in range(3):
        bench.released.clear()
        bench.show("hang")
        bench.look(LIMIT - 1)
        bench.released.set()
        bench.wait(bench.published)
    bench.look(2)
    assert bench.logged == []


def test_networks_that_raise_are_loaded_anew_but_not_in_every_second(bench: Bench) -> None:
    bench.show("raise")
    bench.let_finish()
    bench.look(1)
    bench.wait(bench.loaded)
    bench.show("raise")
    bench.let_finish()
    bench.look(PAUSE - 1)
    assert bench.loads == 1
    bench.look(1)
    bench.wait(bench.loaded)
    assert bench.loads == 2


def test_loading_has_more_time_and_is_tried_again(bench: Bench) -> None:
    bench.loading = "raise"
    hang(bench)
    bench.let_finish()
    bench.loading = "hang"
    bench.look(PAUSE)
    for _ in range(2):
        bench.wait(bench.loading_begun)
    bench.look(LOADING_LIMIT)
    assert "The networks could not be loaded anew. The GPU is gone." in bench.logged
    assert sum("has not answered" in sentence for sentence in bench.logged) == 1
    bench.look(3)
    assert sum("has not answered for 60 s" in sentence for sentence in bench.logged) == 1


def test_loading_that_comes_to_its_end_after_it_was_given_up_has_no_say(bench: Bench) -> None:
    bench.loading = "hang"
    hang(bench)
    bench.wait(bench.loading_begun)
    bench.loading = "answer"
    bench.look(LOADING_LIMIT + 2)
    bench.wait(bench.loaded)
    bench.let_finish()
    told, loads = list(bench.logged), bench.loads
    _, loader = bench.watchdog._hanging
    bench.released.set()
    loader._thread.join(DEADLINE)
    assert not loader.is_alive
    bench.look(PAUSE + 1)
    bench.let_finish()
    assert (bench.logged, bench.loads) == (told, loads), "it is neither told nor tried again"
    assert bench.statistics.measure(0.0).restarts == 1


def test_too_many_threads_are_not_left_behind_and_one_that_returns_frees_the_way(bench: Bench) -> None:
    for _ in range(MOST_HANGING):
        hang(bench)
    bench.watchdog.offer(IMAGE)
    assert bench.settled == (0, MOST_HANGING + 1)
    assert "Restart the node" in bench.statistics.measure(0.0).last_failure
    with pytest.raises(FaceRecognitionError, match="Restart the node"):
        bench.watchdog.submit(lambda: 42).result()
    assert bench.watchdog.submit(lambda: 42, urgent=True).result() == 42
    bench.released.set()
    for thread in bench.watchdog._hanging:
        thread._thread.join(DEADLINE)
    bench.look(1)
    bench.show()
    bench.wait(bench.published)
