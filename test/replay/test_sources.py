"""Frames from videos and folders, and what is said of places that hold none."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.replay.sources import FolderSource, SourceFrame, VideoSource, in_order, open_source


def picture(shade: int) -> np.ndarray:
    return np.full((48, 64, 3), shade, np.uint8)


def write_video(path: Path, frames: int, rate: float = 12.5) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (64, 48))
    for number in range(frames):
        writer.write(picture(10 * number))
    writer.release()
    return path


def test_pictures_come_in_the_order_that_people_mean(tmp_path: Path) -> None:
    for name, shade in (("frame_10.png", 100), ("frame_9.png", 90), ("frame_101.jpg", 200)):
        cv2.imwrite(str(tmp_path / name), picture(shade))
    (tmp_path / "notes.txt").write_text("no picture")
    with open_source(str(tmp_path), rate=4.0) as source:
        frames = list(source.frames())
    assert source.count == 3
    assert [frame.frame_id for frame in frames] == ["frame_9.png", "frame_10.png", "frame_101.jpg"]
    assert [frame.stamp_ns for frame in frames] == [0, 250_000_000, 500_000_000]
    assert frames[0].picture is not None
    assert frames[0].picture[0, 0].tolist() == [90, 90, 90]


def test_a_broken_picture_has_a_sentence_and_the_next_one_comes(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "2.png"), picture(5))
    broken, whole = FolderSource(tmp_path, 10.0).frames()
    assert broken.picture is None
    assert "1.png is no picture" in broken.problem
    assert whole.picture is not None
    assert whole.stamp_ns == 100_000_000


def test_a_video_has_its_own_times(tmp_path: Path) -> None:
    with open_source(str(write_video(tmp_path / "v.avi", 5))) as source:
        frames = list(source.frames())
    assert (source.count, source.rate, source.name) == (5, 12.5, "v.avi")
    assert [frame.stamp_ns for frame in frames] == [80_000_000 * number for number in range(5)]
    assert all(frame.picture is not None and frame.picture.shape == (48, 64, 3) for frame in frames)


def test_a_video_with_fewer_frames_than_it_announces_says_so(tmp_path: Path) -> None:
    with VideoSource(write_video(tmp_path / "v.avi", 4)) as source:
        source.count = 6  # as the header of a file that was cut short has it
        *frames, last = source.frames()
    assert len(frames) == 4
    assert last.picture is None
    assert "v.avi announces 6 frames, of which 4 could be read" in last.problem


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing", "there is no"),
        ("empty", "holds neither a bag nor pictures"),
        ("text.txt", "no video that OpenCV can read"),
        ("old.bag", "a bag of ROS 1; `rosbags-convert`"),
    ],
)
def test_a_place_without_frames_gets_a_sentence(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "old.bag").write_text("#ROSBAG V2.0")
    with pytest.raises(FaceRecognitionError, match=sentence):
        open_source(str(tmp_path / name))


def test_only_a_bag_has_topics(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), picture(5))
    with pytest.raises(FaceRecognitionError, match="chooses a topic of a bag"):
        open_source(str(tmp_path), topic="/camera")


def test_numbers_in_names_are_counted() -> None:
    names = ["b2", "a10", "a9b", "a9", "10", "9", "a"]
    assert [path.name for path in in_order([Path(name) for name in names])] == [
        "9", "10", "a", "a9", "a9b", "a10", "b2",
    ]  # fmt: skip


def test_seconds_are_those_of_the_node() -> None:
    frame = SourceFrame(1_700_000_000_123_456_789, "", None)
    assert frame.stamp == 1_700_000_000 + 123_456_789 * 1e-9
