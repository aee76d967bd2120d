"""What every run leaves behind: its last state, and its learning curve as a table and as a picture."""

import csv
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from matplotlib.figure import Figure


class Checkpoints(ModelCheckpoint):
    """Lightning's, and one of the very end: Lightning's stops at the last one that was due by time or steps."""

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.last_model_path:
            trainer.save_checkpoint(self.last_model_path)
        else:
            super().on_train_end(trainer, module)


class LearningCurve(L.Callback):
    """Writes learning_curve.csv and learning_curve.png into the run's folder after each validation."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
        self.history.append({"step": trainer.global_step, "epoch": trainer.current_epoch} | logged)
        folder = Path(trainer.default_root_dir)
        write_table(self.history, folder / "learning_curve.csv")
        draw(self.history).savefig(folder / "learning_curve.png", dpi=120)

    def state_dict(self) -> dict[str, list[dict[str, float]]]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, list[dict[str, float]]]) -> None:
        self.history = state_dict["history"]


def columns(history: list[dict[str, float]]) -> list[str]:
    """The names of all numbers that were ever logged, in order of appearance."""
    return list(dict.fromkeys(name for row in history for name in row))


def write_table(history: list[dict[str, float]], path: Path) -> None:
    """A line per validation; empty where a number was not logged."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns(history))
        writer.writeheader()
        writer.writerows(history)


def draw(history: list[dict[str, float]]) -> Figure:
    """One panel for each logged number over the steps."""
    names = [name for name in columns(history) if name not in ("step", "epoch")]
    figure = Figure(figsize=(4 * max(len(names), 1), 3), layout="constrained")
    for name, axes in zip(names, figure.subplots(1, max(len(names), 1), squeeze=False)[0], strict=False):
        points = [(row["step"], row[name]) for row in history if name in row]
        axes.plot(*zip(*points, strict=True), marker=".")
        axes.set(xlabel="step", title=name)
        axes.grid(alpha=0.3)
    return figure
