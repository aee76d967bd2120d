"""What all stages share: numbers on held-out faces, the plain middle of stored ones, the optimiser's groups."""

from pathlib import Path

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("lightning", reason=REASON)

from torch import nn  # noqa: E402

from face_recognition_ros.training import face_module  # noqa: E402
from face_recognition_ros.training.augmentation import Augmentation  # noqa: E402
from face_recognition_ros.training.face_module import all_pairs, middle, parameter_groups, verification  # noqa: E402
from face_recognition_ros.training.metric_learning import MetricLearning  # noqa: E402
from face_recognition_ros.training.networks import NETWORKS  # noqa: E402

from .toy_faces import TinyNetwork, fit  # noqa: E402


def test_verification_by_hand() -> None:
    similarities = torch.tensor([0.9, 0.8, 0.4, 0.7, 0.3, 0.2, 0.1])
    same = torch.tensor([True, True, True, False, False, False, False])
    numbers = verification(similarities, same)
    # of 12 comparisons of a genuine with an impostor pair, one is in the wrong order: 0.4 and 0.7
    assert numbers["auc"] == pytest.approx(11 / 12)
    # over 0.35: all of 3 genuine accepted, 1 of 4 impostors; over 0.75: 2 of 3, none. (1 + 3/4) / 2 is more
    assert numbers["accuracy"] == pytest.approx(0.875)
    assert numbers["tar_at_far_0.01"] == numbers["tar_at_far_0.001"] == pytest.approx(2 / 3)


def test_verification_needs_both_kinds_of_pairs() -> None:
    for same in (torch.tensor([True, True]), torch.tensor([False, False])):
        with pytest.raises(ValueError, match="genuine and impostor pairs are needed"):
            verification(torch.tensor([0.1, 0.2]), same)


def test_every_pair_is_compared_once_and_the_number_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.6, 0.8]])
    similarities, same = all_pairs(embeddings, torch.tensor([7, 4, 7]))
    found = sorted(zip(similarities.tolist(), same.tolist(), strict=True))
    assert [pair[0] for pair in found] == pytest.approx([0.0, 0.6, 0.8])
    assert [pair[1] for pair in found] == [False, True, False]

    labels = torch.arange(5).repeat_interleave(4)
    monkeypatch.setattr(face_module, "FACES_PER_IDENTITY", 3)
    assert all_pairs(torch.rand(20, 2), labels)[1].sum() == 5 * 3, "three pairs of three faces, for each of five people"
    monkeypatch.setattr(face_module, "MOST_FACES", 6)
    assert len(all_pairs(torch.rand(20, 2), labels)[1]) == 15, "of six faces"


def test_the_middle_is_what_augmentation_without_effects_gives() -> None:
    stored = torch.randint(0, 256, (2, 128, 128, 3), dtype=torch.uint8)
    assert torch.allclose(middle(stored), Augmentation.none()(stored, torch.Generator()), atol=1e-2)


def test_vectors_do_not_decay_and_frozen_weights_are_left_out() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 4).requires_grad_(False))
    matrices, vectors = parameter_groups(network)
    assert [tuple(parameter.shape) for parameter in matrices["params"]] == [(3, 2)]
    assert [tuple(parameter.shape) for parameter in vectors["params"]] == [(3,), (3,), (3,)]
    optimizer = torch.optim.AdamW([matrices, vectors], weight_decay=0.1)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


def test_muon_gets_the_kernels_that_mix_channels_and_nothing_else() -> None:
    network = nn.ModuleDict({"backbone": nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8))})
    network["head"] = nn.Linear(8, 4)
    mixing, others, vectors = parameter_groups(network)
    assert [tuple(parameter.shape) for parameter in mixing["params"]] == [(8, 3, 3, 3)]
    assert [tuple(parameter.shape) for parameter in others["params"]] == [(8, 1, 3, 3), (4, 8)]
    assert [group["use_fallback"] for group in (mixing, others, vectors)] == [False, True, True]


def test_mixed_precision_leaves_pictures_and_objectives_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "tiny", TinyNetwork)
    torch.manual_seed(0)
    module = MetricLearning("tiny", 8, loss="contrastive", miner=None, augmentation=Augmentation(blur=1.0))
    _, losses = fit(module, steps=1, precision="bf16-mixed")
    assert losses[0] > 0


def test_augmentation_is_the_same_after_a_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(NETWORKS, "tiny", TinyNetwork)
    drawn: list[float] = []

    class Noted(MetricLearning):
        def augmented(self, faces: torch.Tensor) -> torch.Tensor:
            crops = super().augmented(faces)
            drawn.append(float(crops.sum()))
            return crops

    for steps, checkpoint in ((4, None), (2, None), (4, tmp_path / "two.ckpt")):
        torch.manual_seed(0)
        trainer, _ = fit(Noted("tiny", 8, loss="contrastive", miner=None), steps, checkpoint=checkpoint)
        trainer.save_checkpoint(tmp_path / "two.ckpt")
    assert drawn[:4] == drawn[4:]
    assert len(set(drawn[:4])) == 4
