"""How long should ONNX Runtime's threads wait awake, and where? Time of a frame and CPU at a camera's rate.

    .venv/bin/python benchmarks/spinning.py

Each choice has processes of its own, asked in turn. The recognizer is called 30 times a second with pictures of
640x480, as the node does it, but without ROS. Let nothing else run meanwhile.
"""

# Imported first: the ROS wheels restart the program on their import, which must not repeat anything done before.
import rclpy  # noqa: F401  # isort: skip

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict

import numpy as np
from comparison.ros_cameras import pictures_of

from face_recognition_ros.assembly import assemble
from face_recognition_ros.demo.cast import portrait, standard_cast
from face_recognition_ros.runtime import onnx_runtime
from face_recognition_ros.settings import Settings

ANYWHERE = "anywhere"
"""As ours, but the second thread may run on any processor, that of the first included."""
CHOICES = {
    "ours": onnx_runtime.AWAKE,
    **{f"{us} us": {"session.intra_op.spin_duration_us": str(us)} for us in (20, 100, 500, 1_000_000)},
    ANYWHERE: onnx_runtime.AWAKE,
}
"""Session settings; the longest duration is about what onnxruntime does by itself."""
RATE, WARM_UP, FRAMES = 30.0, 30, 120
MODES = {
    "in full": Settings(threads=2, detection_interval=1, embedding_interval=0.0),
    "video": Settings(threads=2),
}


def measure() -> list[dict[str, float | str]]:
    """A row for each mode and number of faces, in this process."""
    rows: list[dict[str, float | str]] = []
    for mode, settings in MODES.items():
        with assemble(settings) as assembly:
            people = [person for person in standard_cast() if person.enrolled]
            portraits = [portrait(person, person.pictures.paths[0], assembly.recognizer) for person in people]
            for faces in (1, 4):
                pictures = pictures_of(portraits, (640, 480), faces)
                times, began, used = [], 0.0, 0.0
                for number in range(WARM_UP + FRAMES):
                    start = time.perf_counter()
                    if number == WARM_UP:
                        began, used = start, cpu_seconds()
                    assembly.recognizer.process(pictures[number % len(pictures)], 100.0 * faces + number / RATE)
                    times.append(time.perf_counter() - start)
                    time.sleep(max(0.0, 1 / RATE - times[-1]))
                cpu = (cpu_seconds() - used) / (time.perf_counter() - began)
                row = {
                    "p50": 1e3 * np.median(times[WARM_UP:]),
                    "mean": 1e3 * np.mean(times[WARM_UP:]),
                    "cpu": 100 * cpu,
                }
                rows.append({"mode": f"{mode}, {faces} face{'s' * (faces > 1)}", **row})
    return rows


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--child", choices=CHOICES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        onnx_runtime.AWAKE = CHOICES[arguments.child]
        if arguments.child == ANYWHERE:
            onnx_runtime.workers_places = lambda threads, processors: ""
        print(json.dumps(measure()))
        return
    found = defaultdict(list)
    for _ in range(arguments.rounds):
        for choice in CHOICES:
            command = [sys.executable, __file__, "--child", choice]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for row in json.loads(output.splitlines()[-1]):
                found[row["mode"], choice].append(row)
    print(f"| frame | {' | '.join(CHOICES)} |")
    print("| --- |" + " --- |" * len(CHOICES))
    for mode in dict.fromkeys(mode for mode, _ in found):
        cells = []
        for choice in CHOICES:
            p50, mean, cpu = (np.median([row[key] for row in found[mode, choice]]) for key in ("p50", "mean", "cpu"))
            cells.append(f"{p50:.1f} ms, mean {mean:.1f}, CPU {cpu:.0f} %")
        print(f"| {mode} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
