"""The end of the node's process: what is due is answered first."""

from collections.abc import Callable
from typing import Any

import pytest

from face_recognition_ros.node import process
from face_recognition_ros.node.process import GRACE, LAST_SECONDS, LAST_STEPS


class Bench:
    """An executor and its node, on a clock that moves only as the executor spins."""

    def __init__(self, settles: float) -> None:
        """settles: when nothing waits to be answered any more."""
        self.now, self.spins, self._settles = 0.0, 0, settles

    def spin_once(self, timeout_sec: float) -> None:
        self.now, self.spins = self.now + timeout_sec, self.spins + 1

    @property
    def is_settled(self) -> bool:
        return self.now >= self._settles


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> Callable[[Bench, float], None]:
    """Lets requests end, with that grace."""

    def run(bench: Any, grace: float) -> None:
        monkeypatch.setattr(process, "ok", lambda: True)
        monkeypatch.setattr("face_recognition_ros.node.process.time.monotonic", lambda: bench.now)
        process._let_requests_end(bench, bench, grace)
        monkeypatch.undo()

    return run


def test_a_node_that_owes_nobody_an_answer_ends_after_a_few_steps(end: Callable[[Bench, float], None]) -> None:
    bench = Bench(settles=0.0)
    end(bench, 0.0)
    assert (bench.spins, bench.now) == (LAST_STEPS, 0.0)


def test_who_asks_late_for_a_result_is_waited_for(end: Callable[[Bench, float], None]) -> None:
    bench = Bench(settles=1.0)
    end(bench, GRACE)
    assert bench.now >= 1.0 + GRACE - 0.02


def test_what_never_ends_is_not_waited_for_without_end(end: Callable[[Bench, float], None]) -> None:
    bench = Bench(settles=1e9)
    end(bench, GRACE)
    assert LAST_SECONDS <= bench.now < LAST_SECONDS + 1.0
