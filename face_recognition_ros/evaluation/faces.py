"""The face a test picture is of: found and aligned once, embedded by each network that is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from face_recognition_ros.embedding import METADATA_KEY, FaceEmbedder
from face_recognition_ros.errors import ModelError
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.recognizer import FaceView, Recognizer
from face_recognition_ros.runtime import InferenceSession, create_session
from face_recognition_ros.stages import Embedder
from face_recognition_ros.types import CROP_SIZE, ByteArray, FloatArray, RecognizedFace

Found = TypeVar("Found", FaceView, RecognizedFace)

OURS, REFERENCE = "this network", "reference network"
"""Names of the network that the settings name, and of the one it is compared with."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face of a test picture."""

    crop: ByteArray
    """(112, 112, 3) uint8 BGR."""
    embeddings: Mapping[str, FloatArray]
    """(D,) float32 unit vector, by network."""


class FaceFinder:
    """Gives the central face of a picture under a folder, by the picture's relative path; looks at each file once."""

    def __init__(self, recognizer: Recognizer, images: Path, reference: Embedder | None = None) -> None:
        self.images = images
        self.networks = (OURS,) if reference is None else (OURS, REFERENCE)
        self._recognizer = recognizer
        self._reference = reference
        self._found: dict[str, Face | None] = {}

    def __call__(self, name: str) -> Face | None:
        """None where no face is found, or none can be aligned; raises ImageError where there is no picture."""
        if name not in self._found:
            self._found[name] = self._find(read_picture(self.images / name))
        return self._found[name]

    def _find(self, picture: ByteArray) -> Face | None:
        view = central_view(self._recognizer.view(picture), picture)
        if view is None or view.aligned is None or view.embedding is None:
            return None
        embeddings = {OURS: view.embedding}
        if self._reference is not None:
            embeddings[REFERENCE] = self._reference.embed(view.aligned.crop[None])[0]
        return Face(view.aligned.crop, embeddings)


def central_view(faces: Sequence[Found], picture: ByteArray) -> Found | None:
    """Of the faces that were embedded the one nearest the picture's middle, where test sets have their subject."""
    middle = (np.array(picture.shape[1::-1]) - 1) / 2

    def distance(face: Found) -> float:
        return float(np.linalg.norm((face.detection.box[:2] + face.detection.box[2:]) / 2 - middle))

    return min((face for face in faces if face.embedding is not None), key=distance, default=None)


class ForeignNetwork:
    """Somebody else's embedding network on our crops: float32 (N, 3, 112, 112) RGB in, (x - 127.5) / 128, (N, D) out.

    This is how the networks of the ArcFace family are usually exported.
    """

    def __init__(self, session: InferenceSession) -> None:
        """Raises ModelError where the network takes anything else."""
        (self._input, shape), *others = session.inputs.items()
        if others or tuple(shape[1:]) != (3, CROP_SIZE, CROP_SIZE):
            raise ModelError(
                f"the reference network takes {dict(session.inputs)}; "
                f"it must take one float RGB input of shape (N, 3, {CROP_SIZE}, {CROP_SIZE})"
            )
        self._session = session
        self._batch = shape[0]

    def embed(self, crops: ByteArray) -> FloatArray:
        """(N, 112, 112, 3) uint8 BGR -> (N, D) float32 unit vectors; raises BackendError where the runtime fails."""
        faces = (crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128
        batches = np.split(faces, len(faces)) if self._batch == 1 else [faces]
        vectors = np.concatenate([self._session.run({self._input: batch})[0] for batch in batches])
        unit: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit


def load_reference(path: Path, backend: str = "auto", threads: int = 0) -> Embedder:
    """A network to compare with: one of ours, which says so in its metadata, or a ForeignNetwork.

    Raises ModelError where it is neither.
    """
    session, _ = create_session(path, backend, False, threads)
    return FaceEmbedder(session) if METADATA_KEY in session.metadata else ForeignNetwork(session)
