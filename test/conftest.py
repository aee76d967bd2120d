"""Pictures and data that tests of several folders use."""

import importlib.util
import os
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
