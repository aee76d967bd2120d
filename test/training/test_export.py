"""The exported file: what torch gives, described, verified, calibrated on people who were held out."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("timm", reason=REASON)

from face_recognition_ros.gallery.calibration import Calibration  # noqa: E402
from face_recognition_ros.models import load_model_file  # noqa: E402
from face_recognition_ros.training import export  # noqa: E402
from face_recognition_ros.training.data.shards import read_index  # noqa: E402
from face_recognition_ros.training.networks import create_network  # noqa: E402

HYPERPARAMETERS = {"network": "efficientnet_b0", "embedding_size": 8, "network_options": None}


def test_the_network_of_a_checkpoint_comes_back(tmp_path: Path) -> None:
    network = create_network("efficientnet_b0", 8).eval()
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    state = {"hyper_parameters": HYPERPARAMETERS, "state_dict": {**weights, "margin.weight": torch.zeros(2)}}
    torch.save(state, tmp_path / "last.ckpt")
    loaded, chosen = export.load_network(tmp_path / "last.ckpt")
    assert chosen == HYPERPARAMETERS
    faces = torch.rand(2, 3, 112, 112) * 255
    assert torch.equal(loaded(faces), network(faces))
    torch.save({"state_dict": weights}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other\.ckpt is no checkpoint of"):
        export.load_network(tmp_path / "other.ckpt")


class PatchColours(torch.nn.Module):
    """A network that is exported in no time: the mean colours of 16 patches, projected."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(48, 8)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        patches = torch.nn.functional.avg_pool2d(faces - 127.5, 28)
        return torch.nn.functional.normalize(self.head(patches.flatten(1)))


def test_a_released_file_agrees_with_torch_and_is_described(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = PatchColours().eval()
    crops = np.random.default_rng(0).integers(0, 256, (80, 112, 112, 3), np.uint8)
    labels = np.array([f"person {number // 2}" for number in range(80)])
    model = tmp_path / "model.onnx"
    identifier = export.release(network, "patches", crops, labels, model)
    assert identifier.startswith("patches-8-")
    assert export.check_parity(network, model, crops[:3]) <= export.PARITY, "another batch size than at export"
    assert load_model_file(model).description is not None, "verified by its sha256"
    description = export.read_metadata(model)
    assert (description["model_id"], description["embedding_size"]) == (identifier, 8)
    assert Calibration.from_dict(description["calibration"]).impostor_tail is not None
    assert json.loads(model.with_suffix(".json").read_text())["outputs"][0]["shape"] == ["N", 8]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["model.json", "model.onnx"]
    with torch.no_grad():
        network.head.weight[0] += 0.1
    with pytest.raises(ValueError, match="differs from torch"):
        export.check_parity(network, model, crops[:3])
    assert export.model_id(network, "patches", 8) != identifier, "other weights, another name"


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


def test_faces_to_calibrate_on_can_lie_in_identity_folders(tmp_path: Path) -> None:
    for person, count in (("ann", 3), ("bob", export.PER_IDENTITY + 2)):
        (tmp_path / person).mkdir()
        for number in range(count):
            picture = np.full((128, 128, 3), (10, 0, number), np.uint8)  # BGR
            assert cv2.imwrite(str(tmp_path / person / f"{number:02d}.png"), picture)
    crops, labels = export.folder_crops(tmp_path)
    assert crops.shape == (3 + export.PER_IDENTITY, 112, 112, 3)
    assert labels.tolist() == ["ann"] * 3 + ["bob"] * export.PER_IDENTITY
    assert crops[2, 0, 0].tolist() == [2, 0, 10], "RGB"


def test_pairs_are_counted_once_and_capped() -> None:
    labels = np.array(["b", "a", "b", "b"])
    vectors = np.eye(4, dtype=np.float32)
    scores = export.pair_scores(vectors, labels)
    assert (len(scores.genuine), len(scores.impostor)) == (3, 3)
    assert scores.people.tolist() == [[1, 0], [0, 1], [0, 1]]
    scores = export.pair_scores(vectors, labels, per_identity=2)
    assert (len(scores.genuine), len(scores.impostor)) == (1, 2)


def test_people_whom_the_network_gives_one_embedding_are_counted() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    assert export.collapsed_faces(export.pair_scores(vectors, np.array(["a", "b", "c", "a"]))) == 2
    assert export.collapsed_faces(export.pair_scores(vectors, np.array(["a", "a", "c", "a"]))) == 0
