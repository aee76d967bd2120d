"""A short run of benchmarks/soak.py: it ends well only if neither memory nor file handles nor threads grow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


@pytest.mark.parametrize(("what", "count"), [("frames", 100), ("cycles", 25)])
def test_nothing_grows(domain: int, tmp_path: Path, what: str, count: int) -> None:
    picture = tmp_path / "plot.png"
    command = [sys.executable, str(PROGRAM), what, f"--{what}", str(count), "--output", str(picture)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert json.loads(ran.stdout)["last"]["done"] == count
    assert picture.stat().st_size > 10_000
