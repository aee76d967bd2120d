"""Loading in a thread of its own: what comes of it, and what is left behind when it hangs."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from face_recognition_ros.errors import BackendError, ModelError
from face_recognition_ros.node import loading
from face_recognition_ros.node.loading import load_in_time

DEADLINE = 30.0


class Assembly:
    """What is loaded."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LIMIT", 2)
    monkeypatch.setattr(loading, "REMINDER", 1)


def logger() -> Any:
    logged: list[str] = []
    return SimpleNamespace(logged=logged, warning=logged.append)


def test_what_is_loaded_is_returned_and_what_is_raised_is_raised() -> None:
    assembly: Any = Assembly()
    assert load_in_time(lambda: assembly, lambda: None, logger()) is assembly
    assert not assembly.closed.is_set()

    def fail() -> Any:
        raise ModelError("There is no model.")

    with pytest.raises(ModelError, match="There is no model"):
        load_in_time(fail, lambda: None, logger())


def test_loading_that_goes_on_shows_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LIMIT", 1000)
    enough, log = threading.Event(), logger()
    assembly: Any = Assembly()

    def load() -> Any:
        assert enough.wait(DEADLINE)
        return assembly

    assert load_in_time(load, enough.set, log) is assembly
    assert log.logged[0] == "Networks and gallery are still being loaded, for 1 s by now."


@pytest.mark.parametrize("fails", [False, True])
def test_loading_that_hangs_is_given_up_and_what_it_returns_late_is_closed(fails: bool) -> None:
    released, threads = threading.Event(), []
    assembly: Any = Assembly()

    def load() -> Any:
        threads.append(threading.current_thread())
        assert released.wait(DEADLINE)
        if fails:
            raise ModelError("Too late.")
        return assembly

    with pytest.raises(BackendError, match="were not loaded within 2 s"):
        load_in_time(load, lambda: None, logger())
    released.set()
    threads[0].join(DEADLINE)
    assert not threads[0].is_alive()
    assert assembly.closed.is_set() != fails
