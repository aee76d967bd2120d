"""Learning in passing on videos: what it is worth, and whether strangers who take over tracks are ever learned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from face_recognition_ros.assembly import Assembly, assemble, build_detector, quality_limits, tracker_options
from face_recognition_ros.errors import EnrollmentError, SettingsError
from face_recognition_ros.evaluation.identification import (
    Round,
    Video,
    enroll,
    probe,
    read_videos,
    rounds,
)
from face_recognition_ros.evaluation.identification_numbers import VideoResult
from face_recognition_ros.evaluation.learning_stream import Learned, Stage, Watcher
from face_recognition_ros.evaluation.memory import Memory, RememberingDetector, RememberingEmbedder
from face_recognition_ros.gallery.learning import LearnerOptions
from face_recognition_ros.recognizer import Recognizer
from face_recognition_ros.settings import Settings
from face_recognition_ros.tracking import FaceTracker

Item = TypeVar("Item")

BLIND, SEEING = "blind tracker", "tracker"
"""One that never notices that a face is another person's, and the one that the robot has."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What came of a stream of tracks, some of which are taken over by somebody else."""

    learned: tuple[Learned, ...]
    swaps: int
    """How many were planted."""
    unnoticed: int
    """After so many of them the same track went on."""
    results: tuple[VideoResult, ...]
    """Of the probe videos afterwards."""


@dataclass(frozen=True, slots=True)
class Passer:
    """What came of a person who passes by several times and is not enrolled, or is."""

    person: str
    enrolled: bool
    visits: int
    recognized: int
    """Visits in which they were taken for a remembered stranger, whether it was made in this visit or before."""
    ids: int
    """How many remembered strangers were made of them."""
    foreign: int
    """Visits in which they were taken for a stranger that was made of somebody else."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one round or several brought."""

    before: tuple[VideoResult, ...]
    streams: dict[str, Stream]
    """By kind of tracker."""
    passers: tuple[Passer, ...]


def run(settings: Settings, folder: Path, seed: int = 0) -> tuple[str, list[Outcome], dict[str, str]]:
    """Runs both rounds through the whole pipeline, each with an empty gallery in memory.

    Returns the network's id, what came of each round, and why people were not enrolled, by name. Raises ImageError as
    `read_videos`, EnrollmentError where nobody could be enrolled, SettingsError for a detector that wants crops.
    """
    if settings.detector == "aligned":
        raise SettingsError("evaluate learning moves faces within frames; it needs a detector, not detector=aligned")
    people = read_videos(folder)
    outcomes: list[Outcome] = []
    failures: dict[str, str] = {}
    memory = Memory()
    for number, part in enumerate(rounds(people, seed), start=1):
        with assemble(replace(settings, gallery="")) as built:
            assembly = replace(built, recognizers=(recognizer_with(built, memory),))
            plan, failed = prepare(assembly, people, part, seed)
            failures |= failed
            outcomes.append(run_round(assembly, memory, plan, f"round {number}"))
    return assembly.model_id, outcomes, failures


@dataclass(frozen=True, slots=True)
class Plan:
    """Which videos of a round serve for what, once the people of its gallery are enrolled."""

    probes: tuple[tuple[Video, bool], ...]
    """The last video of each person that is left; whether the person was to be enrolled."""
    tracks: tuple[tuple[Video, ...], ...]
    """The others, as tracks: an enrolled person's is taken over without a cut, by a stranger or another by turns."""
    passers: tuple[tuple[Video, bool], ...]
    """All videos that are left, in the order in which people pass by."""


def prepare(assembly: Assembly, people: dict[str, list[Video]], part: Round, seed: int) -> tuple[Plan, dict[str, str]]:
    """Enrols the people of the round's gallery. Returns the plan, and why people were not enrolled, by name."""
    failures: dict[str, str] = {}
    left = {name: people[name] for name in part.strangers}
    for name in part.gallery:
        enrolled, failure = enroll(assembly, people[name])
        left[name] = [video for video in people[name] if video is not enrolled]
        if failure:
            failures[name] = failure
    if not assembly.store.list_identities():
        raise EnrollmentError(f"nobody could be enrolled, e.g. {next(iter(failures.values()))}")
    draw = np.random.default_rng(seed)
    probes = tuple((videos[-1], name in part.gallery) for name, videos in left.items() if videos)
    earlier = {name: videos[:-1] for name, videos in left.items()}
    known = _shuffled([video for name in part.gallery for video in earlier[name]], draw)
    strangers = _shuffled([video for name in part.strangers for video in earlier[name]], draw)
    tracks = [(video, *_intruder(video, i, known, strangers)) for i, video in enumerate(known)]
    tracks += [(video,) for video in strangers]
    passing = [(video, name in part.gallery) for name, videos in left.items() for video in videos]
    return Plan(probes, tuple(_shuffled(tracks, draw)), tuple(_shuffled(passing, draw))), failures


