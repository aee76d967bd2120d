"""Which network the settings name."""

from pathlib import Path

import pytest

from face_recognition_ros.assembly import embedding_model_file
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import find_model
from face_recognition_ros.settings import Settings


def test_the_network_is_the_released_one_an_installed_one_or_a_file(tmp_path: Path) -> None:
    released = find_model("face_embedding").path
    own = tmp_path / "own.onnx"
    own.write_bytes(released.read_bytes())
    assert (
        embedding_model_file(Settings()) == embedding_model_file(Settings(embedding_model="face_embedding")) == released
    )
    assert embedding_model_file(Settings(embedding_model=str(own))) == own
    with pytest.raises(ModelError, match="another_network"):
        embedding_model_file(Settings(embedding_model="another_network"))
