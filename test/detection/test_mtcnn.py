"""MTCNN against facenet-pytorch's own results, and on frames that are no photographs.

The networks are exported by `make setup`; without them these tests fail with the sentence that says so.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.detection import DetectorOptions, FaceDetector, create_detector, mtcnn, onet
from face_recognition_ros.detection.boxes import intersection_over_union
from face_recognition_ros.detection.detector import FaceRefiner
from face_recognition_ros.detection.networks import NETWORKS, ask
from face_recognition_ros.errors import ImageError, ModelError
from face_recognition_ros.models import find_model
from face_recognition_ros.types import ByteArray, FloatArray

REFERENCE = json.loads((Path(__file__).parent / "reference_boxes.json").read_text())
"""Written by `make compare-mtcnn`, which ran facenet-pytorch's MTCNN on the two pictures."""


OPTIONS = DetectorOptions(min_face_size=REFERENCE["min_face_size"])


@pytest.fixture(scope="module", params=["mtcnn", "mtcnn_fast"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    return create_detector(request.param, OPTIONS)


@pytest.mark.parametrize("picture", ["astronaut", "grace_hopper"])
def test_agrees_with_facenet_pytorch(picture: str, request: pytest.FixtureRequest) -> None:
    detector = create_detector("mtcnn", OPTIONS)
    frame: ByteArray = request.getfixturevalue(f"{picture}_bgr")
    path: Path = request.getfixturevalue(f"{picture}_path")
    expected = REFERENCE["pictures"][path.name]
    found = detector.detect(frame)
    assert len(found) == len(expected) == 1
    overlap = intersection_over_union(found[0].box[None], np.array([expected[0]["box"]], np.float32))
    assert overlap[0, 0] > 0.95
    assert np.linalg.norm(found[0].landmarks - np.array(expected[0]["landmarks"]), axis=1).max() <= 1.5
    assert found[0].score == pytest.approx(expected[0]["score"], abs=1e-3)


@pytest.mark.parametrize("picture", ["astronaut", "grace_hopper"])
def test_the_fast_one_finds_the_same_with_fewer_candidates(
    picture: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates: dict[str, list[int]] = {"mtcnn": [], "mtcnn_fast": []}
    frame: ByteArray = request.getfixturevalue(f"{picture}_bgr")
    found = {}
    for name, counts in candidates.items():

        def count(network: Any, table: Any, boxes: FloatArray, side: int, counts: list[int] = counts) -> Any:
            counts.append(len(boxes))
            return ask(network, table, boxes, side)

        monkeypatch.setattr(mtcnn, "ask", count)
        monkeypatch.setattr(onet, "ask", count)
        (found[name],) = create_detector(name, OPTIONS).detect(frame)
    first, fast = found["mtcnn"], found["mtcnn_fast"]
    between_eyes = np.linalg.norm(first.landmarks[0] - first.landmarks[1])
    assert np.linalg.norm(first.landmarks - fast.landmarks, axis=1).mean() < 0.08 * between_eyes
    assert intersection_over_union(first.box[None], fast.box[None])[0, 0] > 0.7
    (of_rnet, of_onet), (fast_rnet, fast_onet) = candidates.values()
    assert fast_rnet < of_rnet
    assert fast_onet <= of_onet / 2


def test_where_the_mean_of_a_group_is_refused_the_fast_one_looks_at_its_candidates(
    astronaut_bgr: ByteArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def refuse_once(network: Any, table: Any, boxes: FloatArray, side: int) -> Any:
        seen, answers = ask(network, table, boxes, side)
        asked.append(len(boxes))
        return seen, answers - np.float32(100) if len(asked) == 1 else answers

    (expected,) = create_detector("mtcnn_fast", OPTIONS).detect(astronaut_bgr)
    monkeypatch.setattr(onet, "ask", refuse_once)
    (found,) = create_detector("mtcnn_fast", OPTIONS).detect(astronaut_bgr)
    assert len(asked) == 2
    assert asked[1] > 1
    assert intersection_over_union(expected.box[None], found.box[None])[0, 0] > 0.7


def test_landmarks_start_at_the_images_left(detector: FaceDetector, astronaut_bgr: ByteArray) -> None:
    left_eye, right_eye, nose, left_mouth, right_mouth = detector.detect(astronaut_bgr)[0].landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_two_faces_best_first_and_max_faces(detector: FaceDetector, astronaut_bgr: ByteArray) -> None:
    frame = np.hstack((astronaut_bgr, astronaut_bgr[:, ::-1]))
    faces = detector.detect(frame)
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score
    assert (faces[0].box[0] < 512) != (faces[1].box[0] < 512)
    best = create_detector(detector.name, replace(OPTIONS, max_faces=1)).detect(frame)
    assert [face.box.tolist() for face in best] == [faces[0].box.tolist()]


def test_same_frame_same_faces(detector: FaceDetector, astronaut_bgr: ByteArray) -> None:
    first, second = detector.detect(astronaut_bgr), detector.detect(astronaut_bgr.copy())
    assert [face.box.tolist() for face in first] == [face.box.tolist() for face in second]


def test_min_face_size(astronaut_bgr: ByteArray) -> None:
    assert create_detector("mtcnn", DetectorOptions(min_face_size=250)).detect(astronaut_bgr) == []


@pytest.mark.parametrize("shape", [(480, 640), (39, 641), (1, 1), (40, 40), (41, 997), (333, 47)])
def test_black_and_tiny_frames_hold_no_face(detector: FaceDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.zeros((*shape, 3), np.uint8)) == []


def test_odd_sizes_and_views(detector: FaceDetector, astronaut_bgr: ByteArray) -> None:
    view = astronaut_bgr[1:320, 101:404]
    assert not view.flags.c_contiguous
    whole, part = detector.detect(astronaut_bgr)[0], detector.detect(view)[0]
    np.testing.assert_allclose(part.box + (101, 1, 101, 1), whole.box, atol=8)


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_frame_is_refused(detector: FaceDetector, frame: ByteArray) -> None:
    with pytest.raises(ImageError, match="height, width, 3"):
        detector.detect(frame)
    with pytest.raises(ImageError, match="float64"):
        detector.detect(np.zeros((40, 40, 3)))  # type: ignore[arg-type]


def test_missing_networks(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"mtcnn_pnet\.onnx"):
        create_detector("mtcnn", DetectorOptions(model=str(tmp_path)))


def test_networks_of_another_kind(tmp_path: Path) -> None:
    for network in NETWORKS:
        (tmp_path / f"{network}.onnx").write_bytes(find_model("face_embedding").path.read_bytes())
    with pytest.raises(ModelError, match=r"mtcnn_pnet\.onnx gives embeddings, .*mtcnn_export"):
        create_detector("mtcnn", DetectorOptions(model=str(tmp_path)))


def test_known_faces_are_followed_as_exactly_as_they_are_found(
    detector: FaceDetector, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    assert isinstance(detector, FaceRefiner)
    frame = np.hstack((astronaut_bgr, grace_hopper_bgr[:512]))
    boxes = np.array([face.box for face in detector.detect(frame)])
    for shift in (-8, 0, 8):
        moved = np.roll(frame, (shift, shift), axis=(0, 1))
        found, followed = detector.detect(moved), detector.refine(moved, boxes)
        assert len(found) == len(followed) == 2
        for one, other in zip(
            *(sorted(faces, key=lambda face: face.box[0]) for faces in (found, followed)), strict=True
        ):
            eyes = np.linalg.norm(one.landmarks[0] - one.landmarks[1])
            assert np.linalg.norm(one.landmarks - other.landmarks, axis=1).mean() < 0.06 * eyes
            assert intersection_over_union(one.box[None], other.box[None])[0, 0] > 0.8
        boxes = np.array([face.box for face in followed])


def test_who_is_not_there_is_not_followed(detector: FaceDetector, astronaut_bgr: ByteArray) -> None:
    assert isinstance(detector, FaceRefiner)
    (box,) = [face.box for face in detector.detect(astronaut_bgr)]
    elsewhere = box + np.float32(220) * np.array([0, 1, 0, 1], np.float32)
    outside = box - np.float32(2000)
    assert detector.refine(astronaut_bgr, np.stack([elsewhere, outside])) == []
    assert len(detector.refine(astronaut_bgr, np.stack([box, box + 3]))) == 1, "two tracks on one face"
    assert detector.refine(astronaut_bgr, np.zeros((0, 4), np.float32)) == []
