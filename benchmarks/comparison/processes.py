"""Runs contenders as processes of their own, which take turns at the frames."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 300.0
"""Seconds for a contender to load its models, or to answer a frame."""
LONGEST_SPIN = 0.5
"""Seconds for which it is waited at most until a contender's threads sleep; OpenMP's may spin for 0.2."""
CHECKS_AT_REST = 3
TURN = 5
"""Frames that one contender answers before the next has its turn: a camera's follow each other as well, and only the
first of them finds a processor's caches full of another program's memory."""
LOG_LINES = 3
"""Of a lost contender's log that are quoted."""


class ContenderLostError(Exception):
    """A contender does not take part (any more); the message says why."""


@dataclass(frozen=True)
class Entry:
    """How a contender is started."""

    name: str
    """As in the results: facenet_pytorch_min40."""
    title: str
    """For people."""
    command: tuple[str, ...]
    """The program; its options, as JSON, are added."""
    options: dict[str, Any] = field(default_factory=dict)
    kind: str = "whole"
    """whole: in every frame everything; detection: that alone; video: remembers what it saw in the frames before."""


@dataclass(frozen=True)
class Answer:
    """What a contender says of one frame."""

    ms: float
    faces: list[dict[str, Any]]
    """Each with `box` (left, top, right, bottom) and `landmarks` (five points, or None)."""
    peak_mib: float
    """Largest resident set of its process so far."""


class Contender:
    """A running process. Anything wrong with it raises ContenderLostError."""

    def __init__(self, entry: Entry, log: Path, threads: int) -> None:
        """Starts it and waits until its models are loaded."""
        self.entry = entry
        self.patience = PATIENCE
        self._log = log
        with log.open("wb") as errors:
            try:
                self._process = subprocess.Popen(
                    [*entry.command, json.dumps(entry.options)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment(threads), bufsize=0,
                )  # fmt: skip
            except OSError as error:
                raise ContenderLostError(f"{entry.command[0]} cannot be started: {error.strerror}") from error
        answer = self._read()
        if "unavailable" in answer:
            self.close()
            raise ContenderLostError(answer["unavailable"])
        self.about: dict[str, Any] = answer["about"]

    def ask(self, frame: Path, stamp: float) -> Answer:
        """Lets it process the picture in a .npy file; stamp: seconds, growing."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"frame": str(frame), "stamp": stamp}).encode() + b"\n")
        except BrokenPipeError:
            raise self._lost("died") from None
        return Answer(**self._read())

    def await_rest(self) -> None:
        """Returns when all its threads sleep: after their work they spin for a while, which would disturb the next."""
        deadline, checks = time.monotonic() + LONGEST_SPIN, 0
        while checks < CHECKS_AT_REST and time.monotonic() < deadline:
            time.sleep(0.002)
            checks = 0 if self._is_running() else checks + 1

    def _is_running(self) -> bool:
        """Whether a thread of it runs or wants to, by /proc/PID/task/TID/stat (proc(5), field 3)."""
        for thread in Path(f"/proc/{self._process.pid}/task").glob("*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                if thread.read_text().rsplit(")", 1)[1].split()[0] == "R":
                    return True
        return False

    def close(self) -> None:
        """Ends it; may be called twice."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line, deadline = b"", time.monotonic() + self.patience
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                self._process.kill()
                raise self._lost(f"has not answered for {self.patience:g} s")
            part = self._process.stdout.read(1 << 16)
            if not part:
                raise self._lost("died")
            line += part
        return dict(json.loads(line))

    def _lost(self, how: str) -> ContenderLostError:
        self.close()
        last = self._log.read_text(errors="replace").strip().splitlines()[-LOG_LINES:]
        return ContenderLostError(f"{how} (exit status {self._process.returncode}): {' | '.join(last) or 'no message'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def environment(threads: int) -> dict[str, str]:
    """Variables for a contender: so many threads for those who ask OpenMP or MKL.

    numpy's BLAS has one: its product with the templates takes a twentieth of a millisecond, and threads that stay awake
    after it would double the time of the next network (ours sees to that by itself).
    """
    counts = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return inherited | counts


class Field:
    """The contenders that take part, and why the others do not."""

    def __init__(self, entries: Sequence[Entry], logs: Path, threads: int) -> None:
        """Starts them one after the other, as two that load at once would only delay each other."""
        self.running: dict[str, Contender] = {}
        self.lost: dict[str, str] = {}
        for entry in entries:
            try:
                self.running[entry.name] = Contender(entry, logs / f"{entry.name}.log", threads)
            except ContenderLostError as error:
                self.lost[entry.name] = str(error)

    def turns(
        self, frames: Sequence[Path], stamps: Sequence[float], names: Sequence[str]
    ) -> Iterator[tuple[int, str, Answer]]:
        """All frames to each of them, TURN in succession: index of the frame, name, answer.

        Another one begins each time. A turn begins when the threads of the one before have come to rest. Who is lost is
        left out from then on.
        """
        numbered = list(enumerate(zip(frames, stamps, strict=True)))
        for turn, start in enumerate(range(0, len(numbered), TURN)):
            first = turn % max(len(names), 1)
            for name in [*names[first:], *names[:first]]:
                if name not in self.running:
                    continue
                try:
                    for index, (frame, stamp) in numbered[start : start + TURN]:
                        yield index, name, self.running[name].ask(frame, stamp)
                    self.running[name].await_rest()
                except ContenderLostError as error:
                    print(f"{name} is out: {error}", file=sys.stderr)
                    self.lost[name] = str(error)
                    del self.running[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for contender in self.running.values():
            contender.close()
