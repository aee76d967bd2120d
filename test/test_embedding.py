"""The embedder: colour order, empty batches, and what a network must say of itself."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from face_recognition_ros.embedding import METADATA_KEY, FaceEmbedder, NetworkDescription
from face_recognition_ros.errors import ModelError

DESCRIPTION = {"model_id": "mean-colour", "embedding_size": 3, "calibration": {}}


class MeanColour:
    """A session whose embedding is the mean colour, so that the order of channels shows."""

    inputs: Mapping[str, tuple[int | None, ...]] = {"faces": (None, 112, 112, 3)}
    outputs = ("embeddings",)
    metadata: Mapping[str, str] = {METADATA_KEY: json.dumps(DESCRIPTION)}
    backend = "numpy"

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        assert inputs["faces"].flags.c_contiguous
        assert inputs["faces"].dtype == np.uint8
        return [inputs["faces"].mean(axis=(1, 2)).astype(np.float32)]

    def close(self) -> None:
        self.metadata = {}


def test_crops_reach_the_network_in_rgb() -> None:
    crop = np.zeros((1, 112, 112, 3), np.uint8)
    crop[..., 0] = 200  # blue, as frames and crops are BGR
    assert FaceEmbedder(MeanColour()).embed(crop).tolist() == [[0.0, 0.0, 200.0]]


def test_no_crop_is_no_vector() -> None:
    vectors = FaceEmbedder(MeanColour()).embed(np.empty((0, 112, 112, 3), np.uint8))
    assert vectors.shape == (0, 3)
    assert vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({}, "no metadata entry"),
        ({METADATA_KEY: "not json"}, "not usable"),
        ({METADATA_KEY: '{"model_id": "x"}'}, "embedding_size"),
    ],
)
def test_a_network_without_a_description_is_refused(metadata: dict[str, str], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        NetworkDescription.of(metadata)


def test_a_network_with_another_input_is_refused() -> None:
    session = MeanColour()
    session.inputs = {"faces": (None, 3, 160, 160)}
    with pytest.raises(ModelError, match="must take one uint8 RGB input"):
        FaceEmbedder(session)


def test_a_network_that_gives_other_vectors_than_described_is_refused() -> None:
    session = MeanColour()
    session.metadata = {METADATA_KEY: json.dumps(DESCRIPTION | {"embedding_size": 64})}
    with pytest.raises(ModelError, match=r"shape \(3,\).*says 64 numbers"):
        FaceEmbedder(session)
