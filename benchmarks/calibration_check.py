"""Does the accept line keep its promise? Fitted on some people and judged on others, as one Markdown table.

    .venv-training/bin/python benchmarks/calibration_check.py --shards DIR --work DIR --teacher TEACHER.onnx

The embeddings are the teacher's, projected as for distillation: of these there are enough to count pairs at FAR 1e-6.
People are split by chance again and again. A calibration is fitted on some; its line is judged by the part of the
others' impostor pairs that lies above it. "Now" is Calibration.from_scores, "before" the rule that it took the place
of (see plain_quantiles).
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from face_recognition_ros.gallery.calibration import Calibration, effective_count
from face_recognition_ros.training.data.shards import HELD_OUT, ShardIndex, decode_shards, read_index
from face_recognition_ros.training.export import ALL_DIFFERENT, PER_IDENTITY, first_of_each, labelled_rows, pair_scores
from face_recognition_ros.training.teacher import normalised, principal_projection, teacher_embeddings

SIZE = 64
TARGETS = (1e-3, 1e-4, 1e-5, 1e-6)
LEAST_PAIRS = 2
"""A target is left out where an accept line that keeps it exactly has fewer of the judged pairs above it."""
GENUINE = (0.4, 0.6)
"""Stands in for genuine pairs, which All-Age-Faces does not have: the accept line does not depend on them."""
HEADER = """\
| embeddings, people fitted on / pairs judged | target | mean FAR / target, before | over, before \
| mean FAR / target, now | over, now |
| --- | --- | --- | --- | --- | --- |"""


@dataclass(frozen=True, eq=False)
class Population:
    """Faces of which it is known who is who."""

    name: str
    embeddings: npt.NDArray[np.float32]  # (N, D)
    people: npt.NDArray[np.int64]  # (N,), counted from 0
    fitted: int  # people per split; all others are judged


def read_embeddings(index: ShardIndex, shards: Path, work: Path, teacher: Path) -> npt.NDArray[np.float32]:
    """What DistillationData has the student learn, (N, SIZE); the teacher runs unless `work` has its answers."""
    work.mkdir(parents=True, exist_ok=True)
    vectors = teacher_embeddings(teacher, decode_shards(shards, work / "faces.npy"), work / "teacher.npy", threads=2)
    return normalised(vectors @ principal_projection(vectors[~index.held_out(HELD_OUT)], SIZE))


def populations(index: ShardIndex, embeddings: npt.NDArray[np.float32], most: int) -> Iterator[Population]:
    """Who is held out from training, and `most` people by chance of All-Age-Faces, of CelebA and of both."""
    all_age_faces = np.array(index.sources) == ALL_DIFFERENT
    celeba = np.char.startswith(np.array(index.identities), "celeba:")
    for name, mask, fitted, per_identity in (
        ("held-out faces", index.held_out(HELD_OUT), 0.5, PER_IDENTITY),
        ("All-Age-Faces only", all_age_faces, 600, 2),
        ("CelebA only", celeba, 600, 2),
        ("both", all_age_faces | celeba, 900, 2),
    ):
        rows, labels = labelled_rows(index, mask)
        chosen = np.isin(labels, np.random.default_rng(0).permutation(np.unique(labels))[:most])
        rows, labels = rows[chosen], labels[chosen]
        kept = first_of_each(labels, per_identity)
        names, people = np.unique(labels[kept], return_inverse=True)
        count = round(fitted * len(names)) if fitted < 1 else int(fitted)
        yield Population(f"teacher ({SIZE}-D), {name}", embeddings[rows[kept]], people, count)


def plain_quantiles(calibration: Calibration, impostor: npt.NDArray[np.float32]) -> Calibration:
    """The rule before: quantiles as they are while a hundred pairs lie beyond, then on along their last decade."""
    fars = 10.0 ** -np.arange(1, 5 + 1e-9, 1 / 8)
    fars = fars[fars * len(impostor) >= 100]
    similarities = np.quantile(impostor.astype(np.float64), 1 - fars, method="higher")
    return replace(calibration, impostor_far=tuple(fars), impostor_similarity=tuple(similarities), impostor_tail=None)


def judge(population: Population, random: np.random.Generator) -> tuple[npt.NDArray[np.float64], int]:
    """One split: the real FAR over the target (2, T), before and now, and on how many pairs it was judged."""
    shuffled = random.permutation(population.people.max() + 1)
    fitted = np.isin(population.people, shuffled[: population.fitted])
    scores = pair_scores(population.embeddings[fitted], population.people[fitted])
    now = Calibration.from_scores(GENUINE, scores.impostor, scores.people)
    others, people = population.embeddings[~fitted], population.people[~fitted]
    impostor = (others @ others.T)[people[:, None] != people]  # each pair twice, which changes no rate
    ratios = [
        [np.count_nonzero(impostor > rule.accept_similarity(target, 1)) / len(impostor) / target for target in TARGETS]
        for rule in (plain_quantiles(now, scores.impostor), now)
    ]
    return np.array(ratios), len(impostor) // 2


def table_rows(population: Population, splits: int) -> Iterator[str]:
    """The population's Markdown rows, one for each target that its pairs can tell anything about."""
    random = np.random.default_rng(0)
    judged = [judge(population, random) for _ in tqdm(range(splits), desc=population.name, unit="split")]
    ratios = np.array([ratio for ratio, _ in judged])  # (splits, 2, T)
    pairs = float(np.mean([count for _, count in judged]))
    title = f"{population.name}, {population.fitted} / {pairs / 1e6:.1f} million "
    for target, (before, now) in zip(TARGETS, ratios.transpose(2, 1, 0), strict=True):
        if pairs * target >= LEAST_PAIRS:
            cells = (f"{rule.mean():.2f} | {np.mean(rule > 1):.0%}".replace("%", " %") for rule in (before, now))
            yield f"| {title}| {target:.0e} | {' | '.join(cells)} |".replace("e-0", "e-")
            title = ""


def shared_people(population: Population) -> str:
    """One sentence: how little the pairs beyond FAR 1e-3 say, as they share people."""
    scores = pair_scores(population.embeddings, population.people)
    beyond = scores.impostor > np.quantile(scores.impostor, 1 - 1e-3)
    worth = effective_count(beyond, scores.people)
    return (
        f"{population.name}, at FAR 1e-3: {beyond.sum():,} impostor pairs beyond, worth {worth:.0f} independent ones."
    )


def main() -> None:
    """Reads the options and prints the table and a sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="folder with index.csv and faces-*.tar")
    parser.add_argument("--work", type=Path, required=True, help="where training keeps faces.npy and teacher.npy")
    parser.add_argument("--teacher", type=Path, required=True, help="the teacher network, an ONNX file")
    parser.add_argument("--splits", type=int, default=40, help="of each population (%(default)s)")
    parser.add_argument("--people", type=int, default=4500, help="at most so many of a population (%(default)s)")
    options = parser.parse_args()

    index = read_index(options.shards)
    embeddings = read_embeddings(index, options.shards, options.work, options.teacher)
    groups = list(populations(index, embeddings, options.people))
    rows = [row for group in groups for row in table_rows(group, options.splits)]
    print(HEADER, *rows, "", shared_people(groups[0]), sep="\n")


if __name__ == "__main__":
    main()
