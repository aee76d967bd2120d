"""How far a run is, and the learning rate that belongs there: by steps, by the clock, or whichever ends first."""

import math
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer


def share_done(trainer: L.Trainer) -> float:
    """0 at the start, 1 at the end: that of `max_steps`, `max_epochs` or `max_time`, whichever comes first.

    A run that follows the clock ends when it should on any machine, and goes on where it stopped: the time that has
    passed is part of a checkpoint. Several devices go by the clock of the first.

    Raises ValueError for a run without an end.
    """
    shares = []
    if math.isfinite(steps := trainer.estimated_stepping_batches):
        shares.append(trainer.global_step / max(steps, 1))
    for callback in trainer.callbacks:
        if isinstance(callback, Timer):
            elapsed, remaining = callback.time_elapsed(), callback.time_remaining()
            if remaining is not None:
                shares.append(elapsed / max(elapsed + remaining, 1e-9))
    if not shares:
        raise ValueError("the learning rate follows the run's length: set trainer.max_steps, max_epochs or max_time")
    return float(trainer.strategy.broadcast(min(1.0, max(shares))))  # or weights would drift apart


def one_cycle(share: float, warm_up: float) -> float:
    """Factor of the peak learning rate: linear up during `warm_up`, cosine down to nothing (Smith and Topin 2018)."""
    if share < warm_up:
        return 0.05 + 0.95 * share / warm_up
    return 0.5 * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up)))


class OneCycle(L.Callback):
    """Sets the learning rate of every optimiser before each step; what the optimiser was made with is the peak."""

    def __init__(self, warm_up: float = 0.04) -> None:
        """`warm_up`: the share of the run in which the rate rises."""
        if not 0 < warm_up < 1:
            raise ValueError(f"warm_up is a share of the run between 0 and 1, not {warm_up}")
        self.warm_up = warm_up

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        factor = one_cycle(share_done(trainer), self.warm_up)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
