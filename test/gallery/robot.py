"""A robot in miniature: synthetic people seen on tracks, judged by the matcher, watched by the Learner."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from face_recognition_ros.gallery.calibration import Calibration, Tail
from face_recognition_ros.gallery.learning import EncodeCrop, Learner, LearnerOptions, Proposal
from face_recognition_ros.gallery.matcher import Looks, Matcher, MatcherOptions
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.gallery.templates import Template
from face_recognition_ros.types import Decision, Detection, FloatArray, Quality, RecognizedFace

SIZE = 64

NETWORK = Calibration(
    (0.1, 0.05, 0.02, 0.01, 1e-3, 1e-4, 1e-5), (0.213, 0.275, 0.348, 0.399, 0.536, 0.65, 0.764), 0.49, 0.19, 14.2, -3.3,
    Tail(0.0, 0.06),
)  # fmt: skip
"""About the released network's; synthetic people resemble each other less than real ones, but for lookalikes."""

SAME_VISIT, SAME_PERSON = 0.72, 0.5
"""Mean cosine of two looks at a person in one visit, and in two, as the network gives them on real faces."""

GOOD = Quality(0.9, True, True)
MEDIOCRE = Quality(0.5, True, False)
POOR = Quality(0.1, False, False)


class People:
    """Draws people, their visits and looks at them, 64-D unit vectors, from one seeded generator."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def person(self) -> FloatArray:
        """(64,) somebody new."""
        return unit(self.generator.normal(size=SIZE))

    def like(self, person: FloatArray, cosine: float) -> FloatArray:
        """(64,) somebody of just that similarity to a person."""
        other = self.person()
        other = unit(other - (other @ person) * person)
        return unit(cosine * person + np.sqrt(1 - cosine**2) * other)

    def visit(self, person: FloatArray) -> FloatArray:
        """(64,) how the person looks today, in this light."""
        return self.like(person, np.sqrt(SAME_PERSON / SAME_VISIT))

    def look(self, visit: FloatArray) -> FloatArray:
        """(64,) in one frame."""
        return self.like(visit, np.sqrt(SAME_VISIT))

    def looks(self, visit: FloatArray, count: int) -> list[FloatArray]:
        return [self.look(visit) for _ in range(count)]


def unit(vector: Any) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def templates(looks: list[FloatArray]) -> list[Template]:
    return [Template(look, 0.9) for look in looks]


@dataclass
class BlindTrack:
    """A track whose tracker never notices that somebody else took over."""

    looks: list[FloatArray] = field(default_factory=list)
    holder: str = ""


class Robot:
    """A gallery in memory, and what looks at it."""

    def __init__(
        self,
        options: LearnerOptions | None = None,
        matching: MatcherOptions | None = None,
        encode_crop: EncodeCrop | None = None,
    ) -> None:
        self.now = 1_700_000_000.0
        self.stamp = 0.0
        self.store = GalleryStore.open(None, "net", SIZE, clock=lambda: self.now)
        self.matcher = Matcher(self.store, NETWORK, matching)
        self.learner = Learner(self.store, self.matcher, options, encode_crop)
        self.tracks: dict[int, BlindTrack] = {}
        self.refused: list[str] = []

    def watch(
        self, seen: Mapping[int, FloatArray], quality: Quality = GOOD, step: float = 0.2
    ) -> tuple[list[Decision], tuple[Proposal, ...]]:
        """The next frame, `step` seconds later: embeddings by track id. Returns the decisions, and what is proposed."""
        self.stamp += step
        self.now += step
        tracks = [self.tracks.setdefault(number, BlindTrack()) for number in seen]
        for track, look in zip(tracks, seen.values(), strict=True):
            if quality.usable_for_matching:
                track.looks = [*track.looks, look][-20:]
        batch = [_evidence(track) for track in tracks]
        decisions = list(self.matcher.decide_batch(batch).decisions)
        for track, decision in zip(tracks, decisions, strict=True):
            track.holder = decision.identity_id
        box = Detection(np.array([0, 0, 80, 80], np.float32), np.zeros((5, 2), np.float32), 1.0)
        crop = np.full((112, 112, 3), len(self.tracks), np.uint8)
        faces = [
            RecognizedFace(number, box, quality, decision, look, crop)
            for (number, look), decision in zip(seen.items(), decisions, strict=True)
        ]
        return decisions, self.learner.watch(faces, self.stamp)

    def see(self, seen: Mapping[int, FloatArray], quality: Quality = GOOD, step: float = 0.2) -> list[Decision]:
        """The next frame, from which the robot learns at once."""
        decisions, proposals = self.watch(seen, quality, step)
        self.refused += self.learner.apply(proposals)
        return decisions

    def show(self, looks: list[FloatArray], track: int) -> list[Decision]:
        """Looks on one track, a frame each."""
        return [self.see({track: look})[0] for look in looks]

    def observed(self, identity_id: str) -> list[FloatArray]:
        """The embeddings that were learned of somebody in passing."""
        return [one.embedding for one in self.store.identity_templates(identity_id) if one.kind == "observed"]

    def strangers(self) -> list[str]:
        """Ids of the remembered strangers."""
        return [one.identity_id for one in self.store.list_identities() if one.remembered]


def _evidence(track: BlindTrack) -> Looks:
    embeddings = np.stack(track.looks) if track.looks else np.zeros((0, SIZE), np.float32)
    return Looks(embeddings, np.full(len(track.looks), 0.9, np.float32), track.holder)
