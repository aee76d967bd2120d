r"""Turns a training checkpoint into the ONNX file that the node runs, with its calibration measured and written in.

Run it as::

    .venv-training/bin/python -m face_recognition_ros.training.export \\
        --shards DIR --work DIR --output face_recognition_ros/models/face_embedding.onnx
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from tqdm import tqdm

from face_recognition_ros.embedding import METADATA_KEY
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.training.data.shards import ShardIndex, decode_shards, read_index
from face_recognition_ros.training.distillation import Recipe
from face_recognition_ros.training.networks import create_network
from face_recognition_ros.training.teacher import centre_crops
from face_recognition_ros.types import CROP_SIZE

PARITY = 1e-4
ALL_DIFFERENT = "allagefaces"
"""A source without labels whose faces are all of different people, by its authors."""


class Deployable(nn.Module):
    """The network with its preprocessing: (N, 112, 112, 3) uint8 RGB -> (N, D) float32 unit vectors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> Tensor:
        embedding: Tensor = self.network(faces.permute(0, 3, 1, 2).float())
        return embedding


def load_network(checkpoint: Path) -> tuple[nn.Module, Recipe]:
    """The averaged network of a checkpoint of distillation.py, ready for use, and its recipe."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    recipe = Recipe(**state["recipe"])
    network = create_network(recipe.network, recipe.embedding_size)
    network.load_state_dict(state["average"])
    return network.eval(), recipe


def export_onnx(network: nn.Module, path: Path) -> None:
    """Writes the network with a dynamic batch; weights inside the file."""
    example = torch.zeros(2, CROP_SIZE, CROP_SIZE, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    torch.onnx.export(
        Deployable(network).eval(),
        (example,),
        str(path),
        input_names=["faces"],
        output_names=["embeddings"],
        dynamic_shapes={"faces": {0: batch}},
        external_data=False,
        dynamo=True,
    )


def embed(model: Path, crops: npt.NDArray[np.uint8], batch: int = 64) -> npt.NDArray[np.float32]:
    """(N, 112, 112, 3) uint8 RGB -> (N, D) float32, by ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    starts = tqdm(range(0, len(crops), batch), desc="embed", unit="batch")
    return np.concatenate([session.run(None, {"faces": crops[start : start + batch]})[0] for start in starts])


def check_parity(network: nn.Module, model: Path, crops: npt.NDArray[np.uint8]) -> float:
    """Largest difference between torch and ONNX Runtime on these crops; raises ValueError when it is over PARITY."""
    with torch.no_grad():
        expected = Deployable(network)(torch.from_numpy(np.ascontiguousarray(crops))).numpy()
    difference = float(np.abs(embed(model, crops) - expected).max())
    if difference > PARITY:
        raise ValueError(f"{model} differs from torch by {difference:.2e}; at most {PARITY:g} is allowed")
    return difference


def labelled_rows(index: ShardIndex, mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """Rows under the mask of which it is known who is who, and a label for each."""
    labels = np.array(
        [
            identity or (key if source == ALL_DIFFERENT else "")
            for identity, key, source in zip(index.identities, index.keys, index.sources, strict=True)
        ]
    )
    rows = np.flatnonzero(mask & (labels != ""))
    return rows, labels[rows]


def pair_scores(
    embeddings: npt.NDArray[np.float32], labels: npt.NDArray[np.str_], per_identity: int = 20
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Similarities of all genuine and of all impostor pairs, with at most `per_identity` faces of a person."""
    kept = np.sort(np.concatenate([np.flatnonzero(labels == label)[:per_identity] for label in np.unique(labels)]))
    similarities = embeddings[kept] @ embeddings[kept].T
    same = labels[kept][:, None] == labels[kept][None, :]
    upper = np.triu(np.ones_like(same), k=1)
    return similarities[same & upper], similarities[~same & upper]


def write_metadata(model: Path, description: dict[str, Any]) -> None:
    """Puts the description, as JSON, into the ONNX file under METADATA_KEY."""
    graph = onnx.load(model)
    del graph.metadata_props[:]
    graph.metadata_props.add(key=METADATA_KEY, value=json.dumps(description, sort_keys=True))
    graph.producer_name, graph.doc_string = "face_recognition_ros", ""
    onnx.save(graph, model)


def write_description(model: Path, embedding_size: int) -> None:
    """The .json beside the model, which models/catalog.py verifies it by."""
    content = {
        "name": model.stem,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "description": "EfficientNet-B0: aligned faces to unit vectors; see the model card beside this file",
        "inputs": [
            {
                "name": "faces",
                "dtype": "uint8",
                "shape": ["N", CROP_SIZE, CROP_SIZE, 3],
                "meaning": "RGB faces on the five-point template of alignment.py",
            }
        ],
        "outputs": [
            {
                "name": "embeddings",
                "dtype": "float32",
                "shape": ["N", embedding_size],
                "meaning": "unit vectors; compare by cosine",
            }
        ],
        "origin": "face_recognition_ros.training.distillation; teacher: MobileFaceNet of foamliu/MobileFaceNet",
        "licence": "Apache-2.0 for the file",
        "terms": "trained on research data (CelebA and UTKFace: non-commercial research only); see the model card",
    }
    model.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def model_id(network: nn.Module, recipe: Recipe) -> str:
    """A name that changes with the weights: it goes with every template of a gallery."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return f"{recipe.network}-{recipe.embedding_size}-{digest.hexdigest()[:12]}"


def held_out_crops(shards: Path, work: Path, share: float) -> Iterator[Any]:
    """Crops (N, 112, 112, 3) of held-out faces whose identity is known, then their labels (N,)."""
    index = read_index(shards)
    rows, labels = labelled_rows(index, index.held_out(share))
    yield np.ascontiguousarray(centre_crops(decode_shards(shards, work / "faces.npy")[rows]))
    yield labels


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="folder with index.csv and faces-*.tar")
    parser.add_argument("--work", type=Path, required=True, help="the work folder of distillation.py")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write; a .json goes beside it")
    arguments = parser.parse_args()

    network, recipe = load_network(arguments.work / "checkpoint.pt")
    crops, labels = held_out_crops(arguments.shards, arguments.work, recipe.held_out)
    model = arguments.work / arguments.output.name  # moved to its place when it is whole and has passed
    export_onnx(network, model)
    print(f"parity with torch: {check_parity(network, model, crops[:64]):.1e}")
    genuine, impostor = pair_scores(embed(model, crops), labels)
    calibration = Calibration.from_scores(genuine, impostor)
    print(f"calibrated on {len(genuine)} genuine and {len(impostor)} impostor pairs of held-out faces")
    description = {
        "model_id": model_id(network, recipe),
        "embedding_size": recipe.embedding_size,
        "calibration": calibration.to_dict(),
    }
    write_metadata(model, description)
    shutil.move(model, arguments.output)
    write_description(arguments.output, recipe.embedding_size)
    print(f"{arguments.output}: {description['model_id']}")


if __name__ == "__main__":
    main()
