"""A film in which some are enrolled and one is a stranger, galleries for it, and bags of it in both storage kinds."""

# First: the ROS wheels restart the program when they are imported, so before any test runs.
import rclpy  # noqa: F401  # isort: skip

from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.demo.cast import Portrait, first_portrait, standard_cast
from face_recognition_ros.demo.scenes import Film
from face_recognition_ros.folder_enrollment import enroll_person
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray

from .scenes import write_bag

FRAMES = 150
"""Of the whole film: with fewer the camera moves too fast for a face to be judged."""
SHOWN = (range(8, 46), range(84, 150))
"""Frames that the tests use: Eileen Collins; then the stranger, and all three of them."""


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eileen Collins and Grace Hopper."""
    path = tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"
    with assemble(Settings(gallery=str(path))) as assembly:
        for person in standard_cast():
            if person.enrolled:
                assert enroll_person(assembly, person.pictures).enrolled
    return path


@pytest.fixture(scope="session", params=["Eileen Collins", "Grace Hopper"])
def learning_gallery(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made so that the film teaches something: a better look at Eileen Collins, or, where only Grace Hopper is in it,
    a stranger who is remembered, and comes back.
    """
    path = tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"
    (person,) = [person for person in standard_cast() if person.pictures.name == request.param]
    with assemble(Settings(gallery=str(path))) as assembly:
        look = poor_look(assembly, read_picture(person.pictures.paths[0]))
        assembly.store.enroll(person.pictures.name, [look])
    return path


def poor_look(assembly: Assembly, picture: ByteArray) -> Template:
    """A look at the same person in another light, mirrored and blurred."""
    poorer = 0.45 * cv2.GaussianBlur(picture[:, ::-1].astype(np.float32), (0, 0), 3.0)
    (view,) = assembly.recognizer.view(poorer.astype(np.uint8))
    assert view.embedding is not None
    return Template(view.embedding, 0.9)


@pytest.fixture(scope="session")
def portraits() -> list[Portrait]:
    with assemble(Settings()) as assembly:
        return [found for person in standard_cast() if (found := first_portrait(person, assembly.recognizer)[0])]


@pytest.fixture(scope="session")
def film(portraits: list[Portrait]) -> list[ByteArray]:
    """(480, 640, 3) uint8 BGR each."""
    whole = Film(portraits, FRAMES)
    return [whole.frame(number) for shown in SHOWN for number in shown]


@pytest.fixture(scope="session")
def bag(tmp_path_factory: pytest.TempPathFactory, film: list[ByteArray]) -> Path:
    """The film as a bag of SQLite."""
    return write_bag(tmp_path_factory.mktemp("bags") / "visit", film)


@pytest.fixture(scope="session")
def mcap(tmp_path_factory: pytest.TempPathFactory, film: list[ByteArray]) -> Path:
    """The film as an MCAP bag."""
    return write_bag(tmp_path_factory.mktemp("bags") / "visit", film, StoragePlugin.MCAP)
