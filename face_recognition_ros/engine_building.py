"""Builds the TensorRT engines of all networks ahead of the robot's first start, and shows how far it is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from face_recognition_ros.assembly import embedding_model_file
from face_recognition_ros.detection import detector_kind
from face_recognition_ros.errors import BackendError, UnsuitedNetworkError
from face_recognition_ros.runtime.tensorrt_build import Progress, load_tensorrt
from face_recognition_ros.runtime.tensorrt_opening import Engine
from face_recognition_ros.settings import Settings


def build_engines(settings: Settings) -> int:
    """A line per network on stdout. Returns the exit code: 0 all engines are there and right, 1 not all.

    A network that TensorRT is not used for is none of them. An engine that is in the cache is only checked, so what was
    stopped goes on where it was. Raises BackendError where TensorRT cannot be used here, KeyboardInterrupt when it is
    stopped.
    """
    failures = 0
    load_tensorrt()
    for path in network_files(settings):
        try:
            engine = Engine(path, settings.threads)
            print(f"{engine.name}: {_make(engine)}: {engine.path}", flush=True)
        except UnsuitedNetworkError as error:
            print(f"{path.stem}: left to ONNX Runtime: {error}", flush=True)
        except BackendError as error:
            failures += 1
            print(f"{path.stem}: {error}", file=sys.stderr, flush=True)
    return 1 if failures else 0


def network_files(settings: Settings) -> list[Path]:
    """The networks that a node with these settings runs through runtime/, the largest last."""
    return [*detector_kind(settings.detector).model_files(settings.detector_model), embedding_model_file(settings)]


def _make(engine: Engine) -> str:
    session = engine.from_cache()
    words = "was there"
    if session is None:
        with _progress_of(engine.name) as progress:
            session, findings = engine.build(progress)
        words = f"built, {findings}"
    session.close()
    return words


@contextmanager
def _progress_of(name: str) -> Iterator[Progress]:
    """One bar; TensorRT's phases follow each other in it. It stays off where stderr is no terminal."""
    with tqdm(desc=name, unit="step", file=sys.stderr, disable=None, leave=False) as bar:

        def show(phase: str, done: int, total: int) -> bool:
            bar.set_description(f"{name}: {phase}", refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()
            return True

        yield show
