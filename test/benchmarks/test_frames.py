"""Composed frames: the same every time, the truth where the faces are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from comparison import frames
from comparison.frames import Face, Photograph
from comparison.material import FACES, RECALL_FACES, SIZES, Material
from comparison.photographs import face_of, judges_of, paths_of, reduced

from face_recognition_ros.errors import ImageError
from face_recognition_ros.types import ByteArray

GREY = np.full((300, 400, 3), 100, np.uint8)


@pytest.fixture
def marked() -> Photograph:
    """A black picture whose landmarks are white spots."""
    picture = np.zeros((240, 200, 3), np.uint8)
    face = Face(
        np.array([50.0, 60.0, 150.0, 190.0]), np.array([[80, 100], [120, 100], [100, 130], [85, 160], [115, 160]]) * 1.0
    )
    for x, y in face.landmarks.astype(int):
        cv2.circle(picture, (x, y), 4, (255, 255, 255), cv2.FILLED)
    return Photograph(picture, face)


@pytest.mark.parametrize("size", [40.0, 80.0, 170.0])
def test_a_pasted_face_is_where_the_truth_says(marked: Photograph, size: float) -> None:
    canvas = np.asarray(cv2.resize(GREY, (640, 480)), np.uint8)
    face = frames.paste(canvas, marked, size, np.array([300.0, 200.0]))
    assert face.size == pytest.approx(size, rel=0.02)
    assert (face.box[:2] + face.box[2:]) / 2 == pytest.approx([300, 200], abs=0.51)
    reach = max(3, round(size / 15))
    for x, y in face.landmarks:
        left, top = round(float(x)) - reach, round(float(y)) - reach
        spot = canvas[top : top + 2 * reach + 1, left : left + 2 * reach + 1, 0].astype(float)
        weights = np.where(spot > 128, spot, 0)
        middle = [(weights.sum(axis=axis) * np.arange(2 * reach + 1)).sum() / weights.sum() for axis in (0, 1)]
        assert [left + middle[0], top + middle[1]] == pytest.approx([x, y], abs=0.35)


def test_a_face_at_the_edge_is_cut_off(marked: Photograph) -> None:
    canvas = GREY.copy()
    face = frames.paste(canvas, marked, 100.0, np.array([0.0, 299.0]))
    assert face.box[0] < 0
    assert face.box[3] > 300
    assert canvas[280, 10].max() < 20  # inside of the face
    assert (canvas[:, 200:] == 100).all()  # and nothing far from it


def test_frames_are_the_same_every_time(marked: Photograph) -> None:
    first, second = (
        frames.compose([marked] * 4, GREY, (640, 480), [50, 60, 70, 80], np.random.default_rng(3)) for _ in range(2)
    )
    assert np.array_equal(first.picture, second.picture)
    assert [face.size for face in first.faces] == pytest.approx([50, 60, 70, 80], rel=0.03)
    assert all(np.array_equal(one.box, other.box) for one, other in zip(first.faces, second.faces, strict=True))


@pytest.mark.parametrize("size", SIZES.values())
@pytest.mark.parametrize("count", FACES)
def test_faces_of_the_largest_size_do_not_overlap(marked: Photograph, size: tuple[int, int], count: int) -> None:
    largest = min(frames.largest_size(size, count), 200.0)
    frame = frames.compose([marked] * count, GREY, size, [largest] * count, np.random.default_rng(0))
    boxes = [face.box for face in frame.faces]
    assert len(boxes) == count
    for i, one in enumerate(boxes):
        assert one.min() >= 0
        assert (one[2:] <= size).all()
        for other in boxes[:i]:
            assert (np.minimum(one[2:], other[2:]) <= np.maximum(one[:2], other[:2])).any()


def test_a_film_moves_smoothly(marked: Photograph) -> None:
    film = frames.moving([marked] * 2, GREY, (640, 480), 80.0, 20, np.random.default_rng(0))
    middles = np.array([[(face.box[:2] + face.box[2:]) / 2 for face in frame.faces] for frame in film])
    steps = np.linalg.norm(np.diff(middles, axis=0), axis=-1)
    assert steps.max() < 8
    assert np.linalg.norm(middles[-1] - middles[0], axis=-1).min() > 8


def test_recall_frames_hold_faces_of_all_sizes(marked: Photograph, tmp_path: Path) -> None:
    for size, count in RECALL_FACES.items():
        shown = Material([marked], tmp_path).recall(size, 8)
        sizes = np.array([face.size for one in shown for face in one.faces])
        assert len(sizes) == 8 * count
        parts, _ = np.histogram(sizes, [19, 40, 60, 100, 170])
        assert parts.min() >= len(sizes) / 4 - 2
        assert np.load(shown[0].path).shape == (*SIZES[size][::-1], 3)


def test_the_truth_is_the_only_face_of_a_photograph(astronaut_bgr: ByteArray) -> None:
    judges = judges_of(None).values()
    face = face_of(astronaut_bgr, judges)
    assert face is not None
    assert 60 < face.size < 200
    assert face_of(np.hstack([astronaut_bgr, astronaut_bgr]), judges) is None
    assert face_of(GREY, judges) is None


def test_where_photographs_come_from(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no picture"):
        paths_of(tmp_path, tmp_path)
    demo, origin = paths_of(None, tmp_path / "nothing")
    assert len(demo) == 3
    assert "demo" in origin
    for name in ("Bea", "Abe"):
        (tmp_path / "lfw_dev" / "images" / name).mkdir(parents=True)
        (tmp_path / "lfw_dev" / "images" / name / f"{name}_0001.jpg").touch()
    assert [path.stem for path in paths_of(None, tmp_path)[0]] == ["Abe_0001", "Bea_0001"]


def test_large_photographs_are_reduced() -> None:
    assert reduced(np.zeros((1500, 2000, 3), np.uint8)).shape == (750, 1000, 3)
    assert reduced(GREY) is GREY
