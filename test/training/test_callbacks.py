"""The learning curve: a table, a picture, and that it goes on after a stop."""

import csv
from pathlib import Path

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
pytest.importorskip("torch", reason=REASON)

import cv2  # noqa: E402

from face_recognition_ros.training.callbacks import LearningCurve, draw, write_table  # noqa: E402

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
