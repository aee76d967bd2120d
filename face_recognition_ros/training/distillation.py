r"""Trains a network to give the embeddings of a larger one: knowledge distillation on aligned faces.

    .venv-training/bin/python -m face_recognition_ros.training.distillation \\
        --shards DIR --teacher TEACHER.onnx --work DIR --minutes 100

The schedule follows the clock, so that a run ends when it should on any machine. A stopped run goes on from its last
checkpoint in `--work` when it is started again. The teacher's embeddings are computed once, for each face and its
mirror image, and projected to the student's size (teacher.py).
"""

import argparse
import copy
import csv
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from face_recognition_ros.training.augmentation import augment
from face_recognition_ros.training.data.shards import decode_shards, read_index
from face_recognition_ros.training.losses import cosine_distillation, similarity_distillation
from face_recognition_ros.training.networks import create_network
from face_recognition_ros.training.teacher import centre_crops, normalised, principal_projection, teacher_embeddings


@dataclass(frozen=True)
class Recipe:
    """The numbers of a run; the defaults made the released network."""

    network: str = "efficientnet_b0"
    embedding_size: int = 64
    minutes: float = 100.0
    batch: int = 64
    peak_learning_rate: float = 2e-3
    warm_up: float = 0.04
    weight_decay: float = 0.02
    small_size: int = 80
    """Side in pixels of the faces in the first part, at half the cost (progressive learning, Tan and Le 2021)."""
    small_share: float = 0.4
    bank: int = 8192
    averaging: float = 0.998
    held_out: float = 0.05
    seed: int = 1


@dataclass
class Progress:
    """What a checkpoint must bring back beside the weights."""

    seconds: float = 0.0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


