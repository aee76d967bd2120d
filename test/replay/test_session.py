"""The loop of a replay: order, limits, time from the stamps, learning at once, Ctrl-C between frames."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from face_recognition_ros.assembly import assemble
from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.replay.gallery_copy import private_copy
from face_recognition_ros.replay.session import Interruption, StampClock, limited, run
from face_recognition_ros.replay.sources import NANOSECONDS, SourceFrame
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray

SECOND = NANOSECONDS


def empty(stamps: list[float]) -> list[SourceFrame]:
    return [SourceFrame(round(stamp * SECOND), "", np.zeros((60, 80, 3), np.uint8)) for stamp in stamps]


class Notes:
    """A sink that keeps what it took."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.results: list[FrameResult] = []

    def take(self, frame: SourceFrame, result: FrameResult) -> None:
        self.stamps.append(frame.stamp)
        self.results.append(result)

    def close(self) -> None:
        pass


def test_frames_come_in_their_order_and_broken_ones_are_counted() -> None:
    clock, notes, told = StampClock(), Notes(), []
    bad_shape = SourceFrame(3 * SECOND, "", np.zeros((60, 80), np.uint8))  # type: ignore[arg-type]
    frames = [*empty([1, 2]), SourceFrame(2 * SECOND, "", None, "broken"), bad_shape, *empty([5, 4])]
    with assemble(Settings(), clock) as assembly:
        counts = run(frames, assembly, clock, [notes], lambda frame: told.append(frame.problem))
    assert notes.stamps == [1, 2, 5, 4]
    assert (counts.frames, counts.skipped, counts.stopped) == (4, 2, False)
    assert told[0] == "broken"
    assert "(60, 80)" in told[1]


def test_limits_count_frames_and_seconds_of_the_stamps() -> None:
    frames = empty([10, 10.5, 11, 11.5, 12])
    assert [frame.stamp for frame in limited(frames, None, None)] == [10, 10.5, 11, 11.5, 12]
    assert [frame.stamp for frame in limited(frames, 2, None)] == [10, 10.5]
    assert [frame.stamp for frame in limited(frames, None, 1.0)] == [10, 10.5, 11]
    assert [frame.stamp for frame in limited(frames, 4, 1.0)] == [10, 10.5, 11]


def test_no_frame_is_read_beyond_the_limit() -> None:
    def frames() -> Iterator[SourceFrame]:
        yield from empty([1, 2])
        raise AssertionError("one was read too many")

    assert len(list(limited(frames(), 2, None))) == 2


def test_people_expire_by_the_stamps(tmp_path: Path) -> None:
    clock, notes = StampClock(), Notes()
    with assemble(Settings(gallery=str(tmp_path / "g")), clock) as assembly:
        look = Template(np.eye(assembly.store.embedding_size, dtype=np.float32)[0], 0.9)
        assembly.store.enroll("Anna", [look], expires=1_000.0)
        assembly.store.enroll("Bert", [replace(look, embedding=-look.embedding)])
        before = assembly.store.revision
        run(empty([998, 999.5, 1000, 1001]), assembly, clock, [notes], lambda frame: None)
        assert [person.name for person in assembly.store.list_identities()] == ["Bert"]
    assert [result.gallery_revision - before for result in notes.results] == [0, 0, 1, 1]


def test_a_frame_is_learned_from_before_the_next(learning_gallery: Path, film: list[ByteArray]) -> None:
    clock, notes = StampClock(), Notes()
    frames = [SourceFrame(SECOND + number * SECOND // 15, "", picture) for number, picture in enumerate(film)]
    with (
        private_copy(
            Settings(gallery=str(learning_gallery), remember_unknown=True, embedding_interval=0.0)
        ) as settings,
        assemble(settings, clock) as assembly,
    ):
        run(frames, assembly, clock, [notes], lambda frame: None)
        people = assembly.store.list_identities()
    revisions = [result.gallery_revision for result in notes.results]
    assert revisions == sorted(revisions)
    assert revisions[0] < revisions[-1]
    assert sum(person.observed + person.remembered for person in people) > 0
    strangers = [person for person in people if person.remembered]
    seen = [face for result in notes.results for face in result.faces if face.decision.stranger]
    assert {face.decision.identity_id for face in seen} == {stranger.identity_id for stranger in strangers}
    assert all(stranger.created < frames[-1].stamp for stranger in strangers), "by the stamps, not by the time of day"


def test_the_given_gallery_is_only_read(learning_gallery: Path) -> None:
    content = learning_gallery.read_bytes()
    with private_copy(Settings(gallery=str(learning_gallery))) as settings:
        copy = Path(settings.gallery)
        with assemble(settings) as assembly:
            revision = assembly.store.revision
            (person,) = assembly.store.list_identities()
            assembly.store.forget(person.name)
    assert revision == 1, "a copy has the revision of the gallery it is a copy of"
    assert learning_gallery.read_bytes() == content
    assert not copy.parent.exists()


def test_a_gallery_that_cannot_be_used_is_named_and_left_alone(tmp_path: Path) -> None:
    GalleryStore.open(tmp_path / "other", "another network", 64).close()
    (tmp_path / "text").write_text("no gallery")
    for name, sentence in (("other", "another network"), ("text", "damaged")):
        with (
            pytest.raises(GalleryError, match=rf"{tmp_path / name}.*{sentence}"),
            private_copy(Settings(gallery=str(tmp_path / name))),
        ):
            pass
    assert (tmp_path / "text").read_text() == "no gallery"


def work(interruption: Interruption, done: list[str], ctrl_c: int) -> None:
    """Two frames; in the first one Ctrl-C comes so many times."""
    with interruption.undisturbed():
        for _ in range(ctrl_c):
            os.kill(os.getpid(), signal.SIGINT)
        done.append("first")
    with interruption.undisturbed():
        done.append("second")


@pytest.mark.parametrize(("ctrl_c", "done"), [(0, ["first", "second"]), (1, ["first"]), (2, [])])
def test_ctrl_c_waits_for_the_frame_in_work_and_a_second_one_for_nothing(ctrl_c: int, done: list[str]) -> None:
    worked: list[str] = []
    expectation = pytest.raises(KeyboardInterrupt) if ctrl_c else nullcontext()
    with Interruption() as interruption, expectation:
        work(interruption, worked, ctrl_c)
    assert worked == done


def test_ctrl_c_between_frames_is_heard_and_the_former_handler_returns() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interruption():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stopped_session_keeps_what_was_done() -> None:
    clock, notes = StampClock(), Notes()

    def frames() -> Iterator[SourceFrame]:
        yield from empty([1, 2])
        os.kill(os.getpid(), signal.SIGINT)
        yield from empty([3])

    with assemble(Settings(), clock) as assembly:
        counts = run(frames(), assembly, clock, [notes], lambda frame: None)
    assert counts.stopped
    assert notes.stamps == [1, 2]
