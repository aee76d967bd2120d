"""Starts ROS programs as processes of their own, shut off from other ROS systems, and ends them again."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from face_recognition_ros.errors import FaceRecognitionError

PATIENCE = 10.0
"""Seconds that a process is given to end after a signal, before a ruder one."""

HIGHEST_DOMAIN = 101
"""ROS domain ids up to here are safe on every system."""


def isolated_environment() -> dict[str, str]:
    """Variables for ROS on this machine only, in a domain of its own, with large images through shared memory.

    See docs/decisions for what the profile and the two malloc variables are worth.
    """
    variables = {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % HIGHEST_DOMAIN),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        "MALLOC_MMAP_THRESHOLD_": "268435456",
        "MALLOC_TRIM_THRESHOLD_": "536870912",
    }
    return dict([*variables.items(), transport_profile()])


def transport_profile() -> tuple[str, str]:
    """Name and value of the variable that makes large images travel through shared memory without loss."""
    return "FASTRTPS_DEFAULT_PROFILES_FILE", str(share_folder() / "config" / "fastdds.xml")


def share_folder() -> Path:
    """Where this package's launch and config folders are: in the workspace that is sourced, or in this environment.

    Raises FaceRecognitionError where the package is installed in neither.
    """
    with contextlib.suppress(PackageNotFoundError, OSError):  # OSError: no workspace is sourced
        return Path(get_package_share_directory("face_recognition_ros"))
    folder = Path(sys.prefix) / "share" / "face_recognition_ros"
    if not folder.is_dir():
        raise FaceRecognitionError(
            f"face_recognition_ros is not installed in {sys.prefix}, and no ROS workspace that has it is sourced; "
            "`make setup` installs it, and in a workspace `. install/setup.bash` does"
        )
    return folder


def node_arguments(gallery: Path) -> list[str]:
    """Python's arguments for the face recognition node with that gallery."""
    return ["-m", "face_recognition_ros.node.process", "--ros-args", "-p", f"gallery:={gallery}"]


class PythonProcess:
    """A Python program that runs as a process of its own; leaving the context ends it, whatever happened."""

    last_kill: ClassVar[float] = -math.inf
    """When any of them was killed last, in seconds of time.monotonic."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        output: Path | None = None,
    ) -> None:
        """Starts Python with the arguments, such as ["-m", MODULE].

        What it writes goes to the log, but stdout to `output` where that is given.
        """
        self.name = " ".join(arguments[:2])
        self.log = log
        with contextlib.ExitStack() as files:
            errors = files.enter_context(log.open("w", encoding="utf-8"))
            target = files.enter_context(output.open("w", encoding="utf-8")) if output else errors
            self.popen = subprocess.Popen(
                [sys.executable, *arguments],
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE,
                stdout=target,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C reaches only us; we end the others in order
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def write(self, text: str) -> None:
        """Puts text into its stdin; of no effect where it has ended."""
        with contextlib.suppress(BrokenPipeError):
            assert self.popen.stdin is not None, "it is started with a pipe"
            self.popen.stdin.write(text)
            self.popen.stdin.flush()

    def require_running(self) -> None:
        """Raises FaceRecognitionError with the end of the log where the process has ended."""
        code = self.popen.poll()
        if code is not None:
            last = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise FaceRecognitionError(
                f"python {self.name} has ended with exit code {code}; {self.log} ends: {' | '.join(last)}"
            )

    def stop(self) -> int:
        """Ends the process and returns its exit code; may be called twice."""
        if self.popen.stdin is not None:
            self.popen.stdin.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.popen.wait(PATIENCE)
        return self.kill()

    def kill(self) -> int:
        """Ends the process without a warning, as a power cut, and returns its exit code."""
        self.popen.kill()
        PythonProcess.last_kill = time.monotonic()
        return self.popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
