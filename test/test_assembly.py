"""Which network the settings name."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.assembly import build_embedder, embedding_model_file
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import find_model
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray


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


def test_the_8_bit_network_agrees_with_the_released_one(astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray) -> None:
    crops = np.stack([cv2.resize(picture, (112, 112)) for picture in (astronaut_bgr, grace_hopper_bgr)])
    vectors = {}
    for name in ("face_embedding", "face_embedding_int8"):
        embedder, _ = build_embedder(Settings(embedding_model=name))
        vectors[name] = embedder.embed(crops)
        assert embedder.description.embedding_size == 64
        embedder.close()
    cosines = (vectors["face_embedding"] * vectors["face_embedding_int8"]).sum(axis=1)
    assert cosines.min() > 0.95
    assert (cosines < 1 - 1e-6).all(), "they are two networks"
