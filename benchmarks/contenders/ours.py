"""Ours: the recognizer as the node uses it, on a gallery of one template for each person (its worst case)."""

# Imported first, as in the node: it holds BLAS to one thread, which must be said before numpy is there.
import face_recognition_ros  # noqa: F401  isort: skip

from importlib.metadata import version
from typing import Any

import numpy as np
from worker import UnavailableError, as_lists, serve

from face_recognition_ros.assembly import assemble
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.settings import Settings


class Ours:
    """`Recognizer.process`: tracking and judging of quality are in it, which the peers do not do."""

    def __init__(self, options: dict[str, Any]) -> None:
        try:
            self._assembly = assemble(Settings.of(**options["settings"]))
        except FaceRecognitionError as error:
            raise UnavailableError(str(error)) from error
        fill(self._assembly.store, options["templates"])
        self._assembly.matcher.refresh()

    def about(self) -> dict[str, Any]:
        return {
            "network": self._assembly.model_id,
            "backend": self._assembly.embedder.backend,
            **{name: version(name) for name in ("onnxruntime", "numpy", "opencv-python-headless")},
        }

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def process(self, picture: np.ndarray, stamp: float) -> FrameResult:
        return self._assembly.recognizer.process(picture, stamp)

    def faces(self, result: FrameResult) -> list[dict[str, Any]]:
        return [as_lists(face.detection.box, face.detection.landmarks) for face in result.faces]


def fill(store: GalleryStore, templates: int) -> None:
    """Enrols random people."""
    vectors = np.random.default_rng(0).standard_normal((templates, store.embedding_size), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, vector in enumerate(vectors):
        store.enroll(f"person {number}", [Template(vector, 1.0)])


if __name__ == "__main__":
    serve(Ours)
