"""What became of probe videos, and the rates of open-set identification that follow from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from face_recognition_ros.evaluation import metrics

FALSE_POSITIVE_RATES = (1e-1, 1e-2, 1e-3)

MISSED = -2.0
"""The score of a search that found the wrong person, or no face: below any cosine."""

DEFINITIONS = {
    "rank1": "part of the searches for enrolled people (mated) whose most similar person in the gallery is the "
    "right one",
    "dir_at_fpir": "detection and identification rate: part of the mated searches whose most similar person is the "
    "right one and at or over the threshold that at most this part of the searches for strangers (non-mated) reach "
    "(ISO/IEC 19795-1; Grother and Ngan, FRVT part 1: FNIR is 1 - DIR). Null where that part of the strangers' "
    "searches is less than one search",
    "by_frame, by_video": "a search per frame, and per video with its frames' embeddings fused by quality",
    "wrong_person_rate": "part of the probe videos, strangers' included, in which the node's own decision gave any "
    "face a wrong name in at least one frame",
    "wrong_person_rate_frames": "part of the probe frames in which a face was given a wrong name",
    "strangers_named": "part of the strangers' videos in which anybody was given a name",
    "known_recall": "part of the enrolled people's probe videos in which the person was named rightly at least once",
    "looks_needed": "how many videos named the person rightly for the first time at their n-th frame",
    "intervals": "wilson: 95 %, searches taken as independent. bootstrap: 95 % over people drawn anew, each with all "
    "of their searches, the threshold found anew each time",
    "failures": "people who could not be enrolled stay out of the gallery and their searches count as missed; so "
    "does a search in a frame in which no face was found",
}


@dataclass(frozen=True, slots=True)
class Search:
    """The answer to one probe: the most similar person of the gallery."""

    person: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """What came of one frame."""

    path: Path
    search: Search | None
    """For the face in the frame's middle; None where no face was found."""
    named: tuple[str, ...]
    """The names that the node's decision gave to faces of the frame."""


@dataclass(frozen=True, slots=True)
class VideoResult:
    """What came of one probe video."""

    person: str
    number: str
    known: bool
    """Whether the person was to be enrolled; else a stranger."""
    sightings: tuple[Sighting, ...]
    search: Search | None
    """With all frames together; None where no face was found in any."""

    def wrong_names(self, sighting: Sighting) -> list[str]:
        """Names that were given in a frame and are not the person's, or any name to a stranger."""
        return [name for name in sighting.named if not (self.known and name == self.person)]

    @property
    def wrong(self) -> bool:
        """Whether a wrong name was given in any frame."""
        return any(map(self.wrong_names, self.sightings))

    @property
    def looks_needed(self) -> int | None:
        """The number of the first frame, from 1 on, in which the person was named rightly; None if there is none."""
        right = (i for i, one in enumerate(self.sightings, start=1) if self.known and self.person in one.named)
        return next(right, None)


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """Searches (N,) as scores; a mated one that found another person than its own has the score MISSED."""

    scores: metrics.Scores
    mated: metrics.Mask
    people: tuple[str, ...]


def searches(results: Sequence[VideoResult], by_video: bool) -> Searches:
    """All searches, by video or by frame."""
    found = [
        (search, one) for one in results for search in ([one.search] if by_video else [s.search for s in one.sightings])
    ]

    def score(search: Search | None, one: VideoResult) -> float:
        return MISSED if search is None or (one.known and search.person != one.person) else search.similarity

    return Searches(
        np.array([score(search, one) for search, one in found]),
        np.array([one.known for _, one in found], bool),
        tuple(one.person for _, one in found),
    )


def identification_rates(one: Searches) -> dict[str, Any]:
    """rank1 and dir_at_fpir with their intervals, ready for JSON."""
    points = metrics.operating_points(
        one.scores, one.mated, [(person, person) for person in one.people], FALSE_POSITIVE_RATES
    )
    mated = one.scores[one.mated]
    hits = int((mated > MISSED).sum())
    return {
        "mated_searches": len(mated),
        "non_mated_searches": int((~one.mated).sum()),
        "rank1": hits / len(mated),
        "rank1_wilson": metrics.wilson(hits, len(mated)),
        "dir_at_fpir": {rate: point.tar if point else None for rate, point in points.items()},
        "dir_at_fpir_intervals": {rate: _record(point) for rate, point in points.items()},
    }


