"""The inference thread: the newest frame wins, jobs are done between frames, nothing is left waiting."""

import threading
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.inference import LIMIT, WAITING_JOBS, InferenceThread

DEADLINE = 30.0


class Bench:
    """An inference thread whose work waits for a sign."""

    def __init__(self) -> None:
        self.rounds: list[dict[int, Any]] = []
        self.seen: list[Any] = []
        """The frames of all rounds, and what jobs add."""
        self.dropped: list[int] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.woken = threading.Semaphore(0)
        self.thread = InferenceThread(self._process, self._drop, self.woken.release)
        self.thread.start()

    def _process(self, frames: dict[int, Any]) -> None:
        self.begun.release()
        assert self.go_on.acquire(timeout=DEADLINE)
        self.rounds.append(frames)
        self.seen.extend(frames.values())

    def _drop(self, stream: int) -> None:
        self.dropped.append(stream)

    def wait_for_beginning(self) -> None:
        assert self.begun.acquire(timeout=DEADLINE)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.go_on.release(100)
    bench.thread.stop()


def test_the_newest_frame_wins_and_replaced_ones_are_counted(bench: Bench) -> None:
    bench.thread.offer("first")
    bench.wait_for_beginning()
    for frame in ("second", "third", "fourth"):
        bench.thread.offer(frame)
    bench.go_on.release(2)
    bench.wait_for_beginning()
    bench.thread.submit(lambda: None)
    assert bench.woken.acquire(timeout=DEADLINE)
    assert bench.seen == ["first", "fourth"]
    assert bench.dropped == [0, 0]


def test_a_round_takes_the_newest_frame_of_every_stream(bench: Bench) -> None:
    bench.thread.offer("first")
    bench.wait_for_beginning()
    for number in range(40):  # a camera of 200 Hz beside one of 5 Hz
        bench.thread.offer(f"fast {number}", 1)
    bench.thread.offer("slow", 2)
    bench.go_on.release()
    bench.wait_for_beginning()
    assert bench.thread.work[1] == 2 * LIMIT, "each of its frames has its time"
    for number in range(40, 80):
        bench.thread.offer(f"fast {number}", 1)
    bench.go_on.release(2)
    bench.wait_for_beginning()
    bench.thread.submit(lambda: None)
    assert bench.woken.acquire(timeout=DEADLINE)
    assert bench.rounds == [{0: "first"}, {1: "fast 39", 2: "slow"}, {1: "fast 79"}]
    assert bench.dropped == 78 * [1]


def test_a_stream_is_in_every_round_whatever_the_others_send(bench: Bench) -> None:
    """A camera that sends forty images a round keeps no other from having each of its images answered."""
    bench.thread.offer("frame", 0)
    for number in range(10):
        bench.wait_for_beginning()
        for burst in range(40):
            bench.thread.offer((number, burst), 1)
        bench.thread.offer(number, 2)
        bench.go_on.release()
    bench.wait_for_beginning()
    bench.go_on.release()
    bench.thread.submit(lambda: None)
    assert bench.woken.acquire(timeout=DEADLINE)
    assert [frames[2] for frames in bench.rounds if 2 in frames] == list(range(10))
    assert [frames[1] for frames in bench.rounds if 1 in frames] == [(number, 39) for number in range(10)]
    assert 2 not in bench.dropped


def test_what_waits_of_every_stream_is_dropped_when_the_thread_is_given_up(bench: Bench) -> None:
    bench.thread.offer("in work", 0)
    bench.wait_for_beginning()
    bench.thread.offer("waits", 1)
    bench.thread.offer("waits", 2)
    assert bench.thread.give_up("It hangs.") == ()
    assert bench.dropped == [1, 2]


def test_jobs_and_frames_take_turns(bench: Bench) -> None:
    bench.thread.offer("frame 1")
    bench.wait_for_beginning()
    for number in (1, 2):
        bench.thread.submit(lambda number=number: bench.seen.append(f"job {number}"))
    bench.thread.offer("frame 2")
    bench.go_on.release(2)
    for _ in range(2):
        assert bench.woken.acquire(timeout=DEADLINE)
    assert bench.seen == ["frame 1", "job 1", "frame 2", "job 2"]


def test_an_urgent_job_is_next_and_never_one_too_many(bench: Bench) -> None:
    bench.thread.offer("frame 1")
    bench.wait_for_beginning()
    for number in range(WAITING_JOBS):
        bench.thread.submit(lambda number=number: bench.seen.append(f"job {number}"))
    bench.thread.offer("frame 2")
    urgent = bench.thread.submit(lambda: bench.seen.append("urgent"), urgent=True)
    bench.go_on.release(2)
    for _ in range(WAITING_JOBS + 1):
        assert bench.woken.acquire(timeout=DEADLINE)
    assert bench.seen[:3] == ["frame 1", "urgent", "frame 2"]
    assert urgent.done()


def test_an_urgent_job_is_done_even_if_the_thread_is_to_stop(bench: Bench) -> None:
    bench.thread.offer("frame")
    bench.wait_for_beginning()
    urgent = bench.thread.submit(lambda: bench.seen.append("urgent"), urgent=True)
    waiting = bench.thread.submit(lambda: bench.seen.append("job"))
    abandoned = threading.Event()
    waiting.add_done_callback(lambda _: abandoned.set())
    stopping = threading.Thread(target=bench.thread.stop)
    stopping.start()
    assert abandoned.wait(DEADLINE)
    bench.go_on.release()
    stopping.join(DEADLINE)
    assert bench.seen == ["frame", "urgent"]
    assert urgent.done()
    with pytest.raises(FaceRecognitionError):
        waiting.result()


def test_a_job_hands_back_its_result_or_its_exception(bench: Bench) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    result, failure = bench.thread.submit(lambda: 42), bench.thread.submit(fail)
    for _ in range(2):
        assert bench.woken.acquire(timeout=DEADLINE)
    assert result.result() == 42
    with pytest.raises(ValueError, match="no luck"):
        failure.result()


def test_no_picture_is_kept_when_its_work_is_done(bench: Bench) -> None:
    class Picture:
        pass

    picture = Picture()
    gone = threading.Event()
    weakref.finalize(picture, gone.set)
    bench.thread.submit(partial(type, picture))
    assert bench.woken.acquire(timeout=DEADLINE)
    del picture
    assert gone.wait(DEADLINE)


def test_too_many_jobs_are_refused_and_those_that_wait_at_the_end_are_told(bench: Bench) -> None:
    bench.thread.offer("frame")
    bench.wait_for_beginning()
    waiting = [bench.thread.submit(lambda: None) for _ in range(WAITING_JOBS)]
    refused = bench.thread.submit(lambda: None)
    with pytest.raises(FaceRecognitionError, match="requests are waiting already"):
        refused.result()
    stopping = threading.Thread(target=bench.thread.stop)
    stopping.start()
    for job in waiting:
        told = threading.Event()
        job.add_done_callback(lambda _, told=told: told.set())
        assert told.wait(DEADLINE)
        with pytest.raises(FaceRecognitionError, match="deactivated"):
            job.result()
    bench.go_on.release()
    stopping.join(DEADLINE)
    assert bench.seen == ["frame"]
    with pytest.raises(FaceRecognitionError):
        bench.thread.submit(lambda: None).result()
    bench.thread.offer("too late", 7)
    assert bench.seen == ["frame"]
    assert bench.dropped == [7]
