"""Distillation by the command line on made-up faces: a stop, averaged weights, what the student is compared with."""

import csv
import gc
from pathlib import Path

import numpy as np
import onnx
import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)

import yaml  # noqa: E402

from face_recognition_ros.training.__main__ import main  # noqa: E402
from face_recognition_ros.training.data.distillation import DistillationData, known_labels  # noqa: E402
from face_recognition_ros.training.data.shards import centre_crops, decode_shards, read_index  # noqa: E402
from face_recognition_ros.training.distillation import live_teacher  # noqa: E402
from face_recognition_ros.training.face_module import middle  # noqa: E402
from face_recognition_ros.training.teacher import (  # noqa: E402
    principal_projection,
    teacher_embeddings,
)

RECIPES = Path(__file__).resolve().parents[2] / "config" / "training"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose embedding is a 4x4 thumbnail, exported for a batch of one as such files often are."""
    path = tmp_path_factory.mktemp("teacher") / "thumbnail.onnx"
    nodes = [
        onnx.helper.make_node("AveragePool", ["face"], ["small"], kernel_shape=[28, 28], strides=[28, 28]),
        onnx.helper.make_node("Constant", [], ["flat"], value=onnx.numpy_helper.from_array(np.array([1, -1]))),
        onnx.helper.make_node("Reshape", ["small", "flat"], ["embedding"]),
    ]
    face = onnx.helper.make_tensor_value_info("face", onnx.TensorProto.FLOAT, (1, 3, 112, 112))
    embedding = onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, (1, 48))
    graph = onnx.helper.make_graph(nodes, "thumbnail", [face], [embedding])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def data(shards: Path, teacher: Path, tmp_path: Path) -> DistillationData:
    data = DistillationData(shards, teacher, tmp_path, embedding_size=8, batch=4, held_out=0.3)
    data.prepare_data()
    data.setup("fit")
    return data


def test_embeddings_of_the_teacher_are_those_of_face_and_mirror_image(
    shards: Path, teacher: Path, tmp_path: Path
) -> None:
    faces = decode_shards(shards, tmp_path / "faces.npy")
    embeddings = teacher_embeddings(teacher, faces, tmp_path / "teacher.npy", threads=1)
    crop = (centre_crops(faces[7:8]).transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128
    thumbnail = crop.reshape(3, 4, 28, 4, 28).mean(axis=(2, 4))
    both = [view.reshape(-1) / np.linalg.norm(view) for view in (thumbnail, thumbnail[..., ::-1])]
    assert embeddings[7] == pytest.approx(sum(both) / np.linalg.norm(sum(both)), abs=1e-5)


def test_projection_keeps_the_directions_that_matter() -> None:
    random = np.random.default_rng(0)
    spread = np.array([3.0, 2.0, 0.1, 0.01])
    rotation = np.linalg.qr(random.standard_normal((4, 4)))[0]
    vectors = (random.standard_normal((500, 4)) * spread @ rotation).astype(np.float32)
    projected = vectors @ principal_projection(vectors, 2)
    assert np.allclose(np.linalg.norm(projected, axis=1), np.linalg.norm(vectors, axis=1), atol=0.5)
    assert projected.std(axis=0) == pytest.approx([3.0, 2.0], rel=0.1)


def test_nothing_held_out_is_trained_on_or_compared_with(data: DistillationData, shards: Path) -> None:
    held_out = read_index(shards).held_out(0.3)
    assert set(data.training.rows) == set(np.flatnonzero(~held_out))
    assert set(data.validation.rows) == set(np.flatnonzero(held_out))
    faces, targets, labels = data.training.__getitems__([3, 1])
    rows = data.training.rows[[3, 1]]
    assert np.array_equal(faces, decode_shards(shards, data.work / "faces.npy")[rows])
    assert targets.norm(dim=1) == pytest.approx([1, 1], abs=1e-5)
    assert labels.tolist() == data.training.labels[[3, 1]].tolist()


def test_only_people_with_several_faces_in_training_have_a_label(shards: Path) -> None:
    index = read_index(shards)
    mask = np.ones(len(index), bool)
    labels = known_labels(index, mask)
    assert {index.sources[row] for row in np.flatnonzero(labels >= 0)} == {"celeba299"}
    assert sorted(np.unique(labels)) == list(range(-1, labels.max() + 1))
    first_of_one = next(row for row in range(len(index)) if index.identities[row] == "celeba:1")
    mask[[row for row in range(len(index)) if index.identities[row] == "celeba:1" and row != first_of_one]] = False
    assert known_labels(index, mask)[first_of_one] == -1, "one face makes no class"


def fit(shards: Path, teacher: Path, work: Path, *options: str) -> None:
    main([
        "fit", f"--config={RECIPES / 'distilled_release.yaml'}", f"--trainer.default_root_dir={work}",
        f"--data.shards={shards}", f"--data.teacher={teacher}", f"--data.work={work}", "--data.batch=8",
        "--data.held_out=0.3", "--data.embedding_size=8", "--model.embedding_size=8", "--model.bank=8",
        "--trainer.val_check_interval=2", "--trainer.enable_progress_bar=false", *options,
    ])  # fmt: skip
    gc.collect()


def test_the_release_recipe_trains_stops_and_goes_on(shards: Path, teacher: Path, tmp_path: Path) -> None:
    options = (f"--model.teacher={teacher}", "--model.label_weight=0.1")
    fit(shards, teacher, tmp_path, "--trainer.max_steps=2", *options)
    fit(shards, teacher, tmp_path, "--trainer.max_steps=8", "--ckpt_path=last", *options)
    with (tmp_path / "learning_curve.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4", "6", "8"]
    [checkpoint] = (tmp_path / "checkpoints").iterdir()
    state = torch.load(checkpoint, weights_only=True)
    assert not [name for name in state["state_dict"] if not name.startswith(("network.", "margin."))]
    averaged = state["averaging_state"]["n_averaged"].item()
    assert averaged == 2, "after the first step of the first run and the sixth of both together"
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["seed_everything"] == 1


def test_a_live_teacher_sees_the_students_crop(data: DistillationData, teacher: Path) -> None:
    crops = middle(data.training.__getitems__([0, 1, 2])[0])
    live = live_teacher(teacher, data.projection, torch.device("cpu"))(crops)
    thumbnails = torch.nn.functional.avg_pool2d((crops - 127.5) / 128, 28).flatten(1)
    expected = torch.nn.functional.normalize(thumbnails @ torch.from_numpy(data.projection))
    assert torch.allclose(live, expected, atol=1e-5)
