"""Loads networks and gallery in a thread that can be left behind, as a driver may hang already at that point."""

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import BackendError

LIMIT = 300
"""Seconds that it may take: far more than it does, even where a driver first compiles something for its GPU."""

REMINDER = 20
"""Seconds after which the log says, again and again, that it goes on."""


def load_in_time(load: Callable[[], Assembly], show_life: Callable[[], None], logger: Any) -> Assembly:
    """What `load` returns, or raises; `show_life` is called in this thread for every second that it takes.

    Raises BackendError after LIMIT seconds. The thread cannot be ended; what it still returns is closed.
    """
    loading: futures.Future[Assembly] = futures.Future()
    threading.Thread(target=_run, args=(load, loading), name="loading", daemon=True).start()
    for second in range(1, LIMIT + 1):
        if futures.wait([loading], timeout=1.0).done:
            break
        show_life()
        if second % REMINDER == 0:
            logger.warning(f"Networks and gallery are still being loaded, for {second} s by now.")
    if loading.cancel():
        raise BackendError(
            f"Networks and gallery were not loaded within {LIMIT} s; the thread that hangs in it is left behind. "
            "Restart the node; if it happens again, the backend or its driver is broken."
        )
    return loading.result()


def _run(load: Callable[[], Assembly], loading: "futures.Future[Assembly]") -> None:
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
