"""Does anything grow? Runs the node for long and plots its memory, file handles, threads and latency over time.

    python benchmarks/soak.py frames --frames 216000     two hours' worth at 30 Hz, as fast as they go
    python benchmarks/soak.py cycles --cycles 1000       configure, activate, deactivate, clean up, again and again

Prints one line of JSON, writes a picture, and ends with exit code 1 where something grew by more than is allowed.
Ctrl-C ends it early, with what was seen by then.
"""

# Imported first: the ROS wheels restart the program on their import, which must not repeat anything done before.
import rclpy  # isort: skip

import argparse
import contextlib
import ctypes
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from rclpy.signals import SignalHandlerOptions
from tqdm import tqdm

from face_recognition_ros.demo.cast import standard_cast
from face_recognition_ros.node.face_recognition_node import FaceRecognitionNode
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.testing import NodeClient, running_node
from face_recognition_ros.types import ByteArray

FEWEST_SAMPLES = 8
SAMPLES = 200
"""How often is looked, in all."""
GROWTH_MIB = 16.0
"""Allowed from the second quarter to the last: the allocator's own ups and downs, measured, are below half of it."""
GROWTH_HANDLES = 0
GROWTH_THREADS = 1
"""The gallery's worker begins with its first job, whenever that is."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look at the process shows."""

    seconds: float
    """Since the beginning."""
    done: int
    """Frames or cycles by then."""
    memory_mib: float
    """What the process has for itself (RssAnon)."""
    handles: int
    threads: int
    latency_ms: float
    """Median since the look before: of a frame from publishing to answer, or of a cycle."""


def look(process: str, start: float, done: int, latencies: Sequence[float]) -> Sample:
    """process: its id, or self."""
    folder = Path("/proc") / process
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return Sample(
        seconds=time.monotonic() - start,
        done=done,
        memory_mib=int(status["RssAnon"].split()[0]) / 1024,
        handles=len(list((folder / "fd").iterdir())),
        threads=int(status["Threads"]),
        latency_ms=1e3 * float(np.median(latencies)),
    )


def scenes() -> list[ByteArray]:
    """What the camera sees in turn: one face, two, none; in several sizes, mostly small: many are to be shown."""
    first, second = (read_picture(person.pictures.paths[0])[:500, :500] for person in standard_cast()[:2])
    both = np.hstack([first, second[: len(first)]])[::2, ::2]
    nobody = np.full((240, 320, 3), 90, np.uint8)
    return [
        np.ascontiguousarray(scene) for scene in (first, first[::2, ::2], both, nobody, second[::2, ::2], both[:, ::-1])
    ]


def frames(count: int) -> Iterator[Sample]:
    """Shows the node that many images, each when the one before was answered; every 20th time the scene changes."""
    people = {person.pictures.name: person.pictures.paths for person in standard_cast()[:1]}
    pictures = scenes()
    with running_node(people, {"remember_unknown": True}) as robot:
        assert robot.process is not None
        process = str(robot.process.pid)

        def show(number: int) -> None:
            robot.show(pictures[number // 20 % len(pictures)])
            forget_answers(robot)

        yield from repeated(show, count, process)


def forget_answers(robot: NodeClient) -> None:
    """So that this process does not grow instead."""
    robot.seen.clear()
    robot.answers.clear()


def cycles(count: int) -> Iterator[Sample]:
    """Takes a node in this process through its life that many times."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = FaceRecognitionNode(cli_args=["--ros-args", "-p", "gallery:=''"], enable_rosout=False)
    node.get_logger().set_level(LoggingSeverity.WARN)

    release = ctypes.CDLL(None).malloc_trim  # what the allocator merely keeps for later is no growth

    def live(number: int) -> None:
        for step in (node.trigger_configure, node.trigger_activate, node.trigger_deactivate, node.trigger_cleanup):
            if step() is not TransitionCallbackReturn.SUCCESS:
                raise RuntimeError(f"cycle {number}: {step.__name__} failed")
        release(0)

    yield from repeated(live, count, "self")
    node.destroy_node()
    rclpy.shutdown()


def repeated(step: Callable[[int], None], count: int, process: str) -> Iterator[Sample]:
    """Does the step that many times and looks at the process now and then."""
    start, latencies = time.monotonic(), []
    every = max(count // SAMPLES, 1)
    for number in tqdm(range(count), disable=None):
        begun = time.monotonic()
        step(number)
        latencies.append(time.monotonic() - begun)
        if (number + 1) % every == 0:
            yield look(process, start, number + 1, latencies)
            latencies.clear()


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Medians of the last quarter less those of the second; the first one is for caches to be filled."""
    quarter = max(len(samples) // 4, 1)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        name: float(np.median([getattr(s, name) for s in late]) - np.median([getattr(s, name) for s in early]))
        for name in ("memory_mib", "handles", "threads", "latency_ms")
    }


def complaints(grown: dict[str, float]) -> list[str]:
    limits = {"memory_mib": GROWTH_MIB, "handles": GROWTH_HANDLES, "threads": GROWTH_THREADS}
    return [f"{name} grew by {grown[name]:.1f}, where {limit} is allowed" for name, limit in limits.items()
            if grown[name] > limit]  # fmt: skip


def plot(samples: Sequence[Sample], what: str, path: Path) -> None:
    """One curve below the other, over the minutes."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(9, 8), sharex=True, layout="constrained")
    minutes = [sample.seconds / 60 for sample in samples]
    curves = (("memory_mib", "memory (MiB)"), ("latency_ms", f"median time of a {what} (ms)"))
    for axis, (name, label) in zip(axes, curves, strict=False):
        axis.plot(minutes, [getattr(sample, name) for sample in samples])
        axis.set_ylabel(label)
    for name in ("handles", "threads"):
        axes[2].plot(minutes, [getattr(sample, name) for sample in samples], label=name)
    axes[2].legend()
    for axis in axes:
        axis.set_ylim(0, 1.1 * axis.dataLim.ymax)
        axis.grid(alpha=0.3)
    axes[2].set_xlabel(f"minutes; {samples[-1].done} {what}s in all")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("frames", "cycles"))
    parser.add_argument("--frames", type=int, default=216_000, help="default: 216000, two hours at 30 Hz")
    parser.add_argument("--cycles", type=int, default=1000, help="default: 1000")
    parser.add_argument("--output", type=Path, help="the picture; default: benchmarks/results/soak_WHAT.png")
    arguments = parser.parse_args()
    output = arguments.output or Path(__file__).parent / "results" / f"soak_{arguments.what}.png"
    samples: list[Sample] = []
    with contextlib.suppress(KeyboardInterrupt):  # what was seen by then is worth a picture
        samples.extend(frames(arguments.frames) if arguments.what == "frames" else cycles(arguments.cycles))
    if len(samples) < FEWEST_SAMPLES:
        sys.exit(f"stopped after {len(samples)} looks at the process; {FEWEST_SAMPLES} are needed to say anything")
    grown = growth(samples)
    plot(samples, arguments.what.removesuffix("s"), output)
    print(json.dumps({"first": asdict(samples[0]), "last": asdict(samples[-1]), "growth": grown}))
    for complaint in complaints(grown):
        print(f"FAILED: {complaint}", file=sys.stderr)
    return 1 if complaints(grown) else 0


if __name__ == "__main__":
    sys.exit(main())
