"""Networks: what goes in and out, what is frozen, and weights from an earlier run."""

from pathlib import Path

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("timm", reason=REASON)

from torch import nn  # noqa: E402

from face_recognition_ros.training import networks  # noqa: E402
from face_recognition_ros.training.networks import (  # noqa: E402
    LearnedPooling,
    WeightedL1,
    create_network,
    load_initial_weights,
)


def faces(count: int = 2, channels: int = 3, seed: int = 0) -> "torch.Tensor":
    return torch.rand(count, channels, 112, 112, generator=torch.Generator().manual_seed(seed)) * 255


def test_pooling_starts_as_the_average_whatever_the_map() -> None:
    pooling = LearnedPooling(channels=3, side=4)
    for side in (4, 3):
        features = torch.rand(2, 3, side, side)
        assert torch.allclose(pooling(features), features.mean(dim=(2, 3)), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "num_features"),
    [
        ("efficientnet_b0", 64, 1280),
        ("efficientnet_b0", 128, 1280),
        ("efficientnet_lite0", 64, 1280),
        ("se_resnet50", 64, 2048),
    ],
)
def test_network_gives_unit_vectors_of_the_size_asked_for(name: str, size: int, num_features: int) -> None:
    network = create_network(name, size).eval()
    vectors = network(faces())
    assert vectors.shape == (2, size)
    assert network.embedding_size == size
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    features = network.features(faces())
    assert features.shape == (2, num_features)
    assert network.num_features == num_features
    assert torch.allclose(vectors, nn.functional.normalize(network.head(features)), atol=1e-5)


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0", "se_resnet50"])
def test_without_embedding_layer_the_features_are_the_embedding(name: str) -> None:
    network = create_network(name, None).eval()
    assert network.embedding_size == network.num_features
    assert torch.allclose(network(faces()), nn.functional.normalize(network.features(faces())))
    assert not any(key.startswith("head") for key in network.state_dict())


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0"])
def test_the_released_networks_keep_the_names_of_their_checkpoints(name: str) -> None:
    names = create_network(name, 64).state_dict()
    assert {name.split(".")[0] for name in names} == {"backbone", "pooling", "norm", "head"}
    assert {"pooling.weight", "norm.running_mean", "head.weight", "head.bias"} <= names.keys()


def test_unknown_networks_and_options_are_answered_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="choose one of efficientnet_b0, efficientnet_lite0, koch, se_resnet50"):
        create_network("vgg", 64)
    with pytest.raises(ValueError, match="network efficientnet_b0 has no option 'width'; it has none"):
        create_network("efficientnet_b0", 64, width=2)
    with pytest.raises(ValueError, match="trainable_layers is 0 to 16 residual blocks, or none for all, not 17"):
        create_network("se_resnet50", 64, trainable_layers=17)


