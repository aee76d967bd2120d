"""Loads networks and gallery in a thread that can be left behind, as a driver may hang already at that point."""

import threading
from collections.abc import Callable
from concurrent import futures
from queue import SimpleQueue
from typing import Any

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import BackendError

LIMIT = 300
"""Seconds that it may take: far more than it does, even where a driver first compiles something for its GPU."""

REMINDER = 20
"""Seconds after which the log says, again and again, that it goes on."""

Load = Callable[[], Assembly]


class Loader:
    """Loads in a thread of its own, the same one each time.

    The allocator gives a new thread another part of the memory, where something of what it loads always stays behind: a
    node that was configured 500 times with 500 threads had grown by 40 MiB.
    """

    def __init__(self, show_life: Callable[[], None], logger: Any) -> None:
        """show_life: is called, in the thread that waits, for every second that it takes."""
        self._show_life = show_life
        self._logger = logger
        self._jobs: _Jobs | None = None

    def load(self, load: Load) -> Assembly:
        """What `load` returns, or raises; BackendError after LIMIT seconds.

        A thread cannot be ended: then it is left behind, and what it still returns is closed.
        """
        loading: futures.Future[Assembly] = futures.Future()
        self._start().put((load, loading))
        for second in range(1, LIMIT + 1):
            if futures.wait([loading], timeout=1.0).done:
                break
            self._show_life()
            if second % REMINDER == 0:
                self._logger.warning(f"Networks and gallery are still being loaded, for {second} s by now.")
        if loading.cancel():
            self.stop()
            raise BackendError(
                f"Networks and gallery were not loaded within {LIMIT} s; the thread that hangs in it is left behind. "
                "Restart the node; if it happens again, the backend or its driver is broken."
            )
        return loading.result()

    def stop(self) -> None:
        """Ends the thread as soon as it has nothing to do; the next time there will be another."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _start(self) -> "_Jobs":
        if self._jobs is None:
            self._jobs = SimpleQueue()
            threading.Thread(target=_run, args=(self._jobs,), name="loading", daemon=True).start()
        return self._jobs


_Jobs = SimpleQueue[tuple[Load, "futures.Future[Assembly]"] | None]


def _run(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        _perform(*job)
        del job  # and with it what was loaded, while waiting for the next one


def _perform(load: Load, loading: "futures.Future[Assembly]") -> None:
    try:
        assembly = load()
    except Exception as error:
        if loading.set_running_or_notify_cancel():
            loading.set_exception(error)
        return
    if loading.set_running_or_notify_cancel():
        loading.set_result(assembly)
    else:
        assembly.close()
