"""The `face-recognition` command, end to end with real pictures and the released network."""

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import face_recognition_ros
from face_recognition_ros.cli import BROKEN_PIPE, INTERRUPTED, main

HEAVY = ("cryptography", "cv2", "numpy", "onnxruntime", "rclpy", "scipy", "tqdm")


def command(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs it as a shell does."""
    words = [sys.executable, "-m", "face_recognition_ros.cli", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, astronaut_path: Path, grace_hopper_path: Path) -> Path:
    """Two people: one in a folder of a picture, one with a picture."""
    folder = tmp_path_factory.mktemp("people")
    (folder / "Eileen_Collins").mkdir()
    shutil.copy(astronaut_path, folder / "Eileen_Collins" / "portrait.png")
    shutil.copy(grace_hopper_path, folder / "Grace_Hopper.jpg")
    return folder


@pytest.fixture(scope="module")
def enrolled(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of both; no test changes it."""
    gallery = tmp_path_factory.mktemp("gallery") / "gallery.sqlite3"
    assert main(["enroll", str(people), "--gallery", str(gallery)]) == 0
    return gallery


@pytest.fixture
def gallery(enrolled: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(enrolled, tmp_path / "gallery.sqlite3"))


def test_enroll_says_what_became_of_each_person(people: Path, tmp_path: Path) -> None:
    result = command("enroll", people, "--gallery", tmp_path / "new.sqlite3")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "Eileen Collins: 1 looks kept, 0 rejected",
        "Grace Hopper: 1 looks kept, 0 rejected",
    ]
    assert result.stderr == ""
    assert (tmp_path / "new.sqlite3").stat().st_mode & 0o777 == 0o600


