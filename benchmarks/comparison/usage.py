"""What a process takes of the machine, as the kernel counts it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took between two moments."""

    cpu_percent: float
    """Of one core."""
    memory_mib: float
    """Resident, at the end."""
    peak_memory_mib: float
    """The largest resident set since the process began."""


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
