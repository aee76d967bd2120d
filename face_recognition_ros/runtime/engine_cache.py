"""Keeps built engines on disk, each under everything that it depends on."""

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "FACE_RECOGNITION_ENGINES"
"""Environment variable with the folder, where it shall be another than the usual one."""

Key = Mapping[str, str]
"""All that the content depends on, by name."""


def engine_folder() -> Path:
    """$FACE_RECOGNITION_ENGINES, or $XDG_CACHE_HOME/face_recognition_ros/engines, or that in ~/.cache."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen).expanduser()
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache_home) / "face_recognition_ros" / "engines"


class EngineCache:
    """Files of one folder: a line of JSON with key, length and sha256, then the content.

    What is not there, cut short, damaged or of another key is simply not found; what cannot be written is not kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or engine_folder()

    def path(self, name: str, key: Key) -> Path:
        """Where the content with this key lies, or would; name: what it is, for people."""
        digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()
        return self._folder / f"{re.sub(r'[^0-9A-Za-z._-]', '_', name)}-{digest[:16]}"

    def load(self, name: str, key: Key) -> bytes | None:
        """The content stored under this key; None, and the reason in the log, where there is none that is whole."""
        path = self.path(name, key)
        try:
            with path.open("rb") as file:
                head = json.loads(file.readline(65536))
                content = file.read()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be read and is made anew: %s", path, error)
            return None
        if head != _head(key, content):
            logger.warning("%s is cut short, damaged or of another machine, and is made anew", path)
            return None
        return content

    def store(self, name: str, key: Key, content: bytes) -> None:
        """Keeps the content: whole or, where the disk is full or may not be written, not at all (and says so)."""
        path = self.path(name, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".tmp", delete=False) as file:
                try:
                    file.write(json.dumps(_head(key, content)).encode() + b"\n" + content)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            logger.warning("%s cannot be kept, so that it is made anew at the next start: %s", path, error)

    def discard(self, name: str, key: Key) -> None:
        """Forgets what proved useless."""
        try:
            self.path(name, key).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be deleted: %s", self.path(name, key), error)


def _head(key: Key, content: bytes) -> dict[str, object]:
    return {"key": dict(key), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
