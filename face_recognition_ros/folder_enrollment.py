"""Enrols the people whose pictures lie in a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import EnrollmentError, FaceRecognitionError
from face_recognition_ros.gallery.enrollment import enroll_looks
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.pictures import PersonPictures, read_picture
from face_recognition_ros.recognizer import FaceView, Recognizer
from face_recognition_ros.types import FloatArray


@dataclass(frozen=True, slots=True)
class Rejection:
    """A picture that was not learned from."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class EnrollmentReport:
    """What became of one person."""

    name: str
    looks_kept: int
    """0 where the person was not enrolled."""
    rejections: tuple[Rejection, ...]
    failure: str = ""
    """Why the person was not enrolled; empty where they were."""

    @property
    def enrolled(self) -> bool:
        return not self.failure


def enroll_people(
    assembly: Assembly, people: Sequence[PersonPictures], force: bool = False
) -> Iterator[EnrollmentReport]:
    """Enrols one person after the other, each all or nothing, and reports on each.

    force: also somebody whom the gallery seems to know under another name.
    """
    for person in people:
        yield enroll_person(assembly, person, force)


def enroll_person(assembly: Assembly, person: PersonPictures, force: bool = False) -> EnrollmentReport:
    """Enrols a person from those of the pictures that show one good face."""
    looks: list[Template] = []
    rejections: list[Rejection] = []
    for path in person.paths:
        try:
            view, embedding = look_at(assembly.recognizer, path)
        except FaceRecognitionError as error:
            rejections.append(Rejection(path, str(error)))
        else:
            looks.append(Template(embedding, view.quality.score, str(path)))
    if not looks:
        failure = "no picture of a good face" if rejections else "there is no picture"
        return EnrollmentReport(person.name, 0, tuple(rejections), failure)
    try:
        result = enroll_looks(assembly.store, assembly.matcher, person.name, looks, force)
    except FaceRecognitionError as error:
        return EnrollmentReport(person.name, 0, tuple(rejections), str(error))
    failure = "" if result.identity else result.message
    return EnrollmentReport(person.name, 0 if failure else len(looks), tuple(rejections), failure)


def look_at(recognizer: Recognizer, path: Path) -> tuple[FaceView, FloatArray]:
    """The face of the one person in a picture file, and its embedding (D,), good enough to be learned from.

    Raises ImageError for an unusable file, EnrollmentError for no face, several, or too poor a one.
    """
    view = only_face(recognizer.view(read_picture(path)))
    if view.embedding is None or not view.quality.usable_for_enrollment:
        raise EnrollmentError("; ".join(view.quality.complaints) or "the face is not good enough to be learned from")
    return view, view.embedding


def only_face(views: Sequence[FaceView]) -> FaceView:
    """The face of a picture that shows one; raises EnrollmentError otherwise."""
    if len(views) != 1:
        shown = "no face" if not views else f"{len(views)} faces"
        raise EnrollmentError(f"the picture shows {shown}; it must show exactly one")
    return views[0]
