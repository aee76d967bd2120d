"""Notices when a network hangs or fails: goes on with another inference thread, and with networks loaded anew."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from rclpy.task import Future

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.diagnostics import StreamStatistics
from face_recognition_ros.node.inference import InferenceThread, Job, Task
from face_recognition_ros.node.rounds import Rounds

LOADING_LIMIT = 60
"""Seconds that loading the networks may take."""

PAUSE = 5
"""Seconds that pass before networks that go on failing are loaded once more."""

MOST_HANGING = 3
"""More threads than this are not left behind: each keeps a processor or a part of the GPU's memory."""


class Networks(Protocol):
    """What is given up when it hangs, and loaded anew."""

    lacks_networks: bool

    def give_up_networks(self) -> None:
        """Leaves them to the thread that hangs in them."""

    def load_networks(self) -> None:
        """Loads them anew, in the inference thread; may raise, and does if they were given up meanwhile."""


class Watchdog:
    """Has the inference thread of one activation, and after a hang its successor. For the executor's thread only, but
    for `offer`.

    A native call that hangs cannot be ended from outside: its thread, a daemon, is left behind with its networks. What
    it may still return is not used.
    """

    def __init__(
        self,
        networks: Networks,
        create_rounds: Callable[[Callable[[], None]], Rounds],
        statistics: Sequence[StreamStatistics],
        wake: Callable[[], None],
        logger: Any,
    ) -> None:
        """create_rounds: makes what a thread processes frames by; it is given what to call after a network has failed.

        statistics: of all streams.
        """
        self._networks = networks
        self._create_rounds = create_rounds
        self._statistics = statistics
        self._wake = wake
        self._logger = logger
        self._hanging: list[InferenceThread] = []
        self._seen, self._looks, self._looks_since_load = 0, 0, PAUSE
        self._failed = networks.lacks_networks  # since an earlier activation
        self._rounds, self._thread = self._start()
        self._load_if_failed()

    def offer(self, frame: Any, stream: int = 0) -> None:
        """Takes the frame in place of the one of its stream that waits, if any. Any thread may call it."""
        if self._given_up_for_good:
            self._statistics[stream].image_failed(time.monotonic(), self._verdict)
        else:
            self._thread.offer(frame, stream)

    def submit(self, job: Job, urgent: bool = False) -> Future:
        """As InferenceThread.submit."""
        if not self._given_up_for_good:
            return self._thread.submit(job, urgent)
        task = Task(job, Future(), urgent)
        self._answer([task], self._verdict)
        return task.future

    def look(self) -> None:
        """To be called every second: takes what is still in work after its limit of looks for hanging.

        Looks are counted rather than seconds, as time also passes while the whole process is stopped.
        """
        self._looks_since_load += 1
        work, limit = self._thread.work
        self._looks = self._looks + 1 if work and work == self._seen else 0
        self._seen = work
        if self._looks > limit:
            self._replace_thread(f"A network has not answered for {limit} s.")
        elif self._given_up_for_good and not self._too_many_hang:
            self._rounds, self._thread = self._start()
            self._failed = True
        self._load_if_failed()

    def stop(self) -> None:
        """Ends the thread, or leaves it behind if it does not end within its time."""
        if not self._thread.stop():
            sentence = "The node was deactivated while a network did not answer."
            self._answer(self._give_up(sentence), sentence)

    @property
    def _too_many_hang(self) -> bool:
        self._hanging = [thread for thread in self._hanging if thread.is_alive]
        return len(self._hanging) >= MOST_HANGING

    @property
    def _given_up_for_good(self) -> bool:
        return self._thread in self._hanging

    @property
    def _verdict(self) -> str:
        return (
            f"{MOST_HANGING} threads hang in networks, so no further one is started. "
            "Restart the node; if it happens again, the backend or its driver is broken."
        )

    def _start(self) -> tuple[Rounds, InferenceThread]:
        rounds = self._create_rounds(self._note_failure)
        thread = InferenceThread(rounds.process, lambda stream: self._statistics[stream].image_dropped(), self._wake)
        thread.start()
        self._seen = self._looks = 0
        return rounds, thread

    def _tell(self, sentence: str) -> None:
        """Notes a failure that concerns all streams."""
        for statistics in self._statistics:
            statistics.network_failed(time.monotonic(), sentence)

    def _note_failure(self) -> None:
        """Has the networks loaded anew at the next look; called by the inference thread."""
        self._failed = True

    def _load_if_failed(self) -> None:
        if self._failed and self._looks_since_load >= PAUSE and not self._given_up_for_good:
            self._failed, self._looks_since_load = False, 0
            self._thread.submit(partial(self._load, self._thread), urgent=True, limit=LOADING_LIMIT)

    def _load(self, thread: InferenceThread) -> None:
        """Runs in that inference thread, between frames; once it is given up, its successor loads as well."""
        try:
            self._networks.load_networks()
        except Exception as error:  # it is tried again after the pause
            if thread.is_given_up:
                return
            sentence = f"The networks could not be loaded anew. {error}"
            self._tell(sentence)
            self._logger.error(sentence)
            self._failed = True
        else:
            for statistics in self._statistics:
                statistics.networks_loaded()
            self._logger.warning("The networks were loaded anew after a failure.")

    def _replace_thread(self, reason: str) -> None:
        sentence = f"{reason} Its thread is left behind, and the networks are loaded anew."
        waiting = self._give_up(sentence)
        if self._too_many_hang:
            self._logger.error(self._verdict)
            self._tell(self._verdict)
            self._answer(waiting, self._verdict)
            return
        self._rounds, self._thread = self._start()
        self._failed, self._looks_since_load = True, PAUSE
        self._load_if_failed()
        self._thread.take_over(waiting)

    def _answer(self, tasks: Iterable[Task], reason: str) -> None:
        """Refuses jobs for which there is no thread; those that are urgent need none, as no frame is in work."""
        for task in tasks:
            if task.urgent:
                task.perform()
            else:
                task.future.set_exception(FaceRecognitionError(reason))
        self._wake()

    def _give_up(self, sentence: str) -> tuple[Task, ...]:
        """Leaves the thread behind; returns the jobs that waited for it."""
        self._logger.error(sentence)
        self._tell(sentence)
        self._rounds.give_up(sentence)
        waiting = self._thread.give_up(sentence)
        self._networks.give_up_networks()
        self._hanging.append(self._thread)
        self._wake()
        return waiting
