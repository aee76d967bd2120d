"""facenet-pytorch: MTCNN and InceptionResnetV1, put together as its README does."""

from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from facenet_pytorch import MTCNN, InceptionResnetV1
from PIL import Image
from worker import Templates, as_lists, serve


class Facenet:
    """Boxes are cut out and resized, not aligned: that is the library's way."""

    def __init__(self, options: dict[str, Any]) -> None:
        torch.set_num_threads(options["threads"])
        self._detector = MTCNN(keep_all=True, min_face_size=options["min_face_size"])
        # Its trained weights are a download; random ones take the same time, and who is recognised is not asked here.
        self._network = InceptionResnetV1(pretrained=None).eval()
        self._templates = Templates(options["templates"], 512)

    def about(self) -> dict[str, Any]:
        packages = ("facenet-pytorch", "torch", "torchvision", "numpy")
        return {**{name: version(name) for name in packages}, "embedding weights": "random (same time)"}

    def prepare(self, frame: np.ndarray) -> Image.Image:
        return Image.fromarray(frame[..., ::-1])

    def process(self, picture: Image.Image, stamp: float) -> tuple[Any, Any]:
        boxes, _, landmarks = self._detector.detect(picture, landmarks=True)  # this and the next: MTCNN.forward
        crops = self._detector.extract(picture, boxes, None)
        if crops is None:
            return (), ()
        with torch.inference_mode():
            embeddings = self._network(crops)
        self._templates.nearest(embeddings.numpy())
        return boxes, landmarks

    def faces(self, result: tuple[Any, Any]) -> list[dict[str, Any]]:
        return [as_lists(box, points) for box, points in zip(*result, strict=True)]


if __name__ == "__main__":
    serve(Facenet)
