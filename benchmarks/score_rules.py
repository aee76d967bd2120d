"""Which score of a track against a person keeps to the calibration, and which recognises most? Two Markdown tables.

    .venv/bin/python benchmarks/score_rules.py FOLDER

FOLDER holds videos of people, as for `face-recognition evaluate identification`; the networks are the package's own.

- look: one look at a face, as embedded. mean: the mean of a video's looks by quality. fused: that, of length 1 again.
- The first table compares videos of different people: the part of the pairs whose score is above a similarity.
- The second puts half of the people, by chance, into the gallery with the looks of one video that are good enough to
  be enrolled. All their other videos, and all of the strangers, are probes. Lines and margin are the matcher's own.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.evaluation.faces import central_view
from face_recognition_ros.evaluation.identification import Video, read_videos
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.matcher import MatcherOptions
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import FloatArray

SIMILARITIES = (0.3, 0.4, 0.5, 0.6, 0.7)
TARGETS = (1e-2, 1e-3)
LEAST_WEIGHT = 1e-3
OPTIONS = MatcherOptions()


@dataclass(frozen=True, eq=False)
class Looks:
    """Looks of one video that are good enough for a purpose."""

    person: str
    video: str
    embeddings: FloatArray  # (K, D) unit vectors
    weights: FloatArray  # (K,) quality

    @property
    def mean(self) -> FloatArray:
        return np.asarray(np.average(self.embeddings, axis=0, weights=self.weights), np.float32)

    @property
    def fused(self) -> FloatArray:
        return self.mean / np.linalg.norm(self.mean)


def look_at(assembly: Assembly, video: Video) -> tuple[Looks, Looks]:
    """The looks at a video's subject: those fit for matching, and those fit for enrolment."""
    chosen: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    weights: tuple[list[float], list[float]] = ([], [])
    for path in video.frames:
        picture = read_picture(path)
        view = central_view(assembly.recognizer.view(picture), picture)
        if view is None or view.embedding is None:
            continue
        for place, fit in enumerate((view.quality.usable_for_matching, view.quality.usable_for_enrollment)):
            if fit:
                chosen[place].append(view.embedding)
                weights[place].append(max(view.quality.score, LEAST_WEIGHT))
    size = assembly.store.embedding_size
    matching, enrollment = (
        Looks(video.person, video.number, np.array(rows, np.float32).reshape(-1, size), np.array(share, np.float32))
        for rows, share in zip(chosen, weights, strict=True)
    )
    return matching, enrollment


Probes = tuple[FloatArray, npt.NDArray[np.str_]]
"""(N, D), and whose they are (N,)."""


def single_looks(videos: Sequence[Looks]) -> Probes:
    return np.concatenate([v.embeddings for v in videos]), np.repeat(
        [v.person for v in videos], [len(v.weights) for v in videos]
    )


def mean_looks(videos: Sequence[Looks]) -> Probes:
    return np.stack([video.mean for video in videos]), np.array([video.person for video in videos])


def fused_looks(videos: Sequence[Looks]) -> Probes:
    return np.stack([video.fused for video in videos]), np.array([video.person for video in videos])


def with_best(probes: FloatArray, templates: Sequence[Looks]) -> FloatArray:
    """(N, T): the maximum over the looks of each of T template sets."""
    starts = np.cumsum([0, *(len(video.weights) for video in templates[:-1])])
    cosines = probes @ np.concatenate([video.embeddings for video in templates]).T
    return np.asarray(np.maximum.reduceat(cosines, starts, axis=1))


def with_mean(probes: FloatArray, templates: Sequence[Looks]) -> FloatArray:
    return probes @ mean_looks(templates)[0].T


def with_fused(probes: FloatArray, templates: Sequence[Looks]) -> FloatArray:
    return probes @ fused_looks(templates)[0].T


@dataclass(frozen=True)
class Rule:
    """How a probe is compared with the templates of one person."""

    name: str
    probes: Callable[[Sequence[Looks]], Probes]
    score: Callable[[FloatArray, Sequence[Looks]], FloatArray]


RULES = (
    Rule("mean : best template", mean_looks, with_best),
    Rule("mean : mean", mean_looks, with_mean),
    Rule("mean : fused", mean_looks, with_fused),
    Rule("fused : best template", fused_looks, with_best),
    Rule("fused : fused", fused_looks, with_fused),
)
LOOK_RULES = (Rule("look : best template", single_looks, with_best), Rule("look : fused", single_looks, with_fused))