class Distillation:
    """One run: the student, its moving average, the optimiser and the data."""

    def __init__(
        self,
        recipe: Recipe,
        faces: npt.NDArray[np.uint8],
        targets: npt.NDArray[np.float32],
        training: npt.NDArray[np.int64],
    ) -> None:
        """Takes faces (N, 128, 128, 3) uint8, targets (N, D) unit vectors, and the rows that may be learned from."""
        self.recipe = recipe
        self.faces = faces
        self.targets = torch.from_numpy(targets)
        self.training = training
        self.bank = self.targets[training]
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(recipe.seed)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        network = create_network(recipe.network, recipe.embedding_size)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: nn.Module = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(parameter_groups(self.network, recipe.weight_decay))
        self.progress = Progress()

    @property
    def share_done(self) -> float:
        """0 at the start, 1 when the run's minutes are over."""
        return min(1.0, self.progress.seconds / (60 * self.recipe.minutes))

    def learning_rate(self) -> float:
        """One cycle: linear up, cosine down to nothing (Smith and Topin 2018)."""
        done, warm_up = self.share_done, self.recipe.warm_up
        if done < warm_up:
            return self.recipe.peak_learning_rate * (0.05 + 0.95 * done / warm_up)
        return self.recipe.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))

    def step(self, rows: npt.NDArray[np.int64]) -> float:
        """One optimiser step on these rows of the data; returns the loss."""
        recipe = self.recipe
        crops = augment(torch.from_numpy(self.faces[rows]), self.generator)
        crops = self.resized(crops)
        wanted = self.targets[rows]
        others = self.bank[torch.randint(len(self.bank), (recipe.bank,), generator=self.generator)]
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        student = self.network(crops.to(self.device).contiguous(memory_format=torch.channels_last))
        wanted, bank = wanted.to(self.device), torch.cat([wanted, others]).to(self.device)
        loss: Tensor = 4 * cosine_distillation(student, wanted) + similarity_distillation(student, wanted, bank)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.follow()
        return loss.item()

    def resized(self, crops: Tensor) -> Tensor:
        """Crops (N, 3, 112, 112) at the size that this part of the run works with."""
        if self.share_done >= self.recipe.small_share:
            return crops
        return functional.interpolate(crops, (self.recipe.small_size,) * 2, mode="bilinear", antialias=True)

    @torch.no_grad()
    def follow(self) -> None:
        """Moves the averaged weights towards the current ones, faster in the beginning."""
        rate = 1 - min(self.recipe.averaging, (1 + self.progress.step) / (10 + self.progress.step))
        for mean, current in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(current, rate)
            else:
                mean.copy_(current)

    @torch.no_grad()
    def embed(self, crops: npt.NDArray[np.uint8], batch: int = 128) -> npt.NDArray[np.float32]:
        """(N, 112, 112, 3) uint8 RGB -> (N, D) unit vectors of the averaged network."""
        blocks = []
        for start in range(0, len(crops), batch):
            pixels = self.resized(torch.from_numpy(crops[start : start + batch]).permute(0, 3, 1, 2).float())
            blocks.append(self.average(pixels.to(self.device)).cpu().numpy())
        return np.concatenate(blocks)

    def save(self, path: Path) -> None:
        """Writes a checkpoint, whole or not at all."""
        state = {
            "recipe": asdict(self.recipe),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "progress": asdict(self.progress),
        }
        torch.save(state, path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint of `save`."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.progress = Progress(**state["progress"])


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices and kernels only; not for biases and normalisation."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def run(distillation: Distillation, held_out: npt.NDArray[np.int64], work: Path) -> None:
    """Trains until the minutes are over, with a checkpoint and a line of the learning curve every few minutes."""
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        distillation.load(checkpoint)
    progress, recipe = distillation.progress, distillation.recipe
    order = np.random.default_rng([recipe.seed, progress.step])
    last_save, losses, rows = time.monotonic(), [], np.empty(0, np.int64)
    with tqdm(total=round(60 * recipe.minutes), initial=round(progress.seconds), unit="s", desc="distil") as bar:
        while distillation.share_done < 1:
            started = time.monotonic()
            if len(rows) < recipe.batch:
                rows = order.permutation(distillation.training)
            losses.append(distillation.step(rows[: recipe.batch]))
            rows = rows[recipe.batch :]
            progress.step += 1
            progress.seconds += time.monotonic() - started
            bar.n = round(progress.seconds)
            bar.set_postfix(step=progress.step, loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
            bar.update(0)
            if time.monotonic() - last_save > 240 or distillation.share_done == 1:
                progress.history.append(validate(distillation, held_out, float(np.mean(losses))))
                tqdm.write(" ".join(f"{key}={value:.4g}" for key, value in progress.history[-1].items()))
                write_curve(progress.history, work / "learning_curve.csv")
                distillation.save(checkpoint)
                last_save, losses = time.monotonic(), []


def validate(distillation: Distillation, held_out: npt.NDArray[np.int64], loss: float) -> dict[str, float]:
    """Mean cosine between student and teacher on held-out faces, with the state of the run."""
    student = distillation.embed(centre_crops(distillation.faces[held_out]))
    cosine = float((student * distillation.targets.numpy()[held_out]).sum(axis=1).mean())
    progress = distillation.progress
    return {"seconds": progress.seconds, "step": progress.step, "loss": loss, "held_out_cosine": cosine}


def write_curve(history: list[dict[str, float]], path: Path) -> None:
    """Writes the learning curve as CSV, a row for each entry."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=history[0].keys())
        writer.writeheader()
        writer.writerows(history)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="folder with index.csv and faces-*.tar")
    parser.add_argument("--teacher", type=Path, required=True, help="ONNX file of the teacher")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches, checkpoints and curves")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="length of the run (%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (%(default)s)")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(minutes=arguments.minutes)
    index = read_index(arguments.shards)
    faces = decode_shards(arguments.shards, arguments.work / "faces.npy")
    teacher = teacher_embeddings(arguments.teacher, faces, arguments.work / "teacher.npy", arguments.threads)
    held_out = index.held_out(recipe.held_out)
    projection = principal_projection(teacher[~held_out], recipe.embedding_size)
    distillation = Distillation(recipe, faces, normalised(teacher @ projection), np.flatnonzero(~held_out))
    run(distillation, np.flatnonzero(held_out), arguments.work)


if __name__ == "__main__":
    main()
