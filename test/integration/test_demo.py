"""The demo, end to end: node and camera as processes of their own, real messages, real faces."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from face_recognition_ros.types import ByteArray


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
    assert summary["longest_silence_s"] < 2
    assert "Eileen Collins, Grace Hopper" in result.stdout
    assert "a stranger" in result.stdout
    video = cv2.VideoCapture(str(tmp_path / "demo.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 300
    assert cv2.imread(str(tmp_path / "demo.jpg")) is not None


def test_it_shows_ones_own_pictures_and_leaves_out_what_is_of_no_use(
    tmp_path: Path, astronaut_bgr: ByteArray, astronaut_path: Path, grace_hopper_path: Path
) -> None:
    """Bo has two pictures, of which the second can be shown; both of Ann's are enrolled, and one is shown."""
    (tmp_path / "people" / "Ann").mkdir(parents=True)
    (tmp_path / "people" / "Bo").mkdir()
    shutil.copy(astronaut_path, tmp_path / "people" / "Ann" / "1.png")
    cv2.imwrite(str(tmp_path / "people" / "Ann" / "2.png"), np.fliplr(astronaut_bgr))
    (tmp_path / "people" / "Bo" / "1.jpg").write_text("no picture")
    shutil.copy(grace_hopper_path, tmp_path / "people" / "Bo" / "2.jpg")
    cv2.imwrite(str(tmp_path / "people" / "All_of_Us.png"), np.hstack([astronaut_bgr, astronaut_bgr]))
    robots_own = tmp_path / "gallery.sqlite3"
    robots_own.write_text("precious")
    result = demo("--images", tmp_path / "people", "--output", tmp_path, "--seconds", 12)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "All_of_Us.png: not kept: the picture shows 2 faces; it must show exactly one" in result.stderr
    assert "All of Us: not shown: no picture of a good face" in result.stderr
    assert "1.jpg: not kept: " in result.stderr
    assert "Ann: enrolled, 2 looks" in result.stdout
    shown = json.loads((tmp_path / "cast.json").read_text())
    assert [(entry["name"], Path(entry["picture"]).name) for entry in shown] == [("Ann", "1.png"), ("Bo", "2.jpg")]
    assert json.loads((tmp_path / "summary.json").read_text())["people"] == ["Ann", "Bo"]
    assert robots_own.read_text() == "precious"


def test_it_fails_with_sentences_where_nobody_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    folder.mkdir()
    (folder / "Bo.jpg").write_text("no picture")
    result = demo("--images", folder, "--output", tmp_path / "output")
    assert (result.returncode, result.stdout) == (1, "")
    reason, person, end = result.stderr.splitlines()
    assert reason.startswith(f"{folder}/Bo.jpg: not kept: {folder}/Bo.jpg is no picture")
    assert person == "Bo: not shown: no picture of a good face"
    assert end.startswith("face-recognition: nobody could be enrolled")
