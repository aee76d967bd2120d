"""What the Learner keeps in mind of a track: its latest looks, whom they were taken for, what was learned from it."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from face_recognition_ros.gallery.templates import Template
from face_recognition_ros.types import ByteArray, RecognizedFace

QUARANTINE = 5
"""So many further looks, taken for the same person, must follow a look before it is learned."""
LOOK_INTERVAL = 0.15
"""Seconds between two looks that count: the next frame of a camera says nothing new, and a quarantine takes time."""
LEARNING_INTERVAL, LEARNED_PER_TRACK = 1.0, 3
"""Seconds between two looks of a track that are learned, and how many they are at most: one visit is one visit."""


@dataclass(frozen=True, slots=True, eq=False)
class WatchedLook:
    """A good look at a track."""

    template: Template
    enrollable: bool
    crop: ByteArray | None
    stamp: float


@dataclass(slots=True, eq=False)
class WatchedTrack:
    """What the Learner keeps in mind of a track."""

    seen: float
    """Stamp of the frame that showed it last."""
    stream: int = 0
    """Number of the stream that it is on."""
    subject: str = ""
    """Id of the identity that the looks are taken for; empty for nobody."""
    looks: deque[WatchedLook] = field(default_factory=lambda: deque(maxlen=QUARANTINE + 1))
    """The latest ones, all taken for the subject."""
    people: set[str] = field(default_factory=set)
    """Everybody of the gallery for whom the track was ever taken, or nearly so."""
    barred: bool = False
    """One of these was forgotten: the track must not bring them back as a stranger."""
    learned: int = 0
    learned_at: float = -np.inf

    @property
    def is_complete(self) -> bool:
        """Whether the first of the looks has come through its quarantine."""
        return len(self.looks) == self.looks.maxlen

    @property
    def rests(self) -> bool:
        """Whether nothing more is to be learned from it, at least for now."""
        return self.learned >= LEARNED_PER_TRACK or abs(self.seen - self.learned_at) < LEARNING_INTERVAL

    def take_for(self, subject: str) -> None:
        """What was seen while it was taken for somebody else says nothing about this one."""
        if subject != self.subject:
            self.looks.clear()
        self.subject = subject

    def bar(self) -> None:
        """From now on nobody is remembered from this track."""
        self.barred = True
        self.looks.clear()

    def look(self, face: RecognizedFace) -> bool:
        """Whether the face's look counts, and so is kept."""
        soon = bool(self.looks) and self.seen - self.looks[-1].stamp < LOOK_INTERVAL
        if face.embedding is None or not face.quality.usable_for_matching or soon:
            return False
        template = Template(face.embedding, face.quality.score, f"seen on track {face.track_id} at {self.seen:.3f} s")
        self.looks.append(WatchedLook(template, face.quality.usable_for_enrollment, face.crop, self.seen))
        return True
