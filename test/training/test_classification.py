"""Stage one on a few made-up people: it learns their names, and leaves weights that stage two can start from."""

from pathlib import Path

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("lightning", reason=REASON)

from face_recognition_ros.training.classification import Classification  # noqa: E402
from face_recognition_ros.training.networks import NETWORKS, create_network  # noqa: E402

from .toy_faces import PEOPLE, PLAIN, TinyNetwork, fit  # noqa: E402


@pytest.fixture(autouse=True)
def _tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "tiny", TinyNetwork)


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("cross_entropy", {"label_smoothing": 0.1}),
        ("cosface", {"scale": 16.0}),
        ("arcface", {"scale": 16.0, "margin": 20.0}),
    ],
)
def test_it_learns_to_name_people(objective: str, options: dict[str, float]) -> None:
    torch.manual_seed(0)
    module = Classification("tiny", objective=objective, objective_options=options, **PLAIN)
    trainer, losses = fit(module, steps=60)
    assert losses[-1] < 0.5 * losses[0]
    assert trainer.callback_metrics.keys() >= {"loss", "held_out_naming", "held_out_auc", "held_out_tar_at_far_0.01"}
    assert trainer.callback_metrics["held_out_naming"] == 1


def test_the_classifier_stands_on_the_features_or_on_an_embedding() -> None:
    on_features, on_embedding = Classification("tiny", **PLAIN), Classification("tiny", 16, **PLAIN)
    for module, size in ((on_features, 32), (on_embedding, 16)):
        fit(module, steps=1)
        assert module.objective.classifier.weight.shape == (PEOPLE, size)


def test_its_checkpoint_says_what_the_network_is_and_can_be_gone_on_from(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Classification("tiny", 16, **PLAIN)
    trainer, _ = fit(module, steps=2)
    trainer.save_checkpoint(tmp_path / "one.ckpt")

    content = torch.load(tmp_path / "one.ckpt", weights_only=True)
    described = content["hyper_parameters"]
    network = create_network(described["network"], described["embedding_size"], **(described["network_options"] or {}))
    state = {k.removeprefix("network."): v for k, v in content["state_dict"].items() if k.startswith("network.")}
    network.load_state_dict(state)

    again = Classification("tiny", 16, **PLAIN)
    resumed, losses = fit(again, steps=3, checkpoint=tmp_path / "one.ckpt")
    assert (resumed.global_step, len(losses)) == (3, 1)


def test_a_wrong_objective_is_answered_before_anything_is_trained() -> None:
    with pytest.raises(ValueError, match="choose one of arcface, cosface, cross_entropy"):
        Classification("tiny", objective="sphereface", **PLAIN)
