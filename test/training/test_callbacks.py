"""The learning curve: a table, a picture, and that it goes on after a stop; the checkpoint of the end."""

import csv
from pathlib import Path

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)

import cv2  # noqa: E402
import lightning as L  # noqa: E402

from face_recognition_ros.training.callbacks import Checkpoints, LearningCurve, draw, write_table  # noqa: E402

from .test_schedule import Line  # noqa: E402

HISTORY = [{"step": 10, "epoch": 0, "auc": 0.5}, {"step": 20, "epoch": 1, "auc": 0.7, "loss": 2.0}]


def test_the_table_has_every_number_that_was_ever_logged(tmp_path: Path) -> None:
    write_table(HISTORY, tmp_path / "curve.csv")
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"step": "10", "epoch": "0", "auc": "0.5", "loss": ""}
    assert rows[1]["loss"] == "2.0"


def test_the_picture_has_a_panel_for_each_number(tmp_path: Path) -> None:
    figure = draw(HISTORY)
    assert [axes.get_title() for axes in figure.axes] == ["auc", "loss"]
    assert [list(axes.lines[0].get_xdata()) for axes in figure.axes] == [[10, 20], [20]]
    figure.savefig(tmp_path / "curve.png")
    assert cv2.imread(str(tmp_path / "curve.png")).std() > 0


def test_the_history_survives_a_stop() -> None:
    before, after = LearningCurve(), LearningCurve()
    before.history = HISTORY
    after.load_state_dict(before.state_dict())
    assert after.history == HISTORY


@pytest.mark.parametrize("every", [2, 100])
def test_the_last_checkpoint_is_of_the_end(tmp_path: Path, every: int) -> None:
    checkpoints = Checkpoints(save_last=True, save_top_k=0, every_n_train_steps=every, enable_version_counter=False)
    trainer = L.Trainer(
        default_root_dir=tmp_path, max_steps=3, callbacks=[checkpoints], logger=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(Line())
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]
