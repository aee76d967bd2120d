"""Verification against n reference images of one person: what more pictures, or looks, of somebody are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation import metrics, plots
from face_recognition_ros.evaluation.faces import OURS, FaceFinder
from face_recognition_ros.evaluation.report import Figure, Section, Table
from face_recognition_ros.evaluation.verification import NEVER_ACCEPTED
from face_recognition_ros.pictures import people_in
from face_recognition_ros.types import FloatArray

COUNTS = (1, 2, 4, 8, 16, 32)
"""Numbers of reference images."""

METHODS = {
    "mean": "cosine to the references' mean, brought to length 1",
    "vote": "the similarity that more than half of the references reach: each votes, the majority decides",
    "nearest": "cosine to the most similar reference",
}
MIN_PEOPLE = 10
"""A count is measured where so many people have more pictures than that."""
DRAWS = 5
"""How often the references of each person are drawn."""
STRANGERS = 100
"""Impostor probes for each draw, each of another person."""
FALSE_ACCEPT_RATES = (1e-2, 1e-3)
BOOTSTRAP_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Collection:
    """The embeddings (N, D) of a person's pictures, and in how many more no face was found."""

    embeddings: FloatArray
    missed: int


def evaluate(finder: FaceFinder, seed: int = 0) -> tuple[dict[str, Any], Section]:
    """Measures on the identity folders under the finder's images; the numbers, ready for JSON, and how to show them.

    The same people at every count: those who have more pictures than the largest count that MIN_PEOPLE people reach.
    Raises ImageError where there are too few people with two pictures.
    """
    files = {
        person.name: [path.relative_to(finder.images).as_posix() for path in person.paths]
        for person in people_in(finder.images)
    }
    largest = largest_count([len(names) for names in files.values()])
    rng = np.random.default_rng(seed)
    many = [name for name, pictures in files.items() if len(pictures) > largest]
    # Of the others one picture each; half as many again, as in some no face will be found.
    few = rng.permutation([name for name in files if name not in set(many)])[: STRANGERS * 3 // 2].tolist()
    wanted = {name: files[name] if name in set(many) else files[name][:1] for name in [*many, *few]}
    people = {
        name: collect(finder, pictures)
        for name, pictures in tqdm(wanted.items(), "references", unit="person", disable=None)
    }
    largest = largest_count([len(one.embeddings) for one in people.values()])  # fewer, where faces were not found
    numbers = measure(people, largest, rng)
    return numbers, section(numbers)


def largest_count(pictures: Sequence[int]) -> int:
    """The largest of COUNTS that MIN_PEOPLE people have more pictures than; raises ImageError where it is none."""
    reached = [count for count in COUNTS if sum(number > count for number in pictures) >= MIN_PEOPLE]
    if not reached:
        raise ImageError(f"reference images need {MIN_PEOPLE} people with two faces or more; there are too few")
    return reached[-1]


def collect(finder: FaceFinder, pictures: Sequence[str]) -> Collection:
    """Embeds a person's pictures."""
    faces = [finder(name) for name in pictures]
    found = [face.embeddings[OURS] for face in faces if face is not None]
    return Collection(np.array(found, np.float32), len(faces) - len(found))


def measure(people: dict[str, Collection], largest: int, rng: np.random.Generator) -> dict[str, Any]:
    """The numbers by count and method; those with more than `largest` embeddings have references, all are strangers.

    A person's references are drawn once for all counts, fewer of them being the first of more, and the probes are the
    person's remaining pictures: the counts differ in nothing else. A probe without a face is never accepted.
    """
    cohort = [name for name, one in people.items() if len(one.embeddings) > largest]
    counts = [count for count in COUNTS if count <= largest]
    scores: dict[tuple[int, str], list[npt.NDArray[np.float64]]] = {(n, how): [] for n in counts for how in METHODS}
    pairs: list[tuple[str, str]] = []
    for owner in cohort * DRAWS:
        own = rng.permutation(people[owner].embeddings)
        others = [name for name in people if name != owner and len(people[name].embeddings)]
        strangers = rng.permutation(others)[:STRANGERS].tolist()
        probes = np.array([*own[largest:], *(rng.choice(people[name].embeddings) for name in strangers)])
        for (count, how), values in scores.items():
            values.append(fuse(own[:count] @ probes.T, own[:count], probes, how))
            values.append(np.full(people[owner].missed, NEVER_ACCEPTED))
        own_probes = [(owner, owner)] * (len(own) - largest)
        pairs += own_probes + [(owner, name) for name in strangers] + [(owner, owner)] * people[owner].missed
    genuine = np.array([first == second for first, second in pairs])
    return {
        "people": len(cohort),
        "draws": DRAWS,
        "genuine_comparisons": int(genuine.sum()),
        "impostor_comparisons": int((~genuine).sum()),
        "methods": METHODS,
        "by_count": {
            str(count): {how: _rates(np.concatenate(scores[count, how]), genuine, pairs) for how in METHODS}
            if count in counts
            else None
            for count in COUNTS
        },
    }


def fuse(
    similarities: npt.NDArray[np.floating[Any]], references: FloatArray, probes: FloatArray, how: str
) -> npt.NDArray[np.float64]:
    """One score (P,) for each probe (P, D) of its similarities (R, P) to the references (R, D), by one of METHODS."""
    if how == "mean":
        mean = references.mean(axis=0)
        return np.asarray(probes @ (mean / np.linalg.norm(mean)), np.float64)
    place = {"vote": len(references) // 2, "nearest": 0}[how]
    return np.asarray(np.sort(similarities, axis=0)[::-1][place], np.float64)


def _rates(
    scores: npt.NDArray[np.float64], genuine: npt.NDArray[np.bool_], pairs: list[tuple[str, str]]
) -> dict[str, Any]:
    points = metrics.operating_points(scores, genuine, pairs, FALSE_ACCEPT_RATES, BOOTSTRAP_ROUNDS)
    return {
        "eer": metrics.equal_error_rate(scores, genuine),
        "tar_at_far": {rate: point.tar if point else None for rate, point in points.items()},
        "tar_at_far_intervals": {rate: point.record() if point else None for rate, point in points.items()},
    }


def section(numbers: dict[str, Any]) -> Section:
    """What `measure` gave, for a person."""
    measured = {int(count): value for count, value in numbers["by_count"].items() if value}
    open_counts = [count for count, value in numbers["by_count"].items() if not value]
    text = (
        f"Each of {numbers['people']} people is described by n of their pictures, drawn {numbers['draws']} times, and "
        f"compared with their remaining pictures ({numbers['genuine_comparisons']} comparisons) and with other people "
        f"({numbers['impostor_comparisons']}). People and probes are the same at every n."
    )
    if open_counts:
        text += f"\n\nToo few people have enough pictures for n = {', '.join(open_counts)}."
    rows = tuple(
        (str(count), how, f"{value[how]['eer']:.2%}", *(_percent(tar) for tar in value[how]["tar_at_far"].values()))
        for count, value in measured.items()
        for how in METHODS
    )
    header = ("references", "method", "EER", *(f"TAR at FAR {rate:g}" for rate in FALSE_ACCEPT_RATES))
    methods = Table(("method", "score of a probe"), tuple(METHODS.items()))
    return Section("Several reference images", text, (Table(header, rows), methods), _figures(measured))


def _percent(tar: float | None) -> str:
    return "not measurable" if tar is None else f"{tar:.2%}"


def _figures(measured: dict[int, Any]) -> tuple[Figure, ...]:
    rate = f"{FALSE_ACCEPT_RATES[0]:g}"
    x = np.array(list(measured), np.float64)
    lines = []
    for how in METHODS:
        points = [value[how]["tar_at_far_intervals"][rate] for value in measured.values()]
        if any(point is None for point in points):
            return ()
        low, high = np.array([point["bootstrap"] for point in points]).T
        lines.append(plots.Curve(how, x, np.array([point["tar"] for point in points]), low, high))
    drawn = plots.curves(lines, "reference images", f"TAR at FAR {rate}", log_x=True, markers=True)
    drawn.axes[0].set_xticks(x.tolist(), [f"{count}" for count in measured])
    drawn.axes[0].minorticks_off()
    caption = f"True accept rate at FAR {rate} with 95 % intervals over people."
    return (Figure("references", plots.png(drawn), caption),)
