"""Stage two on a few made-up people: from stage one's weights or none, with triplets, batches and pairs."""

from pathlib import Path

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("lightning", reason=REASON)

from face_recognition_ros.training.classification import Classification  # noqa: E402
from face_recognition_ros.training.metric_learning import MetricLearning, Siamese  # noqa: E402
from face_recognition_ros.training.networks import NETWORKS  # noqa: E402

from .toy_faces import PLAIN, TinyNetwork, fit  # noqa: E402


@pytest.fixture(autouse=True)
def _tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "tiny", TinyNetwork)


@pytest.mark.parametrize(
    ("loss", "options", "miner"),
    [
        ("triplet", {"margin": 4.0}, "batch_hard"),
        ("triplet", {"distance": "cosine", "margin": 2.0}, "violating"),
        ("contrastive", {}, None),
        ("squared_contrastive", {}, None),
    ],
)
def test_it_moves_people_apart(loss: str, options: dict[str, object], miner: str | None) -> None:
    torch.manual_seed(0)
    module = MetricLearning("tiny", 16, loss=loss, loss_options=options, miner=miner, **PLAIN)
    trainer, losses = fit(module, steps=60)
    assert losses[-1] < 0.7 * losses[0]
    assert trainer.callback_metrics["held_out_auc"] == pytest.approx(1)


def test_stage_two_starts_from_the_weights_of_stage_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    first = Classification(**PLAIN)
    trainer, _ = fit(first, steps=1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    with caplog.at_level("INFO"):
        second = MetricLearning(embedding_size=16, initial_weights=tmp_path / "one.ckpt", **PLAIN)
    learned, start = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(start[name], value) for name, value in learned.items())
    assert start.keys() - learned.keys() == {"head.weight", "head.bias"}
    assert "not in it, so random: head (2 tensors); in it but not used: objective (2 tensors)" in caplog.text
    fit(second, steps=1)


@pytest.mark.parametrize("objective", ["contrastive", "squared_contrastive", "weighted_l1"])
def test_pairs_are_told_apart(objective: str) -> None:
    torch.manual_seed(0)
    trainer, losses = fit(Siamese("tiny", 16, objective=objective, **PLAIN), steps=60, paired=True)
    assert losses[-1] < 0.7 * losses[0]
    assert trainer.callback_metrics.keys() >= {"loss", "held_out_auc", "held_out_accuracy"}


def test_koch_learns_pairs_by_weighted_l1() -> None:
    torch.manual_seed(0)
    module = Siamese(network="koch", embedding_size=64, objective="weighted_l1", **PLAIN)
    _, losses = fit(module, steps=4, paired=True)
    assert losses[-1] < losses[0]


def test_frozen_parts_stay_as_they_are_through_a_whole_run() -> None:
    options = {"trainable_layers": 1, "frozen_batch_norm": True}
    module = Siamese(network="se_resnet50", embedding_size=8, network_options=options, **PLAIN)
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    fit(module, steps=1, paired=True)
    after = module.network.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {"head.weight", "backbone.layer4.2.bn3.weight"} <= moved
    assert all(name.startswith(("head.", "backbone.layer4.2.")) for name in moved)
    assert not [name for name in moved if "running_" in name]


def test_wrong_names_are_answered_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="no miner 'softest'; choose one of batch_hard, semi_hard, violating"):
        MetricLearning("tiny", miner="softest", **PLAIN)
    with pytest.raises(ValueError, match="no pair loss 'triplet'; choose one of contrastive"):
        Siamese("tiny", objective="triplet", **PLAIN)
