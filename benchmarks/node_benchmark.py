"""Measures the running node from outside: latency and frame loss between two processes, CPU and memory.

Another process than the node publishes pictures and receives the answers, with the middleware's profile that the
launch files set. Prints Markdown tables and writes everything to a JSON file, under `node`. Let nothing else run
meanwhile.
"""

# Imported first: the ROS wheels restart the program on their import, which must not repeat anything done before.
import rclpy  # isort: skip

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from comparison.report import node_lines
from comparison.results import LATEST, machine, update
from comparison.ros_cameras import BARE, Robot, Sink, Source, compressed_message, image_message, pictures_of
from comparison.usage import measured
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from tqdm import tqdm

from face_recognition_ros.assembly import assemble
from face_recognition_ros.demo.cast import Portrait, portrait, standard_cast
from face_recognition_ros.demo.processes import PythonProcess, isolated_environment, node_arguments
from face_recognition_ros.folder_enrollment import enroll_people
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray

VGA, HD, FULL_HD = (640, 480), (1280, 720), (1920, 1080)
IN_FULL = ("detection_interval:=1", "embedding_interval:=0.0")
CAMERAS = ("front", "back", "left", "right")
WARM_UP_FRAMES = 45
START_PATIENCE = 90.0
FEWEST_FACES = 0.9
"""Share of the pictures' faces that the answers must hold: numbers of a node that saw fewer are worth nothing."""
DRAIN_SECONDS = 1.0
"""How long answers are awaited after the last frame."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A node, and what is shown to it."""

    title: str
    parameters: tuple[str, ...]
    shows: tuple[tuple[tuple[int, int], int], ...]
    """Width and height, and the number of faces."""
    is_compressed: bool = False
    cameras: tuple[str, ...] = ("",)


PLANS = (
    Plan("video mode", (), tuple((size, faces) for size in (VGA, HD, FULL_HD) for faces in (1, 4))),
    Plan("every frame in full", IN_FULL, ((VGA, 1), (VGA, 4), (HD, 1), (HD, 4))),
    Plan("video mode, compressed", ("image_transport:=compressed",), ((VGA, 1), (HD, 1), (FULL_HD, 1)), True),
    Plan("video mode, 4 cameras", (f"cameras:=[{','.join(CAMERAS)}]",), ((VGA, 1), (VGA, 4)), cameras=CAMERAS),
)
"""The first node, once it is warm, also tells what one takes that sees nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One condition of the node."""

    mode: str
    size: str
    faces: int
    faces_answered: float
    """Mean number of faces in the answers: whether the node really had that many to recognise."""
    published: int
    answered: int
    fewest_answered: int
    """Of the camera that got the fewest answers."""
    latency_p50_ms: float
    latency_p95_ms: float
    processing_p50_ms: float
    """From message to publishing, as the node says in /diagnostics; the rest of the latency is ROS."""
    cpu_percent: float
    memory_mib: float
    peak_memory_mib: float


@dataclass(frozen=True, slots=True)
class Transport:
    """Pictures from one process to another, with no node between them."""

    size: str
    published: int
    received: int
    latency_p50_ms: float
    latency_p95_ms: float


