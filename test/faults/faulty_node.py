"""The node, with an inference backend that does once what a file says.

    python faulty_node.py ORDER --ros-args ...

The next call of a network reads the file ORDER and deletes it: `raise` fails, `hang 12` does not return from a native
call for 12 s. While the file says `refuse`, no network can be loaded.
"""

import ctypes
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from face_recognition_ros.errors import BackendError
from face_recognition_ros.node import process
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
from face_recognition_ros.runtime.selection import BACKENDS


class FaultySession(OnnxRuntimeSession):
    """Obeys before each call."""

    def __init__(self, model_path: Path, threads: int, order: Path) -> None:
        if order.is_file() and order.read_text() == "refuse":
            raise BackendError("The GPU is lost.")
        super().__init__(model_path, threads)
        self._order = order

    def run(self, inputs: Mapping[str, Any]) -> list[Any]:
        order = self._order.read_text() if self._order.is_file() else ""
        if order == "raise":
            self._order.unlink()
            raise BackendError("The GPU has fallen off the bus.")
        if order.startswith("hang"):
            self._order.unlink()
            ctypes.CDLL(None).sleep(int(order.split()[1]))  # native, and without Python's lock, as a driver waits
        return super().run(inputs)


if __name__ == "__main__":
    given = Path(sys.argv.pop(1))
    BACKENDS["onnxruntime"] = lambda model_path, threads: FaultySession(model_path, threads, given)
    sys.exit(process.main())
