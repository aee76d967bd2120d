"""Every recipe of the package takes a step on made-up faces, and is what the command in its first lines names."""

import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)

import yaml  # noqa: E402

from face_recognition_ros.training.__main__ import main  # noqa: E402
from face_recognition_ros.training.plan import Run, read_plan  # noqa: E402

RECIPES = Path(__file__).resolve().parents[2] / "config" / "training"
ON_FOLDERS = [path for path in sorted(RECIPES.glob("*.yaml")) if path.stem != "distilled_release"]
"""The release recipe has its test in test_distillation.py."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve identity folders with four crops each."""
    folder = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    for identity in range(12):
        (folder / f"p{identity:02d}").mkdir()
        face = random.integers(0, 256, (8, 8, 3), np.uint8)
        for number in range(4):
            picture = cv2.resize(face, (128, 128)) // 2 + random.integers(0, 64, (128, 128, 3), np.uint8)
            cv2.imwrite(str(folder / f"p{identity:02d}" / f"{number}.png"), picture)
    return folder


def runs_of(recipe: Path) -> list[Run]:
    content = yaml.safe_load(recipe.read_text())
    return [Run(recipe.stem, content)] if "model" in content else read_plan(recipe)


@pytest.mark.parametrize("recipe", ON_FOLDERS, ids=lambda path: path.stem)
def test_every_run_of_a_recipe_takes_a_step(recipe: Path, people: Path, tmp_path: Path) -> None:
    for run in runs_of(recipe):
        folder = tmp_path / run.folder
        folder.mkdir()
        config = yaml.safe_dump(dict(run.config)).replace("{work}", str(tmp_path))
        (folder / "recipe.yaml").write_text(config)
        pairs = "PairData" in config
        batches = ["--data.batch=4"] if pairs else ["--data.batch=8"]
        if "images_per_identity" in config:
            batches.append("--data.images_per_identity=4")
        main([
            "fit", f"--config={folder / 'recipe.yaml'}", f"--trainer.default_root_dir={folder}",
            f"--data.faces.folder={people}", "--data.faces.layout=folder", "--data.faces.min_images=2",
            "--data.validation=0.4", "--data.workers=0", "--trainer.max_steps=1", "--trainer.max_epochs=1",
            "--trainer.val_check_interval=1", "--trainer.check_val_every_n_epoch=1",
            "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", *batches,
        ])  # fmt: skip
        curve = (folder / "learning_curve.csv").read_text()
        assert "held_out_auc" in curve
        assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 1


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_command_in_the_first_lines_names_the_recipe(recipe: Path) -> None:
    comment = "\n".join(line[1:] for line in recipe.read_text().splitlines() if line.startswith("#"))
    _, _, command = comment.partition(".venv-training/bin/python -m face_recognition_ros.training")
    words = shlex.split(command.partition("\n\n")[0].replace("\\\n", " "))
    assert f"config/training/{recipe.name}" in words
    assert words[0] == ".plan" if "fit" not in words else words[0] == "fit"
