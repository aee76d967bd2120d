"""Where engines are kept; what becomes of bad files is in test_tensorrt.py."""

from pathlib import Path

import pytest

from face_recognition_ros.runtime.engine_cache import FOLDER_VARIABLE, EngineCache, engine_folder

KEY = {"GPU": "Orin", "TensorRT": "10.3.0"}


def test_what_is_stored_is_found_under_its_key_alone(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "a" / "folder")
    cache.store("net", KEY, b"\n{content\n")
    assert cache.load("net", KEY) == b"\n{content\n"
    assert cache.load("net", KEY | {"GPU": "Thor"}) is None
    assert cache.load("other", KEY) is None
    cache.store("net", KEY, b"")
    assert cache.load("net", KEY) == b"", "replaced"
    assert [path.name for path in (tmp_path / "a" / "folder").iterdir()] == [cache.path("net", KEY).name]
    cache.discard("net", KEY)
    cache.discard("net", KEY)
    assert cache.load("net", KEY) is None


def test_a_network_may_be_called_anything(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.store("../mein Netz", KEY, b"content")
    assert [path.parent for path in tmp_path.iterdir()] == [tmp_path]
    assert cache.load("../mein Netz", KEY) == b"content"


def test_the_folder_can_be_chosen_and_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert engine_folder() == tmp_path / ".cache" / "face_recognition_ros" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert engine_folder() == tmp_path / "cache" / "face_recognition_ros" / "engines"
    monkeypatch.setenv(FOLDER_VARIABLE, "~/engines")
    assert engine_folder() == tmp_path / "engines"
    EngineCache().store("net", KEY, b"content")
    assert (tmp_path / "engines").stat().st_mode & 0o777 == 0o700
