"""`face-recognition replay` from a bag to all results, the same way every time."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.cli import main
from face_recognition_ros.types import ByteArray

from .scenes import BagMaker, raw_image, stamp_of, write_bag

REPLAY = [sys.executable, "-m", "face_recognition_ros.cli", "replay"]
QUICK = ["--no-video", "--set", "min_face_size=80"]


def replay(source: Path, gallery: Path, output: Path, *arguments: str) -> int:
    return main(["replay", str(source), "--gallery", str(gallery), "--output", str(output), *arguments])


def records_in(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "identities.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def replayed(bag: Path, gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All results of the film; no test may change them."""
    output = tmp_path_factory.mktemp("replayed") / "results"
    assert replay(bag, gallery, output) == 0
    return output


def test_every_frame_is_answered_and_everybody_recognised(replayed: Path, film: list[ByteArray]) -> None:
    records = records_in(replayed)
    stamps = [record["stamp"]["sec"] * 1_000_000_000 + record["stamp"]["nanosec"] for record in records]
    assert stamps == [stamp_of(number) for number in range(len(film))]
    named = [face["name"] for record in records for face in record["faces"] if face["status"] == "known"]
    assert set(named) == {"Eileen Collins", "Grace Hopper"}
    assert len(named) > 60
    assert any(face["status"] == "unknown" for record in records for face in record["faces"])


def test_all_results_are_there(replayed: Path, film: list[ByteArray]) -> None:
    assert sorted(str(path.relative_to(replayed)) for path in replayed.rglob("*")) == [
        "annotated.mp4", "identities.csv", "identities.jsonl", "index.html", "people", "people/Eileen Collins.png",
        "people/Grace Hopper.png", "people/unknown.png",
    ]  # fmt: skip
    assert frames_in(replayed / "annotated.mp4") == len(film)
    rows = (replayed / "identities.csv").read_text(encoding="utf-8").count("\n")
    assert rows == 1 + sum(len(record["faces"]) for record in records_in(replayed))


def test_both_storage_kinds_and_a_folder_of_the_frames_give_the_same_people(
    replayed: Path, mcap: Path, film: list[ByteArray], gallery: Path, tmp_path: Path
) -> None:
    assert replay(mcap, gallery, tmp_path / "mcap", "--no-video") == 0
    for name in ("identities.jsonl", "identities.csv"):
        assert (tmp_path / "mcap" / name).read_bytes() == (replayed / name).read_bytes()
    (tmp_path / "frames").mkdir()
    for number, picture in enumerate(film[:30]):
        cv2.imwrite(str(tmp_path / "frames" / f"{number}.png"), picture)
    assert replay(tmp_path / "frames", gallery, tmp_path / "folder", "--no-video", "--rate", "15") == 0
    for ours, theirs in zip(records_in(tmp_path / "folder"), records_in(replayed)[:30], strict=True):
        assert ours["faces"] == theirs["faces"]


def test_the_same_comes_out_twice_on_one_thread_or_two_learning_included(
    bag: Path, learning_gallery: Path, tmp_path: Path
) -> None:
    # A process each: its first session decides on the number of threads.
    given = [str(bag), "--gallery", str(learning_gallery), *QUICK, "--set", "remember_unknown=true"]
    outputs = [tmp_path / name for name in ("one", "two", "again")]
    for output, threads in zip(outputs, (1, 2, 2), strict=True):
        subprocess.run([*REPLAY, *given, "--output", output, "--set", f"threads={threads}"], check=True)
    for name in ("identities.jsonl", "identities.csv"):
        first, *others = [(output / name).read_bytes() for output in outputs]
        assert others == [first, first]
    records = records_in(outputs[0])
    assert records[-1]["gallery_revision"] > records[0]["gallery_revision"], "something was learned"
    assert (outputs[1] / "index.html").read_bytes() == (outputs[2] / "index.html").read_bytes()


