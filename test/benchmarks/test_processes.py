"""Contenders in processes: their turns, their answers, and what happens to one that fails."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison import processes
from comparison.processes import Contender, ContenderLostError, Entry, Field

PROGRAM = Path(__file__).with_name("trivial_contender.py")


@pytest.fixture(autouse=True)
def finds_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs in benchmarks/contenders find worker.py beside themselves; this one lies elsewhere."""
    monkeypatch.setenv("PYTHONPATH", str(PROGRAM.parents[2] / "benchmarks" / "contenders"))


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    path = tmp_path / "frame.npy"
    np.save(path, np.zeros((48, 64, 3), np.uint8))
    return path


def entry(name: str = "trivial", **options: Any) -> Entry:
    return Entry(name, name, (sys.executable, str(PROGRAM)), options)


def test_an_answer_has_time_faces_and_memory(tmp_path: Path, frame: Path) -> None:
    with Contender(entry(), tmp_path / "log", threads=2) as contender:
        answer = contender.ask(frame, 0.0)
    assert contender.about == {"threads": "2"}
    assert answer.faces == [{"box": [0.0, 0.0, 64.0, 48.0], "landmarks": None}]
    assert answer.ms > 0
    assert answer.peak_mib > 5
    assert "chatter" in (tmp_path / "log").read_text()


def test_turns_are_of_several_frames_and_begin_with_another_each_time(
    tmp_path: Path, frame: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "TURN", 2)
    with Field([entry("a"), entry("b")], tmp_path, threads=1) as field:
        turns = [(index, name) for index, name, _ in field.turns([frame] * 3, [0.0, 0.1, 0.2], ["a", "b"])]
    assert turns == [(0, "a"), (1, "a"), (0, "b"), (1, "b"), (2, "b"), (2, "a")]


def test_a_turn_waits_until_the_threads_of_the_one_before_sleep(
    tmp_path: Path, frame: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LONGEST_SPIN", 60.0)
    with Contender(entry(spins=0.2), tmp_path / "log", threads=1) as contender:
        contender.ask(frame, 0.0)
        contender.await_rest()
        assert "has stopped spinning" in (tmp_path / "log").read_text()


def test_one_that_dies_is_left_out_and_the_others_go_on(tmp_path: Path, frame: Path) -> None:
    with Field([entry("mortal", frames_to_live=1), entry("steady")], tmp_path, threads=1) as field:
        turns = [name for _, name, _ in field.turns([frame] * 3, [0.0, 0.1, 0.2], ["mortal", "steady"])]
    assert turns == ["mortal", "steady", "steady", "steady"]
    assert "this frame was too much" in field.lost["mortal"]
    assert list(field.running) == ["steady"]


def test_one_that_hangs_is_ended(tmp_path: Path, frame: Path) -> None:
    with Contender(entry(frames_to_answer=0), tmp_path / "log", threads=1) as contender:
        contender.patience = 0.1
        with pytest.raises(ContenderLostError, match=r"has not answered for 0\.1 s"):
            contender.ask(frame, 0.0)


def test_one_that_cannot_take_part_says_why(tmp_path: Path) -> None:
    nowhere = Entry("nowhere", "nowhere", (str(tmp_path / "python"),))
    with Field([entry("poor", unavailable=True), nowhere, entry("rich")], tmp_path, threads=1) as field:
        assert list(field.running) == ["rich"]
    assert field.lost["poor"] == "it has no model"
    assert "cannot be started: No such file" in field.lost["nowhere"]
