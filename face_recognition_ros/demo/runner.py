"""Runs the demo: enrols the portraits, starts node and camera, watches the answers, judges them, writes the video."""

# Imported first: the ROS wheels restart the program on their import, which must not repeat anything done before.
import rclpy  # isort: skip

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.demo.answers import Answer, Listener
from face_recognition_ros.demo.cast import (
    FEWEST_WITH_STRANGER,
    Person,
    Portrait,
    cast_from,
    first_portrait,
    save_cast,
    standard_cast,
)
from face_recognition_ros.demo.processes import PythonProcess, isolated_environment, node_arguments
from face_recognition_ros.demo.report import Shot, Summary, confidences, summarize, who
from face_recognition_ros.demo.scenes import Film, standard_length
from face_recognition_ros.demo.video import write_best_frame, write_video
from face_recognition_ros.errors import EnrollmentError, FaceRecognitionError
from face_recognition_ros.folder_enrollment import enroll_person
from face_recognition_ros.settings import Settings

CAMERA = ("-m", "face_recognition_ros.demo.camera")

RATE = 15.0
"""Frames per second of the demo's camera."""
START_PATIENCE = 90.0
"""Seconds in which node and camera must have found each other."""
LAST_ANSWER_PATIENCE = 5.0
"""Seconds after the last frame in which its answer must have come."""