def test_enroll_says_which_pictures_it_did_not_keep_and_why(
    people: Path, tmp_path: Path, astronaut_bgr, grace_hopper_bgr, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2
    import numpy as np

    folder = tmp_path / "people"
    shutil.copytree(people / "Eileen_Collins", folder / "Eileen_Collins")
    (folder / "Eileen_Collins" / "broken.jpg").write_text("no picture")
    (folder / "Nobody").mkdir()
    cv2.imwrite(str(folder / "Nobody" / "wall.png"), np.full((200, 200, 3), 180, np.uint8))
    cv2.imwrite(str(folder / "Two_People.png"), np.hstack([astronaut_bgr, grace_hopper_bgr[:512]]))
    assert main(["enroll", str(folder), "--gallery", str(tmp_path / "g")]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["Eileen Collins: 1 looks kept, 1 rejected"]
    assert "broken.jpg is no picture" in err
    assert "wall.png: not kept: the picture shows no face" in err
    assert "Two_People.png: not kept: the picture shows 2 faces" in err
    assert "Nobody: not enrolled" in err
    assert "Two People: not enrolled" in err


def test_enroll_refuses_a_known_face_under_another_name_unless_forced(
    gallery: Path, tmp_path: Path, astronaut_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "impostor"
    folder.mkdir()
    shutil.copy(astronaut_path, folder / "Somebody_Else.png")
    assert main(["enroll", str(folder), "--gallery", str(gallery)]) == 1
    assert "already known as 'Eileen Collins'" in capsys.readouterr().err
    assert main(["enroll", str(folder), "--gallery", str(gallery), "--force"]) == 0


def test_recognize_names_both_people(
    enrolled: Path, astronaut_path: Path, grace_hopper_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recognize", str(astronaut_path), str(grace_hopper_path), "--gallery", str(enrolled), "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["image"] for record in records] == [str(astronaut_path), str(grace_hopper_path)]
    (eileen,), (grace,) = (record["faces"] for record in records)
    assert (eileen["status"], eileen["name"]) == ("known", "Eileen Collins")
    assert (grace["status"], grace["name"]) == ("known", "Grace Hopper")
    left, top, right, bottom = eileen["box"]
    assert all(left < x < right and top < y < bottom for x, y in eileen["landmarks"].values())


def test_recognize_gives_a_stranger_no_name(
    people: Path, tmp_path: Path, astronaut_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "only_grace"
    folder.mkdir()
    shutil.copy(people / "Grace_Hopper.jpg", folder)
    gallery = str(tmp_path / "g")
    assert main(["enroll", str(folder), "--gallery", gallery]) == 0
    capsys.readouterr()
    assert main(["recognize", str(astronaut_path), "--gallery", gallery, "--json"]) == 0
    ((face,),) = (record["faces"] for record in json.loads(capsys.readouterr().out))
    assert (face["status"], face["name"]) == ("unknown", None)


def test_recognize_goes_on_after_a_bad_picture(enrolled: Path, astronaut_path: Path, tmp_path: Path) -> None:
    result = command("recognize", tmp_path / "nothing.jpg", astronaut_path, "--gallery", enrolled)
    assert result.returncode == 1
    assert result.stderr == f"face-recognition: there is no file {tmp_path}/nothing.jpg\n"
    assert result.stdout.startswith(f"{astronaut_path}: Eileen Collins (confidence ")


@pytest.mark.parametrize(
    "words", [["identities"], ["recognize", "a.jpg"], ["rename", "a", "b"], ["export", "f"]], ids=lambda words: words[0]
)
def test_a_gallery_that_is_not_there_is_an_error_and_not_made(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = tmp_path / "nowhere.sqlite3"
    assert main([*words, "--gallery", str(gallery)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"there is no gallery {gallery}" in err
    assert not gallery.exists()


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("nonsense=1", "--set takes NAME=VALUE"),
        ("min_face_size", "--set takes NAME=VALUE"),
        ("min_face_size=small", "min_face_size must be given as 40.0 is"),
        ("min_face_size=1", "min_face_size must lie between"),
        ("strict_backend=maybe", "strict_backend must be given as False is"),
        ("detection_thresholds=0.6,0.7", "detection_thresholds must be three numbers"),
        ("backend=abacus", "backend must be one of"),
    ],
)
def test_a_wrong_setting_is_wrong_usage_with_a_sentence(
    setting: str, sentence: str, enrolled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["identities", "--gallery", str(enrolled), "--set", setting]) == 2
    assert sentence in capsys.readouterr().err


def test_a_setting_is_used(enrolled: Path, astronaut_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The astronaut's face is 89 pixels wide."""
    words = ["recognize", str(astronaut_path), "--gallery", str(enrolled), "--set", "min_face_size=300"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{astronaut_path}: nobody\n"


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["enroll"], ["recognize", "--gallery", "g"], ["demo", "--seconds", "1"]]
)
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    result = command(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: face-recognition" in result.stderr


def test_version_and_help_load_nothing_heavy() -> None:
    assert command("--version").stdout == f"face-recognition {face_recognition_ros.__version__}\n"
    code = f"""
import sys
from face_recognition_ros.cli import main
try:
    main(["--help"])
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "enroll" in result.stdout
    assert result.stderr == "[]\n"


def test_a_reader_that_leaves_ends_it_without_a_traceback(enrolled: Path) -> None:
    words = [sys.executable, "-m", "face_recognition_ros.cli", "identities", "--gallery", str(enrolled)]
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = subprocess.run(words, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (result.returncode, result.stderr) == (BROKEN_PIPE, "")


def test_ctrl_c_ends_it_without_a_traceback(enrolled: Path, tmp_path: Path) -> None:
    """It waits for the picture, a pipe that nobody writes to, when the signal comes."""
    picture = tmp_path / "picture.jpg"
    os.mkfifo(picture)
    words = [sys.executable, "-m", "face_recognition_ros.cli", "recognize", str(picture), "--gallery", str(enrolled)]
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job would ignore it
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listen)
    with process, picture.open("wb"):  # opens once the other side reads
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (INTERRUPTED, "", "")
