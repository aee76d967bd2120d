"""Loading in a thread of its own: what comes of it, and what is left behind when it hangs."""

import gc
import threading
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from face_recognition_ros.errors import BackendError, ModelError
from face_recognition_ros.node import loading
from face_recognition_ros.node.loading import Loader

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


class Bench:
    """A loader, and what it says while it works."""

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.alive = threading.Event()
        self.loader = Loader(self.alive.set, SimpleNamespace(warning=self.logged.append))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.loader.stop()


def test_what_is_loaded_is_returned_and_what_is_raised_is_raised(bench: Bench) -> None:
    assembly: Any = Assembly()
    assert bench.loader.load(lambda: assembly) is assembly
    assert not assembly.closed.is_set()

    def fail() -> Any:
        raise ModelError("There is no model.")

    with pytest.raises(ModelError, match="There is no model"):
        bench.loader.load(fail)


def test_loading_that_goes_on_shows_life(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LIMIT", 1000)
    assembly: Any = Assembly()

    def load() -> Any:
        assert bench.alive.wait(DEADLINE)
        return assembly

    assert bench.loader.load(load) is assembly
    assert bench.logged[0] == "Networks and gallery are still being loaded, for 1 s by now."


@pytest.mark.parametrize("fails", [False, True])
def test_loading_that_hangs_is_given_up_and_what_it_returns_late_is_closed(bench: Bench, fails: bool) -> None:
    released, threads = threading.Event(), []
    assembly: Any = Assembly()

    def load() -> Any:
        threads.append(threading.current_thread())
        assert released.wait(DEADLINE)
        if fails:
            raise ModelError("Too late.")
        return assembly

    with pytest.raises(BackendError, match="were not loaded within 2 s"):
        bench.loader.load(load)
    released.set()
    threads[0].join(DEADLINE)
    assert not threads[0].is_alive()
    assert assembly.closed.is_set() != fails
    assert bench.loader.load(Assembly) is not None  # in another thread


def test_the_thread_is_kept_but_nothing_that_it_loaded(bench: Bench) -> None:
    threads = []

    def load() -> Any:
        threads.append(threading.current_thread())
        return Assembly()

    loaded = weakref.ref(bench.loader.load(load))
    bench.loader.load(load)  # the thread is done with the first by now
    gc.collect()
    assert loaded() is None
    assert threads[0] is threads[1]
    bench.loader.stop()
    threads[0].join(DEADLINE)
    assert not threads[0].is_alive()
