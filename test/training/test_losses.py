"""Every objective against numbers worked out by hand."""

import math

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("pytorch_metric_learning", reason=REASON)

from face_recognition_ros.training.distances import DISTANCES, create_distance, paired  # noqa: E402
from face_recognition_ros.training.losses import (  # noqa: E402
    contrastive,
    cosine_distillation,
    create_classifier,
    create_loss,
    create_miner,
    create_pair_loss,
    similarity_distillation,
    squared_contrastive,
)

UNIT_X, UNIT_Y = [1.0, 0.0], [0.0, 1.0]
SAME, DIFFERENT = 0.0, 1.0

# The angle between (1, 0) and (0.6, 0.8): cosine 0.6, so squared L2 2 - 2 * 0.6 = 0.8, L1 0.4 + 0.8 = 1.2.
TILTED = [0.6, 0.8]
BY_HAND = {"cosine": 0.4, "l1": 1.2, "l2": math.sqrt(0.8), "squared_l2": 0.8}


@pytest.mark.parametrize(("name", "expected"), BY_HAND.items())
def test_distances_by_hand(name: str, expected: float) -> None:
    # lengths 2 and 5: every distance is that of the unit vectors
    first, second = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    distance = create_distance(name)
    assert distance(first, second).item() == pytest.approx(expected, abs=1e-5), "all against all"
    assert paired(distance, first, second).item() == pytest.approx(expected, abs=1e-5), "row against row"


def test_every_distance_has_a_number_by_hand() -> None:
    assert BY_HAND.keys() == DISTANCES.keys()


def test_contrastive_by_hand() -> None:
    distance = torch.tensor([0.6, 0.6, 1.5])
    different = torch.tensor([SAME, DIFFERENT, DIFFERENT])
    # 0.6^2 / 2; (1 - 0.6)^2 / 2; beyond the margin
    assert contrastive(distance, different).tolist() == pytest.approx([0.18, 0.08, 0.0])
    # margin 2: (2 - 0.6)^2 / 2, (2 - 1.5)^2 / 2
    assert contrastive(distance, different, margin=2.0).tolist() == pytest.approx([0.18, 0.98, 0.125])


def test_squared_contrastive_by_hand() -> None:
    distance = torch.tensor([0.8, 0.8, 4.0])
    different = torch.tensor([SAME, DIFFERENT, DIFFERENT])
    # 0.8^2; (5 - 0.8)^2; opposite unit vectors still cost (5 - 4)^2
    assert squared_contrastive(distance, different).tolist() == pytest.approx([0.64, 17.64, 1.0])


def test_pair_losses_by_hand() -> None:
    first, second = torch.tensor([UNIT_X, UNIT_X]), torch.tensor([TILTED, TILTED])
    different = torch.tensor([SAME, DIFFERENT])

    loss = create_pair_loss("contrastive", 2)
    # D = sqrt(0.8): (0.8 / 2 + (1 - sqrt(0.8))^2 / 2) / 2 = (0.4 + 0.0055728) / 2
    assert loss(first, second, different).item() == pytest.approx(0.2027864, abs=1e-5)
    assert loss.similarity(first, second).tolist() == pytest.approx([-math.sqrt(0.8)] * 2, abs=1e-5)

    loss = create_pair_loss("squared_contrastive", 2)
    # d = 0.8: (0.64 + 17.64) / 2
    assert loss(first, second, different).item() == pytest.approx(9.14, abs=1e-4)
    loss = create_pair_loss("squared_contrastive", 2, distance="cosine", margin=1.0)
    # d = 0.4: (0.16 + 0.36) / 2
    assert loss(first, second, different).item() == pytest.approx(0.26, abs=1e-5)


def test_weighted_l1_by_hand() -> None:
    loss = create_pair_loss("weighted_l1", 2)
    loss.head.load_state_dict({"linear.weight": torch.tensor([[-2.0, -0.5]]), "linear.bias": torch.tensor([1.0])})
    first, second = torch.tensor([[0.1, 0.8]] * 2), torch.tensor([[0.4, 0.2]] * 2)
    # p(same) = sigmoid(1 - 0.6 - 0.3) = 1 / (1 + exp(-0.1)); -log p for the same person, -log(1 - p) for two
    p = 1 / (1 + math.exp(-0.1))
    expected = (-math.log(p) - math.log(1 - p)) / 2
    assert loss(first, second, torch.tensor([SAME, DIFFERENT])).item() == pytest.approx(expected)
    assert loss.similarity(first, second).tolist() == pytest.approx([0.1, 0.1])


def at_angles(*degrees: float) -> "torch.Tensor":
    """Unit vectors of the plane; between two of them the squared L2 distance is 2 - 2 cos(difference)."""
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


def squared(degrees: float) -> float:
    return 2 - 2 * math.cos(math.radians(degrees))


# Two people with two faces each: a at 0 and 60 degrees, b at 90 and 180.
FACES, LABELS = (0, 60, 90, 180), [0, 0, 1, 1]


