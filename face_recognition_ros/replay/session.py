"""The loop of a replay: every frame in its order, learned from before the next; all times are the stamps'."""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Protocol, Self

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import ImageError
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.replay.sources import NANOSECONDS, SourceFrame


class StampClock:
    """Tells the stamp of the frame in work, in seconds; 0 before the first one, when nobody has expired yet."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Sink(Protocol):
    """Takes what each frame showed."""

    def take(self, frame: SourceFrame, result: FrameResult) -> None:
        """The next frame; it has a picture."""

    def close(self) -> None:
        """After the last one."""


@dataclass(slots=True)
class Counts:
    """How far a replay has come."""

    frames: int = 0
    """That were answered."""
    skipped: int = 0
    """Messages or pictures that could not be used."""
    stopped: bool = False
    """By Ctrl-C, before the end."""


class Interruption:
    """Has Ctrl-C take effect between two frames, so that what is written ends with a whole one."""

    def __init__(self) -> None:
        self._asked = False
        self._busy = False
        self._former: object = None

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """A Ctrl-C that comes in this block is raised at its end; a second one at once."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._asked:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._former = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._former)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked or not self._busy:
            raise KeyboardInterrupt
        self._asked = True


def run(
    frames: Iterable[SourceFrame],
    assembly: Assembly,
    clock: StampClock,
    sinks: Sequence[Sink],
    on_problem: Callable[[SourceFrame], None],
) -> Counts:
    """Answers all frames and hands the answers to the sinks, which stay open.

    clock: the one that the assembly was built with. on_problem: called with each frame that cannot be used.
    Ctrl-C ends it after the frame in work; that is no error.
    """
    counts = Counts()
    with Interruption() as interruption:
        try:
            for frame in frames:
                with interruption.undisturbed():
                    _answer(frame, assembly, clock, sinks, on_problem, counts)
        except KeyboardInterrupt:
            counts.stopped = True
    return counts


def limited(frames: Iterable[SourceFrame], count: int | None, seconds: float | None) -> Iterator[SourceFrame]:
    """The first `count` frames, and of these those of the first `seconds` by their stamps; None: without a limit."""
    first: int | None = None
    for number, frame in enumerate(frames, start=1):
        first = frame.stamp_ns if first is None else first
        if seconds is not None and frame.stamp_ns - first > seconds * NANOSECONDS:
            return
        yield frame
        if number == count:
            return


def _answer(
    frame: SourceFrame,
    assembly: Assembly,
    clock: StampClock,
    sinks: Sequence[Sink],
    on_problem: Callable[[SourceFrame], None],
    counts: Counts,
) -> None:
    try:
        result = None if frame.picture is None else recognize(frame, assembly, clock)
    except ImageError as error:
        frame, result = SourceFrame(frame.stamp_ns, frame.frame_id, None, str(error), frame.logged_ns), None
    if result is None:
        counts.skipped += 1
        on_problem(frame)
        return
    counts.frames += 1
    for sink in sinks:
        sink.take(frame, result)


def recognize(frame: SourceFrame, assembly: Assembly, clock: StampClock) -> FrameResult:
    """Who is in the frame; then the gallery learns from it at once, as the node does when it has the time."""
    assert frame.picture is not None, "the caller looks for problems"
    clock.now = frame.stamp
    _forget_expired(assembly, clock)
    result = assembly.recognizer.process(frame.picture, frame.stamp)
    assembly.learner.apply(assembly.learner.watch(result.faces, frame.stamp))
    return result


def _forget_expired(assembly: Assembly, clock: StampClock) -> None:
    due = assembly.store.next_expiry
    if due is not None and due <= clock.now:
        gone = [person.identity_id for person in assembly.store.expire()]
        assembly.recognizer.forget(gone)
        assembly.learner.forget(gone)
