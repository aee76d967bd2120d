"""Finding model files and holding them against their descriptions."""

import hashlib
import json
from pathlib import Path

import pytest

from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import find_model, load_model_file

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACE_RECOGNITION_MODELS", str(tmp_path))
    path = tmp_path / "some_network.onnx"
    path.write_bytes(CONTENT)
    description = {"name": "some_network", "sha256": SHA256, "description": "for a test", "embedding_size": 64}
    path.with_suffix(".json").write_text(json.dumps(description))
    return path


def test_model_is_found_and_described(model: Path) -> None:
    found = find_model("some_network")
    assert (found.path, found.sha256) == (model, SHA256)
    assert found.description is not None
    assert found.description.description == "for a test"
    assert found.description.extra == {"embedding_size": 64}


def test_first_folder_wins(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for suffix in (".onnx", ".json"):
        (other / f"some_network{suffix}").write_bytes(model.with_suffix(suffix).read_bytes())
    monkeypatch.setenv("FACE_RECOGNITION_MODELS", f"{other}:{tmp_path}")
    assert find_model("some_network").path.parent == other


def test_user_folder_is_searched(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "face_recognition_ros" / "models"
    folder.mkdir(parents=True)
    for suffix in (".onnx", ".json"):
        model.with_suffix(suffix).rename(folder / f"some_network{suffix}")
    monkeypatch.delenv("FACE_RECOGNITION_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert find_model("some_network").path.parent == folder


def test_missing_model_names_the_way_to_make_it() -> None:
    with pytest.raises(ModelError, match=r"make setup.*mtcnn_export WHEEL"):
        find_model("no_such_network")


def test_changed_model_is_refused_with_both_sums(model: Path) -> None:
    model.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelError, match=f"{hashlib.sha256(CONTENT[:-1]).hexdigest()}.*{SHA256}"):
        find_model("some_network")
    with pytest.raises(ModelError, match="cut short"):
        load_model_file(model)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "some_network"}'])
def test_bad_description(model: Path, text: str) -> None:
    model.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match=r"some_network\.json"):
        find_model("some_network")


def test_description_is_required_in_the_catalog_but_not_of_a_users_file(model: Path) -> None:
    model.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="is missing"):
        find_model("some_network")
    assert load_model_file(model).sha256 == SHA256
    with pytest.raises(ModelError, match="no model file"):
        load_model_file(model.with_name("other.onnx"))
