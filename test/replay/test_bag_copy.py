"""The bag that --write-bag makes: the original messages as they were, and an answer for each image."""

import json
from pathlib import Path

import pytest
from face_recognition_msgs.msg import FaceIdentities
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader, StoragePlugin

from face_recognition_ros.cli import main
from face_recognition_ros.types import ByteArray

from .scenes import CAMERA, DELAY, BagMaker, raw_image, stamp_of, string

TOPIC = "/face_identities"

Message = tuple[str, str, int, bytes]


def messages_in(folder: Path) -> list[Message]:
    """Read as rosbag2 does: by the folder, with its metadata."""
    with Reader(folder) as reader:
        return [(one.topic, one.msgtype, logged, bytes(data)) for one, logged, data in reader.messages()]


@pytest.fixture(params=[StoragePlugin.SQLITE3, StoragePlugin.MCAP], ids=["sqlite3", "mcap"])
def storage(request: pytest.FixtureRequest) -> StoragePlugin:
    return request.param


@pytest.fixture
def recorded(storage: StoragePlugin, film: list[ByteArray], tmp_path: Path) -> Path:
    """Six images, one of them broken, another topic, and answers from the day of the recording."""
    with BagMaker(tmp_path / "recorded", storage) as bag:
        for number in range(6):
            bag.image(number, string(f"step {number}"), "/said")
            if number == 2:
                bag.raw(number, b"\x00\x01\x00\x00broken")
            else:
                bag.image(number, raw_image(number, film[20 + number]))
        bag.image(6, string("an old answer"), TOPIC)
    return tmp_path / "recorded"


def test_originals_are_copied_and_each_image_has_its_answer(
    recorded: Path, storage: StoragePlugin, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = ["--no-video", "--write-bag", "--set", "min_face_size=80"]
    assert main(["replay", str(recorded), "--gallery", str(gallery), "--output", str(output), *arguments]) == 0
    assert "new answers in place of the recorded /face_identities" in capsys.readouterr().err
    written = messages_in(output / "bag")
    assert [one for one in written if one[0] != TOPIC] == [one for one in messages_in(recorded) if one[0] != TOPIC]
    answers = [one for one in written if one[0] == TOPIC]
    assert {kind for _, kind, _, _ in answers} == {"face_recognition_msgs/msg/FaceIdentities"}
    assert [logged for _, _, logged, _ in answers] == [stamp_of(number) + DELAY for number in (0, 1, 3, 4, 5)]
    assert [path.suffix for path in sorted((output / "bag").iterdir())] == [
        ".db3" if storage is StoragePlugin.SQLITE3 else ".mcap", ".yaml",
    ]  # fmt: skip

    records = [json.loads(line) for line in (output / "identities.jsonl").read_text(encoding="utf-8").splitlines()]
    for record, (_, _, _, data) in zip(records, answers, strict=True):
        message = deserialize_message(data, FaceIdentities)
        stamp = message.header.stamp
        assert {"sec": stamp.sec, "nanosec": stamp.nanosec} == record["stamp"]
        assert message.header.frame_id == record["frame_id"] == "camera_optical_frame"
        assert [face.name or None for face in message.faces] == [face["name"] for face in record["faces"]]
    assert records[-1]["faces"][0]["name"] == "Eileen Collins"


def test_the_new_bag_is_the_same_every_time(recorded: Path, gallery: Path, tmp_path: Path) -> None:
    given = [str(recorded), "--gallery", str(gallery), "--no-video", "--write-bag", "--set", "min_face_size=80"]
    outputs = [tmp_path / name for name in ("once", "again", "and again")]
    for output in outputs:
        assert main(["replay", *given, "--output", str(output)]) == 0
    first, *others = [{file.name: file.read_bytes() for file in (one / "bag").iterdir()} for one in outputs]
    assert others == [first, first]


def test_the_new_bag_carries_the_definitions_of_its_types(recorded: Path, gallery: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["--no-video", "--write-bag", "--frames", "1", "--set", "min_face_size=80"]
    assert main(["replay", str(recorded), "--gallery", str(gallery), "--output", str(output), *arguments]) == 0
    with Reader(output / "bag") as reader:
        (answers,) = [one for one in reader.connections if one.topic == TOPIC]
    assert "FaceIdentity[] faces" in answers.msgdef.data
    assert "MSG: face_recognition_msgs/Candidate" in answers.msgdef.data
    assert answers.digest == built_hash()


def built_hash() -> str:
    """The type's hash as it was built, from the description that rosidl installs."""
    import face_recognition_msgs

    for share in (Path(face_recognition_msgs.__file__).parents[4] / "share", Path("/opt/ros/jazzy/share")):
        described = share / "face_recognition_msgs" / "msg" / "FaceIdentities.json"
        if described.is_file():
            hashes = {one["type_name"]: one["hash_string"] for one in json.loads(described.read_text())["type_hashes"]}
            return str(hashes["face_recognition_msgs/msg/FaceIdentities"])
    raise AssertionError("the installed interfaces have no description of FaceIdentities")


def test_an_image_bag_can_be_replayed_again_from_the_copy(recorded: Path, gallery: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    arguments = ["--no-video", "--topic", CAMERA, "--set", "min_face_size=80"]
    assert (
        main(["replay", str(recorded), "--gallery", str(gallery), "--output", str(first), "--write-bag", *arguments])
        == 0
    )
    copy = str(first / "bag")
    assert main(["replay", copy, "--gallery", str(gallery), "--output", str(second), *arguments]) == 0
    assert (first / "identities.jsonl").read_bytes() == (second / "identities.jsonl").read_bytes()
