"""Runs the demo: enrols the portraits, starts node and camera, watches the answers, judges them, writes the video."""

# Imported first: the ROS wheels restart the program on their import, which must not repeat anything done before.
import rclpy  # isort: skip

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from face_recognition_ros.assembly import assemble
from face_recognition_ros.demo.answers import Answer, Listener
from face_recognition_ros.demo.cast import Person, Portrait, cast_from, portraits_of, save_cast, standard_cast
from face_recognition_ros.demo.processes import PythonProcess, isolated_environment, node_arguments
from face_recognition_ros.demo.report import Shot, Summary, confidences, summarize, who
from face_recognition_ros.demo.scenes import Film
from face_recognition_ros.demo.video import write_best_frame, write_video
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.folder_enrollment import enroll_people
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
            elapsed = (answer.stamp_ns - self.answers[0].stamp_ns) / 1e9
            sure = confidences(answer.faces)
            print(f"{elapsed:6.1f} s  {seen}{f'  ({sure})' if sure else ''}", flush=True)


def run(images: Path | None, output: Path, seconds: float) -> int:
    """The whole demo; returns 0 where everybody enrolled was named, and nobody wrongly. Else says why and returns 1.

    images: a folder of the user's own pictures; None shows the portraits of installed packages.
    """
    output.mkdir(parents=True, exist_ok=True)
    portraits = enroll_cast(standard_cast() if images is None else cast_from(images), output)
    save_cast(output / "cast.json", portraits)
    frames = round(seconds * RATE)
    recording = record(output, frames)
    summary = summarize(recording.shots, recording.answers)
    film = Film(portraits, frames)
    write_video(output / "demo.mp4", film, recording.shots, recording.answers, RATE)
    write_best_frame(output / "demo.jpg", film, recording.shots, recording.answers)
    (output / "summary.json").write_text(json.dumps(summary.record(), indent=2, ensure_ascii=False), encoding="utf-8")
    return conclude(summary, output)


def enroll_cast(people: list[Person], output: Path) -> list[Portrait]:
    """Makes a fresh gallery of those who are to be enrolled, and finds the face in every picture."""
    gallery = gallery_of(output)
    for path in output.glob(f"{gallery.name}*"):
        path.unlink()
    with assemble(Settings(gallery=str(gallery))) as assembly:
        portraits = portraits_of(people, assembly.recognizer)
        for report in enroll_people(assembly, [person.pictures for person in people if person.enrolled]):
            if not report.enrolled:
                reasons = "; ".join(f"{rejection.path}: {rejection.reason}" for rejection in report.rejections)
                raise FaceRecognitionError(f"{report.name} could not be enrolled: {report.failure} {reasons}".strip())
            print(f"enrolled  {report.name}, {report.looks_kept} looks")
    for person in people:
        if not person.enrolled:
            print(f"not enrolled  {person.pictures.name}")
    return portraits


def gallery_of(output: Path) -> Path:
    """The demo's own gallery, made anew each time."""
    return output.absolute() / "gallery.sqlite3"


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