def train_two_steps(network: nn.Module) -> None:
    """Moves everything that is free to move: a residual block starts as nothing, and its inside moves in the second."""
    free = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(free, lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(faces(4))[:, 0].sum().backward()
        optimizer.step()


def moved(network: nn.Module, before: "dict[str, torch.Tensor]") -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def snapshot(network: nn.Module) -> "dict[str, torch.Tensor]":
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_only_the_last_blocks_and_the_head_move() -> None:
    network = create_network("se_resnet50", 8, trainable_layers=2)
    before = snapshot(network)
    train_two_steps(network)
    changed = moved(network, before)
    assert {".".join(name.split(".")[:3]) for name in changed if name.startswith("backbone")} == {
        "backbone.layer4.1",
        "backbone.layer4.2",
    }
    assert {"head.weight", "backbone.layer4.2.bn3.running_mean", "backbone.layer4.2.conv1.weight"} <= changed


def test_frozen_batch_norm_keeps_its_statistics_while_weights_move() -> None:
    network = create_network("se_resnet50", 8, frozen_batch_norm=True)
    before = snapshot(network)
    train_two_steps(network)
    changed = moved(network, before)
    assert not [name for name in changed if "running_" in name]
    assert {"backbone.conv1.weight", "backbone.layer1.0.bn1.bias", "head.weight"} <= changed


def test_nothing_but_the_head_moves_without_trainable_layers_whatever_the_mode() -> None:
    network = create_network("se_resnet50", 8, trainable_layers=0).eval().train()
    before = snapshot(network)
    train_two_steps(network)
    assert moved(network, before) == {"head.weight", "head.bias"}


def test_koch_gives_4096_values_between_0_and_1_of_colour_and_of_grey() -> None:
    network = create_network("koch", 4096).eval()
    vectors = network(faces())
    assert vectors.shape == (2, 4096)
    assert 0 < vectors.min() < vectors.max() < 1
    assert network.features(faces()).shape == (2, network.num_features) == (2, 6400)
    grey = faces(channels=1)
    assert torch.allclose(network(grey), network(grey.expand(-1, 3, -1, -1)), atol=1e-5)
    assert [tuple(layer.weight.shape) for layer in network.backbone if isinstance(layer, nn.Conv2d)] == [
        (64, 1, 10, 10),
        (128, 64, 7, 7),
        (128, 128, 4, 4),
        (256, 128, 4, 4),
    ]


def test_weighted_l1_by_hand() -> None:
    head = WeightedL1(2)
    head.load_state_dict({"linear.weight": torch.tensor([[-2.0, -0.5]]), "linear.bias": torch.tensor([1.0])})
    logits = head(torch.tensor([[0.1, 0.8], [0.5, 0.5]]), torch.tensor([[0.4, 0.2], [0.5, 0.5]]))
    # 1 - 2 * |0.1 - 0.4| - 0.5 * |0.8 - 0.2| = 1 - 0.6 - 0.3, and 1 for equal vectors
    assert logits.tolist() == pytest.approx([0.1, 1.0])


def test_weights_of_a_stage_before_are_taken_over_and_the_rest_is_named(tmp_path: Path) -> None:
    stage_one = create_network("efficientnet_b0", None)
    state = {f"network.{name}": value for name, value in stage_one.state_dict().items()}
    path = tmp_path / "stage_one.ckpt"
    torch.save({"state_dict": state | {"objective.classifier.weight": torch.zeros(5, 1280)}, "epoch": 3}, path)

    network = create_network("efficientnet_b0", 64)
    report = load_initial_weights(network, path)
    assert torch.equal(network.backbone.conv_stem.weight, stage_one.backbone.conv_stem.weight)
    assert report.missing == ("head.weight", "head.bias")
    assert report.unused == ("objective.classifier.weight",)
    assert len(report.loaded) == len(stage_one.state_dict())
    assert "not in it, so random: head (2 tensors); in it but not used: objective (1 tensors)" in str(report)


def test_a_bare_backbone_fits_and_an_average_is_preferred(tmp_path: Path) -> None:
    source, other = create_network("efficientnet_b0", 64), create_network("efficientnet_b0", 64)
    torch.save(source.backbone.state_dict(), tmp_path / "backbone.pth")
    network = create_network("efficientnet_b0", 64)
    report = load_initial_weights(network, tmp_path / "backbone.pth")
    assert torch.equal(network.backbone.conv_stem.weight, source.backbone.conv_stem.weight)
    assert {name.split(".")[0] for name in report.missing} == {"pooling", "norm", "head"}

    torch.save({"network": other.state_dict(), "average": source.state_dict()}, tmp_path / "run.pt")
    report = load_initial_weights(network, tmp_path / "run.pt")
    assert torch.equal(network.head.weight, source.head.weight)
    assert report.missing == ()


def test_the_lite_variant_takes_what_it_has_of_the_full_network(tmp_path: Path) -> None:
    torch.save(create_network("efficientnet_b0", 64).state_dict(), tmp_path / "full.pt")
    lite = create_network("efficientnet_lite0", 64)
    report = load_initial_weights(lite, tmp_path / "full.pt")
    assert report.missing == ()
    assert report.unused
    assert all(".se." in name for name in report.unused)
    assert not any(isinstance(layer, nn.SiLU | nn.Sigmoid) for layer in lite.modules())


def test_a_head_of_another_size_stays_random(tmp_path: Path) -> None:
    torch.save(create_network("efficientnet_b0", 64).state_dict(), tmp_path / "64.pt")
    report = load_initial_weights(create_network("efficientnet_b0", 128), tmp_path / "64.pt")
    assert report.missing == report.unused == ("head.weight", "head.bias")


def test_files_that_are_no_weights_are_answered_with_a_sentence(tmp_path: Path) -> None:
    network = networks.create_network("koch", 16)
    with pytest.raises(ValueError, match=r"there is no file .*nothing\.pt"):
        load_initial_weights(network, tmp_path / "nothing.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.pt is no torch checkpoint"):
        load_initial_weights(network, tmp_path / "text.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list; a dictionary of tensors is needed"):
        load_initial_weights(network, tmp_path / "list.pt")
    torch.save({"stem.weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(
        ValueError, match=r"no tensor fits the network; it has stem \(1 tensors\), the network backbone"
    ):
        load_initial_weights(network, tmp_path / "other.pt")
