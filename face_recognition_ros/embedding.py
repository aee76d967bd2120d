"""Turns aligned face crops into unit vectors with the embedding network, one batched call per frame."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import ModelError
from face_recognition_ros.runtime import InferenceSession
from face_recognition_ros.types import CROP_SIZE, FloatArray

METADATA_KEY = "face_recognition_ros"


@dataclass(frozen=True, slots=True)
class NetworkDescription:
    """What a network says of itself in its ONNX file, under the metadata key `face_recognition_ros` as JSON."""

    model_id: str
    """Goes with every template; another network's templates cannot be compared."""
    embedding_size: int
    calibration: Mapping[str, Any]
    """Statistics of its similarities, as gallery.calibration reads them."""

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Self:
        """Reads the description; raises ModelError where the file has none or it lacks something."""
        if METADATA_KEY not in metadata:
            raise ModelError(
                f"the embedding network has no metadata entry {METADATA_KEY!r}; "
                "export it with face_recognition_ros.training.export, which measures and writes it"
            )
        try:
            content: dict[str, Any] = json.loads(metadata[METADATA_KEY])
            return cls(str(content["model_id"]), int(content["embedding_size"]), content["calibration"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the embedding network's metadata entry {METADATA_KEY!r} is not usable: {error!r}"
            ) from error


class FaceEmbedder:
    """The embedding network: uint8 RGB crops in, unit vectors out."""

    def __init__(self, session: InferenceSession) -> None:
        """Raises ModelError when the network has no usable description, or does not do what the description says."""
        self.description = NetworkDescription.of(session.metadata)
        self._session = session
        (self._input, shape), *others = session.inputs.items()
        if others or tuple(shape[1:]) != (CROP_SIZE, CROP_SIZE, 3):
            raise ModelError(
                f"the embedding network takes {dict(session.inputs)}; "
                f"it must take one uint8 RGB input of shape (N, {CROP_SIZE}, {CROP_SIZE}, 3)"
            )
        (vector,) = self.embed(np.full((1, CROP_SIZE, CROP_SIZE, 3), 127, np.uint8))
        if vector.shape != (self.description.embedding_size,):
            raise ModelError(
                f"the embedding network gives vectors of shape {vector.shape}, "
                f"where its description says {self.description.embedding_size} numbers"
            )

    @property
    def backend(self) -> str:
        """What runs it, in words."""
        return self._session.backend

    def embed(self, crops: npt.NDArray[np.uint8]) -> FloatArray:
        """(N, 112, 112, 3) uint8 BGR aligned crops -> (N, D) float32 unit vectors; N may be 0.

        Raises BackendError where the runtime fails.
        """
        if len(crops) == 0:
            return np.empty((0, self.description.embedding_size), np.float32)
        rgb = cv2.cvtColor(crops.reshape(-1, CROP_SIZE, 3), cv2.COLOR_BGR2RGB).reshape(crops.shape)
        return np.asarray(self._session.run({self._input: rgb})[0], dtype=np.float32)

    def close(self) -> None:
        """Frees the network; may be called twice."""
        self._session.close()