def test_triplet_by_hand() -> None:
    loss = create_loss("triplet", margin=0.2)
    # d(a, p) is 2 - 2 cos 60 = 1 for faces 0 and 60, and 2 for 90 and 180. The eight triplets (anchor, positive,
    # negative) with d(a, n):
    #    0 60: 90 -> 2, none          180 -> 4, none
    #   60  0: 90 -> 2 - 1.7320508    180 -> 3, none
    #   90 180: 0 -> 2                 60 -> 0.2679492
    #  180 90: 0 -> 4, none            60 -> 3, none
    terms = [0, 0, 1 - 0.2679492 + 0.2, 0, 2 - 2 + 0.2, 2 - 0.2679492 + 0.2, 0, 0]
    value = loss(at_angles(*FACES), torch.tensor(LABELS))
    assert value.item() == pytest.approx(sum(terms) / 8, abs=1e-5)


def mined(name: str, margin: float) -> set[tuple[int, int, int]]:
    miner = create_miner(name, create_loss("triplet", margin=margin))
    chosen = miner(at_angles(*FACES), torch.tensor(LABELS))
    return {(FACES[a], FACES[p], FACES[n]) for a, p, n in zip(*(rows.tolist() for rows in chosen), strict=True)}


def test_miners_by_hand() -> None:
    # d(a, n) - d(a, p) of the triplets above: 60 0 90 -> -0.73 and 90 180 60 -> -1.73, in the wrong order;
    # 90 180 0 -> 0, on the line; 0 60 90 -> 1, 180 90 60 -> 1, 60 0 180 -> 2, 180 90 0 -> 2, 0 60 180 -> 3
    assert mined("semi_hard", margin=1.2) - {(90, 180, 0)} == {(0, 60, 90), (180, 90, 60)}
    assert mined("violating", margin=0.2) == {(60, 0, 90), (90, 180, 0), (90, 180, 60)}
    # the farthest positive (there is only one) and the nearest negative of each face
    assert mined("batch_hard", margin=0.2) == {(0, 60, 90), (60, 0, 90), (90, 180, 60), (180, 90, 60)}


def test_batch_hard_takes_the_farthest_positive() -> None:
    loss = create_loss("triplet", margin=0.2)
    embeddings, labels = at_angles(0, 20, 50, 130), torch.tensor([0, 0, 0, 1])
    anchors, positives, negatives = create_miner("batch_hard", loss)(embeddings, labels)
    # the last face has no positive; those at 0 and 20 are farthest from 50, that at 50 is farthest from 0
    assert (anchors.tolist(), positives.tolist(), negatives.tolist()) == ([0, 1, 2], [2, 2, 0], [3, 3, 3])
    expected = [squared(50) - squared(130), squared(30) - squared(110), squared(50) - squared(80)]
    expected_loss = sum(max(term + 0.2, 0) for term in expected) / 3
    value = loss(embeddings, labels, (anchors, positives, negatives))
    assert value.item() == pytest.approx(expected_loss, abs=1e-5)


def test_semi_hard_loss_by_hand() -> None:
    loss = create_loss("triplet", margin=0.5)
    embeddings, labels = at_angles(0, 40, 50), torch.tensor([0, 0, 1])
    chosen = create_miner("semi_hard", loss)(embeddings, labels)
    # only anchor 0: d(a, p) = 2 - 2 cos 40 = 0.4679111 < d(a, n) = 2 - 2 cos 50 = 0.7144248 < 0.4679111 + 0.5
    assert [rows.tolist() for rows in chosen] == [[0], [1], [2]]
    assert loss(embeddings, labels, chosen).item() == pytest.approx(0.4679111 - 0.7144248 + 0.5, abs=1e-5)


def test_no_triplet_is_no_loss_and_still_has_a_gradient() -> None:
    loss = create_loss("triplet", margin=0.1)
    embeddings = at_angles(0, 1, 180).requires_grad_()
    labels = torch.tensor([0, 0, 1])
    value = loss(embeddings, labels, create_miner("semi_hard", loss)(embeddings, labels))
    value.backward()
    assert value.item() == 0
    assert embeddings.grad.abs().sum() == 0


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        # anchor at 0 with positive at 60 and negative at 90 degrees, and the other way about; margin 2
        ("squared_l2", (1 - 2 + 2) + (1 - (2 - math.sqrt(3)) + 2)),
        ("cosine", (0.5 - 1 + 2) + (0.5 - (1 - math.sqrt(3) / 2) + 2)),
        (
            "l1",
            (0.5 + math.sqrt(3) / 2 - 2 + 2) + (0.5 + math.sqrt(3) / 2 - (0.5 + 1 - math.sqrt(3) / 2) + 2),
        ),
    ],
)
def test_triplet_with_each_distance_by_hand(distance: str, expected: float) -> None:
    loss = create_loss("triplet", distance=distance, margin=2.0)
    assert loss(at_angles(0, 60, 90), torch.tensor([0, 0, 1])).item() == pytest.approx(expected / 2, abs=1e-5)


