"""The node, with an inference backend that does once what a file says.

    python faulty_node.py ORDER --ros-args ...

The next call of a network reads the file ORDER and deletes it: `raise` fails, `hang 12` does not return from a native
call for 12 s. While the file says `refuse`, no network can be loaded; `stall 12` has the next loading hang so long, and
loading counts as hanging after 10 s.
"""

import ctypes
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from face_recognition_ros.errors import BackendError
from face_recognition_ros.node import loading, process
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
from face_recognition_ros.runtime.selection import BACKENDS


class FaultySession(OnnxRuntimeSession):
    """Obeys before each call."""

    def __init__(self, model_path: Path, threads: int, order: Path) -> None:
        text = order.read_text() if order.is_file() else ""
        if text == "refuse":
            raise BackendError("The GPU is lost.")
        if text.startswith("stall"):
            order.unlink()
            sleep_natively(int(text.split()[1]))
        super().__init__(model_path, threads)
        self._order = order

    def run(self, inputs: Mapping[str, Any]) -> list[Any]:
        order = self._order.read_text() if self._order.is_file() else ""
        if order == "raise":
            self._order.unlink()
            raise BackendError("The GPU has fallen off the bus.")
        if order.startswith("hang"):
            self._order.unlink()
            sleep_natively(int(order.split()[1]))
        return super().run(inputs)


def sleep_natively(seconds: int) -> None:
    """Without Python's lock, and without an end from outside, as a driver waits."""
    ctypes.CDLL(None).sleep(seconds)


if __name__ == "__main__":
    given = Path(sys.argv.pop(1))
    loading.LIMIT = 10
    BACKENDS["onnxruntime"] = lambda model_path, threads: FaultySession(model_path, threads, given)
    sys.exit(process.main())
