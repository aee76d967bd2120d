"""Raw photos become crops or a line that says why not; a killed run goes on where it was. With the real detector."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.alignment import TEMPLATE
from face_recognition_ros.models.catalog import SEARCH_VARIABLE
from face_recognition_ros.training.data import preparation
from face_recognition_ros.training.data.face_folder import FaceFolder
from face_recognition_ros.training.data.preparation import Preparation, main, prepare, prepare_photo, read_report
from face_recognition_ros.types import ByteArray, Detection

REPOSITORY = Path(__file__).resolve().parents[3]
MODULE = "face_recognition_ros.training.data.preparation"


@pytest.fixture(autouse=True)
def _detector_of_the_nodes_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make setup` exports MTCNN there; the environment for training has none of its own."""
    monkeypatch.setenv(SEARCH_VARIABLE, str(REPOSITORY / ".venv/share/face_recognition_ros/models"))


@pytest.fixture
def photos(tmp_path: Path, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray) -> Path:
    """Two portraits, and a photo for each reason to reject one that needs no particular detector."""
    collins, hopper = astronaut_bgr[:280, 100:360], cv2.resize(grace_hopper_bgr, None, fx=0.5, fy=0.5)
    pictures = {
        "Collins/a.png": collins,
        "Collins/crowd.png": np.hstack([collins, collins[:, ::-1]]),
        "Collins/a.jpg": collins,
        "Hopper/1.v2.jpg": hopper,
        "Hopper/wall.png": np.full((80, 80, 3), 127, np.uint8),
        "Hopper/far.png": cv2.resize(hopper, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA),
    }
    for name, picture in pictures.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(tmp_path / "photos" / name), picture)
    (tmp_path / "photos/Hopper/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "photos/Hopper/notes.txt").write_text("no photo")
    return tmp_path / "photos"


OUTCOMES = {
    "Collins/a.jpg": "kept",
    "Collins/a.png": "same_name",
    "Collins/crowd.png": "several_faces",
    "Hopper/1.v2.jpg": "kept",
    "Hopper/broken.jpg": "unreadable",
    "Hopper/far.png": "too_small",
    "Hopper/wall.png": "no_face",
}


def rows_of(output: Path) -> list[dict[str, str]]:
    with (output / "report.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_crops_and_report(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "crops"
    assert main(["--photos", str(photos), "--output", str(output), "--min-resolution", "0.6"]) == 0
    assert read_report(output / "report.csv") == OUTCOMES
    rows = {row["photo"]: row for row in rows_of(output)}
    assert {name: row["faces_in_photo"] for name, row in rows.items() if row["faces_in_photo"] != "0"} == {
        "Collins/a.jpg": "1", "Collins/crowd.png": "2", "Hopper/1.v2.jpg": "1", "Hopper/far.png": "1",
    }  # fmt: skip
    assert 0 < float(rows["Hopper/far.png"]["source_pixels_per_crop_pixel"]) < 0.6
    eye = [float(rows["Collins/a.jpg"][f"left_eye_{axis}"]) for axis in "xy"]
    assert eye == pytest.approx(TEMPLATE[0] + 8, abs=4)

    faces = FaceFolder(output)
    assert faces.names == ("Collins", "Hopper")
    assert [faces.path(row).name for row in range(len(faces))] == ["a.jpg", "1.v2.jpg"]
    assert faces.read([0, 1]).shape == (2, 128, 128, 3)
    printed = capsys.readouterr().out
    assert "2 of 7 photos kept, 5 rejected" in printed
    for reason in set(OUTCOMES.values()) - {"kept"}:
        assert f"1  {reason}: {preparation.REASONS[reason]}" in printed


def test_a_crop_is_found_again_where_the_template_says(photos: Path, tmp_path: Path) -> None:
    prepare(Preparation(photos, tmp_path / "crops"))
    large = cv2.resize(cv2.imread(str(tmp_path / "crops/Hopper/1.v2.jpg")), (512, 512), interpolation=cv2.INTER_CUBIC)
    (face,) = preparation.create_detector("mtcnn").detect(np.asarray(large, np.uint8))
    assert np.linalg.norm((face.landmarks + 0.5) / 4 - 0.5 - (TEMPLATE + 8), axis=1).max() < 6


def test_workers_give_the_same(photos: Path, tmp_path: Path) -> None:
    alone = prepare(Preparation(photos, tmp_path / "alone"))
    together = prepare(Preparation(photos, tmp_path / "together"), workers=2)
    assert alone == together
    assert read_report(tmp_path / "alone/report.csv") == read_report(tmp_path / "together/report.csv")
    for crop in ("Collins/a.jpg", "Hopper/1.v2.jpg"):
        assert (tmp_path / "alone" / crop).read_bytes() == (tmp_path / "together" / crop).read_bytes()


def test_a_second_run_does_only_what_is_new(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "crops"
    first = prepare(Preparation(photos, output))
    report = (output / "report.csv").read_bytes()
    written = (output / "Hopper/1.v2.jpg").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "create_detector", None)  # nothing is left that would need one
        assert prepare(Preparation(photos, output)) == first
    assert (output / "report.csv").read_bytes() == report
    (photos / "Hopper/new.png").write_bytes((photos / "Hopper/1.v2.jpg").read_bytes())
    assert prepare(Preparation(photos, output))["kept"] == first["kept"] + 1
    assert (output / "report.csv").read_bytes().startswith(report)
    assert (output / "Hopper/1.v2.jpg").stat().st_mtime_ns == written


@pytest.mark.parametrize("lines_left", [0, 1, 4])
def test_a_line_cut_short_is_done_again(photos: Path, tmp_path: Path, lines_left: int) -> None:
    """Killed after a crop was written and before, or within, its line in the report."""
    output = tmp_path / "crops"
    whole = prepare(Preparation(photos, output))
    rows = sorted(map(str, rows_of(output)))
    lines = (output / "report.csv").read_bytes().splitlines(keepends=True)
    (output / "report.csv").write_bytes(b"".join(lines[:lines_left]) + lines[lines_left][:7])
    (output / "Collins/a.partial").write_bytes(b"half a crop")
    assert prepare(Preparation(photos, output)) == whole
    assert sorted(map(str, rows_of(output))) == rows
    assert len(FaceFolder(output)) == whole["kept"]


def test_killed_and_started_again(tmp_path: Path, astronaut_bgr: ByteArray) -> None:
    """SIGKILL in the middle: nothing is lost or done twice, and no worker stays behind."""
    names = [f"Collins/{number:03d}.jpg" for number in range(50)]
    (tmp_path / "photos/Collins").mkdir(parents=True)
    for name in names:
        assert cv2.imwrite(str(tmp_path / "photos" / name), astronaut_bgr[20:260, 120:340])
    output = tmp_path / "crops"
    arguments = ["--photos", str(tmp_path / "photos"), "--output", str(output), "--workers", "2"]
    command = [sys.executable, "-m", MODULE, *arguments]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    wait_until(lambda: (output / "report.csv").exists() and len(read_lines(output)) > 3)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = read_lines(output)[:-1]
    assert len(done) < len(names), "it was not killed in the middle"
    wait_until(lambda: not any(is_running(int(child)) for child in children))

    assert main(arguments) == 0
    assert [row["photo"] for row in rows_of(output)][: len(done) - 1] == [
        line.split(b",")[0].decode() for line in done[1:]
    ]
    assert sorted(row["photo"] for row in rows_of(output)) == names
    assert len(FaceFolder(output)) == len(names)
    assert not list(output.rglob("*.partial"))


def read_lines(output: Path) -> list[bytes]:
    return (output / "report.csv").read_bytes().split(b"\n")


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until(condition: object, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


class CrookedFace:
    """A detector whose landmarks lie on a line."""

    def detect(self, frame: ByteArray) -> list[Detection]:
        points = np.linspace([10, 10], [50, 50], 5, dtype=np.float32)
        return [Detection(np.array([10, 10, 50, 50], np.float32), points, 0.9)]


def test_landmarks_that_form_no_face(photos: Path, tmp_path: Path) -> None:
    outcome = prepare_photo(Preparation(photos, tmp_path / "crops"), CrookedFace(), "Hopper/1.v2.jpg")  # type: ignore[arg-type]
    assert outcome.row()[:6] == ("Hopper/1.v2.jpg", "rejected", "no_alignment", 1, None, 0.9)
    assert not (tmp_path / "crops").exists()


def test_every_reason_is_met_by_a_test_above() -> None:
    assert set(preparation.REASONS) == {*OUTCOMES.values(), "no_alignment"} - {"kept"}


@pytest.mark.parametrize("output", ["photos", "photos/crops", "."])
def test_photos_are_never_overwritten(photos: Path, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--photos", str(photos), "--output", str(photos.parent / output)]) == 1
    assert "must be folders outside of each other" in capsys.readouterr().err


def test_what_cannot_be_done_is_said(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/report.csv").write_text("date,amount\n")
    (tmp_path / "empty").mkdir()

    def complaint(photos: Path, output: str, *more: str) -> str:
        assert main(["--photos", str(photos), "--output", str(tmp_path / output), *more]) == 1
        return capsys.readouterr().err

    assert "is no report of a preparation" in complaint(photos, "other")
    assert "each identity needs a folder of its own" in complaint(tmp_path / "empty", "crops")
    assert "there is no folder" in complaint(tmp_path / "nothing", "crops")
    assert "needs a model file" in complaint(photos, "crops", "--detector", "yunet")
    with pytest.raises(SystemExit):
        main(["--photos", str(photos), "--output", str(tmp_path / "crops"), "--workers", "0"])
    assert "--workers must be 1 or more" in capsys.readouterr().err
