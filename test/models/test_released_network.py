"""The embedding network that comes with the package: whole, described, and able to tell two people apart."""

import cv2
import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray, FloatArray


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    return assemble(Settings())


def embedding(assembly: Assembly, picture: ByteArray) -> FloatArray:
    (view,) = assembly.recognizer.view(picture)
    assert view.embedding is not None
    return view.embedding


def spoiled(picture: ByteArray) -> list[ByteArray]:
    """The same face smaller, darker, mirrored, and squeezed by JPEG."""
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return [
        cv2.resize(picture, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
        (picture * 0.6).astype(np.uint8),
        np.ascontiguousarray(picture[:, ::-1]),
        cv2.imdecode(jpeg, cv2.IMREAD_COLOR),
    ]


def test_embeddings_are_unit_vectors_of_the_size_described(assembly: Assembly, astronaut_bgr: ByteArray) -> None:
    vector = embedding(assembly, astronaut_bgr)
    assert vector.shape == (64,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert assembly.model_id.startswith("efficientnet_lite0-64-")


def test_the_same_person_resembles_herself_more_than_another(
    assembly: Assembly, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    people = {"Eileen Collins": astronaut_bgr, "Grace Hopper": grace_hopper_bgr}
    line = assembly.calibration.accept_similarity(1e-3, 1)
    for name, picture in people.items():
        enrolled = embedding(assembly, picture)
        (other,) = (embedding(assembly, people[another]) for another in people if another != name)
        assert enrolled @ other < line
        for look in spoiled(picture):
            assert enrolled @ embedding(assembly, look) > line


def test_a_batch_gives_what_single_crops_give(assembly: Assembly, astronaut_bgr: ByteArray) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)
    (view,) = assembly.recognizer.view(astronaut_bgr)
    assert view.aligned is not None
    crops[3] = view.aligned.crop
    together = assembly.embedder.embed(crops)
    alone = np.concatenate([assembly.embedder.embed(crop[None]) for crop in crops])
    assert np.allclose(together, alone, atol=1e-5)


def test_the_accept_line_rises_with_the_gallery(assembly: Assembly) -> None:
    lines = [assembly.calibration.accept_similarity(1e-3, people) for people in (1, 10, 100, 1000)]
    assert lines == sorted(lines)
    assert 0 < lines[0] < lines[-1] < 1
