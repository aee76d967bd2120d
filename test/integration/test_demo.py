"""The demo, end to end: node and camera as processes of their own, real messages, real faces."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "face_recognition_ros.cli", "demo", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)


def test_it_names_both_people_and_gives_the_stranger_no_name(tmp_path: Path) -> None:
    result = demo("--output", tmp_path, "--seconds", 20)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["people"] == ["Eileen Collins", "Grace Hopper"]
    assert (summary["named_wrong"], summary["stranger_named"]) == (0, 0)
    assert summary["stranger_unknown"] > 0
    assert summary["frames_in"] == 300
    assert "Eileen Collins, Grace Hopper" in result.stdout
    assert "a stranger" in result.stdout
    video = cv2.VideoCapture(str(tmp_path / "demo.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 300
    assert cv2.imread(str(tmp_path / "demo.jpg")) is not None


def test_it_shows_ones_own_pictures_and_says_why_it_fails(
    tmp_path: Path, astronaut_path: Path, grace_hopper_path: Path
) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    shutil.copy(astronaut_path, folder / "Ann.png")
    (folder / "Bo.jpg").write_text("no picture")
    result = demo("--images", folder, "--output", tmp_path / "output", "--seconds", 5)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"face-recognition: {folder}/Bo.jpg is no picture")
    shutil.copy(grace_hopper_path, folder / "Bo.jpg")
    result = demo("--images", folder, "--output", tmp_path / "output", "--seconds", 12)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads((tmp_path / "output" / "summary.json").read_text())["people"] == ["Ann", "Bo"]