def test_pairs_of_a_batch_by_hand() -> None:
    embeddings, labels = at_angles(0, 60, 90), torch.tensor([0, 0, 1])
    # one genuine pair, D = 1; impostor pairs D = sqrt(2), beyond the margin, and D^2 = 2 - sqrt(3)
    near = math.sqrt(2 - math.sqrt(3))
    value = create_loss("contrastive")(embeddings, labels)
    assert value.item() == pytest.approx(0.5 + (0 + (1 - near) ** 2 / 2) / 2, abs=1e-5)
    value = create_loss("squared_contrastive")(embeddings, labels)
    assert value.item() == pytest.approx(1 + ((5 - 2) ** 2 + (5 - near**2) ** 2) / 2, abs=1e-4)


def test_cross_entropy_by_hand() -> None:
    vectors, labels = torch.tensor([[1.0, 2.0]]), torch.tensor([1])
    weights = {"classifier.weight": torch.eye(2), "classifier.bias": torch.tensor([0.0, 1.0])}
    plain = create_classifier("cross_entropy", 2, 2)
    plain.load_state_dict(weights)
    # logits 1 and 3: -log(e^3 / (e + e^3)) = log(1 + e^-2)
    assert plain(vectors, labels).item() == pytest.approx(math.log(1 + math.exp(-2)))
    smooth = create_classifier("cross_entropy", 2, 2, label_smoothing=0.2)
    smooth.load_state_dict(weights)
    # wanted 0.9 and 0.1; the other logit's -log p is 2 more
    assert smooth(vectors, labels).item() == pytest.approx(math.log(1 + math.exp(-2)) + 0.1 * 2)


def margin_softmax(name: str, margin: float) -> "torch.nn.Module":
    """Two classes at 0 and 90 degrees, scale 4."""
    loss = create_classifier(name, 2, 2, margin=margin, scale=4.0)
    loss.load_state_dict({"W": torch.tensor([[3.0, 0.0], [0.0, 7.0]])}, strict=False)  # of any length
    return loss


def test_cosface_by_hand() -> None:
    loss = margin_softmax("cosface", margin=0.3)
    # a face at 60 degrees (of length 2) of the first class: 4 (cos 60 - 0.3) = 0.8 against 4 cos 30 = 2 sqrt(3)
    value = loss(2 * at_angles(60), torch.tensor([0]))
    assert value.item() == pytest.approx(math.log(1 + math.exp(2 * math.sqrt(3) - 0.8)), abs=1e-5)
    assert loss.get_logits(at_angles(60))[0].tolist() == pytest.approx([2, 2 * math.sqrt(3)], abs=1e-5)


def test_arcface_by_hand() -> None:
    loss = margin_softmax("arcface", margin=30.0)
    # a face at 60 degrees of the first class: 4 cos(60 + 30) = 0 against 4 cos 30 = 2 sqrt(3)
    value = loss(2 * at_angles(60), torch.tensor([0]))
    assert value.item() == pytest.approx(math.log(1 + math.exp(2 * math.sqrt(3))), abs=1e-5)


def test_cosine_distillation_by_hand() -> None:
    student = torch.tensor([UNIT_X, UNIT_X])
    teacher = torch.tensor([UNIT_X, TILTED])
    assert cosine_distillation(student, teacher).item() == pytest.approx((0 + 0.4) / 2)


def test_similarity_distillation_by_hand() -> None:
    student, teacher = torch.tensor([UNIT_Y]), torch.tensor([UNIT_X])
    bank = torch.tensor([UNIT_X, UNIT_Y])
    # softmax of (1, 0) and of (0, 1) at temperature 1
    large, small = math.e / (math.e + 1), 1 / (math.e + 1)
    expected = -(large * math.log(small) + small * math.log(large))
    assert similarity_distillation(student, teacher, bank, temperature=1.0).item() == pytest.approx(expected)


def test_wrong_names_and_options_are_answered_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="no distance 'euclid'; choose one of cosine, l1, l2, squared_l2"):
        create_loss("triplet", distance="euclid")
    with pytest.raises(
        ValueError, match="no loss 'quadruplet'; choose one of contrastive, squared_contrastive, triplet"
    ):
        create_loss("quadruplet")
    with pytest.raises(ValueError, match="loss triplet has no option 'scale'; it has distance, margin"):
        create_loss("triplet", scale=3)
    with pytest.raises(ValueError, match="no miner 'hardest'; choose one of batch_hard, semi_hard, violating"):
        create_miner("hardest", create_loss("triplet"))
    with pytest.raises(ValueError, match="pair loss weighted_l1 has no option 'margin'; it has none"):
        create_pair_loss("weighted_l1", 64, margin=1.0)
    with pytest.raises(ValueError, match="objective cosface has no option 'label_smoothing'; it has margin, scale"):
        create_classifier("cosface", 64, 10, label_smoothing=0.1)
