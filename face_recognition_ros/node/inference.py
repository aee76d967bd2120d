"""The one thread that runs the networks: it takes the newest frame, and does other jobs between frames."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.task import Future

from face_recognition_ros.errors import FaceRecognitionError

WAITING_JOBS = 8
"""More jobs than this are refused, so that a flood of requests cannot fill the memory with pictures."""

Job = Callable[[], Any]

Submit = Callable[[Job], Future]
"""Has a job done by the inference thread, the only one to run networks; raises FaceRecognitionError when inactive."""


class InferenceThread:
    """Runs `process` on the newest frame offered, and submitted jobs between frames, all in one thread.

    Networks and tracker are used by this thread alone, so they need no lock. A frame that is replaced before its turn
    is dropped and counted. `process` must not raise. `wake` is called from this thread after each job, so that an
    executor whose coroutine awaits the job's future looks at it again.
    """

    def __init__(self, process: Callable[[Any], None], on_drop: Callable[[], None], wake: Callable[[], None]) -> None:
        self._process = process
        self._on_drop = on_drop
        self._wake = wake
        self._condition = threading.Condition()
        self._frame: Any = None
        self._jobs: deque[tuple[Job, Future]] = deque()
        self._urgent: deque[tuple[Job, Future]] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finishes what is being worked on and what is urgent, gives up the rest, returns when the thread has ended."""
        with self._condition:
            self._stopping = True
            self._frame = None
            abandoned = list(self._jobs)
            self._jobs.clear()
            self._condition.notify()
        for _, future in abandoned:
            future.set_exception(FaceRecognitionError("The node was deactivated before it got to this request."))
        self._thread.join()

    def offer(self, frame: Any) -> None:
        """Takes the frame in place of the one that waits, if any."""
        with self._condition:
            if self._stopping:
                return
            dropped, self._frame = self._frame is not None, frame
            self._condition.notify()
        if dropped:
            self._on_drop()

    def submit(self, job: Job, urgent: bool = False) -> Future:
        """Has the job done, by turns with frames; the future gets its result or its exception.

        urgent: the job is short, is done next whatever waits, and is never one too many. Once it is done, no frame
        that was begun before it was submitted is in work any more.
        """
        future = Future()
        with self._condition:
            refused = self._stopping or (not urgent and len(self._jobs) >= WAITING_JOBS)
            if not refused:
                (self._urgent if urgent else self._jobs).append((job, future))
                self._condition.notify()
        if refused:
            reason = f"The node is stopping, or {WAITING_JOBS} requests are waiting already; try again."
            future.set_exception(FaceRecognitionError(reason))
        return future

    def _run(self) -> None:
        job_was_last = False
        while True:
            with self._condition:
                self._condition.wait_for(
                    lambda: self._stopping or self._urgent or self._jobs or self._frame is not None
                )
                if self._stopping and not self._urgent:
                    return
                frame_is_next = self._frame is not None and (job_was_last or not self._jobs) and not self._urgent
                if frame_is_next:
                    frame, self._frame = self._frame, None
                else:
                    job, future = (self._urgent or self._jobs).popleft()
            if frame_is_next:
                self._process(frame)
                del frame  # the picture's memory, while waiting for the next one
            else:
                self._do(job, future)
                del job, future  # likewise
            job_was_last = not frame_is_next

    def _do(self, job: Job, future: Future) -> None:
        try:
            result = job()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        self._wake()