def false_accept_table(calibration: Calibration, tracks: list[Looks], templates: list[Looks]) -> Iterator[str]:
    """For each similarity the calibration's FAR, and the part of impostor scores above it by each rule."""
    looks, people = single_looks(tracks)
    columns = {"look : look": (looks @ looks.T)[people[:, None] != people]}
    owners = np.array([video.person for video in templates])
    for rule in LOOK_RULES + RULES:
        probes, people = rule.probes(tracks)
        columns[rule.name] = rule.score(probes, templates)[people[:, None] != owners]
    yield f"| similarity | calibration | {' | '.join(columns)} |"
    yield "| --- " * (len(columns) + 2) + "|"
    for similarity in SIMILARITIES:
        rates = [calibration.false_accept_rate(similarity), *(np.mean(s > similarity) for s in columns.values())]
        yield f"| {similarity} | {' | '.join(map(rate_text, rates))} |"
    counts = ["", *(f"{len(scores):,}" for scores in columns.values())]
    yield f"| pairs | {' | '.join(counts)} |"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a rule made of the probes of all galleries; each array one row for each line, in their order."""

    recognised: FloatArray
    misnamed: FloatArray
    strangers_named: FloatArray
    lines: FloatArray


COUNTED = ("templates", "people")
LINES = tuple((target, counted) for target in TARGETS for counted in COUNTED)


def identify(calibration: Calibration, rule: Rule, tracks: list[Looks], gallery: list[Looks], trials: int) -> Outcome:
    """Random halves of the people as galleries: shares of the enrolled people's probes and of the strangers'."""
    probes, people = rule.probes(tracks)
    owners = np.array([video.person for video in gallery])
    enrolled = {(video.person, video.video) for video in gallery}
    is_probe = np.array([(track.person, track.video) not in enrolled for track in tracks])
    scores = rule.score(probes, gallery)
    random = np.random.default_rng(0)
    rates, lines = [], []
    for _ in range(trials):
        members = random.permutation(len(owners))[: len(owners) // 2]
        templates = sum(len(gallery[i].weights) for i in members)
        two = np.argsort(scores[:, members], axis=1)[:, :-3:-1]
        best, second = np.take_along_axis(scores[:, members], two, axis=1).T
        right = owners[members][two[:, 0]] == people
        known = np.isin(people, owners[members])
        line = np.array([
            calibration.accept_similarity(target, templates if counted == "templates" else len(members))
            for target, counted in LINES
        ])  # fmt: skip
        named = (best >= line[:, None]) & (best - second >= OPTIONS.min_margin)
        mates = known & is_probe
        rates.append([
            named[:, mates & right].sum(1) / mates.sum(), named[:, mates & ~right].sum(1) / mates.sum(),
            named[:, ~known].mean(1),
        ])  # fmt: skip
        lines.append(line)
    recognised, misnamed, strangers_named = np.mean(rates, axis=0)
    return Outcome(recognised, misnamed, strangers_named, np.mean(lines, axis=0))


def identification_table(
    calibration: Calibration, tracks: list[Looks], gallery: list[Looks], trials: int
) -> Iterator[str]:
    """A row for each rule and way of counting comparisons; each cell has a number for each target."""
    yield f"At targets of {' / '.join(map(rate_text, TARGETS))}:\n"
    yield "| comparisons | rule | accept line | recognised | given a wrong name | strangers named |"
    yield "| --- " * 6 + "|"
    outcomes = {rule.name: identify(calibration, rule, tracks, gallery, trials) for rule in RULES}
    for counted in COUNTED:
        places = [LINES.index((target, counted)) for target in TARGETS]
        for name, outcome in outcomes.items():
            shares = (outcome.recognised, outcome.misnamed, outcome.strangers_named)
            cells = [" / ".join(f"{outcome.lines[at]:.3f}" for at in places)]
            cells += [" / ".join(f"{share[at] * 100:.2f}" for at in places) + " %" for share in shares]
            yield f"| {counted} | {name} | {' | '.join(cells)} |"


def rate_text(rate: float) -> str:
    return f"{rate:.1e}".replace("e-0", "e-").replace(".0e", "e") if rate else "0"


def main() -> None:
    """Reads the options, looks at every video once and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="NAME/ with the frames of each person")
    parser.add_argument("--trials", type=int, default=200, help="random galleries (%(default)s)")
    options = parser.parse_args()

    with assemble(Settings()) as assembly:
        videos = [video for each in read_videos(options.folder).values() for video in each]
        seen = [look_at(assembly, video) for video in tqdm(videos, "looking", unit="video", disable=None)]
        calibration, network = assembly.calibration, assembly.model_id
    tracks = [matching for matching, _ in seen if len(matching.weights) >= OPTIONS.min_looks]
    templates = [enrollment for _, enrollment in seen if len(enrollment.weights)]
    first_of_each = {video.person: video for video in reversed(templates)}  # the first video overwrites later ones
    gallery = [first_of_each[person] for person in sorted(first_of_each)]

    looks = sum(len(video.weights) for video in templates)
    print(
        f"{network}: {len(videos)} videos of {len({video.person for video in videos})} people; {len(tracks)} with "
        f"{OPTIONS.min_looks} or more looks for matching, {len(templates)} with {looks} looks for enrolment.\n"
    )
    print(*false_accept_table(calibration, tracks, templates), sep="\n")
    print(f"\n{options.trials} galleries of {len(gallery) // 2} people each, margin {OPTIONS.min_margin}.", end=" ")
    print(*identification_table(calibration, tracks, gallery, options.trials), sep="\n")


if __name__ == "__main__":
    main()
