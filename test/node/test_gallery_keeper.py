"""What the node does to its gallery unasked, and what it says when that fails."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rclpy.task import Future

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.node.gallery_keeper import GalleryKeeper
from face_recognition_ros.node.inference import InferenceThread
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.types import Identity

LOCKED = GalleryError("The gallery could not be read: database is locked.")
ANNA = Identity("p-1", "Anna", 1, 0.0, 0.0)


def done(job: Callable[[], Any]) -> Future:
    """The job's future, after it was done at once."""
    future = Future()
    try:
        future.set_result(job())
    except Exception as error:
        future.set_exception(error)
    return future


class Bench:
    """A keeper whose surroundings write a diary; tasks run when the test says so."""

    def __init__(self) -> None:
        self.diary: list[Any] = []
        self.logged: list[str] = []
        self.tasks: list[Any] = []
        self.failure: Exception | None = None
        self.moved: GalleryError | None = None
        self.next_expiry: float | None = None
        self.proposals: tuple[str, ...] = ()
        node = SimpleNamespace(
            executor=SimpleNamespace(create_task=lambda task, *arguments: self.tasks.append(task(*arguments))),
            get_logger=lambda: SimpleNamespace(error=self.logged.append, info=lambda sentence: None),
        )
        bench = self

        class Store:
            def check_in_place(self) -> None:
                if bench.moved:
                    raise bench.moved

            @property
            def next_expiry(self) -> float | None:
                bench._act("asked")
                return bench.next_expiry

            def expire(self) -> list[Identity]:
                bench._act("expire")
                return [ANNA]

        assembly = SimpleNamespace(
            store=Store(),
            recognizers=[SimpleNamespace(forget=lambda ids, n=n: self._act((f"tracks {n}", tuple(ids)))) for n in "ab"],
            learner=SimpleNamespace(
                forget=lambda ids: self._act(("learner", tuple(ids))),
                watch=lambda faces, stamp, stream: self._act(("watch", stamp, stream)) or self.proposals,
                apply=lambda proposals: self._act(("apply", proposals)),
            ),
        )
        publisher = SimpleNamespace(publish_changes=lambda: self._act("publish"))
        self.keeper = GalleryKeeper(
            node, assembly, publisher, SimpleNamespace(submit=done), self._between_frames  # type: ignore[arg-type]
        )  # fmt: skip

    def _act(self, entry: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.diary.append(entry)

    def _between_frames(self, job: Callable[[], Any]) -> Future:
        self.diary.append("between frames")
        return done(job)

    def run_tasks(self) -> None:
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            with pytest.raises(StopIteration):
                task.send(None)  # nothing of it has to wait


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_gallery_that_fails_for_a_moment_is_an_error_for_that_moment_and_is_logged_once(bench: Bench) -> None:
    bench.failure = LOCKED
    for _ in range(2):
        bench.keeper.tell()
        bench.keeper.look_after()
        bench.keeper.watch(FrameResult((), 1), 1.0)
    assert bench.keeper.complaint == str(LOCKED)
    assert bench.logged == [str(LOCKED)]
    bench.failure = None
    bench.keeper.look_after()
    assert bench.keeper.complaint == ""


def test_a_gallery_that_was_moved_away_is_an_error_though_it_can_still_be_read(bench: Bench) -> None:
    bench.moved = GalleryError("The gallery was moved or replaced while it was in use.")
    bench.keeper.look_after()
    assert bench.keeper.complaint == str(bench.moved)
    bench.moved = None
    bench.keeper.look_after()
    assert bench.keeper.complaint == ""


@pytest.mark.parametrize("due", [None, 1e12])
def test_nobody_expires_before_the_time(bench: Bench, due: float | None) -> None:
    bench.next_expiry = due
    bench.keeper.look_after()
    assert (bench.tasks, bench.diary) == ([], ["asked", "publish"])


def test_who_has_expired_is_forgotten_everywhere_and_others_are_told(bench: Bench) -> None:
    bench.next_expiry = 1.0
    bench.keeper.look_after()
    bench.keeper.look_after()  # the first one is still on its way
    bench.run_tasks()
    dropped = [("tracks a", ("p-1",)), ("tracks b", ("p-1",)), ("learner", ("p-1",))]
    assert bench.diary == ["asked", "expire", "between frames", *dropped, "publish"]
    bench.failure = LOCKED
    bench.keeper.look_after()
    bench.failure = None
    bench.keeper.look_after()
    bench.run_tasks()
    assert bench.diary.count("expire") == 2, "it goes on after a failure"


def test_forgetting_lasts_until_the_frame_in_work_is_answered_and_later_frames_have_lost_the_looks(
    bench: Bench,
) -> None:
    begun, go_on, woken = (threading.Semaphore(0) for _ in range(3))

    def process(frames: dict[int, str]) -> None:
        begun.release()
        assert go_on.acquire(timeout=30)
        bench.diary.extend(frames.values())

    thread = InferenceThread(process, lambda stream: None, woken.release)
    bench.keeper._between_frames = lambda job: thread.submit(job, urgent=True)
    thread.start()
    thread.offer("in work")
    assert begun.acquire(timeout=30)
    thread.offer("later")
    forgetting = bench.keeper.forget(["p-1"])
    forgetting.send(None)  # still waiting
    assert bench.diary == []
    go_on.release(2)
    assert woken.acquire(timeout=30)
    with pytest.raises(StopIteration):
        forgetting.send(None)
    thread.stop()
    assert bench.diary[:4] == ["in work", ("tracks a", ("p-1",)), ("tracks b", ("p-1",)), ("learner", ("p-1",))]


def test_what_is_proposed_is_learned_and_published_later(bench: Bench) -> None:
    bench.keeper.watch(FrameResult((), 1), 1.0)
    assert bench.tasks == []
    bench.proposals = ("a look",)
    bench.keeper.watch(FrameResult((), 1), 2.0, stream=1)
    assert bench.diary == [("watch", 1.0, 0), ("watch", 2.0, 1)], "nothing is stored between two frames"
    bench.run_tasks()
    assert bench.diary[2:] == [("apply", ("a look",)), "publish"]


def test_a_failure_that_nobody_expected_is_a_complaint_and_does_not_end_the_executor(bench: Bench) -> None:
    bench.proposals, bench.next_expiry = ("a look",), 1.0
    bench.keeper.watch(FrameResult((), 1), 1.0)
    bench.keeper.look_after()
    bench.failure = ValueError("shapes")
    bench.run_tasks()
    assert [("shapes" in sentence) for sentence in bench.logged] == [True, True]
    assert "expired" in bench.keeper.complaint


def test_what_is_still_on_its_way_at_the_end_ends_in_silence(bench: Bench) -> None:
    bench.proposals = ("a look",)
    bench.keeper.watch(FrameResult((), 1), 1.0)
    bench.keeper.stop()
    bench.failure = GalleryError("The gallery could not be changed: it is closed.")
    bench.run_tasks()
    bench.keeper.tell()
    assert (bench.logged, bench.keeper.complaint) == ([], "")
