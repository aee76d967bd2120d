"""Pictures and data that tests of several folders use."""

import fcntl
import importlib.util
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import hypothesis
import pytest

from face_recognition_ros.types import ByteArray

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples in every run, and no verdict about speed: that is for benchmarks/.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def installed_file(package: str, path: str) -> Path:
    """A file that an installed package brings along."""
    spec = importlib.util.find_spec(package)
    assert spec, f"{package} is not installed: run the tests with `make test`"
    return Path(str(spec.origin)).parent / path


def read_bgr(path: Path) -> ByteArray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, f"{path} is not there or is no picture"
    return image


@pytest.fixture(scope="session", autouse=True)
def no_shared_memory_left() -> Iterator[None]:
    """Takes away what nodes that were killed have left in shared memory, megabytes each, as `fastdds shm clean` does.

    FastDDS keeps a lock on the file NAME_el beside each segment NAME while its process lives.
    """
    yield
    for path in Path("/dev/shm").glob("fastrtps_*_el"):
        with suppress(OSError), path.open("rb") as lock:  # it is in use, somebody else's, or gone already
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.with_name(path.name.removesuffix("_el")).unlink(missing_ok=True)
            path.unlink()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the research data, which is never part of the repository; without it the test is skipped."""
    folder = Path(os.environ.get("FACE_RECOGNITION_SHARED", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("research data ../shared/data is not there")
    return folder


@pytest.fixture(scope="session")
def astronaut_path() -> Path:
    """NASA's portrait of Eileen Collins, in the public domain, as scikit-image brings it."""
    return installed_file("skimage", "data/astronaut.png")


@pytest.fixture(scope="session")
def grace_hopper_path() -> Path:
    """The US Navy's portrait of Grace Hopper, in the public domain, as matplotlib brings it."""
    return installed_file("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")


@pytest.fixture
def astronaut_bgr(astronaut_path: Path) -> ByteArray:
    """(512, 512, 3) uint8 BGR; one frontal face."""
    return read_bgr(astronaut_path)


@pytest.fixture
def grace_hopper_bgr(grace_hopper_path: Path) -> ByteArray:
    """(606, 512, 3) uint8 BGR; one frontal face."""
    return read_bgr(grace_hopper_path)
