"""Images out of bags of both storage kinds, whatever their messages are like."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.replay.bags import BagSource
from face_recognition_ros.replay.sources import SourceFrame, open_source
from face_recognition_ros.types import ByteArray

from .scenes import (
    CAMERA,
    DELAY,
    BagMaker,
    compressed_image,
    raw_image,
    stamp_of,
    string,
    write_bag,
)

KINDS = pytest.mark.parametrize("storage", [StoragePlugin.SQLITE3, StoragePlugin.MCAP], ids=["sqlite3", "mcap"])


def pictures(count: int) -> list[ByteArray]:
    drawn = np.random.default_rng(3).integers(0, 255, (count, 48, 64, 3), np.uint8)
    return list(drawn)


def frames_of(path: Path, topic: str | None = None) -> list[SourceFrame]:
    with BagSource(path, topic) as source:
        return list(source.frames())


@KINDS
def test_every_image_comes_with_its_own_stamp(storage: StoragePlugin, tmp_path: Path) -> None:
    drawn = pictures(7)
    folder = write_bag(tmp_path / "bag", drawn, storage)
    with open_source(str(folder)) as source:
        assert (source.name, source.count) == ("bag", 7)
        assert source.rate == pytest.approx(15.0, rel=0.1)
        frames = list(source.frames())
    assert [frame.stamp_ns for frame in frames] == [stamp_of(number) for number in range(7)]
    assert [frame.logged_ns for frame in frames] == [stamp_of(number) + DELAY for number in range(7)]
    assert {frame.frame_id for frame in frames} == {"camera_optical_frame"}
    assert all(np.array_equal(frame.picture, picture) for frame, picture in zip(frames, drawn, strict=True))


@KINDS
def test_a_storage_file_will_do_and_so_will_a_folder_without_metadata(storage: StoragePlugin, tmp_path: Path) -> None:
    folder = write_bag(tmp_path / "bag", pictures(3), storage)
    (file,) = [path for path in folder.iterdir() if path.name != "metadata.yaml"]
    assert len(frames_of(file)) == 3
    (folder / "metadata.yaml").unlink()
    assert len(frames_of(folder)) == 3


def test_a_split_bag_comes_in_its_order(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    for part, name in ((0, "bag_9.mcap"), (1, "bag_10.mcap")):
        with BagMaker(tmp_path / f"part{part}", StoragePlugin.MCAP) as bag:
            for number in (2 * part, 2 * part + 1):
                bag.image(number, raw_image(number, pictures(1)[0]))
        shutil.move(tmp_path / f"part{part}" / f"part{part}.mcap", folder / name)
    assert [frame.stamp_ns for frame in frames_of(folder)] == [stamp_of(number) for number in range(4)]


def test_a_bag_whose_recorder_compressed_its_messages_is_read(tmp_path: Path) -> None:
    with BagMaker(tmp_path / "bag", compression=CompressionMode.MESSAGE) as bag:
        bag.image(0, raw_image(0, pictures(1)[0]))
    (frame,) = frames_of(tmp_path / "bag")
    assert np.array_equal(frame.picture, pictures(1)[0])


def test_compressed_images_and_other_encodings_are_understood(tmp_path: Path) -> None:
    (picture,) = pictures(1)
    deep = picture[..., ::-1].astype(">u2") * 257
    big_endian = raw_image(3, deep.view(np.uint8), "rgb16")
    big_endian.width, big_endian.is_bigendian = 64, 1
    with BagMaker(tmp_path / "bag") as bag:
        bag.image(1, raw_image(1, np.ascontiguousarray(picture[..., ::-1]), "rgb8"))
        bag.image(2, raw_image(2, picture[..., 0], "mono8"))
        bag.image(3, big_endian)
        bag.image(4, compressed_image(4, picture), f"{CAMERA}/compressed")
    rgb, grey, deep_frame = frames_of(tmp_path / "bag", CAMERA)
    (compressed,) = frames_of(tmp_path / "bag", f"{CAMERA}/compressed")
    for frame in (rgb, deep_frame, compressed):
        assert np.array_equal(frame.picture, picture), frame.problem
    assert np.array_equal(grey.picture, cv2.cvtColor(picture[..., 0], cv2.COLOR_GRAY2BGR))


def test_broken_messages_have_a_sentence_each_and_the_others_come(tmp_path: Path) -> None:
    (picture,) = pictures(1)
    wrong_step = raw_image(1, picture)
    wrong_step.step = 10
    with BagMaker(tmp_path / "bag") as bag:
        bag.image(0, raw_image(0, picture))
        bag.image(1, wrong_step)
        bag.raw(2, b"\x00\x01\x00\x00 no message")
        bag.raw(3, b"")
        bag.image(4, raw_image(4, picture, "no_encoding"))
        bag.image(5, raw_image(5, picture))
    frames = frames_of(tmp_path / "bag")
    assert [frame.picture is not None for frame in frames] == [True, False, False, False, False, True]
    sentences = ("a step of 10 bytes", "15 bytes are no", "0 bytes are no", "no_encoding")
    for frame, sentence in zip(frames[1:5], sentences, strict=True):
        assert sentence in frame.problem
        assert CAMERA in frame.problem
    assert frames[1].stamp_ns == stamp_of(1)
    assert frames[2].stamp_ns == stamp_of(2) + DELAY, "nothing better is known"


def test_an_image_without_a_stamp_gets_the_time_of_its_recording(tmp_path: Path) -> None:
    with BagMaker(tmp_path / "bag") as bag:
        bag.image(3, raw_image(3, pictures(1)[0], stamp_ns=0))
    (frame,) = frames_of(tmp_path / "bag")
    assert frame.stamp_ns == stamp_of(3) + DELAY


def test_several_image_topics_are_listed_and_one_must_be_chosen(tmp_path: Path) -> None:
    with BagMaker(tmp_path / "bag") as bag:
        bag.image(0, raw_image(0, pictures(1)[0]))
        bag.image(1, compressed_image(1, pictures(1)[0]), "/other/compressed")
        bag.topic("/silent")
    listed = (
        r"several image topics; choose one with --topic: /camera/image_raw \(1 images\), /other/compressed \(1 images\)"
    )
    with pytest.raises(FaceRecognitionError, match=listed):
        BagSource(tmp_path / "bag")
    with pytest.raises(FaceRecognitionError, match=r"no image topic /camera; it has /camera/image_raw"):
        BagSource(tmp_path / "bag", "/camera")
    with pytest.raises(FaceRecognitionError, match="holds no image"):
        BagSource(tmp_path / "bag", "/silent")
    assert len(frames_of(tmp_path / "bag", "/other/compressed")) == 1


def test_a_silent_image_topic_leaves_no_choice(tmp_path: Path) -> None:
    with BagMaker(tmp_path / "bag") as bag:
        bag.image(0, raw_image(0, pictures(1)[0]))
        bag.topic("/silent")
    assert len(frames_of(tmp_path / "bag")) == 1


def test_a_bag_without_images_says_what_is_in_it(tmp_path: Path) -> None:
    with BagMaker(tmp_path / "bag") as bag:
        bag.image(0, string("hello"), "/said")
    with pytest.raises(FaceRecognitionError, match=r"no topic with images; it holds /said \(std_msgs/msg/String\)"):
        BagSource(tmp_path / "bag")


@KINDS
def test_a_recording_that_was_cut_off_is_refused_with_a_way_out(storage: StoragePlugin, tmp_path: Path) -> None:
    folder = write_bag(tmp_path / "bag", pictures(3), storage)
    (file,) = [path for path in folder.iterdir() if path.name != "metadata.yaml"]
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(FaceRecognitionError, match=r"cannot be read: .* may help"):
        BagSource(folder)


def test_damage_in_the_middle_ends_the_bag_with_a_sentence(tmp_path: Path) -> None:
    drawn = np.random.default_rng(3).integers(0, 4, (8, 480, 640, 3), np.uint8)
    with BagMaker(tmp_path / "bag", StoragePlugin.MCAP, CompressionMode.STORAGE) as bag:
        for number, picture in enumerate(drawn):
            bag.image(number, raw_image(number, picture))
    file = tmp_path / "bag" / "bag.mcap"
    content = bytearray(file.read_bytes())
    middle = len(content) * 3 // 4
    content[middle : middle + 1000] = bytes(1000)
    file.write_bytes(content)
    *before, last = frames_of(tmp_path / "bag")
    assert 0 < len(before) < 8
    assert all(frame.picture is not None for frame in before)
    assert "bag.mcap: the rest cannot be read" in last.problem
