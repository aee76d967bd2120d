"""How far a run is, and its learning rate."""

from datetime import timedelta

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)

import lightning as L  # noqa: E402

from face_recognition_ros.training.schedule import OneCycle, one_cycle, share_done  # noqa: E402


class Line(L.LightningModule):
    """The smallest thing that Lightning can train; notes how far it was and its learning rate at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[float, float]] = []

    def training_step(self, batch: "torch.Tensor", _: int) -> "torch.Tensor":
        self.seen.append((share_done(self.trainer), self.optimizers().param_groups[0]["lr"]))
        return (self.weight - batch).square().mean()

    def train_dataloader(self) -> "torch.utils.data.DataLoader[torch.Tensor]":
        return torch.utils.data.DataLoader(torch.ones(5, 1))

    def configure_optimizers(self) -> "torch.optim.Optimizer":
        return torch.optim.SGD(self.parameters(), lr=0.5)


def trainer(folder: object, **options: object) -> L.Trainer:
    return L.Trainer(
        default_root_dir=str(folder), logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", callbacks=[OneCycle(warm_up=0.2)], **options,
    )  # fmt: skip


def test_one_cycle_rises_to_one_and_falls_to_nothing() -> None:
    assert one_cycle(0, 0.2) == pytest.approx(0.05)
    assert one_cycle(0.1, 0.2) == pytest.approx(0.05 + 0.95 / 2)
    assert one_cycle(0.2, 0.2) == pytest.approx(1)
    assert one_cycle(0.6, 0.2) == pytest.approx(0.5), "half way down a cosine"
    assert one_cycle(1, 0.2) == pytest.approx(0)


@pytest.mark.parametrize("length", [{"max_epochs": 2}, {"max_steps": 10}, {"max_steps": 10, "max_epochs": 7}])
def test_the_rate_follows_the_steps(tmp_path: object, length: dict[str, int]) -> None:
    line = Line()
    trainer(tmp_path, **length).fit(line)
    shares, rates = zip(*line.seen, strict=True)
    assert shares == pytest.approx([step / 10 for step in range(10)])
    assert rates == pytest.approx([0.5 * one_cycle(share, 0.2) for share in shares])


def test_the_clock_counts_when_it_is_ahead_of_the_steps(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    run = trainer(tmp_path, max_epochs=2, max_time=timedelta(minutes=1))
    timer = next(callback for callback in run.callbacks if isinstance(callback, L.pytorch.callbacks.Timer))
    monkeypatch.setattr(timer, "time_elapsed", lambda *_: 45.0)
    run.fit(line)
    assert [share for share, _ in line.seen] == pytest.approx([0.75] * 8 + [0.8, 0.9])


def test_all_devices_go_by_the_clock_of_the_first(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    line, run = Line(), trainer(tmp_path, max_steps=3)
    monkeypatch.setattr(run.strategy, "broadcast", lambda share, src=0: 0.25 if isinstance(share, float) else share)
    run.fit(line)
    assert line.seen == [(0.25, pytest.approx(0.5 * one_cycle(0.25, 0.2)))] * 3


def test_a_run_without_an_end_has_no_schedule(tmp_path: object) -> None:
    with pytest.raises(ValueError, match="max_steps, max_epochs or max_time"):
        trainer(tmp_path, max_epochs=-1).fit(Line())


@pytest.mark.parametrize("warm_up", [0, 1, -0.1])
def test_a_warm_up_outside_of_the_run_is_refused(warm_up: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        OneCycle(warm_up)
