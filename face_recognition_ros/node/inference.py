"""The one thread that runs the networks: it takes the newest frame of each stream, and does other jobs in between."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.task import Future

from face_recognition_ros.errors import FaceRecognitionError

WAITING_JOBS = 8
"""More jobs than this are refused, so that a flood of requests cannot fill the memory with pictures."""

LIMIT = 5
"""Seconds that a job may take, or each frame of a round; whatever takes longer hangs. See Watchdog."""

STEP_ASIDE = 3e-4
"""Seconds for which whoever offers a frame runs no Python. The thread that is woken needs the interpreter's lock, and
would else begin only when the other one waits for its next message, up to a millisecond later. No result depends on
it."""

Job = Callable[[], Any]

Submit = Callable[[Job], Future]
"""Has a job done by the inference thread, the only one to run networks; raises FaceRecognitionError when inactive."""


@dataclass(frozen=True, slots=True)
class Task:
    """A job that was submitted."""

    job: Job
    future: Future
    urgent: bool = False
    limit: int = LIMIT
    """Seconds that it may take."""

    def perform(self) -> None:
        """Does the job; its future gets what came of it."""
        try:
            result = self.job()
        except Exception as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class InferenceThread:
    """Runs `process` on the newest frames offered, and submitted jobs in between, all in one thread.

    A round takes the newest frame of every stream that has one waiting, so no stream can keep another from its turn.
    Networks and trackers are used by this thread alone, so they need no lock. A frame that is replaced before its turn
    is dropped and counted. `wake` is called from this thread after each job, so that an executor whose coroutine awaits
    the job's future looks at it again.
    """

    def __init__(
        self, process: Callable[[dict[int, Any]], None], on_drop: Callable[[int], None], wake: Callable[[], None]
    ) -> None:
        """process: takes the frames of a round, by the number of their stream; must not raise.

        on_drop: is told the stream of a frame that is dropped.
        """
        self._process = process
        self._on_drop = on_drop
        self._wake = wake
        self._condition = threading.Condition()
        self._frames: dict[int, Any] = {}
        self._jobs: deque[Task] = deque()
        self._urgent: deque[Task] = deque()
        self._stopping = False
        self._given_up = False
        self._begun, self._limit = 0, LIMIT
        self._task: Task | None = None
        self._working = False
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_given_up(self) -> bool:
        """Whether it is left behind; see give_up."""
        return self._given_up

    @property
    def work(self) -> tuple[int, int]:
        """Number of the round or job that is being worked on, 0 for none, and the seconds that it may take."""
        with self._condition:
            return (self._begun, self._limit) if self._working else (0, LIMIT)

    def stop(self) -> bool:
        """Finishes what is being worked on and what is urgent, gives up the rest; whether the thread has ended then.

        It is waited for at most LIMIT seconds.
        """
        with self._condition:
            self._stopping = True
            self._frames = {}
            abandoned = list(self._jobs)
            self._jobs.clear()
            self._condition.notify()
        for task in abandoned:
            task.future.set_exception(FaceRecognitionError("The node was deactivated before it got to this request."))
        self._thread.join(LIMIT)
        return not self._thread.is_alive()

    def give_up(self, reason: str) -> tuple[Task, ...]:
        """Leaves the thread behind, with the round or job that it works on; returns the jobs that wait for their turn.

        The future of the job that hangs gets a FaceRecognitionError with the reason. Frames that wait are dropped.
        Should the thread ever come back from its work, it ends and nothing comes of it.
        """
        with self._condition:
            self._given_up = self._stopping = True
            waiting = (*self._urgent, *self._jobs)
            self._urgent.clear()
            self._jobs.clear()
            dropped, self._frames = self._frames, {}
            hanging, self._task = self._task, None
            self._condition.notify()
        for stream in dropped:
            self._on_drop(stream)
        if hanging is not None:
            hanging.future.set_exception(FaceRecognitionError(reason))
        return waiting

    def take_over(self, tasks: Sequence[Task]) -> None:
        """Has the jobs done that another thread was given up with."""
        with self._condition:
            self._urgent.extend(task for task in tasks if task.urgent)
            self._jobs.extend(task for task in tasks if not task.urgent)
            self._condition.notify()

    def offer(self, frame: Any, stream: int = 0) -> None:
        """Takes the frame in place of the one of its stream that waits, if any; drops it where the thread is to end."""
        with self._condition:
            dropped, is_idle = self._stopping or stream in self._frames, not self._working
            if not self._stopping:
                self._frames[stream] = frame
                self._condition.notify()
        if dropped:
            self._on_drop(stream)
        elif is_idle:
            time.sleep(STEP_ASIDE)

    def submit(self, job: Job, urgent: bool = False, limit: int = LIMIT) -> Future:
        """Has the job done, by turns with rounds; the future gets its result or its exception.

        urgent: the job is short, is done next whatever waits, and is never one too many. Once it is done, no frame
        that was begun before it was submitted is in work any more. limit: seconds that it may take.
        """
        future = Future()
        with self._condition:
            refused = self._stopping or (not urgent and len(self._jobs) >= WAITING_JOBS)
            if not refused:
                (self._urgent if urgent else self._jobs).append(Task(job, future, urgent, limit))
                self._condition.notify()
        if refused:
            reason = f"The node is stopping, or {WAITING_JOBS} requests are waiting already; try again."
            future.set_exception(FaceRecognitionError(reason))
        return future

    def _run(self) -> None:
        job_was_last = False
        while True:
            with self._condition:
                self._working, self._task = False, None
                self._condition.wait_for(lambda: self._stopping or self._urgent or self._jobs or self._frames)
                if self._given_up or (self._stopping and not self._urgent):
                    return
                round_is_next = self._frames and (job_was_last or not self._jobs) and not self._urgent
                if round_is_next:
                    frames, self._frames = self._frames, {}
                    self._limit = LIMIT * len(frames)
                else:
                    task = self._task = (self._urgent or self._jobs).popleft()
                    self._limit = task.limit
                self._begun, self._working = self._begun + 1, True
            if round_is_next:
                self._process(frames)
                del frames  # the pictures' memory, while waiting for the next ones
            else:
                self._do(task)
                del task  # likewise
            job_was_last = not round_is_next

    def _do(self, task: Task) -> None:
        result, failure = None, None
        try:
            result = task.job()
        except Exception as error:
            failure = error
        with self._condition:  # whoever asked has been answered if the thread was given up meanwhile
            if self._given_up:
                return
            self._working, self._task = False, None
        if failure is not None:
            task.future.set_exception(failure)
        else:
            task.future.set_result(result)
        self._wake()
