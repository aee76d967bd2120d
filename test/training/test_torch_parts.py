"""What needs torch: objectives against hand-computed numbers, networks, a short run with a stop, and the export."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("timm", reason=REASON)

from face_recognition_ros.training import distillation, export  # noqa: E402
from face_recognition_ros.training.augmentation import augment, random_crop  # noqa: E402
from face_recognition_ros.training.data.shards import decode_shards, read_index  # noqa: E402
from face_recognition_ros.training.losses import cosine_distillation, similarity_distillation  # noqa: E402
from face_recognition_ros.training.networks import LearnedPooling, create_network  # noqa: E402
from face_recognition_ros.training.teacher import principal_projection  # noqa: E402

UNIT_X, UNIT_Y = [1.0, 0.0], [0.0, 1.0]


def test_cosine_distillation_by_hand() -> None:
    student = torch.tensor([UNIT_X, UNIT_X])
    teacher = torch.tensor([UNIT_X, [0.6, 0.8]])
    assert cosine_distillation(student, teacher).item() == pytest.approx((0 + 0.4) / 2)


def test_similarity_distillation_by_hand() -> None:
    student, teacher = torch.tensor([UNIT_Y]), torch.tensor([UNIT_X])
    bank = torch.tensor([UNIT_X, UNIT_Y])
    # softmax of (1, 0) and of (0, 1) at temperature 1
    large, small = math.e / (math.e + 1), 1 / (math.e + 1)
    expected = -(large * math.log(small) + small * math.log(large))
    assert similarity_distillation(student, teacher, bank, temperature=1.0).item() == pytest.approx(expected)


def test_pooling_starts_as_the_average_whatever_the_map() -> None:
    pooling = LearnedPooling(channels=3, side=4)
    for side in (4, 3):
        features = torch.rand(2, 3, side, side)
        assert torch.allclose(pooling(features), features.mean(dim=(2, 3)), atol=1e-6)


def test_network_gives_unit_vectors_of_the_size_asked_for() -> None:
    network = create_network("efficientnet_b0", 64).eval()
    vectors = network(torch.rand(2, 3, 112, 112) * 255)
    assert vectors.shape == (2, 64)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    with pytest.raises(ValueError, match="choose one of efficientnet_b0"):
        create_network("vgg", 64)


def test_augmentation_without_jitter_is_the_centre_crop_or_its_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHIFT", "SCALE", "ROTATION"):
        monkeypatch.setattr(f"face_recognition_ros.training.augmentation.{name}", 0.0)
    stored = torch.randint(0, 256, (16, 3, 128, 128)).float()
    crops = random_crop(stored, torch.Generator().manual_seed(0))
    centre = stored[:, :, 8:-8, 8:-8]
    straight = [torch.allclose(crop, face, atol=1e-2) for crop, face in zip(crops, centre, strict=True)]
    mirrored = [torch.allclose(crop, face.flip(2), atol=1e-2) for crop, face in zip(crops, centre, strict=True)]
    assert all(a or b for a, b in zip(straight, mirrored, strict=True))
    assert any(straight)
    assert any(mirrored)


def test_augmentation_is_repeatable_and_stays_in_range() -> None:
    stored = torch.randint(0, 256, (8, 128, 128, 3), dtype=torch.uint8)
    first, again = (augment(stored, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (8, 3, 112, 112)
    assert first.min() >= 0
    assert first.max() <= 255


def test_a_stopped_run_goes_on_and_its_export_agrees_with_torch(shards: Path, tmp_path: Path) -> None:
    recipe = replace(distillation.Recipe(), minutes=0.02, batch=4, bank=8)
    faces = decode_shards(shards, tmp_path / "faces.npy")
    held_out = read_index(shards).held_out(0.4)
    targets = np.random.default_rng(0).standard_normal((len(faces), 64)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)

    def part(minutes: float) -> distillation.Distillation:
        run = distillation.Distillation(replace(recipe, minutes=minutes), faces, targets, np.flatnonzero(~held_out))
        distillation.run(run, np.flatnonzero(held_out), tmp_path)
        return run

    first = part(0.02)
    second = part(first.progress.seconds / 60 + 0.001)
    assert second.progress.step > first.progress.step
    assert [entry["step"] for entry in second.progress.history] == [first.progress.step, second.progress.step]
    assert (tmp_path / "learning_curve.csv").read_text().count("\n") == 3

    network, _ = export.load_network(tmp_path / "checkpoint.pt")
    model = tmp_path / "model.onnx"
    export.export_onnx(network, model)
    crops = np.ascontiguousarray(faces[:5, 8:-8, 8:-8])
    assert export.check_parity(network, model, crops) <= export.PARITY
    export.write_metadata(model, {"model_id": "x"})
    export.write_description(model, 64)
    assert json.loads(model.with_suffix(".json").read_text())["name"] == "model"


def test_only_faces_of_known_people_make_pairs(shards: Path) -> None:
    index = read_index(shards)
    mask = np.arange(len(index)) < 30
    rows, labels = export.labelled_rows(index, mask)
    assert {index.sources[row] for row in rows} == {"celeba299", "allagefaces"}, "of utkface nobody knows who is who"
    assert rows.max() < 30
    faces_of_one = [row for row, label in zip(rows, labels, strict=True) if label == "celeba:1"]
    assert faces_of_one == [6, 9]
    unlabelled = [label for row, label in zip(rows, labels, strict=True) if index.sources[row] == "allagefaces"]
    assert len(set(unlabelled)) == len(unlabelled) == 10


def test_projection_keeps_the_directions_that_matter() -> None:
    random = np.random.default_rng(0)
    spread = np.array([3.0, 2.0, 0.1, 0.01])
    rotation = np.linalg.qr(random.standard_normal((4, 4)))[0]
    vectors = (random.standard_normal((500, 4)) * spread @ rotation).astype(np.float32)
    projected = vectors @ principal_projection(vectors, 2)
    assert np.allclose(np.linalg.norm(projected, axis=1), np.linalg.norm(vectors, axis=1), atol=0.5)
    assert projected.std(axis=0) == pytest.approx([3.0, 2.0], rel=0.1)


def test_pairs_are_counted_once_and_capped() -> None:
    labels = np.array(["a", "a", "a", "b"])
    vectors = np.eye(4, dtype=np.float32)
    genuine, impostor = export.pair_scores(vectors, labels)
    assert (len(genuine), len(impostor)) == (3, 3)
    genuine, impostor = export.pair_scores(vectors, labels, per_identity=2)
    assert (len(genuine), len(impostor)) == (1, 2)
