"""How preparations end: each after the other, unwanted ones not at all, and with the process."""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from face_recognition_ros.runtime.session import InferenceSession
from face_recognition_ros.runtime.takeover import TakeoverSession


class Session:
    """Says who it is."""

    def __init__(self, backend: str) -> None:
        self.backend, self.is_closed = backend, False
        self.inputs, self.outputs, self.metadata = {"x": (1,)}, ("y",), {"note": backend}

    def run(self, inputs: Any) -> list[Any]:
        return [self.backend]

    def close(self) -> None:
        self.is_closed = True


def takeover(prepare: Callable[[Callable[[], bool]], tuple[InferenceSession, str]]) -> TakeoverSession:
    reference: Any = Session("slow")
    return TakeoverSession(reference, "fast", prepare)


def test_it_describes_itself_as_the_reference_does() -> None:
    session = takeover(lambda wanted: (Session("fast"), "right"))  # type: ignore[arg-type, return-value]
    session.wait(60)
    assert (dict(session.inputs), session.outputs, session.metadata["note"]) == ({"x": (1,)}, ("y",), "slow")
    assert (session.backend, session.run({})) == ("fast", ["fast"])


def test_one_is_prepared_after_the_other_and_what_is_closed_meanwhile_not_at_all() -> None:
    first_may_end, prepared = threading.Event(), list[str]()

    def first(wanted: Callable[[], bool]) -> Any:
        assert first_may_end.wait(60)
        prepared.append("first")
        return Session("fast"), ""

    def others(name: str) -> Callable[[Callable[[], bool]], Any]:
        def prepare(wanted: Callable[[], bool]) -> Any:
            prepared.append(name)
            return Session("fast"), ""

        return prepare

    sessions = [takeover(first), takeover(others("second")), takeover(others("third"))]
    sessions[1].close()
    assert prepared == []
    first_may_end.set()
    for session in sessions:
        session.wait(60)
    assert prepared == ["first", "third"]


def test_what_was_prepared_in_vain_is_closed() -> None:
    prepared, may_end = Session("fast"), threading.Event()

    def prepare(wanted: Callable[[], bool]) -> Any:
        assert may_end.wait(60)
        assert not wanted()
        return prepared, ""

    session = takeover(prepare)
    session.close()
    may_end.set()
    session.wait(60)
    assert prepared.is_closed


def test_an_error_of_any_kind_leaves_the_reference() -> None:
    def prepare(wanted: Callable[[], bool]) -> Any:
        raise MemoryError("no memory")

    session, told = takeover(prepare), list[tuple[str, str]]()
    session.wait(60)
    session.tell(lambda backend, reason: told.append((backend, reason)))
    assert told == [("onnxruntime", "fast: no memory")]
    assert session.run({}) == ["slow"]


PROGRAM = """
import time
from face_recognition_ros.errors import BackendError
from face_recognition_ros.runtime.takeover import TakeoverSession

def prepare(wanted):
    while wanted():
        time.sleep(0.01)
    print("stopped", flush=True)
    raise BackendError("not wanted any more")

TakeoverSession(None, "fast", prepare)
"""


def test_the_end_of_the_process_stops_a_preparation() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "stopped\n", "")