def run_round(assembly: Assembly, memory: Memory, plan: Plan, title: str) -> Outcome:
    """Probes, learns from the tracks with either tracker, probes again, and then lets everybody pass by."""
    stage = Stage(assembly.recognizer)
    before = probe_all(assembly, plan, f"{title}, before")
    streams = {}
    for name in (SEEING, BLIND):
        recognizer = recognizer_with(assembly, memory, blind=name == BLIND)
        assembly.learner.options = LearnerOptions(learn_observed=True)
        learned, swaps, unnoticed = learn(assembly, stage, recognizer, plan.tracks, f"{title}, {name}")
        streams[name] = Stream(learned, swaps, unnoticed, probe_all(assembly, plan, f"{title}, after"))
        assembly.store.purge_observed()
    assembly.learner.options = LearnerOptions(learn_observed=True, remember_unknown=True)
    passers = pass_by(assembly, stage, recognizer_with(assembly, memory), plan, f"{title}, passers-by")
    return Outcome(before, streams, passers)


def recognizer_with(assembly: Assembly, memory: Memory, blind: bool = False) -> Recognizer:
    """A recognizer with a tracker of its own, whose networks look at each picture once."""
    settings = assembly.settings
    options = tracker_options(settings, assembly.calibration)
    if blind:
        # No cosine is lower: nobody contradicts a track, nor is anything odd.
        options = replace(options, contradiction_similarity=-1.0, usual_similarity=-1.0)
    return Recognizer(
        RememberingDetector(build_detector(settings), memory),
        RememberingEmbedder(assembly.embedder, memory),
        FaceTracker(options),
        assembly.matcher,
        quality_limits(settings),
    )


def probe_all(assembly: Assembly, plan: Plan, title: str) -> tuple[VideoResult, ...]:
    """The probe videos against the gallery as it is; nothing is learned from them."""
    return tuple(probe(assembly, video, known) for video, known in tqdm(plan.probes, title, unit="video", disable=None))


def learn(
    assembly: Assembly, stage: Stage, recognizer: Recognizer, tracks: Sequence[Sequence[Video]], title: str
) -> tuple[tuple[Learned, ...], int, int]:
    """Shows the tracks, one after the other; what was learned, how many swaps there were, how many went unnoticed."""
    watcher = Watcher(assembly, stage, recognizer)
    swaps = unnoticed = 0
    for videos in tqdm(tracks, title, unit="track", disable=None):
        watcher.begin()
        last = 0
        for video in videos:
            shown = watcher.show(video)
            swaps += bool(last and shown)
            unnoticed += bool(last and shown and shown[0] == last)
            last = shown[-1] if shown else 0
    return tuple(watcher.learned), swaps, unnoticed


def pass_by(assembly: Assembly, stage: Stage, recognizer: Recognizer, plan: Plan, title: str) -> tuple[Passer, ...]:
    """Has everybody pass by, each video a visit; who of the remembered strangers was made of whom."""
    watcher = Watcher(assembly, stage, recognizer)
    made_of: dict[str, str] = {}
    passers: dict[str, Passer] = {}
    for video, enrolled in tqdm(plan.passers, title, unit="video", disable=None):
        watcher.begin()
        watcher.show(video)
        strangers = {one.identity_id for one in assembly.store.list_identities() if one.remembered}
        new = strangers - made_of.keys()
        made_of |= dict.fromkeys(new, video.person)
        was = passers.get(video.person, Passer(video.person, enrolled, 0, 0, 0, 0))
        foreign = any(made_of[one] != video.person for one in watcher.taken_for)
        passers[video.person] = replace(
            was, visits=was.visits + 1, recognized=was.recognized + bool(watcher.taken_for), ids=was.ids + len(new),
            foreign=was.foreign + foreign,
        )  # fmt: skip
    return tuple(passers[name] for name in sorted(passers))


def _intruder(video: Video, number: int, known: Sequence[Video], strangers: Sequence[Video]) -> tuple[Video, ...]:
    """Who takes over the track of the video: a stranger or another enrolled person, by turns, if there is one."""
    others = [one for one in known if one.person != video.person]
    choice = others if number % 2 and others else strangers
    return (choice[number // 2 % len(choice)],) if choice else ()


def _shuffled(items: Sequence[Item], draw: np.random.Generator) -> list[Item]:
    return [items[i] for i in draw.permutation(len(items))]
