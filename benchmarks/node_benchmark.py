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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from comparison.report import node_lines
from comparison.results import LATEST, machine, update
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from tqdm import tqdm

from face_recognition_ros.assembly import assemble
from face_recognition_ros.demo.answers import Answer, Listener
from face_recognition_ros.demo.cast import Portrait, portrait, standard_cast
from face_recognition_ros.demo.processes import PythonProcess, isolated_environment, node_arguments
from face_recognition_ros.demo.scenes import FACE_WIDTH, head_and_shoulders
from face_recognition_ros.folder_enrollment import enroll_people
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray

SIZES = ((640, 480), (1280, 720))
FACE_COUNTS = (1, 4)
FACE_PIXELS = 100.0
"""Width of every face in the pictures."""
DISTINCT_FRAMES = 30
WARM_UP_FRAMES = 45
START_PATIENCE = 90.0
FEWEST_FACES = 0.9
"""Share of the pictures' faces that the answers must hold: numbers of a node that saw fewer are worth nothing."""
DRAIN_SECONDS = 1.0
"""How long answers are awaited after the last frame."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took between two moments."""

    cpu_percent: float
    """Of one core."""
    memory_mib: float
    """Resident, at the end."""
    peak_memory_mib: float
    """The largest resident set since the process began."""


@dataclass(frozen=True, slots=True)
class Row:
    """One condition of the node."""

    size: str
    faces: int
    faces_answered: float
    """Mean number of faces in the answers: whether the node really had that many to recognise."""
    published: int
    answered: int
    latency_p50_ms: float
    latency_p95_ms: float
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


class Source(Node):
    """Publishes pictures in turn at a steady rate."""

    def __init__(self, topic: str, pictures: Sequence[ByteArray], rate: float) -> None:
        super().__init__("benchmark_source")
        self.stamps: list[int] = []
        self._messages = [image_message(picture) for picture in pictures]
        self._frames = 0
        self._publisher = self.create_publisher(Image, topic, qos_profile_sensor_data)
        self._timer = self.create_timer(1.0 / rate, self._publish, autostart=False)

    @property
    def is_matched(self) -> bool:
        return self._publisher.get_subscription_count() > 0

    @property
    def is_done(self) -> bool:
        return len(self.stamps) >= self._frames

    def start(self, frames: int) -> None:
        """Publishes so many from now on; their stamps are noted anew."""
        self.stamps, self._frames = [], frames
        self._timer.reset()

    def _publish(self) -> None:
        if self.is_done:
            return
        message = self._messages[len(self.stamps) % len(self._messages)]
        now = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 1_000_000_000)
        self._publisher.publish(message)
        self.stamps.append(now)


class Sink(Node):
    """Receives pictures and notes how old they are."""

    def __init__(self, topic: str) -> None:
        super().__init__("benchmark_sink")
        self.create_subscription(Image, topic, self._receive, qos_profile_sensor_data)

    def _receive(self, message: Image) -> None:
        now = time.time_ns()
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        print(json.dumps({"stamp_ns": stamp, "latency_ms": (now - stamp) / 1e6}), flush=True)


def image_message(picture: ByteArray) -> Image:
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding="bgr8", step=3 * width)
    message.header.frame_id = "camera_optical_frame"
    message.data.frombytes(picture.data.cast("B"))
    return message


