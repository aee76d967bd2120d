"""face_recognition: dlib's HOG detector and ResNet, with the library's defaults."""

from importlib.metadata import version
from typing import Any

import numpy as np
from worker import Templates, as_lists, serve

try:
    import dlib
    import face_recognition
except ImportError as error:  # dlib-bin has wheels for few platforms
    face_recognition, REASON = None, f"face_recognition or dlib cannot be imported: {error}"

from worker import UnavailableError


class FaceRecognition:
    """face_locations, face_encodings and face_distance of the library; it uses one thread whatever it is given."""

    def __init__(self, options: dict[str, Any]) -> None:
        if face_recognition is None:
            raise UnavailableError(REASON)
        self._templates = Templates(options["templates"], 128).vectors.astype(np.float64)

    def about(self) -> dict[str, Any]:
        return {"face_recognition": version("face_recognition"), "dlib": dlib.__version__, "threads": 1}

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(frame[..., ::-1])

    def process(self, picture: np.ndarray, stamp: float) -> list[tuple[int, int, int, int]]:
        places = face_recognition.face_locations(picture)
        for encoding in face_recognition.face_encodings(picture, places):
            np.argmin(face_recognition.face_distance(self._templates, encoding))
        return places

    def faces(self, result: list[tuple[int, int, int, int]]) -> list[dict[str, Any]]:
        """Its five landmarks are corners of the eyes and the nose's base: nothing to compare with the others'."""
        return [as_lists((left, top, right, bottom), None) for top, right, bottom, left in result]


if __name__ == "__main__":
    serve(FaceRecognition)
