"""The worker: jobs in their order, results and exceptions handed back, nobody left waiting at the end."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.worker import Worker

DEADLINE = 30.0


@pytest.fixture
def woken() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def worker(woken: threading.Semaphore) -> Iterator[Worker]:
    worker = Worker("test", woken.release)
    yield worker
    worker.stop()


def test_jobs_are_done_in_order_in_another_thread_and_wake_who_waits(
    worker: Worker, woken: threading.Semaphore
) -> None:
    done: list[Any] = []
    futures = [worker.submit(lambda n=n: (done.append(n), threading.current_thread())[1]) for n in range(20)]
    for _ in futures:
        assert woken.acquire(timeout=DEADLINE)
    assert done == list(range(20))
    assert len({future.result() for future in futures}) == 1
    assert futures[0].result() is not threading.current_thread()


def test_an_exception_is_handed_back(worker: Worker, woken: threading.Semaphore) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    failure = worker.submit(fail)
    assert woken.acquire(timeout=DEADLINE)
    with pytest.raises(ValueError, match="no luck"):
        failure.result()


def test_at_the_end_the_job_in_work_is_finished_and_those_that_wait_are_told(
    worker: Worker, woken: threading.Semaphore
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    first = worker.submit(lambda: (begun.set(), go_on.wait(DEADLINE))[1])
    second = worker.submit(lambda: 2)
    assert begun.wait(DEADLINE)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    assert woken.acquire(timeout=DEADLINE), "the second one is given up at once"
    go_on.set()
    stopping.join(DEADLINE)
    assert first.result() is True
    with pytest.raises(FaceRecognitionError, match="cleaned up"):
        second.result()
    with pytest.raises(FaceRecognitionError, match="cleaned up"):
        worker.submit(lambda: 3).result()
