import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

WRITERS = Path(__file__).with_name("killed_writers.py")
KILLS = 300


@pytest.fixture
def fast_folder() -> Iterator[Path]:
    """In memory if possible: what a killed process has written is kept by the kernel, not by the disk."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


def test_whenever_a_process_is_killed_nothing_is_lost_half_there_or_back(fast_folder: Path) -> None:
    """See killed_writers.py: it checks every state against a run that nobody killed, and the bytes of all files."""
    command = [sys.executable, WRITERS, fast_folder, str(KILLS)]
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # the writers are forked
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread)
    found = json.loads(ran.stdout)
    assert found["problems"] == [], ran.stderr
    assert found["kills"] >= KILLS
    assert found["not acknowledged, but done"] > 0  # kills fall within changes, too
    assert found["forgotten"] > 20
