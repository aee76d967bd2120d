"""Recipes of several runs: how they are read, what is run, what is kept."""

import subprocess
from pathlib import Path

import pytest
import yaml

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
pytest.importorskip("torch", reason=REASON)

from face_recognition_ros.training import plan  # noqa: E402

CURVE = "step,held_out_auc,loss\n1,0.5,3.25\n2,0.75,2.123456\n"


def written(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def test_runs_differ_from_the_base_where_they_say_so(tmp_path: Path) -> None:
    runs = {"stage one": {"data": {"batch": 2}}, "stage two": None}
    read = plan.read_plan(written(tmp_path / "r.yaml", {"base": {"data": {"batch": 1, "seed": 7}}, "runs": runs}))
    assert [(run.name, run.folder) for run in read] == [("stage one", "stage_one"), ("stage two", "stage_two")]
    assert [run.config for run in read] == [{"data": {"batch": 2, "seed": 7}}, {"data": {"batch": 1, "seed": 7}}]


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    grid = {"data.batch": [16, 32], "trainer.max_epochs": [1, 5]}
    read = plan.read_plan(written(tmp_path / "r.yaml", {"base": {"data": {"seed": 7}}, "grid": grid}))
    assert [run.name for run in read] == [f"batch={b}, max_epochs={e}" for b in (16, 32) for e in (1, 5)]
    assert read[3].config == {"data": {"seed": 7, "batch": 32}, "trainer": {"max_epochs": 5}}


@pytest.mark.parametrize("content", [None, [], {"base": {}}, {"model": {}, "runs": {}}])
def test_another_file_is_refused_by_name(tmp_path: Path, content: object) -> None:
    with pytest.raises(ValueError, match=r"r\.yaml must have runs or grid"):
        plan.read_plan(written(tmp_path / "r.yaml", content))


def test_a_plan_trains_what_is_not_finished_and_compares_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def train(command: list[str], *, check: bool) -> None:
        assert check
        commands.append(command)
        folder = Path(next(part for part in command if part.startswith("--trainer.default")).partition("=")[2])
        if len(commands) == 2:
            (folder / "checkpoints").mkdir()
            (folder / "checkpoints" / "last.ckpt").touch()
            raise subprocess.CalledProcessError(1, command)
        (folder / "learning_curve.csv").write_text(CURVE)

    monkeypatch.setattr(subprocess, "run", train)
    runs = {"one": {"x": "{work}/one"}, "two": {"x": "{work}/one/weights"}}
    arguments = [str(written(tmp_path / "r.yaml", {"runs": runs})), "--work", str(tmp_path), "--data.batch=4"]
    with pytest.raises(subprocess.CalledProcessError):
        plan.main(arguments)
    plan.main(arguments)

    assert [Path(part).parent.name for command in commands for part in command if "--config" in part] == [
        "one", "two", "two"
    ], "the first is not trained again"  # fmt: skip
    assert all("--data.batch=4" in command for command in commands)
    assert [("--ckpt_path=last" in command) for command in commands] == [False, False, True]
    assert yaml.safe_load((tmp_path / "two" / "recipe.yaml").read_text()) == {"x": f"{tmp_path}/one/weights"}
    assert "| two | 2 | 0.75 | 2.123 |" in capsys.readouterr().out
    assert (tmp_path / "summary.png").exists()
