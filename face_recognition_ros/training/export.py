r"""Turns a training checkpoint into the ONNX file that the node runs, with its calibration measured and written in.

Run it as::

    .venv-training/bin/python -m face_recognition_ros.training.export \\
        --checkpoint CHECKPOINT --shards DIR --work DIR --output face_recognition_ros/models/face_embedding.onnx

The calibration is measured on faces of shards that training leaves out, or with `--faces DIR` instead of `--shards` on
identity folders of prepared crops: of people on whom the network was neither trained nor tested.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn
from tqdm import tqdm

from face_recognition_ros.embedding import METADATA_KEY
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
from face_recognition_ros.training.data.face_folder import FaceFolder
from face_recognition_ros.training.data.shards import HELD_OUT, ShardIndex, centre_crops, decode_shards, read_index
from face_recognition_ros.training.networks import create_network
from face_recognition_ros.types import CROP_SIZE

PARITY = 1e-4
ALL_DIFFERENT = "allagefaces"
"""A source without labels whose faces are all of different people, by its authors."""
PER_IDENTITY = 20
COLLAPSED = 0.99
"""Two people this similar have, for the network, one and the same face."""


class Deployable(nn.Module):
    """The network with its preprocessing: (N, 112, 112, 3) uint8 RGB -> (N, D) float32 unit vectors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> Tensor:
        embedding: Tensor = self.network(faces.permute(0, 3, 1, 2).float())
        return embedding


def load_network(checkpoint: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """The network of a Lightning checkpoint, ready for use, and its hyperparameters.

    Where the run averaged its weights (EMAWeightAveraging), these are the averaged ones. Raises ValueError where
    the file lacks either.
    """
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if not {"hyper_parameters", "state_dict"} <= content.keys():
        raise ValueError(f"{checkpoint} is no checkpoint of `python -m face_recognition_ros.training fit`")
    chosen, prefix = content["hyper_parameters"], "network."
    network = create_network(chosen["network"], chosen["embedding_size"], **(chosen.get("network_options") or {}))
    weights = {name[len(prefix) :]: v for name, v in content["state_dict"].items() if name.startswith(prefix)}
    network.load_state_dict(weights)
    return network.eval(), chosen


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
    session = OnnxRuntimeSession(model)
    starts = tqdm(range(0, len(crops), batch), desc=f"embed with {model.name}", unit="batch")
    return np.concatenate([session.run({"faces": crops[start : start + batch]})[0] for start in starts])


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


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """Similarities of genuine (G,) and impostor (M,) pairs, and who the two of each impostor pair are, (M, 2)."""

    genuine: npt.NDArray[np.float32]
    impostor: npt.NDArray[np.float32]
    people: npt.NDArray[np.int64]


def first_of_each(labels: npt.NDArray[np.str_], count: int) -> npt.NDArray[np.int64]:
    """Positions (n,) of the first `count` faces of each person, so that nobody dominates."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def pair_scores(
    embeddings: npt.NDArray[np.float32], labels: npt.NDArray[np.str_], per_identity: int = PER_IDENTITY
) -> PairScores:
    """Of all genuine and of all impostor pairs, with at most `per_identity` faces of a person."""
    kept = first_of_each(labels, per_identity)
    people = np.unique(labels[kept], return_inverse=True)[1]
    first, second = np.triu_indices(len(kept), k=1)
    similarities = (embeddings[kept] @ embeddings[kept].T)[first, second]
    same = people[first] == people[second]
    pairs = np.stack([people[first], people[second]], axis=1)
    return PairScores(similarities[same], similarities[~same], pairs[~same])


def collapsed_faces(scores: PairScores) -> int:
    """How many people the network cannot tell from some other at all: no accept line keeps these apart."""
    return len(np.unique(scores.people[scores.impostor > COLLAPSED]))


def calibrate(embeddings: npt.NDArray[np.float32], labels: npt.NDArray[np.str_]) -> Calibration:
    """Measured on faces that were neither trained nor tested on; says on how many pairs."""
    scores = pair_scores(embeddings, labels)
    calibration = Calibration.from_scores(scores.genuine, scores.impostor, scores.people)
    lines = ", ".join(f"{calibration.accept_similarity(1e-3, size):.3f} for {size}" for size in (1, 10, 100, 1000))
    print(f"calibrated on {len(scores.genuine)} genuine and {len(scores.impostor)} impostor pairs")
    print(f"accept line for a target of 1e-3 and so many templates: {lines}")
    if (count := collapsed_faces(scores)) > 0:
        print(f"WARNING: {count} of {len(np.unique(labels))} people share their embedding with another person")
    return calibration


def write_metadata(model: Path, description: Mapping[str, Any]) -> None:
    """Puts the description, as JSON, into the ONNX file under METADATA_KEY."""
    graph = onnx.load(model)
    del graph.metadata_props[:]
    graph.metadata_props.add(key=METADATA_KEY, value=json.dumps(description, sort_keys=True))
    graph.producer_name, graph.doc_string = "face_recognition_ros", ""
    onnx.save(graph, model)


def read_metadata(model: Path) -> dict[str, Any]:
    """What `write_metadata` wrote; raises ValueError where there is none."""
    for entry in onnx.load(model).metadata_props:
        if entry.key == METADATA_KEY:
            return dict(json.loads(entry.value))
    raise ValueError(f"{model} has no metadata entry {METADATA_KEY!r}; it was not written by export.py")


def write_description(model: Path, embedding_size: int, summary: str) -> None:
    """The .json beside the model, which models/catalog.py verifies it by."""
    content = {
        "name": model.stem,
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "description": f"{summary}: aligned faces to unit vectors; see the model card beside this file",
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


def model_id(network: nn.Module, name: str, embedding_size: int) -> str:
    """A name that changes with the weights: it goes with every template of a gallery."""
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode() + value.numpy().tobytes())
    return f"{name}-{embedding_size}-{digest.hexdigest()[:12]}"


def held_out_crops(shards: Path, work: Path, share: float) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.str_]]:
    """Crops (N, 112, 112, 3) RGB of held-out faces whose identity is known, and their labels (N,)."""
    index = read_index(shards)
    rows, labels = labelled_rows(index, index.held_out(share))
    return np.ascontiguousarray(centre_crops(decode_shards(shards, work / "faces.npy")[rows])), labels


def add_held_out_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments --shards, --work and --held-out, for commands that judge a network on held-out faces of shards."""
    parser.add_argument("--shards", type=Path, required=True, help="folder with index.csv and faces-*.tar")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder with faces.npy, which is made if it is missing"
    )
    parser.add_argument("--held-out", type=float, default=HELD_OUT, help="share that training left out (%(default)s)")