def pictures_of(portraits: Sequence[Portrait], size: tuple[int, int], faces: int) -> list[ByteArray]:
    """Pictures with so many faces of FACE_PIXELS side by side, which sway a little; portraits repeat in turn."""
    width, height = size
    crops = [head_and_shoulders(portrait)[0] for portrait in portraits]
    scale = FACE_PIXELS / FACE_WIDTH
    crops = [np.asarray(cv2.resize(c, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8) for c in crops]
    columns = min(faces, 2)
    rows = -(-faces // columns)
    pictures = []
    for frame in range(DISTINCT_FRAMES):
        picture = np.full((height, width, 3), 168, np.uint8)
        for i in range(faces):
            room_x, room_y = width // columns, height // rows
            crop = crops[i % len(crops)][: room_y - 12, : room_x - 12]
            angle = 2 * np.pi * (frame / DISTINCT_FRAMES + i / faces)
            left = (i % columns) * room_x + (room_x - crop.shape[1]) // 2 + round(5 * np.cos(angle))
            top = (i // columns) * room_y + (room_y - crop.shape[0]) // 2 + round(5 * np.sin(angle))
            picture[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        pictures.append(picture)
    return pictures


@contextmanager
def measured(pid: int) -> Iterator[list[Usage]]:
    """Appends the process's usage during the block."""
    usage: list[Usage] = []
    seconds, started = cpu_seconds(pid), time.monotonic()
    yield usage
    percent = 100 * (cpu_seconds(pid) - seconds) / (time.monotonic() - started)
    usage.append(Usage(percent, memory_mib(pid, "VmRSS"), memory_mib(pid, "VmHWM")))


def memory_mib(pid: int, entry: str) -> float:
    """An entry of /proc/PID/status (proc(5)): VmRSS, the resident set, or VmHWM, its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{entry}:"))
    return int(kilobytes) / 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of all the process's threads, from /proc/PID/stat (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    """This process's side: one executor for source and listener, and what came back."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.rate = rate
        self.frames = round(rate * seconds)
        self.answers: list[Answer] = []
        self.executor = SingleThreadedExecutor()
        self.listener = Listener(self.answers.append)
        self.executor.add_node(self.listener)

    def await_true(self, what: str, condition: Any, process: PythonProcess) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not condition():
            process.require_running()
            if time.monotonic() > deadline:
                sys.exit(f"{what} has not happened in {START_PATIENCE:g} s; see {process.log}")
            self.executor.spin_once(timeout_sec=0.1)

    def play(self, source: Source, frames: int, label: str) -> set[int]:
        """Publishes so many frames; returns their stamps."""
        source.start(frames)
        with tqdm(total=frames, desc=label, unit="frame", leave=False, disable=None) as progress:
            while not source.is_done:
                self.executor.spin_once(timeout_sec=0.1)
                progress.update(len(source.stamps) - progress.n)
        return set(source.stamps)

    @contextmanager
    def source(self, topic: str, pictures: Sequence[ByteArray], receiver: PythonProcess) -> Iterator[Source]:
        """A source to which the receiver listens already."""
        source = Source(topic, pictures, self.rate)
        self.executor.add_node(source)
        try:
            self.await_true(f"a subscription to {topic}", lambda: source.is_matched, receiver)
            yield source
        finally:
            self.executor.remove_node(source)
            source.destroy_node()

    def spin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def measure_node(
        self, node: PythonProcess, portraits: Sequence[Portrait], size: tuple[int, int], faces: int
    ) -> Row:
        pictures = pictures_of(portraits, size, faces)
        name = f"{size[0]}x{size[1]}"
        self.answers.clear()
        with self.source("image", pictures, node) as source:
            self.play(source, WARM_UP_FRAMES, f"{name}, {faces} faces, warm-up")
            with measured(node.pid) as usage:
                stamps = self.play(source, self.frames, f"{name}, {faces} faces")
            self.spin(DRAIN_SECONDS)
        ours = [answer for answer in self.answers if answer.stamp_ns in stamps]
        p50, p95 = percentiles([(answer.received_ns - answer.stamp_ns) / 1e6 for answer in ours])
        found = float(np.mean([len(answer.faces) for answer in ours])) if ours else 0.0
        return Row(name, faces, found, len(stamps), len(ours), p50, p95, **asdict(usage[0]))

    def measure_transport(self, environment: dict[str, str], log: Path, size: tuple[int, int]) -> Transport:
        topic = f"transport_{size[0]}"
        name = f"{size[0]}x{size[1]}"
        pictures = [np.full((size[1], size[0], 3), value, np.uint8) for value in (0, 128)]
        with (
            PythonProcess([__file__, "--sink", topic], environment, log.with_suffix(".err"), output=log) as sink,
            self.source(topic, pictures, sink) as source,
        ):
            self.play(source, WARM_UP_FRAMES, f"{name}, transport, warm-up")
            stamps = self.play(source, self.frames, f"{name}, transport")
            self.spin(DRAIN_SECONDS)
        records = [json.loads(line) for line in log.read_text().splitlines()]
        latencies = [record["latency_ms"] for record in records if record["stamp_ns"] in stamps]
        return Transport(name, len(stamps), len(latencies), *percentiles(latencies))

    def measure_rest(self, node: PythonProcess, seconds: float) -> Usage:
        with measured(node.pid) as usage:
            self.spin(seconds)
        return usage[0]


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
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery.sqlite3"
        portraits, model_id = enrolled_portraits(gallery)
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        bench = Bench(rate, seconds)
        transport = [bench.measure_transport(environment, Path(folder) / "sink.jsonl", size) for size in SIZES]
        with PythonProcess(node_arguments(gallery), environment, Path(folder) / "node.log") as node:
            bench.await_true("the node's face_identities", lambda: bench.listener.publishers_matched > 0, node)
            bench.measure_node(node, portraits, SIZES[0], FACE_COUNTS[0])  # models warm, memory as in use
            rest = bench.measure_rest(node, seconds)
            rows = [bench.measure_node(node, portraits, size, faces) for size in SIZES for faces in FACE_COUNTS]
        rclpy.shutdown()
    return {
        "machine": about,
        "model_id": model_id,
        "rate_hz": rate,
        "seconds": seconds,
        "transport": [asdict(entry) for entry in transport],
        "rest": asdict(rest),
        "rows": [asdict(row) for row in rows],
    }


def complaints(results: dict[str, Any]) -> list[str]:
    """Which rows are worth nothing, and why."""
    return [
        f"{row['size']}, {row['faces']} faces: the answers held {row['faces_answered']:.1f} faces on average; "
        f"they must hold {FEWEST_FACES * row['faces']:.1f} for the numbers to count"
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
