"""The value types that travel through the package: small, frozen, without behaviour beyond simple geometry."""

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

CROP_SIZE = 112
"""Side of an aligned face crop in pixels."""


LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""Names of the five landmarks in their order, as in face_recognition_msgs/Landmarks; left is the image's left."""


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One face found in a frame. Coordinates are pixels of that frame; (0, 0) is the centre of its top left pixel."""

    box: FloatArray
    """(4,) float32: left, top, right, bottom; may reach beyond the frame."""
    landmarks: FloatArray
    """(5, 2) float32 x, y: the two eyes, the nose tip, the two mouth corners; the image's left one first."""
    score: float
    """The detector's confidence, 0 to 1."""

    @property
    def width(self) -> float:
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        return float(self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFace:
    """A face brought onto the canonical five-point template."""

    crop: ByteArray
    """(112, 112, 3) uint8 BGR."""
    transform: npt.NDArray[np.float64]
    """(2, 3) float64: frame pixel -> crop pixel, a similarity."""


@dataclass(frozen=True, slots=True)
class QualityMeasure:
    """One measured property of a face crop."""

    name: str
    """certainty, size, sharpness, yaw, pitch, roll or exposure; alignment where the landmarks form no face."""
    value: float
    score: float
    """0 (useless) to 1 (as good as it gets)."""
    sentence: str
    """What a person would say about it; empty where there is nothing to complain about."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Whether a face is good enough, and why not."""

    score: float
    """The smallest of the measures' scores, 0 to 1."""
    usable_for_matching: bool
    usable_for_enrollment: bool
    measures: tuple[QualityMeasure, ...] = ()

    @property
    def complaints(self) -> tuple[str, ...]:
        return tuple(measure.sentence for measure in self.measures if measure.sentence)


class IdentityStatus(enum.IntEnum):
    """What is known of the person on a track. The numbers are those of face_recognition_msgs/FaceIdentity."""

    UNKNOWN = 0
    """Judged, and nobody who has a name is near enough."""
    KNOWN = 1
    """Over the accept line, and by a margin over the runner-up."""
    AMBIGUOUS = 2
    """Over the accept line, but two people of the gallery are too close to each other to choose."""
    TENTATIVE = 3
    """Not enough good looks yet to judge."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person of the gallery whom a face resembles."""

    identity_id: str
    name: str
    similarity: float
    """Cosine of the looks and of the person's templates, each taken together, -1 to 1."""
    confidence: float
    """Calibrated probability that probe and candidate are the same person, 0 to 1."""
    remembered: bool = False
    """A stranger who was never given a name: `name` is generated."""

    @property
    def percentage(self) -> str:
        """The confidence for a person to read; never 100 %, which no probability of this kind is."""
        return ">99%" if self.confidence > 0.99 else f"{self.confidence:.0%}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the matcher says of a track: the status, and the candidates behind it, best first."""

    status: IdentityStatus
    candidates: tuple[Candidate, ...] = ()
    accept_similarity: float = 1.0
    """The accept line in force: similarity a candidate needed to be named."""
    stranger: Candidate | None = None
    """A remembered stranger whom the face is; only where the status is unknown."""

    @property
    def identity(self) -> Candidate | None:
        """The person, where the status is known; else None."""
        return self.candidates[0] if self.status is IdentityStatus.KNOWN else None

    @property
    def identity_id(self) -> str:
        """Of the person or remembered stranger whom the face is; empty where it is nobody of the gallery."""
        found = self.identity or self.stranger
        return found.identity_id if found else ""

    @property
    def similarity(self) -> float:
        """Of the best candidate; 0 with an empty gallery or no look yet."""
        return self.candidates[0].similarity if self.candidates else 0.0

    @property
    def margin(self) -> float:
        """Similarity of the best candidate over that of the runner-up, or over 0 where there is none."""
        runner_up = self.candidates[1].similarity if len(self.candidates) > 1 else 0.0
        return self.similarity - runner_up


@dataclass(frozen=True, slots=True, eq=False)
class RecognizedFace:
    """One face of a frame with all that the package says of it."""

    track_id: int
    detection: Detection
    quality: Quality
    decision: Decision
    embedding: FloatArray | None
    """(D,) float32 unit vector of this frame's look; None where the face was not fit to be embedded."""
    crop: ByteArray | None = None
    """(112, 112, 3) uint8 BGR, the aligned face; None where the face was not fit to be embedded."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A person of the gallery."""

    identity_id: str
    name: str
    templates: int
    """How many templates are stored."""
    created: float
    """Seconds since the epoch."""
    updated: float
    """Seconds since the epoch."""
    observed: int = 0
    """How many of the templates were learned in passing; the others were enrolled."""
    remembered: bool = False
    """A stranger who was never given a name: `name` is generated."""
    consent: str = ""
    """What the person agreed to, in the words of whoever asked."""
    expires: float | None = None
    """Seconds since the epoch from which on the person is forgotten; None: never."""