@dataclass(slots=True)
class Recording:
    """What was filmed and what was answered, as it comes in."""

    shots: list[Shot] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    seen: str = ""
    _unfinished: str = ""

    def add_shots(self, text: str) -> int:
        """Takes what the camera has written since the last call; returns how many frames that describes."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        self.shots += [Shot.of(json.loads(line)) for line in lines]
        return len(lines)

    def add_answer(self, answer: Answer) -> None:
        """Keeps the answer, and prints a line where somebody else is seen than before."""
        self.answers.append(answer)
        seen = who(answer.faces)
        if seen != self.seen:
            self.seen = seen
            start_ns = self.shots[0].stamp_ns if self.shots else answer.stamp_ns
            elapsed = (answer.stamp_ns - start_ns) / 1e9
            sure = confidences(answer.faces)
            print(f"{elapsed:6.1f} s  {seen}{f'  ({sure})' if sure else ''}", flush=True)


def run(images: Path | None, output: Path, seconds: float | None) -> int:
    """The whole demo; returns 0 where everybody enrolled was named, and nobody wrongly. Else says why and returns 1.

    images: a folder of the user's own pictures; None shows the portraits of installed packages.
    seconds: the film's length; None gives every stop of the camera the same time, however many people there are.
    """
    output.mkdir(parents=True, exist_ok=True)
    people = standard_cast() if images is None else cast_from(images)
    portraits = enroll_cast(people, output)
    if images is None and len(portraits) < len(people):
        raise EnrollmentError("the demo's own portraits were not all of use: the networks do not work as they should")
    save_cast(output / "cast.json", portraits)
    frames = round((standard_length(portraits) if seconds is None else seconds) * RATE)
    recording = record(output, frames)
    summary = summarize(portraits, recording.shots, recording.answers)
    film = Film(portraits, frames)
    write_video(output / "demo.mp4", film, recording.shots, recording.answers, RATE)
    write_best_frame(output / "demo.jpg", film, recording.shots, recording.answers)
    (output / "summary.json").write_text(json.dumps(summary.record(), indent=2, ensure_ascii=False), encoding="utf-8")
    return conclude(summary, output)


def enroll_cast(people: list[Person], output: Path) -> list[Portrait]:
    """Makes a fresh gallery of those who are to be enrolled; returns one picture of everybody who can appear.

    Raises EnrollmentError where nobody is left to be recognised.
    """
    gallery = gallery_of(output)
    for path in output.glob(f"{gallery.name}*"):
        path.unlink()
    portraits: list[Portrait] = []
    with assemble(Settings(gallery=str(gallery))) as assembly:
        for person in people:
            # Where others were of no use, too few may be left for one of them to stay a stranger.
            enrolled = person.enrolled or len(portraits) + 1 < FEWEST_WITH_STRANGER
            if portrait := introduce(replace(person, enrolled=enrolled), assembly):
                portraits.append(portrait)
    if not portraits:
        raise EnrollmentError("nobody could be enrolled; each person needs a picture that shows one face, and it well")
    return portraits


def introduce(person: Person, assembly: Assembly) -> Portrait | None:
    """Enrols somebody who is to be, and gives the picture to show of them; says which pictures are of no use, and why.

    None where none is.
    """
    portrait, rejections = first_portrait(person, assembly.recognizer)
    failure, done = "" if portrait else "no picture of a good face", "not enrolled"
    if person.enrolled:
        report = enroll_person(assembly, person.pictures)
        rejections, failure, done = report.rejections, report.failure, f"enrolled, {report.looks_kept} looks"
    for rejection in rejections:
        print(f"{rejection.path}: not kept: {rejection.reason}", file=sys.stderr)
    if failure:
        print(f"{person.pictures.name}: not shown: {failure}", file=sys.stderr)
        return None
    print(f"{person.pictures.name}: {done}")
    return portrait


def gallery_of(output: Path) -> Path:
    """The demo's own gallery, made anew each time; its name is not that of a robot's, which may lie in that folder."""
    return output.absolute() / "demo-gallery.sqlite3"


def record(output: Path, frames: int) -> Recording:
    """Starts node and camera, and listens until the last frame is answered."""
    environment = isolated_environment()
    os.environ.update(environment)
    recording = Recording()
    truth = output / "truth.jsonl"
    film = [str(output / "cast.json"), "--frames", str(frames), "--rate", str(RATE)]
    with (
        listening(recording) as (listener, executor),
        PythonProcess(node_arguments(gallery_of(output)), environment, output / "node.log") as node,
        PythonProcess([*CAMERA, *film], environment, output / "camera.log", output=truth) as camera,
        truth.open(encoding="utf-8") as written,
    ):
        print("node and camera are starting ...", flush=True)
        deadline = time.monotonic() + START_PATIENCE
        while not all_answered(recording, frames):
            for process in (node, camera):
                process.require_running()
            if time.monotonic() > deadline:
                break
            executor.spin_once(timeout_sec=0.2)
            if recording.answers and not recording.shots:
                camera.write("start\n")
            if recording.add_shots(written.read()):
                deadline = time.monotonic() + LAST_ANSWER_PATIENCE
        if not recording.shots:
            matched = "does" if listener.publishers_matched else "does not"
            raise FaceRecognitionError(
                f"the camera has published nothing in {START_PATIENCE:g} s; "
                f"the node {matched} publish face_identities; see {node.log} and {camera.log}"
            )
    return recording


def all_answered(recording: Recording, frames: int) -> bool:
    """Whether the last frame is published and answered; those before it may have been passed over."""
    if len(recording.shots) < frames or not recording.answers:
        return False
    return recording.answers[-1].stamp_ns >= recording.shots[-1].stamp_ns


@contextlib.contextmanager
def listening(recording: Recording) -> Iterator[tuple[Listener, SingleThreadedExecutor]]:
    """A listener that is subscribed before the node starts, so that no answer is missed."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the other processes must be ended
    listener = Listener(recording.add_answer)
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    try:
        yield listener, executor
    finally:
        executor.shutdown()
        listener.destroy_node()
        rclpy.shutdown()


def conclude(summary: Summary, output: Path) -> int:
    """Prints how it went; returns the exit code."""
    print()
    for line in summary.lines():
        print(line)
    print(f"video                {output / 'demo.mp4'}")
    for complaint in summary.complaints():
        print(f"FAILED: {complaint}")
    return 1 if summary.complaints() else 0
