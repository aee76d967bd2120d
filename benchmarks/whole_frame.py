"""Compares whole frames with other libraries: detect, align, embed, match in 10,000 templates.

The same frames, the same two threads, each library in a process of its own, asked in turn; beside the times, what each
of them sees. Then the node through ROS (node_benchmark.py). Let nothing else run meanwhile.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from comparison import accuracy, numbers, photographs, report, targets
from comparison.entries import entries
from comparison.material import FACES, FILM_FACES, SIZES, Material, Shown
from comparison.processes import Answer, Entry, Field
from comparison.results import LATEST, load, machine, update
from tqdm import tqdm

from face_recognition_ros.errors import FaceRecognitionError

ROOT = Path(__file__).resolve().parent.parent
RESEARCH_DATA = ROOT.parent / "shared" / "data"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
THREADS = 2
TEMPLATES = 10_000
WARM_UP = 2
FRAME_SECONDS = 1 / 30
DIFFERENT_FRAMES = 10
"""In each condition; they repeat in turn."""
RECALL_FRAMES = {"640x480": 40, "1280x720": 20}
FILM_FRAMES = 90
PHOTOGRAPHS = 120
FILM_SIZE = "640x480"
BESIDE_VIDEO = frozenset({"ours", "ours_openvino", "insightface_320", "facenet_pytorch_min40"})
"""Who is shown the film as well, though it looks anew in every frame."""


class Comparison:
    """The contenders, and what was measured of them."""

    def __init__(self, field: Field, material: Material, options: argparse.Namespace) -> None:
        self.field, self.material, self.options = field, material, options
        self.names = [name for name, one in field.running.items() if one.entry.kind != "video"]
        self.times: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
        self.film: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
        self.accuracy: dict[str, Any] = {}
        self.peak_mib: dict[str, float] = {}
        self._stamp = 0.0

    def measure(self) -> None:
        quick = self.options.quick
        steps = [(size, faces) for size in SIZES for faces in FACES]
        for size, faces in steps:
            shown = self.material.timed(size, faces, 2 if quick else DIFFERENT_FRAMES)
            answers = self._ask(shown, self.options.rounds, self.names, f"{size}, {faces} faces")
            for name, got in answers.items():
                self.times[name][size][str(faces)] = statistics(got)
        for size, count in RECALL_FRAMES.items():
            shown = self.material.recall(size, 4 if quick else count)
            self.accuracy[size] = seen(shown, self._ask(shown, len(shown), self.names, f"{size}, recall", warm_up=0))
        size = FILM_SIZE
        names = [name for name, one in self.field.running.items() if one.entry.kind == "video" or name in BESIDE_VIDEO]
        for faces in FILM_FACES:
            shown = self.material.film(size, faces, 10 if quick else FILM_FRAMES)
            answers = self._ask(shown, len(shown), names, f"film, {faces} faces")
            made_of_it = seen(shown, answers)
            for name, got in answers.items():
                self.film[name][size][str(faces)] = statistics(got) | made_of_it[name]

    def _ask(
        self, shown: Sequence[Shown], rounds: int, names: Sequence[str], label: str, warm_up: int = WARM_UP
    ) -> dict[str, list[Answer]]:
        """Answers of those who answered every frame; the first frames come once more before, without being counted."""
        order = [shown[index % len(shown)] for index in [*range(warm_up), *range(rounds)]]
        stamps = [self._stamp + FRAME_SECONDS * index for index in range(len(order))]
        self._stamp = stamps[-1] + 10.0  # another scene: tracks have ended by then
        answers: dict[str, list[Answer]] = {name: [] for name in names if name in self.field.running}
        turns = self.field.turns([one.path for one in order], stamps, names)
        total = len(order) * len(answers)
        for index, name, answer in tqdm(turns, label, total, leave=False, disable=None, mininterval=1.0):
            self.peak_mib[name] = answer.peak_mib
            if index >= warm_up:
                answers[name].append(answer)
        return {name: got for name, got in answers.items() if len(got) == rounds}


def statistics(answers: Sequence[Answer]) -> dict[str, float]:
    return numbers.statistics([answer.ms for answer in answers], [len(answer.faces) for answer in answers])


def seen(shown: Sequence[Shown], answers: Mapping[str, Sequence[Answer]]) -> dict[str, dict[str, Any]]:
    found = {name: [answer.faces for answer in got] for name, got in answers.items()}
    return accuracy.judge([one.faces for one in shown], found)


def contestants(options: argparse.Namespace) -> list[Entry]:
    everybody = entries(options.peers_python, options.models, options.yunet, THREADS, TEMPLATES)
    unknown = sorted(set(options.only or ()) - {entry.name for entry in everybody})
    if unknown:
        raise SystemExit(f"there is no contender {unknown[0]}; there are {', '.join(e.name for e in everybody)}")
    return [entry for entry in everybody if not options.only or entry.name in options.only]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything but the node."""
    about = machine()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])  # theirs as well
    roster = contestants(options)
    judges = photographs.judges_of(options.yunet)
    paths, origin = photographs.paths_of(options.images, RESEARCH_DATA)
    available = photographs.photographs(paths, judges.values(), PHOTOGRAPHS // (6 if options.quick else 1))
    with tempfile.TemporaryDirectory() as folder, Field(roster, Path(folder), THREADS) as field:
        comparison = Comparison(field, Material(available, Path(folder)), options)
        described = {name: one.about for name, one in field.running.items()}
        comparison.measure()
        lost = dict(field.lost)
    whole = [entry.name for entry in roster if entry.kind == "whole" and entry.name in comparison.times]
    peers = [name for name in whole if not name.startswith(numbers.OURS)]
    return {
        "machine": about,
        "comparison": {
            "threads": THREADS, "templates": TEMPLATES, "rounds": options.rounds, "sizes": list(SIZES),
            "faces_from": origin, "photographs": len(available),
            "truth": photographs.reference(list(judges)),
        },
        "contenders": {
            entry.name: {
                "title": entry.title, "kind": entry.kind, "about": described[entry.name],
                "cost": numbers.costs(comparison.times.get(entry.name, {})),
                "peak_memory_mib": comparison.peak_mib[entry.name],
            }
            for entry in roster if entry.name in comparison.peak_mib
        },
        "not_measured": {entry.title: lost[entry.name] for entry in roster if entry.name in lost},
        "whole_frame_ms": comparison.times,
        "whole_frame_ratio": numbers.ratios(comparison.times, peers),
        "whole_frame_ratio_of": {
            name: numbers.ratios(comparison.times, peers, name) for name in whole if name not in [*peers, numbers.OURS]
        },
        "video_ms": comparison.film,
        "video_ratio": {
            entry.name: numbers.ratios(comparison.film, [*peers, numbers.OURS], entry.name, "mean_ms")
            for entry in roster if entry.kind == "video" and entry.name in comparison.film
        },
        "accuracy": comparison.accuracy,
    }  # fmt: skip


def run_node(options: argparse.Namespace) -> int:
    """node_benchmark.py writes its part of the results by itself."""
    command = [sys.executable, str(Path(__file__).with_name("node_benchmark.py")), "--output", str(options.output)]
    return subprocess.run([*command, *(["--seconds", "2"] if options.quick else [])], check=False).returncode


def main() -> int:
    yunet = RESEARCH_DATA / "models" / "yunet_dynamic.onnx"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=Path, metavar="DIR",
        help="photographs of one face each; default: the research data beside this repository, or the demo's portraits",
    )  # fmt: skip
    parser.add_argument(
        "--models", type=Path, metavar="DIR",
        help="your files for insightface (det_500m.onnx, w600k_mbf.onnx) and OpenCV (face_detection_yunet*.onnx, "
        "face_recognition_sface*.onnx)",
    )  # fmt: skip
    parser.add_argument(
        "--yunet", type=Path, metavar="FILE", default=yunet if yunet.is_file() else None,
        help="YuNet's file, where it is not in that folder (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--peers-python", type=Path, metavar="FILE", default=ROOT / ".venv-peers" / "bin" / "python")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the contenders, as named in the results")
    parser.add_argument("--rounds", type=int, help="frames of each condition that count (30)")
    parser.add_argument("--quick", action="store_true", help="few frames, to see that it runs; the numbers are poor")
    parser.add_argument("--no-node", action="store_true", help="leave the measurement through ROS out")
    parser.add_argument("--write-docs", action="store_true", help=f"tables and plots into {DOCUMENT.name}")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"default: {LATEST.name}, with --quick quick.json")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 30)
    options.output = options.output or (LATEST.with_name("quick.json") if options.quick else LATEST)

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of every YuNet that it loads
    try:
        results = update(options.output, run(options))
    except FaceRecognitionError as error:
        raise SystemExit(str(error)) from error
    print("\n".join(report.comparison_lines(results)), flush=True)
    status = 0 if options.no_node else run_node(options)
    results = load(options.output)
    if options.write_docs:
        report.write_docs(DOCUMENT, results)
    problems = list(targets.missed(results))
    print("", *problems or ["All that is promised was kept, as far as it was measured."], sep="\n")
    return status or int(bool(problems) and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
