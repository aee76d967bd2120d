"""Who appears in the demo: portraits from installed packages or from a folder, some enrolled, one left a stranger."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from face_recognition_ros.errors import FaceRecognitionError, ImageError
from face_recognition_ros.folder_enrollment import Rejection, only_face, too_poor
from face_recognition_ros.pictures import PersonPictures, people_in, read_picture
from face_recognition_ros.recognizer import Recognizer

EILEEN_COLLINS = ("skimage", "data/astronaut.png")
"""NASA's portrait, in the public domain, as scikit-image brings it."""
GRACE_HOPPER = ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")
"""The US Navy's portrait, in the public domain, as matplotlib brings it."""
STRANGER = ("mahotas", "demos/data/luispedro.jpg")
"""The author of mahotas, as his package (MIT licence) brings him; never enrolled."""

FEWEST_WITH_STRANGER = 3
"""Of so many people in the user's own folder, the last one is left out of the gallery."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture on the demo's wall."""

    name: str
    picture: str
    """Path of the file."""
    box: tuple[float, float, float, float]
    """The face in the picture, pixels: left, top, right, bottom."""
    enrolled: bool


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who appears."""

    pictures: PersonPictures
    enrolled: bool


def installed_file(package: str, path: str) -> Path:
    """A file that an installed package brings along, found without importing the package; raises ImageError."""
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).parent / path if spec is not None and spec.origin is not None else None
    if file is None or not file.is_file():
        raise ImageError(f"the demo needs {path} of the Python package {package}; `make setup` installs it")
    return file


def standard_cast() -> list[Person]:
    """Eileen Collins and Grace Hopper, who will be enrolled, and a stranger."""
    enrolled = {"Eileen Collins": EILEEN_COLLINS, "Grace Hopper": GRACE_HOPPER}
    people = [Person(PersonPictures(name, (installed_file(*place),)), True) for name, place in enrolled.items()]
    return [*people, Person(PersonPictures("the stranger", (installed_file(*STRANGER),)), False)]


def cast_from(folder: Path) -> list[Person]:
    """The people of a folder as for `enroll`, by name; of three or more, the last one stays a stranger."""
    people = [person for person in people_in(folder) if person.paths]
    strangers = 1 if len(people) >= FEWEST_WITH_STRANGER else 0
    return [Person(person, i < len(people) - strangers) for i, person in enumerate(people)]


def first_portrait(person: Person, recognizer: Recognizer) -> tuple[Portrait | None, tuple[Rejection, ...]]:
    """The first of somebody's pictures that shows one face, good enough, and why not those before it."""
    rejections: list[Rejection] = []
    for path in person.pictures.paths:
        try:
            return portrait(person, path, recognizer), tuple(rejections)
        except FaceRecognitionError as error:
            rejections.append(Rejection(path, str(error)))
    return None, tuple(rejections)


def portrait(person: Person, path: Path, recognizer: Recognizer) -> Portrait:
    """One picture with the place of its face, good enough to be learned from, or, of a stranger, to be compared.

    Raises EnrollmentError for no face, several, or too poor a one.
    """
    view = only_face(recognizer, read_picture(path))
    quality = view.quality
    if not (quality.usable_for_enrollment if person.enrolled else quality.usable_for_matching):
        raise too_poor(view)
    left, top, right, bottom = (float(value) for value in view.detection.box)
    return Portrait(person.pictures.name, str(path), (left, top, right, bottom), person.enrolled)


def save_cast(path: Path, portraits: Sequence[Portrait]) -> None:
    """Writes them as JSON, for the camera process."""
    path.write_text(json.dumps([asdict(entry) for entry in portraits], indent=2, ensure_ascii=False), encoding="utf-8")


def load_cast(path: Path) -> list[Portrait]:
    """What save_cast has written."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return [Portrait(**(entry | {"box": tuple(entry["box"])})) for entry in entries]
