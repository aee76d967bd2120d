"""Networks that look at each picture once, and answer as those do that look every time."""

import numpy as np

from face_recognition_ros.assembly import Assembly, build_detector
from face_recognition_ros.evaluation.memory import Memory, RememberingDetector, RememberingEmbedder
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray, FloatArray


class CountingEmbedder:
    def __init__(self) -> None:
        self.crops = 0

    def embed(self, crops: ByteArray) -> FloatArray:
        self.crops += len(crops)
        return np.stack([np.full(4, crop[0, 0, 0], np.float32) for crop in crops])


def test_each_crop_is_embedded_once_even_by_another_embedder() -> None:
    memory, first, second = Memory(), CountingEmbedder(), CountingEmbedder()
    crops = np.stack([np.full((112, 112, 3), value, np.uint8) for value in (1, 2, 1)])
    for embedder in (first, second):
        np.testing.assert_array_equal(RememberingEmbedder(embedder, memory).embed(crops)[:, 0], [1, 2, 1])
    assert (first.crops, second.crops) == (2, 0)


def test_the_detector_answers_as_it_did(portraits: dict[str, ByteArray], assembly: Assembly) -> None:
    memory = Memory()
    detector = RememberingDetector(build_detector(Settings()), memory)
    assert detector.name == build_detector(Settings()).name
    first = [detector.detect(picture) for picture in portraits.values()]
    assert [len(found) for found in first] == [1, 1]
    assert len(memory.detections) == 2
    again = [detector.detect(picture.copy()) for picture in portraits.values()]
    assert [a[0] is b[0] for a, b in zip(first, again, strict=True)] == [True, True]
    np.testing.assert_allclose(
        first[0][0].box, assembly.recognizer.view(next(iter(portraits.values())))[0].detection.box
    )
