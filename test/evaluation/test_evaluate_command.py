"""`face-recognition evaluate`: what it prints and writes, and what it says before the long work begins."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from face_recognition_ros.cli import main
from face_recognition_ros.models import find_model


def test_verification_writes_numbers_diagrams_and_a_page(
    pairs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faces.json"
    data = ["--images", str(pairs_folder / "images"), "--pairs", str(pairs_folder / "pairs.txt")]
    reference = ["--reference", str(find_model("face_embedding").path)]
    code = main(["evaluate", "verification", *data, *reference, "--json", str(out)])
    assert code == 0
    assert "8 pairs in 2 folds, 8 pictures, 0 faces not found" in capsys.readouterr().out
    numbers = json.loads(out.read_text(encoding="utf-8"))
    wanted = {"model", "accuracy", "accuracy_std", "f1", "f1_threshold", "precision", "recall", "auc", "eer"}
    assert wanted | {"tar_at_far", "failed_detections", "reference_network"} <= numbers.keys()
    assert list(numbers["tar_at_far"]) == ["0.01", "0.001", "0.0001"]
    assert numbers["reference_network"]["accuracy"] == numbers["accuracy"] == 1.0, "it is the same network"
    for name in ("roc", "det", "scores"):
        assert cv2.imread(str(tmp_path / f"faces_{name}.png")) is not None
    assert "reference network" in (tmp_path / "faces.html").read_text(encoding="utf-8")


def test_identification_writes_numbers_diagrams_and_a_page(
    videos_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "identification", "--videos", str(videos_folder), "--json", "videos.json"]) == 0
    assert "2 people, 2 videos of enrolled people and 4 of strangers" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "videos.json").read_text(encoding="utf-8"))
    assert {"model", "rank1", "dir_at_fpir", "wrong_person_rate", "failed_detections"} <= numbers.keys()
    assert list(numbers["dir_at_fpir"]) == ["0.1", "0.01", "0.001"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "videos.html", "videos.json", "videos_dir_fpir.png", "videos_scores.png",
    ]  # fmt: skip


def test_the_numbers_may_go_to_a_file_of_any_name(pairs_folder: Path, tmp_path: Path) -> None:
    data = ["--images", str(pairs_folder / "images"), "--pairs", str(pairs_folder / "pairs.txt")]
    assert main(["evaluate", "verification", *data, "--json", str(tmp_path / "numbers")]) == 0
    assert json.loads((tmp_path / "numbers").read_text(encoding="utf-8"))["pairs"] == 8
    assert {"numbers.html", "numbers_roc.png"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("name", "reason"),
    [("numbers.html", "where the report goes"), ("no/numbers.json", "no folder no"), ("/", "/ is a folder")],
)
def test_a_place_that_cannot_be_written_is_refused_first(
    name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "identification", "--videos", "/nowhere", "--json", name])
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["identification", "--videos", "/nowhere"], "there is no folder /nowhere"),
        (["verification", "--images", "/nowhere", "--pairs", "/nowhere/pairs.txt"], "/nowhere/pairs.txt"),
        (["verification", "--images", ".", "--pairs", ".", "--reference", "/no.onnx"], "/no.onnx"),
    ],
)
def test_wrong_input_gets_a_sentence(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_missing_library_is_named_with_what_installs_it() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None; from face_recognition_ros.cli import main; "
        "sys.exit(main(['evaluate', 'identification', '--videos', '.']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "needs sklearn" in result.stderr
    assert "pip install scikit-learn" in result.stderr
