"""Which network and which gallery the settings name."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly, assemble, build_embedder, embedding_model_file, open_gallery
from face_recognition_ros.errors import BackendError, GalleryError, ModelError
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.models import find_model
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.settings import Settings
from face_recognition_ros.streams import StreamFrame, process_together
from face_recognition_ros.types import ByteArray, IdentityStatus, RecognizedFace


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


def test_a_thread_that_returns_from_networks_that_were_given_up_changes_nothing(
    astronaut_bgr: ByteArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with assemble(Settings(min_face_size=80.0)) as assembly:
        (face,) = assembly.recognizer.process(astronaut_bgr, 1.0).faces
        former = assembly.recognizer
        assembly.give_up_networks()
        with pytest.raises(BackendError, match="not loaded again yet"):
            assembly.recognizer.process(astronaut_bgr, 1.1)
        with pytest.raises(RuntimeError, match="its successor takes the frames"):
            former.process(astronaut_bgr, 1.1)
        monkeypatch.setattr("face_recognition_ros.assembly.warm_up", lambda *_: assembly.give_up_networks())
        with pytest.raises(BackendError, match="took so long that it was given up"):
            assembly.load_networks()
        assert assembly.lacks_networks
        monkeypatch.undo()
        assembly.load_networks()
        (again,) = assembly.recognizer.process(astronaut_bgr, 1.2).faces
        assert again.track_id == face.track_id + 1


def test_streams_share_networks_gallery_and_track_ids_also_after_the_networks_were_given_up(
    astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    pictures = (astronaut_bgr, grace_hopper_bgr)

    def process(assembly: Assembly, stamp: float) -> list[list[RecognizedFace]]:
        frames = {stream: StreamFrame(picture, stamp) for stream, picture in enumerate(pictures)}
        results = process_together(assembly.recognizers, frames)
        return [list(result.faces) for result in results.values() if isinstance(result, FrameResult)]

    with assemble(Settings(min_face_size=80.0), streams=2) as assembly:
        (front,), (back,) = process(assembly, 1.0)
        assert (front.track_id, back.track_id) == (1, 2)
        assert [assembly.stream_of(number) for number in (1, 2, 3)] == [0, 1, 0]
        assert front.embedding is not None
        assembly.store.enroll("Eileen Collins", [Template(front.embedding, front.quality.score)])
        pictures = (grace_hopper_bgr, astronaut_bgr)
        for step in range(3):
            (stranger,), (known,) = process(assembly, 1.1 + step / 30)
        assert known.decision.identity is not None, "known on the other stream"
        assert stranger.decision.status is IdentityStatus.UNKNOWN
        assembly.give_up_networks()
        assert process(assembly, 1.3) == []
        assembly.load_networks()
        (front,), (back,) = process(assembly, 1.4)
        assert (front.track_id, back.track_id) == (stranger.track_id + 2, known.track_id + 2)


def standing_at(portrait: ByteArray, number: int) -> ByteArray:
    """(480, 640, 3) frame with the person of a portrait a little beside the middle, swaying; number: of the frame."""
    small = np.asarray(cv2.resize(portrait[:500, :500], (400, 400), interpolation=cv2.INTER_AREA), np.uint8)
    frame = np.full((480, 640, 3), 120, np.uint8)
    left, top = 120 + round(6 * np.sin(number / 5)), 60 + round(3 * np.cos(number / 7))
    frame[top : top + 400, left : left + 400] = small
    return frame


def test_in_video_who_takes_over_a_place_never_wears_the_name(
    astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    """The real networks, everything done less often than each frame, and a swap at any moment between two looks."""
    other = grace_hopper_bgr[60:, 30:]  # her face is then about where the astronaut's is
    with assemble(Settings()) as assembly:
        looks = [assembly.recognizer.view(standing_at(astronaut_bgr, number))[0] for number in range(0, 20, 4)]
        templates = [Template(look.embedding, look.quality.score) for look in looks if look.embedding is not None]
        assembly.store.enroll("Eileen Collins", templates)
        for swap in range(30, 36):
            assembly.recognizer.reset_tracks()
            named, embedded = [], []
            for number in range(60):
                picture = astronaut_bgr if number < swap else other
                (face,) = assembly.recognizer.process(standing_at(picture, number), 100.0 * swap + number / 30).faces
                named.append(face.decision.status is IdentityStatus.KNOWN)
                embedded.append(face.embedding is not None)
            assert all(named[5:swap])
            assert not any(named[swap:]), "she looks different from afar, so the first frame is looked at"
            assert sum(embedded[:swap]) < swap / 2
