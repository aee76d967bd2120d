"""ONNX Runtime serves while a faster backend gets ready, and when that fails."""

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from face_recognition_ros.errors import BackendError
from face_recognition_ros.runtime.session import InferenceSession, Shape

logger = logging.getLogger(__name__)

GOODBYE = 10.0
"""Seconds that the end of the process waits for work that was told to stop."""

Prepare = Callable[[Callable[[], bool]], tuple[InferenceSession, str]]
"""Makes the session that takes over, ready and checked, and says what the check found; raises BackendError. It asks the
function that it is given now and then whether it is still wanted."""

_allowed = threading.Event()


def allow_takeovers() -> None:
    """For programs that run for long. Others stay with what they begin: a replay gives the same answer every time."""
    _allowed.set()


def takeovers_are_allowed() -> bool:
    """Whether a backend may take over in the middle of this program's work."""
    return _allowed.is_set()


_one_at_a_time = threading.Lock()
"""Builds time algorithms on the GPU: two at once would spoil each other's measurements, and need twice the memory."""


class TakeoverSession:
    """InferenceSession on `reference` until another one is ready, and again if that fails.

    One thread runs it; another one prepares, and lets the prepared session in between two calls.
    """

    def __init__(
        self, reference: InferenceSession, name: str, prepare: Prepare, ready: InferenceSession | None = None
    ) -> None:
        """`prepare` begins at once in a thread of its own, but where a session is ready already.

        name: of the backend that shall serve instead of ONNX Runtime.
        """
        self.name = name
        self._reference = reference
        self._prepare = prepare
        self._current = ready or reference
        self._closed = threading.Event()
        self._serving: tuple[str, str] | None = None
        self._listener: Callable[[str, str], None] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._take_over, name=f"prepare {name}", daemon=True)
        if not ready:
            self._serving = ("onnxruntime", f"{name}: its engine is being built, which takes minutes")
            _preparing.add(self)
            self._thread.start()

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return self._reference.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._reference.outputs

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._reference.metadata

    @property
    def backend(self) -> str:
        return self._current.backend

    def tell(self, listener: Callable[[str, str], None]) -> None:
        """Calls the listener, in any thread, with the backend that serves and the reason, when that changes.

        At once, where the backend that shall serve does not.
        """
        with self._lock:
            self._listener = listener
            if self._serving:
                listener(*self._serving)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        session = self._current
        try:
            return session.run(inputs)
        except BackendError as error:
            if session is self._reference or self._closed.is_set():
                raise
            answer = self._reference.run(inputs)  # raises where the inputs were wrong: then nobody is to blame
            self._current = self._reference
            logger.error("%s failed while it served, ONNX Runtime serves again: %s", self.name, error)
            self._serves("onnxruntime", f"{self.name}: failed while it served: {error}")
            return answer

    def wait(self, seconds: float | None = None) -> None:
        """Until the preparation has ended, well or not."""
        if self._thread.ident:
            self._thread.join(seconds)

    def close(self) -> None:
        """Stops the preparation; what is being prepared frees itself."""
        self._closed.set()
        with self._lock:
            session, self._current = self._current, self._reference
        session.close()
        self._reference.close()

    def _take_over(self) -> None:
        started = time.monotonic()
        try:
            with _one_at_a_time:
                if self._closed.is_set():
                    return
                session, findings = self._prepare(lambda: not self._closed.is_set())
        except Exception as error:  # whatever it is: the robot goes on with what it has
            if not self._closed.is_set():
                logger.warning("%s does not take over, ONNX Runtime goes on: %s", self.name, error)
                self._serves("onnxruntime", f"{self.name}: {error}")
            return
        with self._lock:
            if not self._closed.is_set():
                self._current = session
        if self._closed.is_set():
            session.close()
            return
        seconds = time.monotonic() - started
        logger.info("%s takes over from ONNX Runtime after %.0f s: %s", self.name, seconds, findings)
        self._serves(self.name, f"took over from onnxruntime after {seconds:.0f} s: {findings}")

    def _serves(self, backend: str, reason: str) -> None:
        with self._lock:
            self._serving = (backend, reason)
            if self._listener:
                self._listener(backend, reason)


_preparing: "weakref.WeakSet[TakeoverSession]" = weakref.WeakSet()


@atexit.register
def _stop_preparing() -> None:
    """Native code must not call back into an interpreter that is gone."""
    sessions = list(_preparing)
    for session in sessions:
        session._closed.set()
    deadline = time.monotonic() + GOODBYE
    for session in sessions:
        session.wait(max(0.0, deadline - time.monotonic()))