def _record(point: metrics.OperatingPoint | None) -> dict[str, Any] | None:
    """In the words of identification."""
    if point is None:
        return None
    return {
        "dir": point.tar,
        "threshold": point.threshold,
        "false_positives": point.false_accepts,
        "non_mated_searches": point.impostors,
        "wilson": point.wilson,
        "bootstrap": point.bootstrap,
    }


def decision_rates(results: Sequence[VideoResult]) -> dict[str, Any]:
    """How often the node's own decisions were wrong and right, ready for JSON."""
    known = [one for one in results if one.known]
    strangers = [one for one in results if not one.known]
    frames = [bool(one.wrong_names(sighting)) for one in results for sighting in one.sightings]
    needed = Counter(one.looks_needed for one in known if one.looks_needed)
    return {
        **_share("wrong_person_rate", [one.wrong for one in results]),
        **_share("wrong_person_rate_frames", frames),
        **_share("known_called_another", [one.wrong for one in known]),
        **_share("strangers_named", [one.wrong for one in strangers]),
        **_share("known_recall", [one.looks_needed is not None for one in known]),
        "looks_needed": {str(frame): needed[frame] for frame in sorted(needed)},
    }


def _share(name: str, happened: Sequence[bool]) -> dict[str, Any]:
    return {
        name: sum(happened) / len(happened),
        f"{name}_wilson": metrics.wilson(sum(happened), len(happened)),
        f"{name}_of": len(happened),
    }


def measure(results: Sequence[VideoResult], failures: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """All numbers of `identification.run`, ready for JSON; rank1 and dir_at_fpir at the top are by frame.

    Paths are relative to the folder of videos. Raises ValueError where there is no search of one of the kinds.
    """
    by_frame = identification_rates(searches(results, by_video=False))
    missed = {
        _relative(sighting.path, folder) for one in results for sighting in one.sightings if sighting.search is None
    }
    return {
        "people": len({one.person for one in results}),
        "rank1": by_frame["rank1"],
        "dir_at_fpir": by_frame["dir_at_fpir"],
        **decision_rates(results),
        "by_frame": by_frame,
        "by_video": identification_rates(searches(results, by_video=True)),
        "failed_enrollments": dict(failures),
        "failed_detections": sorted(missed),
        "confusions": confusions(results, folder),
        "definitions": DEFINITIONS,
    }


def confusions(results: Sequence[VideoResult], folder: Path) -> list[dict[str, Any]]:
    """Each video in which the node gave a wrong name, with the first frame in which it did."""
    found = []
    for one in results:
        wrong = next((sighting for sighting in one.sightings if one.wrong_names(sighting)), None)
        if wrong is not None:
            found.append({
                "person": one.person, "video": one.number, "stranger": not one.known,
                "frame": _relative(wrong.path, folder), "named": one.wrong_names(wrong)[0],
                "similarity_of_frame": wrong.search.similarity if wrong.search else None,
            })  # fmt: skip
    return found


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def summary(numbers: Mapping[str, Any]) -> str:
    """The main numbers in a few lines for a person."""
    frame, video = numbers["by_frame"], numbers["by_video"]
    return "\n".join((
        f"{numbers['people']} people, {video['mated_searches']} videos of enrolled people and "
        f"{video['non_mated_searches']} of strangers; {len(numbers['failed_enrollments'])} people could not be "
        f"enrolled, in {len(numbers['failed_detections'])} frames no face was found",
        f"the node's decisions: a wrong name in {numbers['wrong_person_rate']:.2%} of the videos, a name for a "
        f"stranger in {numbers['strangers_named']:.2%} of theirs, the right name in "
        f"{numbers['known_recall']:.2%} of the others",
        f"by frame: rank 1 {frame['rank1']:.2%}, DIR {_rates(frame)}",
        f"by video: rank 1 {video['rank1']:.2%}, DIR {_rates(video)}",
    ))  # fmt: skip


def _rates(numbers: Mapping[str, Any]) -> str:
    rates = [f"{value:.1%} at FPIR {rate}" for rate, value in numbers["dir_at_fpir"].items() if value is not None]
    unknown = [rate for rate, value in numbers["dir_at_fpir"].items() if value is None]
    if unknown:
        rates.append(f"not measurable at {' and '.join(unknown)} with {numbers['non_mated_searches']} searches")
    return ", ".join(rates)