def test_what_is_expected_and_comes_is_0(
    replayed: Path, bag: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = replayed / "identities.jsonl"
    assert replay(bag, gallery, tmp_path / "out", "--no-video", "--expect", str(expected), "--tolerance", "0") == 0
    assert capsys.readouterr().out.startswith("as expected: 104 frames")


def test_what_does_not_come_as_expected_is_1_and_told(
    replayed: Path, bag: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = tmp_path / "gallery.sqlite3"
    shutil.copy(gallery, renamed)
    assert main(["rename", "Eileen Collins", "Somebody Else", "--gallery", str(renamed)]) == 0
    capsys.readouterr()
    expected = replayed / "identities.jsonl"
    assert replay(bag, renamed, tmp_path / "out", "--no-video", "--expect", str(expected)) == 1
    summary, first, *rest = capsys.readouterr().out.splitlines()
    assert summary.startswith("not as expected: ")
    assert "x Eileen Collins, taken for Somebody Else, at " in first
    assert "expected Eileen Collins (similarity 0.9" in rest[0]
    assert len(rest) == 21
    assert "taken for Somebody Else" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_broken_messages_are_told_once_a_kind_counted_and_skipped(
    film: list[ByteArray], gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BagMaker(tmp_path / "bag") as bag:
        bag.image(0, raw_image(0, film[20]))
        for number in (1, 2, 3):
            bag.raw(number, b"\x00\x01\x00\x00" + bytes(number))
        bag.image(4, raw_image(4, film[21]))
    assert replay(tmp_path / "bag", gallery, tmp_path / "out", *QUICK) == 0
    told = capsys.readouterr().err
    assert told.count("skipped: /camera/image_raw:") == 1
    assert "3 images were skipped, 2 answered" in told
    assert len(records_in(tmp_path / "out")) == 2
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<b>3</b> images skipped" in page


def test_a_bag_of_which_nothing_can_be_used_is_an_error(
    gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BagMaker(tmp_path / "bag") as bag:
        bag.raw(0, b"nothing")
    assert replay(tmp_path / "bag", gallery, tmp_path / "out", *QUICK) == 1
    assert "of 1 images none could be used" in capsys.readouterr().err


def test_ctrl_c_leaves_whole_frames_and_a_page(bag: Path, gallery: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = [str(bag), "--gallery", str(gallery), "--output", str(output), "--set", "min_face_size=20"]
    process = subprocess.Popen([*REPLAY, *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    lines = output / "identities.jsonl"
    while not (lines.is_file() and lines.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    records = records_in(output)
    assert 3 <= len(records) < 104
    assert f"stopped after {len(records)} frames" in told
    assert frames_in(output / "annotated.mp4") == len(records)
    assert "Stopped by Ctrl-C" in (output / "index.html").read_text(encoding="utf-8")


def test_a_second_replay_replaces_the_first_and_nothing_else(
    film: list[ByteArray], gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, output = write_bag(tmp_path / "bag", film[20:26]), tmp_path / "out"
    assert replay(bag, gallery, output) == 0
    (output / "people" / "Former.png").write_text("of somebody who is not there any more")
    assert replay(bag, gallery, output, *QUICK, "--frames", "4") == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "identities.csv",
        "identities.jsonl",
        "index.html",
        "people",
    ]
    assert "Former.png" not in [path.name for path in (output / "people").iterdir()]
    assert len(records_in(output)) == 4
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_text("a picture")
    for other in (tmp_path / "holiday", bag / "metadata.yaml"):
        assert replay(bag, gallery, other, *QUICK) == 1
    told = capsys.readouterr().err
    assert (tmp_path / "holiday" / "beach.jpg").is_file()
    assert "holds other things than an earlier replay" in told
    assert "metadata.yaml is no folder" in told
    assert bag.is_dir()


@pytest.mark.parametrize("argument", ["source", "--expect"])
def test_what_would_be_replaced_is_not_read(
    argument: str, film: list[ByteArray], bag: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    inner = write_bag(output / "bag", film[:2])
    (output / "identities.jsonl").write_text("")
    given = [inner] if argument == "source" else [bag, "--expect", output / "identities.jsonl"]
    assert main(["replay", *map(str, given), "--gallery", str(gallery), "--output", str(output), *QUICK]) == 1
    assert "lies where the results go" in capsys.readouterr().err
    assert inner.is_dir()
    assert (output / "identities.jsonl").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["/nowhere", "--gallery", "{gallery}"], "there is no /nowhere"),
        (["{bag}", "--gallery", "/nowhere"], "there is no gallery /nowhere"),
        (
            ["{bag}", "--gallery", "{gallery}", "--topic", "/other"],
            "has no image topic /other; it has /camera/image_raw",
        ),
        (["{bag}", "--gallery", "{gallery}", "--expect", "/nowhere"], "there is no file /nowhere"),
        (["topic:/camera", "--gallery", "{gallery}"], "a live topic has no end"),
        (["{picture}", "--gallery", "{gallery}", "--write-bag"], "a bag can be written of a bag only"),
    ],
)
def test_wrong_input_gets_a_sentence(
    arguments: list[str], sentence: str, bag: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), np.zeros((60, 80, 3), np.uint8))
    places = {"gallery": str(gallery), "bag": str(bag), "picture": str(tmp_path / "pictures")}
    words = [word.format(**places) for word in arguments]
    assert main(["replay", *words, "--output", str(tmp_path / "out"), *QUICK]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


@pytest.mark.parametrize("argument", ["--frames=0", "--seconds=0", "--tolerance=-1", "--rate=inf"])
def test_wrong_numbers_are_wrong_usage(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["replay", "bag", "--gallery", "g", "--output", "o", argument])
    assert stopped.value.code == 2
    assert "must" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "argument", "sentence"),
    [("matplotlib", "--no-video", "pip install rosbags matplotlib jinja2"), ("rclpy", "--write-bag", "needs ROS 2")],
)
def test_what_is_not_installed_is_named(
    module: str, argument: str, sentence: str, bag: Path, gallery: Path, tmp_path: Path
) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; from face_recognition_ros.cli import main; "
        f"sys.exit(main(['replay', {str(bag)!r}, '--gallery', {str(gallery)!r}, '--output', 'out', {argument!r}]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert not (tmp_path / "out").exists()


def frames_in(video: Path) -> int:
    opened = cv2.VideoCapture(str(video))
    count = 0
    while opened.grab():
        count += 1
    return count