class Bench:
    """This process's side: cameras, robots that take the answers, and an executor for all else."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.rate = rate
        self.frames = round(rate * seconds)
        self.executor = SingleThreadedExecutor()
        self._processing_ms = float("nan")
        self._diagnostics = Node("benchmark_diagnostics", **BARE)
        self._diagnostics.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10)
        self.executor.add_node(self._diagnostics)

    def await_true(self, what: str, condition: Any, process: PythonProcess) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not condition():
            process.require_running()
            if time.monotonic() > deadline:
                sys.exit(f"{what} has not happened in {START_PATIENCE:g} s; see {process.log}")
            self.executor.spin_once(timeout_sec=0.1)

    def play(self, sources: Sequence[Source], frames: int, label: str) -> None:
        """Has each camera publish so many frames; their stamps are noted anew."""
        for source in sources:
            source.stamps = []
        due = time.monotonic()
        for _ in tqdm(range(frames), label, unit="frame", leave=False, disable=None):
            time.sleep(max(due - time.monotonic(), 0.0))
            for source in sources:
                source.publish()
            due += 1 / self.rate

    @contextmanager
    def watching(self, node: Node) -> Iterator[None]:
        """The node takes part in what is spun, and is destroyed at the end."""
        self.executor.add_node(node)
        try:
            yield
        finally:
            self.executor.remove_node(node)
            node.destroy_node()

    def spin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def measure_plan(
        self, plan: Plan, node: PythonProcess, portraits: Sequence[Portrait], warm: bool = False
    ) -> list[Row]:
        """All rows of a plan; warm: only the first, so that the models are warm and the memory as in use."""
        with ExitStack() as stack:
            robots = [Robot(f"/{camera}") for camera in plan.cameras]
            for robot in robots:
                stack.enter_context(self.watching(robot))
            self.await_true("the node's face_identities", lambda: all(robot.sees_node for robot in robots), node)
            shows = plan.shows[:1] if warm else plan.shows
            return [self._measure_row(plan, node, robots, pictures_of(portraits, *show), show) for show in shows]

    def _measure_row(
        self,
        plan: Plan,
        node: PythonProcess,
        robots: Sequence[Robot],
        pictures: Sequence[ByteArray],
        show: tuple[tuple[int, int], int],
    ) -> Row:
        (width, height), faces = show
        name = f"{width}x{height}"
        label = f"{plan.title}, {name}, {faces} face{'s' * (faces > 1)}"
        messages = [(compressed_message if plan.is_compressed else image_message)(picture) for picture in pictures]
        topics = ["/".join(filter(None, (camera, "image"))) for camera in plan.cameras]
        with ExitStack() as stack:
            sources = [Source(f"{topic}/compressed" if plan.is_compressed else topic, messages) for topic in topics]
            for source in sources:
                stack.enter_context(self.watching(source))
            self.await_true("a subscription", lambda: all(source.is_matched for source in sources), node)
            self.play(sources, WARM_UP_FRAMES, f"{label}, warm-up")
            for robot in robots:
                robot.answers.clear()
            with measured(node.pid) as usage:
                self.play(sources, self.frames, label)
            self.spin(DRAIN_SECONDS)
        stamps = [set(source.stamps) for source in sources]
        ours = [
            [answer for answer in robot.answers if answer.stamp_ns in sent]
            for robot, sent in zip(robots, stamps, strict=True)
        ]
        every = [answer for answers in ours for answer in answers]
        p50, p95 = percentiles([(answer.received_ns - answer.stamp_ns) / 1e6 for answer in every])
        found = float(np.mean([answer.faces for answer in every])) if every else 0.0
        return Row(
            plan.title, name, faces, found, sum(map(len, stamps)), len(every), min(map(len, ours)),
            p50, p95, self._processing_ms, **asdict(usage[0]),
        )  # fmt: skip

    def measure_transport(self, environment: dict[str, str], log: Path, size: tuple[int, int]) -> Transport:
        topic = f"transport_{size[0]}"
        name = f"{size[0]}x{size[1]}"
        messages = [image_message(np.full((size[1], size[0], 3), value, np.uint8)) for value in (0, 128)]
        source = Source(topic, messages)
        with (
            PythonProcess([__file__, "--sink", topic], environment, log.with_suffix(".err"), output=log) as sink,
            self.watching(source),
        ):
            self.await_true(f"a subscription to {topic}", lambda: source.is_matched, sink)
            self.play([source], WARM_UP_FRAMES, f"{name}, transport, warm-up")
            self.play([source], self.frames, f"{name}, transport")
            self.spin(DRAIN_SECONDS)
        records = [json.loads(line) for line in log.read_text().splitlines()]
        latencies = [record["latency_ms"] for record in records if record["stamp_ns"] in set(source.stamps)]
        return Transport(name, len(source.stamps), len(latencies), *percentiles(latencies))

    def measure_rest(self, node: PythonProcess, seconds: float) -> dict[str, float]:
        with measured(node.pid) as usage:
            self.spin(seconds)
        return asdict(usage[0])

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        values = [
            float(entry.value) for status in message.status for entry in status.values
            if entry.key == "processing p50 (ms)"
        ]  # fmt: skip
        if values:
            self._processing_ms = max(values)


def percentiles(milliseconds: Sequence[float]) -> tuple[float, float]:
    if not milliseconds:
        return float("nan"), float("nan")
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return float(p50), float(p95)


def enrolled_portraits(gallery: Path) -> tuple[list[Portrait], str]:
    """The public-domain portraits, enrolled in a new gallery, and the id of the network that did it."""
    people = [person for person in standard_cast() if person.enrolled]
    with assemble(Settings(gallery=str(gallery))) as assembly:
        for report in enroll_people(assembly, [person.pictures for person in people]):
            assert report.enrolled, report.failure
        portraits = [portrait(person, person.pictures.paths[0], assembly.recognizer) for person in people]
        return portraits, assembly.model_id


def run(seconds: float, rate: float) -> dict[str, Any]:
    about = machine()
    environment = isolated_environment()
    os.environ.update(environment)
    rows: list[Row] = []
    rest: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery.sqlite3"
        portraits, model_id = enrolled_portraits(gallery)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        bench = Bench(rate, seconds)
        transport = [bench.measure_transport(environment, Path(folder) / "sink.jsonl", size) for size in (VGA, HD)]
        for plan in PLANS:
            arguments = [word for parameter in plan.parameters for word in ("-p", parameter)]
            with PythonProcess([*node_arguments(gallery), *arguments], environment, Path(folder) / "node.log") as node:
                if not rest:
                    bench.measure_plan(plan, node, portraits, warm=True)
                    rest = bench.measure_rest(node, seconds)
                rows += bench.measure_plan(plan, node, portraits)
        rclpy.shutdown()
    return {
        "machine": about,
        "model_id": model_id,
        "rate_hz": rate,
        "seconds": seconds,
        "transport": [asdict(entry) for entry in transport],
        "rest": rest,
        "rows": [asdict(row) for row in rows],
    }


def complaints(results: dict[str, Any]) -> list[str]:
    """Which rows are worth nothing, and why."""
    return [
        f"{row['mode']}, {row['size']}, {row['faces']} faces: the answers held {row['faces_answered']:.1f} faces on "
        f"average; they must hold {FEWEST_FACES * row['faces']:.1f} for the numbers to count"
        for row in results["rows"]
        if row["faces_answered"] < FEWEST_FACES * row["faces"]
    ]


def run_sink(topic: str) -> int:
    """Receives until Ctrl-C."""
    rclpy.init(args=[])  # with ROS's own handling of signals, which wakes a node that waits for a message
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Sink(topic))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement; default: 10")
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second; default: 30")
    parser.add_argument("--output", type=Path, default=LATEST)
    parser.add_argument("--sink", metavar="TOPIC", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sink:
        return run_sink(arguments.sink)
    results = run(arguments.seconds, arguments.rate)
    update(arguments.output, {"node": results})
    print("\n".join(node_lines(results)))
    for complaint in complaints(results):
        print(f"FAILED: {complaint}", file=sys.stderr)
    return 1 if complaints(results) else 0


if __name__ == "__main__":
    sys.exit(main())
