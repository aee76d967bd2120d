"""Turns the MTCNN weights of the facenet-pytorch wheel into ONNX files, without torch.

`python3 -m face_recognition_ros.models.mtcnn_export WHEEL` is run once, by `make setup`. The networks are those of
K. Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks" (2016), layer for
layer as in facenet_pytorch/models/mtcnn.py.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from face_recognition_ros.errors import FaceRecognitionError, ModelError
from face_recognition_ros.models.catalog import environment_model_folder, user_model_folder
from face_recognition_ros.models.mtcnn_layers import Chain, Weights
from face_recognition_ros.models.torch_pickle import read_state_dict

SOURCE = "facenet-pytorch 2.6.0"
WEIGHT_SHA256 = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}


def build_pnet(weights: Weights) -> onnx.ModelProto:
    """Proposal network: any image to a map of face logits and box regressions with stride 2 and window 12."""
    chain = Chain(weights)
    chain.conv_pool_prelu("conv1", "prelu1", "pool1", following="conv2")
    chain.conv("conv2")
    chain.prelu("prelu2")
    chain.conv("conv3")
    chain.prelu("prelu3")
    return chain.model("mtcnn_pnet", "conv4_1", ["conv4_2"], ["rows", "columns"])


def build_rnet(weights: Weights) -> onnx.ModelProto:
    """Refinement network: 24x24 crops to face logit and box regression."""
    chain = Chain(weights, side=24)
    chain.widen("conv1", "prelu1", following="conv2")
    chain.conv("conv1", first=True)
    chain.prelu("prelu1")
    chain.pool("pool1", 3)
    chain.conv("conv2")
    chain.prelu("prelu2")
    chain.pool("pool2", 3)
    chain.conv("conv3")
    chain.prelu("prelu3")
    chain.flatten("dense4", channels=64, side=3)
    chain.dense("dense4")
    chain.prelu("prelu4", axes_behind=0)
    return chain.model("mtcnn_rnet", "dense5_1", ["dense5_2"], [])


def build_onet(weights: Weights) -> onnx.ModelProto:
    """Output network: 48x48 crops to face logit, box regression and five landmarks."""
    chain = Chain(weights, side=48)
    chain.conv("conv1", first=True)
    chain.prelu("prelu1")
    chain.pool("pool1", 3)
    chain.conv("conv2")
    chain.prelu("prelu2")
    chain.pool("pool2", 3)
    chain.conv("conv3")
    chain.prelu("prelu3")
    chain.pool("pool3", 2)
    chain.conv("conv4")
    chain.prelu("prelu4")
    chain.flatten("dense5", channels=128, side=3)
    chain.dense("dense5")
    chain.prelu("prelu5", axes_behind=0)
    return chain.model("mtcnn_onet", "dense6_1", ["dense6_2", "dense6_3"], [])


BUILDERS: dict[str, Callable[[Weights], onnx.ModelProto]] = {"pnet": build_pnet, "rnet": build_rnet, "onet": build_onet}


def describe(model: onnx.ModelProto, description: str, sha256: str) -> dict[str, Any]:
    """The NAME.json of a network; see catalog.ModelDescription."""
    meanings = {
        "image": "BGR, 0 to 255, normalisation is inside the network; for the proposal network a fourth channel is 255 "
        "where the picture is blank, else 0",
        "answers": "logit of the window or crop showing a face; shift of left, top, right, bottom in units of its "
        "width and height; from the output network also five x, then five y, in units of the crop: eyes, nose, mouth "
        "corners",
    }

    def rows(values: Sequence[onnx.ValueInfoProto]) -> list[dict[str, Any]]:
        return [
            {
                "name": value.name,
                "dtype": "float32",
                "shape": [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
                "meaning": meanings[value.name],
            }
            for value in values
        ]

    return {
        "name": model.graph.name,
        "sha256": sha256,
        "description": description,
        "inputs": rows(model.graph.input),
        "outputs": rows(model.graph.output),
        "origin": f"Weights of MTCNN as distributed in {SOURCE} (github.com/timesler/facenet-pytorch), which took them "
        "from github.com/davidsandberg/facenet; trained by the authors of the paper on WIDER FACE and CelebA.",
        "licence": "MIT (facenet-pytorch, facenet)",
        "terms": "WIDER FACE and CelebA are published for non-commercial research.",
    }


def read_weight_files(source: Path) -> dict[str, bytes]:
    """Read pnet.pt, rnet.pt and onet.pt out of a wheel or a folder and verify them; raise ModelError otherwise."""
    contents = {name: _read_weight_file(source, f"{name}.pt") for name in WEIGHT_SHA256}
    for name, content in contents.items():
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != WEIGHT_SHA256[name]:
            raise ModelError(
                f"{name}.pt in {source} is not that of {SOURCE}: its sha256 is {sha256}, not {WEIGHT_SHA256[name]}."
            )
    return contents


def _read_weight_file(source: Path, name: str) -> bytes:
    try:
        if source.is_dir():
            return (source / name).read_bytes()
        with zipfile.ZipFile(source) as wheel:
            return wheel.read(f"facenet_pytorch/data/{name}")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{source} holds no {name} ({error}); give the wheel of {SOURCE} or a folder with its .pt files."
        ) from error


def export(source: Path, target: Path) -> list[Path]:
    """Write mtcnn_pnet, mtcnn_rnet and mtcnn_onet (.onnx and .json) into the target folder and return the .onnx paths.

    The same source gives the same bytes. Raises ModelError where the source is not what it should be.
    """
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in read_weight_files(source).items():
        builder = BUILDERS[name]
        model = builder(read_state_dict(content))
        serialised = model.SerializeToString(deterministic=True)
        summary = (builder.__doc__ or "").strip()
        description = describe(model, summary, hashlib.sha256(serialised).hexdigest())
        path = target / f"{model.graph.name}.onnx"
        _write_atomically(path, serialised)
        _write_atomically(path.with_suffix(".json"), (json.dumps(description, indent=2) + "\n").encode())
        written.append(path)
    return written


def _write_atomically(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)  # NamedTemporaryFile makes it 0600; models are for every user of the environment
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def default_target() -> Path:
    """The environment's own folder in a virtual environment, else the user's."""
    return environment_model_folder() if sys.prefix != sys.base_prefix else user_model_folder()


def main(arguments: Sequence[str] | None = None) -> int:
    """Export, print the paths written and return the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m face_recognition_ros.models.mtcnn_export", description=__doc__)
    parser.add_argument("source", type=Path, metavar="WHEEL", help=f"wheel of {SOURCE}, or a folder with its .pt files")
    parser.add_argument("--output", type=Path, default=default_target(), help="target folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        for path in export(options.source, options.output):
            print(path)
    except (FaceRecognitionError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