def folder_crops(folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.str_]]:
    """Crops (N, 112, 112, 3) RGB of the people in identity folders, and their labels (N,)."""
    faces = FaceFolder(folder, max_images=PER_IDENTITY)
    crops = np.ascontiguousarray(centre_crops(faces.read(np.arange(len(faces)))))
    return crops, np.array(faces.names)[faces.labels]


def release(
    network: nn.Module, name: str, crops: npt.NDArray[np.uint8], labels: npt.NDArray[np.str_], output: Path
) -> str:
    """Writes the network to `output` with its description, calibrated on held-out faces; returns its model id."""
    model = output.with_suffix(".partial.onnx")  # moved to its place when it is whole and has passed
    export_onnx(network, model)
    print(f"parity with torch: {check_parity(network, model, crops[:64]):.1e}")
    embeddings = embed(model, crops)
    size = embeddings.shape[1]
    identifier = model_id(network, name, size)
    calibration = calibrate(embeddings, labels).to_dict()
    write_metadata(model, {"model_id": identifier, "embedding_size": size, "calibration": calibration})
    shutil.move(model, output)
    write_description(output, size, name)
    return identifier


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a .ckpt of the training's default_root_dir")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shards", type=Path, help="folder with index.csv and faces-*.tar")
    source.add_argument("--faces", type=Path, help="folder with crops of people that were not trained on")
    parser.add_argument(
        "--work", type=Path, default=Path("work"), help="with shards: folder for their faces.npy (%(default)s)"
    )
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write; a .json goes beside it")
    parser.add_argument("--held-out", type=float, default=HELD_OUT, help="share that training left out (%(default)s)")
    arguments = parser.parse_args()

    network, chosen = load_network(arguments.checkpoint)
    if arguments.faces:
        crops, labels = folder_crops(arguments.faces)
    else:
        crops, labels = held_out_crops(arguments.shards, arguments.work, arguments.held_out)
    print(f"{arguments.output}: {release(network, chosen['network'], crops, labels, arguments.output)}")


if __name__ == "__main__":
    main()
