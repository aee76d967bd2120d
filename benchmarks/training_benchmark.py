"""Images a second of distillation by the recipe, beside a plain loop that does nothing but train, on one machine.

    .venv-training/bin/python benchmarks/training_benchmark.py [--batch 96] [--steps 20] [--precision bf16-mixed]

Both train the same network on random faces. The plain loop has its batches on the device already, no augmentation, no
similarities to a bank, no average of the weights, no clipping; what the recipe costs beyond it is what these cost. The
two take turns, and the medians of the rounds are compared.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from face_recognition_ros.training.data.batches import training_loader
from face_recognition_ros.training.data.distillation import FacesWithTargets
from face_recognition_ros.training.distillation import Distillation
from face_recognition_ros.training.losses import cosine_distillation
from face_recognition_ros.training.networks import create_network
from face_recognition_ros.training.schedule import OneCycle

FACES, SIZE = 2048, 64


class RandomFaces(L.LightningDataModule):
    """What DistillationData gives, without research data."""

    def __init__(self, batch: int, workers: int) -> None:
        super().__init__()
        random = np.random.default_rng(0)
        faces = random.integers(0, 256, (FACES, 128, 128, 3), np.uint8)
        targets = random.standard_normal((FACES, SIZE)).astype(np.float32)
        targets /= np.linalg.norm(targets, axis=1, keepdims=True)
        self.training = FacesWithTargets(faces, targets, np.full(FACES, -1), np.arange(FACES))
        self.batch, self.workers, self.seed = batch, workers, 0

    def train_dataloader(self) -> object:
        return training_loader(self, self.training)


class Stopwatch(L.Callback):
    """Times all steps but the first."""

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        wait()
        self.end = time.perf_counter()
        if trainer.global_step == 1:
            self.start = self.end


def wait() -> None:
    """Until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def recipe_speed(data: RandomFaces, steps: int, precision: str) -> float:
    """Images a second of the release recipe at full size."""
    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_steps=steps + 1, precision=precision, gradient_clip_val=5.0, default_root_dir=folder, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[OneCycle(), EMAWeightAveraging(decay=0.99, update_every_n_steps=5), stopwatch],
        )  # fmt: skip
        trainer.fit(Distillation(embedding_size=SIZE, small_share=0.0), data)
    return steps * data.batch / (stopwatch.end - stopwatch.start)


def plain_speed(data: RandomFaces, steps: int, precision: str) -> float:
    """Images a second of forward, backward and AdamW."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = create_network("efficientnet_b0", SIZE).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    faces = torch.rand(data.batch, 3, 112, 112, device=device).mul(255).contiguous(memory_format=torch.channels_last)
    targets = data.training.targets[: data.batch].to(device)
    start = 0.0
    for step in range(steps + 1):
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
            student = network(faces)
        optimizer.zero_grad()
        cosine_distillation(student.float(), targets).backward()
        optimizer.step()
        if step == 0:
            wait()
            start = time.perf_counter()
    wait()
    return steps * data.batch / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--steps", type=int, default=10, help="per round, after one to warm up (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="32-true", choices=("32-true", "bf16-mixed"))
    parser.add_argument("--workers", type=int, default=0, help="processes that read faces (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    options = parser.parse_args()

    data = RandomFaces(options.batch, options.workers)
    speeds: dict[str, list[float]] = {"recipe": [], "plain": []}
    for _ in range(options.rounds):
        speeds["recipe"].append(recipe_speed(data, options.steps, options.precision))
        speeds["plain"].append(plain_speed(data, options.steps, options.precision))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    numbers = {
        "device": device,
        "batch": options.batch,
        "precision": options.precision,
        "images_per_second": medians,
        "ratio": medians["recipe"] / medians["plain"],
    }
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    print(
        f"{device}, batch {options.batch}, {options.precision}: recipe {medians['recipe']:.0f} images/s, "
        f"plain loop {medians['plain']:.0f} images/s, ratio {numbers['ratio']:.2f}"
    )


if __name__ == "__main__":
    main()
