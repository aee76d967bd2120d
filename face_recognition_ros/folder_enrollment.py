"""Learns people from pictures, and enrols those whose pictures lie in a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import EnrollmentError, EnrollmentFailure, FaceRecognitionError
from face_recognition_ros.gallery.enrollment import TOO_POOR, EnrollmentTerms, enroll_looks
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.pictures import PersonPictures, encode_png, read_picture
from face_recognition_ros.recognizer import FaceView, Recognizer
from face_recognition_ros.types import ByteArray, FloatArray


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
    """Enrols a person from those of the pictures that show one good face; a look that is stored already stays one."""
    looks: list[Template] = []
    rejections: list[Rejection] = []
    for path in person.paths:
        try:
            picture = read_picture(path)
            looks.append(template_from(assembly.recognizer, picture, str(path), assembly.settings.store_crops))
        except FaceRecognitionError as error:
            rejections.append(Rejection(path, str(error)))
    if not looks:
        failure = "no picture of a good face" if rejections else "there is no picture"
        return EnrollmentReport(person.name, 0, tuple(rejections), failure)
    try:
        result = enroll_looks(assembly.store, assembly.matcher, person.name, looks, EnrollmentTerms(force))
    except FaceRecognitionError as error:
        return EnrollmentReport(person.name, 0, tuple(rejections), str(error))
    failure = "" if result.identity else result.message
    return EnrollmentReport(person.name, 0 if failure else len(looks), tuple(rejections), failure)


def template_from(recognizer: Recognizer, picture: ByteArray, source: str, store_crop: bool = False) -> Template:
    """What a picture, (H, W, 3) uint8 BGR, teaches about the one person in it; raises as `only_good_face`."""
    view, embedding = only_good_face(recognizer, picture)
    crop = encode_png(view.aligned.crop) if store_crop and view.aligned is not None else None
    return Template(embedding, view.quality.score, source, crop)


def only_good_face(recognizer: Recognizer, picture: ByteArray) -> tuple[FaceView, FloatArray]:
    """The one face in a picture, (H, W, 3) uint8 BGR, good enough to be learned from, and its embedding (D,).

    Raises EnrollmentError for no face, several, or too poor a one.
    """
    view = only_face(recognizer, picture)
    if view.embedding is None or not view.quality.usable_for_enrollment:
        raise too_poor(view)
    return view, view.embedding


def only_face(recognizer: Recognizer, picture: ByteArray) -> FaceView:
    """The one face in a picture, (H, W, 3) uint8 BGR, however good; raises EnrollmentError for no face, and several."""
    views = recognizer.view(picture)
    if len(views) != 1:
        shown = "no face" if not views else f"{len(views)} faces"
        failure = EnrollmentFailure.SEVERAL_FACES if views else EnrollmentFailure.NO_FACE
        raise EnrollmentError(f"the picture shows {shown}; it must show exactly one", failure)
    return views[0]


def too_poor(view: FaceView) -> EnrollmentError:
    """Says what is wrong with a face, and what would be right."""
    return EnrollmentError("; ".join(view.quality.complaints) or TOO_POOR, EnrollmentFailure.QUALITY)
