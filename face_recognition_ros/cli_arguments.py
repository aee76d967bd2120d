"""What several commands of `face-recognition` share: arguments and their meaning, libraries that may be missing."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from face_recognition_ros.errors import FaceRecognitionError, SettingsError

if TYPE_CHECKING:
    from face_recognition_ros.settings import Settings


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The argument --set NAME=VALUE."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="one of the node's parameters, such as detector=yunet or min_face_size=60; may be repeated",
    )  # fmt: skip


def settings_of(arguments: argparse.Namespace) -> "Settings":
    """The settings that --set gives, and --gallery where there is that argument; raises SettingsError."""
    from face_recognition_ros.settings import Settings

    values = dict(parse_setting(text) for text in arguments.settings)
    gallery = {"gallery": str(arguments.gallery)} if "gallery" in arguments else {}
    return Settings.of(**(values | gallery))


def parse_setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE as name and value, of the type that the setting has; raises SettingsError."""
    from face_recognition_ros.settings import Settings, specs

    name, equals, value = text.partition("=")
    if not equals or name not in specs():
        raise SettingsError(f"--set takes NAME=VALUE, not {text!r}; the names are {', '.join(specs())}")
    default = getattr(Settings(), name)
    try:
        if isinstance(default, bool):
            return name, {"true": True, "false": False}[value.lower()]
        if isinstance(default, tuple):
            return name, tuple(float(number) for number in value.split(","))
        return name, type(default)(value)
    except (KeyError, ValueError) as error:
        raise SettingsError(f"{name} must be given as {default!r} is, not as {value!r}") from error


@contextmanager
def libraries(what: str, packages: str) -> Iterator[None]:
    """Around imports that `what` needs; raises FaceRecognitionError that says how the packages are installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise FaceRecognitionError(
            f"{what} needs {error.name}, which is not installed: `pip install {packages}`"
        ) from error
