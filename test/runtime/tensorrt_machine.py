"""A machine with TensorRT and a GPU, neither of which is there."""

import sys
from pathlib import Path
from typing import Any

import pytest

from face_recognition_ros.runtime.engine_cache import FOLDER_VARIABLE

from .fake_cuda import FakeGpu, fake_cuda
from .fake_tensorrt import FakeTensorRt

VERSIONS = ("10.3.0", "10.16.1.11", "11.4.0.106")


class Machine:
    """What is installed on it, and its folder of engines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, engines: Path, version: str = VERSIONS[0]) -> None:
        self._monkeypatch = monkeypatch
        self.engines = engines
        monkeypatch.setenv(FOLDER_VARIABLE, str(engines))
        self.install(version)

    def install(self, version: str, gpu: FakeGpu | None = None, cuda: str = "cuda.bindings.runtime") -> None:
        """Another TensorRT, another GPU, or cuda-python under its old name: a new process would find this."""
        self.gpu = gpu or FakeGpu()
        self.tensorrt = FakeTensorRt(self.gpu, version)
        self._set("tensorrt", self.tensorrt.module())
        for name in ("cuda.bindings.runtime", "cuda.cudart"):
            self._set(name, fake_cuda(self.gpu) if name == cuda else None)

    def remove(self, module: str) -> None:
        self._set(module, None)

    def engine_files(self) -> list[Path]:
        return sorted(path for path in self.engines.iterdir() if not path.name.startswith("timings"))

    def _set(self, name: str, module: Any) -> None:
        self._monkeypatch.setitem(sys.modules, name, module)
