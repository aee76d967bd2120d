"""The files that a replay writes frame by frame."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.replay.outputs import COLUMNS, AnnotatedVideo, CsvTable, JsonLines, fitted, video_size
from face_recognition_ros.types import IdentityStatus

from .faces import face, frame


def test_json_lines_are_whole_after_each_frame_and_their_keys_in_order(tmp_path: Path) -> None:
    path = tmp_path / "identities.jsonl"
    sink = JsonLines(path)
    sink.take(*frame(0.25, face("Zoë", track_id=4)))
    first = path.read_text(encoding="utf-8")
    assert first.startswith(
        '{"stamp": {"sec": 1700000000, "nanosec": 250000000}, "frame_id": "camera", "gallery_revision": 5, '
        '"faces": [{"track_id": 4, "status": "known", "identity_id": "p-Zoë", "name": "Zoë", "remembered": false, '
        '"similarity": 0.8, '
    )
    assert first.endswith("\n")
    sink.take(*frame(0.5))
    sink.close()
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [len(record["faces"]) for record in records] == [1, 0]
    assert records[0]["faces"][0]["accept_similarity"] == 0.65


def test_the_table_has_a_row_for_each_face(tmp_path: Path) -> None:
    sink = CsvTable(tmp_path / "identities.csv")
    sink.take(*frame(0.0, face("Anna, or Ann"), face("stranger 1", track_id=2)))
    sink.take(*frame(0.1))
    sink.take(*frame(0.2, face(status=IdentityStatus.AMBIGUOUS)))
    sink.close()
    content = (tmp_path / "identities.csv").read_bytes()
    assert b"\r" not in content
    rows = list(csv.DictReader(content.decode().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [row["status"] for row in rows] == ["known", "unknown", "ambiguous"]
    assert [row["name"] for row in rows] == ["Anna, or Ann", "", ""]
    assert [row["identity_id"] for row in rows] == ["p-Anna, or Ann", "p-stranger 1", ""]
    assert [row["remembered"] for row in rows] == ["false", "true", "false"]
    assert (rows[0]["left"], rows[0]["bottom"], rows[2]["nanosec"]) == ("10.0", "60.0", "200000000")


def test_the_video_has_every_frame_in_the_size_of_the_first(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "annotated.mp4", 10.0)
    for number, size in enumerate([(96, 128), (96, 128), (200, 100), (96, 128)]):
        video.take(*frame(number / 10, face("Anna"), size=size))
    video.close()
    written = cv2.VideoCapture(str(video.path))
    shapes = []
    while True:
        there, picture = written.read()
        if not there:
            break
        shapes.append(picture.shape)
    assert shapes == [(96, 128, 3)] * 4
    assert written.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)


def test_a_video_of_nothing_is_no_file(tmp_path: Path) -> None:
    video = AnnotatedVideo(tmp_path / "annotated.mp4", 10.0)
    video.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "size"), [((480, 640), (640, 480)), ((2160, 3840), (1280, 720)), ((5, 7), (8, 4)), ((1, 9000), (1280, 2))]
)
def test_large_and_odd_frames_get_a_size_that_encoders_take(shape: tuple[int, int], size: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    assert video_size(picture) == size
    assert fitted(picture, size).shape == (size[1], size[0], 3)
