"""Open-set identification on videos: enrol people from one video, probe with their others and with strangers."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.errors import EnrollmentError, ImageError
from face_recognition_ros.evaluation.faces import central_view
from face_recognition_ros.evaluation.identification_numbers import Search, Sighting, VideoResult
from face_recognition_ros.folder_enrollment import enroll_person
from face_recognition_ros.gallery.index import PrototypeIndex
from face_recognition_ros.gallery.matcher import Looks, evidence
from face_recognition_ros.pictures import PICTURE_SUFFIXES, PersonPictures, person_name, read_picture
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import FloatArray

FRAME_INTERVAL = 0.1
"""Seconds between two frames of a video, as the tracker is told: a robot's usual rate."""


@dataclass(frozen=True, slots=True)
class Video:
    """Frames of one person in their order."""

    person: str
    number: str
    frames: tuple[Path, ...]


def read_videos(folder: Path) -> dict[str, list[Video]]:
    """By person: the videos under NAME/, either as frames SET_NAME_VF.jpg (V video, F frame) or as folders V/.

    Frames are in the order of their names. Raises ImageError where the folder is not there, a name is of another form,
    or fewer than two people are in it, one of them with two videos.
    """
    if not folder.is_dir():
        raise ImageError(f"there is no folder {folder}; give one that holds NAME/ with the frames of each person")
    people = {}
    for entry in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        frames: dict[str, list[Path]] = {}
        for path in sorted(entry.rglob("*")):
            if path.suffix.lower() in PICTURE_SUFFIXES:
                frames.setdefault(_video_number(path, entry), []).append(path)
        name = person_name(entry)
        people[name] = [Video(name, number, tuple(paths)) for number, paths in sorted(frames.items())]
    people = {name: videos for name, videos in people.items() if videos}
    several = sum(len(videos) > 1 for videos in people.values())
    if len(people) < 2 or several < 1:
        raise ImageError(
            f"{folder} holds videos of {len(people)} people, {several} with two or more; "
            "at least two people are needed, one of them with two videos"
        )
    return people


def _video_number(path: Path, person: Path) -> str:
    """From the folder the frame is in, or the first of the digits at its name's end."""
    if path.parent != person:
        return path.parent.relative_to(person).as_posix()
    match = re.fullmatch(rf"[^_]+_{re.escape(person.name)}_(\d)\d+", path.stem)
    if not match:
        raise ImageError(f"{path} must be called SET_{person.name}_VF{path.suffix}: V video, one digit, F frame")
    return match[1]


@dataclass(frozen=True, slots=True)
class Round:
    """One division of the people: some are enrolled, the others are strangers."""

    gallery: tuple[str, ...]
    strangers: tuple[str, ...]


def rounds(people: Iterable[str], seed: int) -> tuple[Round, Round]:
    """Two halves by seed; each is the gallery once, while the other are the strangers."""
    order = np.random.default_rng(seed).permutation(sorted(people)).tolist()
    halves = tuple(sorted(order[::2])), tuple(sorted(order[1::2]))
    return Round(*halves), Round(*halves[::-1])


def run(settings: Settings, folder: Path, seed: int = 0) -> tuple[str, list[VideoResult], dict[str, str]]:
    """Runs both rounds through the whole pipeline, each with an empty gallery in memory.

    Returns the network's id, what became of every probe video, and why people were not enrolled, by name. Raises
    ImageError as `read_videos`, EnrollmentError where nobody could be enrolled.
    """
    people = read_videos(folder)
    results: list[VideoResult] = []
    failures: dict[str, str] = {}
    for number, part in enumerate(rounds(people, seed), start=1):
        with assemble(replace(settings, gallery="")) as assembly:
            probes: list[tuple[Video, bool]] = []
            for name in tqdm(part.gallery, f"round {number}, enrol", unit="person", disable=None):
                enrolled, failure = enroll(assembly, people[name])
                if failure:
                    failures[name] = failure
                probes += [(video, True) for video in people[name] if video is not enrolled]
            if not assembly.store.list_identities():
                raise EnrollmentError(f"nobody of {folder} could be enrolled, e.g. {next(iter(failures.values()))}")
            probes += [(video, False) for name in part.strangers for video in people[name]]
            for video, known in tqdm(probes, f"round {number}, probe", unit="video", disable=None):
                results.append(probe(assembly, video, known))
    return assembly.model_id, results, failures


def enroll(assembly: Assembly, videos: Sequence[Video]) -> tuple[Video, str]:
    """Enrols a person from the first of the videos from which that succeeds, as a robot would ask again.

    Returns that video, or the first one with the reason why it failed.
    """
    reasons = []
    for video in videos:
        report = enroll_person(assembly, PersonPictures(video.person, video.frames))
        if report.enrolled:
            return video, ""
        reasons.append(f"video {video.number}: {report.failure}")
    return videos[0], "; ".join(reasons)


def probe(assembly: Assembly, video: Video, known: bool) -> VideoResult:
    """Shows the frames to the recognizer as a stream of its own; `known`: the person was to be enrolled."""
    index = assembly.matcher.refresh()
    assembly.recognizer.reset_tracks()
    sightings, looks = [], []
    for number, path in enumerate(video.frames):
        picture = read_picture(path)
        faces = assembly.recognizer.process(picture, number * FRAME_INTERVAL, in_full=True).faces
        subject = central_view(faces, picture)
        named = tuple(face.decision.identity.name for face in faces if face.decision.identity)
        if subject is None or subject.embedding is None:
            sightings.append(Sighting(path, None, named))
            continue
        looks.append((subject.embedding, max(subject.quality.score, 1e-3)))
        sightings.append(Sighting(path, nearest(index, subject.embedding), named))
    return VideoResult(video.person, video.number, known, tuple(sightings), nearest_to_all(index, looks))


def nearest(index: PrototypeIndex, probe: FloatArray) -> Search:
    """The most similar person of the gallery."""
    ((hit,),) = index.search(probe[None], 1).hits
    return Search(hit.identity.name, hit.similarity)


def nearest_to_all(index: PrototypeIndex, looks: Sequence[tuple[FloatArray, float]]) -> Search | None:
    """The same for a video's template: its embeddings fused by quality, as the matcher judges a track."""
    if not looks:
        return None
    embeddings, weights = zip(*looks, strict=True)
    return nearest(index, evidence(Looks(np.stack(embeddings), np.array(weights, np.float32))))
