"""Which network and which gallery the settings name."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.assembly import assemble, build_embedder, embedding_model_file, open_gallery
from face_recognition_ros.errors import GalleryError, ModelError
from face_recognition_ros.gallery.store import Template
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


def test_the_key_of_an_encrypted_gallery_is_made_with_the_gallery_and_never_again(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "key"
    settings = Settings(gallery=str(tmp_path / "gallery"), gallery_key=str(key))
    open_gallery(settings, "net", 8).close()
    assert key.stat().st_mode & 0o777 == 0o600
    with open_gallery(settings, "net", 8) as store:
        store.enroll("Annabella", [Template(np.eye(8, dtype=np.float32)[0], 0.9)])
    assert b"Annabella" not in (tmp_path / "gallery").read_bytes()
    key.unlink()
    with pytest.raises(GalleryError, match="no key file"):
        open_gallery(settings, "net", 8)
    assert not key.exists()


def test_a_gallery_in_memory_needs_no_key(tmp_path: Path) -> None:
    open_gallery(Settings(gallery_key=str(tmp_path / "key")), "net", 8).close()
    assert list(tmp_path.iterdir()) == []


def test_the_settings_reach_who_learns(astronaut_bgr: ByteArray) -> None:
    """With store_crops, what is remembered of a stranger can be taken over by another network."""
    settings = Settings(remember_unknown=True, unknown_max_age=100.0, store_crops=True, learn_observed=False)
    with assemble(settings) as assembly:
        assert not assembly.learner.options.learn_observed
        for step in range(8):
            faces = assembly.recognizer.process(astronaut_bgr, 0.25 * step).faces
            assembly.learner.apply(assembly.learner.watch(faces, 0.25 * step))
        (stranger,) = assembly.store.list_identities()
        assert stranger.remembered
        assert stranger.expires is not None
        assert 0 < stranger.expires - stranger.created <= 101.0
        assert assembly.recognizer.process(astronaut_bgr, 2.0).faces[0].decision.stranger is not None
