"""The faces of test pictures, and networks to compare with."""

from pathlib import Path

import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import ModelError
from face_recognition_ros.evaluation.faces import OURS, FaceFinder, ForeignNetwork, central_view, load_reference
from face_recognition_ros.models import find_model
from face_recognition_ros.types import ByteArray


class Session:
    """A network that gives the mean of each colour channel; it takes one face at a time."""

    def __init__(self, shape: tuple[int | None, ...]) -> None:
        self.inputs = {"x": shape}
        self.outputs = ("y",)
        self.metadata: dict[str, str] = {}
        self.backend = "none"
        self.batches: list[int] = []

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.batches.append(len(inputs["x"]))
        return [inputs["x"].mean(axis=(2, 3))]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("batch", "batches"), [(1, [1, 1]), (None, [2])])
def test_a_foreign_network_gets_scaled_rgb_and_gives_unit_vectors(batch: int | None, batches: list[int]) -> None:
    session = Session((batch, 3, 112, 112))
    crops = np.zeros((2, 112, 112, 3), np.uint8)
    crops[0] += np.array([127, 127, 255], np.uint8)  # red, as BGR
    crops[1] += np.array([255, 0, 255], np.uint8)
    vectors = ForeignNetwork(session).embed(crops)
    red = np.array([127.5, -0.5, -0.5])
    assert vectors[0] == pytest.approx(red / np.linalg.norm(red), abs=1e-6)
    assert vectors[1] == pytest.approx(np.array([1, -1, 1]) / np.sqrt(3), abs=1e-6)
    assert vectors.dtype == np.float32
    assert session.batches == batches


def test_a_network_of_another_form_is_refused() -> None:
    with pytest.raises(ModelError, match="3, 112, 112"):
        ForeignNetwork(Session((None, 112, 112, 3)))


def test_one_of_our_networks_can_be_the_reference(
    assembly: Assembly, pairs_folder: Path, portraits: dict[str, ByteArray]
) -> None:
    own = load_reference(find_model("face_embedding").path)
    face = FaceFinder(assembly.recognizer, pairs_folder / "images", own)("Grace_Hopper/Grace_Hopper_0001.jpg")
    assert face is not None
    ours, theirs = face.embeddings.values()
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_the_subject_is_the_face_in_the_middle(assembly: Assembly, portraits: dict[str, ByteArray]) -> None:
    eileen, grace = portraits.values()
    picture = np.hstack([grace, eileen, grace])
    views = assembly.recognizer.view(picture)
    assert len(views) == 3
    subject = central_view(views, picture)
    assert subject is not None
    assert 256 < subject.detection.landmarks[2, 0] < 512
    assert central_view([], picture) is None


def test_each_picture_is_looked_at_once(assembly: Assembly, pairs_folder: Path) -> None:
    finder = FaceFinder(assembly.recognizer, pairs_folder / "images")
    face = finder("Eileen_Collins/Eileen_Collins_0001.jpg")
    assert face is not None
    assert list(face.embeddings) == [OURS]
    assert finder("Eileen_Collins/Eileen_Collins_0001.jpg") is face
    assert finder("Eileen_Collins/Eileen_Collins_0005.jpg") is None, "a grey wall"
