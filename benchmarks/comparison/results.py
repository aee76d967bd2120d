"""The file that keeps what was measured, and on which machine."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LATEST = Path(__file__).resolve().parent.parent / "results" / "latest.json"


def machine() -> dict[str, Any]:
    """Where the numbers are from."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def machine_line(about: dict[str, Any]) -> str:
    return f"{about['cpu']}, {about['cores']} cores, Python {about['python']}, {about['date']}"


def load(path: Path = LATEST) -> dict[str, Any]:
    """What is in the file; nothing where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def update(path: Path, parts: dict[str, Any]) -> dict[str, Any]:
    """Replaces these keys of the file, leaves the others; returns all that it holds then."""
    whole = load(path) | parts
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return whole
