"""Reads picture files, and finds the pictures of each person in a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from face_recognition_ros.errors import ImageError
from face_recognition_ros.gallery.names import name_key
from face_recognition_ros.types import ByteArray

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class PersonPictures:
    """The picture files that show one person."""

    name: str
    paths: tuple[Path, ...]


def read_picture(path: Path) -> ByteArray:
    """The picture in a file as (H, W, 3) uint8 BGR, turned upright as its EXIF orientation says.

    Raises ImageError where there is no such file or it holds no picture.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {path}") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}") from error
    # Decoding from memory, as cv2.imread takes no note of why it failed and writes warnings of its own.
    return decode_picture(content, str(path))


def decode_picture(content: bytes, name: str) -> ByteArray:
    """The picture in a file's content as (H, W, 3) uint8 BGR, turned upright as its EXIF orientation says.

    Raises ImageError, in which it has that name, where there is none.
    """
    picture = _decode(np.frombuffer(content, np.uint8)) if content else None
    if picture is None:
        raise ImageError(
            f"{name} is no picture that can be decoded ({len(content)} bytes); JPEG and PNG are good choices"
        )
    return picture


def encode_png(picture: ByteArray) -> bytes:
    """The picture, (H, W, 3) uint8 BGR, as a PNG file's bytes, without loss."""
    return cv2.imencode(".png", picture)[1].tobytes()


def _decode(data: ByteArray) -> ByteArray | None:
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:  # e.g. a header that claims more pixels than OpenCV allows
        return None
    return None if picture is None else np.asarray(picture, np.uint8)


def person_name(path: Path) -> str:
    """The name that a file or folder gives: Grace_Hopper.jpg and Grace_Hopper/ both show Grace Hopper."""
    stem = path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name
    return " ".join(stem.replace("_", " ").split())


def people_in(folder: Path) -> list[PersonPictures]:
    """The people of a folder, by name: each has one picture NAME.jpg, or a folder NAME/ of pictures, or both.

    Hidden entries and files that are no pictures are passed over. Raises ImageError where the folder is not there, or
    shows nobody.
    """
    if not folder.is_dir():
        raise ImageError(f"there is no folder {folder}; give one that holds NAME.jpg or NAME/ for each person")
    people: dict[str, tuple[str, list[Path]]] = {}
    for entry in _visible(folder):
        pictures = [path for path in _visible(entry) if _is_picture(path)] if entry.is_dir() else [entry]
        if entry.is_dir() or _is_picture(entry):
            name = person_name(entry)
            people.setdefault(name_key(name), (name, []))[1].extend(pictures)
    if not people:
        raise ImageError(f"{folder} shows nobody: it holds neither a picture NAME.jpg nor a folder NAME/ of pictures")
    return [PersonPictures(name, tuple(paths)) for _, (name, paths) in sorted(people.items())]


def _visible(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES
