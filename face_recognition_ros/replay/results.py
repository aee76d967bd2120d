"""Carries out a replay: a source through the session into all results, and a comparison with what was expected."""

import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.replay.contact_sheets import write_sheets
from face_recognition_ros.replay.expectation import Comparison, Record, compare, read_records
from face_recognition_ros.replay.gallery_copy import private_copy
from face_recognition_ros.replay.gathering import Gathering
from face_recognition_ros.replay.outputs import AnnotatedVideo, CsvTable, JsonLines
from face_recognition_ros.replay.session import Counts, Sink, StampClock, limited, run
from face_recognition_ros.replay.sources import FrameSource, SourceFrame
from face_recognition_ros.replay.summary import Facts, Learned, facts_of, page
from face_recognition_ros.settings import Settings

IDENTITIES, TABLE, PAGE, PEOPLE, BAG = "identities.jsonl", "identities.csv", "index.html", "people", "bag"
VIDEOS = ("annotated.mp4", "annotated.avi")
"""What is written into the output folder; of the videos, one."""

Say = Callable[[str], None]
"""Tells somebody a sentence."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of a replay."""

    settings: Settings
    """With the gallery, which is only read."""
    output: Path
    video: bool = True
    bag: bool = False
    """Write a bag with the answers in it; the source must be a bag."""
    frames: int | None = None
    """Stop after so many."""
    seconds: float | None = None
    """Stop after so many, by the stamps."""
    expected: Sequence[Record] | None = None
    tolerance: float = 0.01
    """By which similarities may differ from the expected ones."""

    @property
    def identities(self) -> Path:
        return self.output / IDENTITIES


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replay went."""

    counts: Counts
    page: Path
    comparison: Comparison | None
    """None where nothing was expected, or the replay was stopped."""


class Problems:
    """Frames that could not be used: each kind is told once, and counted; numbers make no other kind."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._first: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        """By the sentence of the first of each kind."""

    def take(self, frame: SourceFrame) -> None:
        """A frame without a picture."""
        kind = re.sub(r"\d+", "", frame.problem)
        if kind not in self._first:
            self._first[kind] = frame.problem
            self._say(f"skipped: {frame.problem}")
        self.counts[self._first[kind]] += 1


def carry_out(source: FrameSource, order: Order, say: Say) -> Outcome:
    """Replays the source and writes all results; `say` gets what a person should know while it runs.

    Raises FaceRecognitionError where there is no frame that can be used, or the output folder holds other things.
    """
    prepare(order.output)
    problems, gathering = Problems(say), Gathering()
    with ExitStack() as closing:
        sinks: list[Sink] = [JsonLines(order.identities), CsvTable(order.output / TABLE), gathering]
        sinks += bag_copies(source, order.output / BAG, say) if order.bag else []
        videos = [AnnotatedVideo(order.output / VIDEOS[0], source.rate)] if order.video else []
        sinks += videos
        for sink in sinks:
            closing.callback(sink.close)
        facts, learned, counts = recognize_all(source, order, sinks, problems)
    if not (counts.frames or counts.stopped):
        raise FaceRecognitionError(f"{source.name}: of {counts.skipped} images none could be used")
    comparison = None
    if order.expected is not None and not counts.stopped:
        comparison = compare(order.expected, read_records(order.identities), order.tolerance)
    sheets = write_sheets(order.output / PEOPLE, gathering)
    files = [order.identities, order.output / TABLE, *(video.path for video in videos)]
    text = page(facts, gathering, learned, counts, problems.counts, comparison, sheets, files)
    (order.output / PAGE).write_text(text, encoding="utf-8")
    return Outcome(counts, order.output / PAGE, comparison)


def recognize_all(
    source: FrameSource, order: Order, sinks: Sequence[Sink], problems: Problems
) -> tuple[Facts, Learned, Counts]:
    """Hands what every frame shows to the sinks, with a bar of progress."""
    clock = StampClock()
    with private_copy(order.settings) as settings, assemble(settings, clock) as assembly:
        facts = facts_of(assembly, source.name, order.settings.gallery)
        before = learned_so_far(assembly)
        frames = limited(source.frames(), order.frames, order.seconds)
        total = min([count for count in (source.count, order.frames) if count is not None], default=None)
        with tqdm(frames, total=total, desc="replay", unit="frame", file=sys.stderr, disable=None) as progress:
            counts = run(progress, assembly, clock, sinks, problems.take)
        after = learned_so_far(assembly)
    growth = Learned(max(0, after.templates - before.templates), max(0, after.strangers - before.strangers))
    return facts, growth, counts


def learned_so_far(assembly: Assembly) -> Learned:
    """All that the gallery has learned in passing."""
    people = assembly.store.list_identities()
    return Learned(sum(person.observed for person in people), sum(person.remembered for person in people))


def prepare(output: Path) -> None:
    """Makes the folder, or removes what an earlier replay has left in it.

    Raises FaceRecognitionError where it holds other things.
    """
    if output.exists() and not output.is_dir():
        raise FaceRecognitionError(f"{output} is no folder")
    if output.is_dir() and any(output.iterdir()) and not (output / IDENTITIES).is_file():
        raise FaceRecognitionError(f"{output} holds other things than an earlier replay; name a new folder")
    output.mkdir(parents=True, exist_ok=True)
    for name in (PEOPLE, BAG):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in (TABLE, *VIDEOS, PAGE, IDENTITIES):  # the last one is what tells an earlier replay
        (output / name).unlink(missing_ok=True)


def bag_copies(source: FrameSource, folder: Path, say: Say) -> Sequence[Sink]:
    """The sink that writes the new bag; raises FaceRecognitionError where the source is no bag."""
    from face_recognition_ros.replay.bag_copy import TOPIC, BagCopy
    from face_recognition_ros.replay.bags import BagSource

    if not isinstance(source, BagSource):
        raise FaceRecognitionError(f"a bag can be written of a bag only, and {source.name} is none")
    copy = BagCopy(source, folder)
    if copy.replaces_answers:
        say(f"the new bag has new answers in place of the recorded {TOPIC}")
    return [copy]
