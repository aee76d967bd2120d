"""Makes the gallery of a test: a copy of a file, or people enrolled from their pictures."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from sqlite3 import DatabaseError, connect

from face_recognition_ros.assembly import assemble
from face_recognition_ros.errors import EnrollmentError, GalleryError
from face_recognition_ros.folder_enrollment import enroll_people
from face_recognition_ros.gallery.inspection import read_only
from face_recognition_ros.pictures import PersonPictures, people_in
from face_recognition_ros.settings import Settings

GallerySource = Path | Mapping[str, Path | Sequence[Path]]
"""A gallery file, a folder of pictures NAME.jpg or NAME/*.jpg, or the picture files of each name."""


def make_gallery(path: Path, source: GallerySource, settings: Settings | None = None) -> None:
    """Makes a gallery file at `path`; a source that is a gallery file is only read.

    settings: how its people are enrolled. Raises GalleryError where a file is not there or no gallery, ImageError for
    a folder without people, and EnrollmentError with all reasons where somebody could not be enrolled.
    """
    if isinstance(source, Path) and not source.is_dir():
        _copy(source, path)
    elif isinstance(source, Path):
        _enroll(path, people_in(source), settings)
    else:
        pictures = {name: (paths,) if isinstance(paths, Path) else tuple(paths) for name, paths in source.items()}
        _enroll(path, [PersonPictures(name, paths) for name, paths in pictures.items()], settings)


def _copy(source: Path, path: Path) -> None:
    if not source.is_file():
        raise GalleryError(f"There is no gallery file and no folder of pictures {source}.")
    try:
        with read_only(source) as original, closing(connect(path)) as copy:
            original.backup(copy)
    except DatabaseError as error:
        raise GalleryError(f"{source} is no gallery file that can be copied: {error}.") from error
    path.chmod(0o600)


def _enroll(path: Path, people: Sequence[PersonPictures], settings: Settings | None) -> None:
    with assemble(Settings.of(**{**_values(settings), "gallery": str(path)})) as assembly:
        failed = [report for report in enroll_people(assembly, people) if not report.enrolled]
    if failed:
        reasons = [
            "; ".join([f"{report.name}: {report.failure}", *(f"{bad.path}: {bad.reason}" for bad in report.rejections)])
            for report in failed
        ]
        raise EnrollmentError(f"The test's gallery lacks people. {'. '.join(reasons)}.")


def _values(settings: Settings | None) -> dict[str, object]:
    return {name: getattr(settings, name) for name in Settings.__dataclass_fields__} if settings else {}
