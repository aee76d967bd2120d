"""Which looks at one person are worth keeping: different ones that agree; and what would make the next one so."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from face_recognition_ros.gallery.index import LEAST_WEIGHT
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.types import FloatArray, Quality

POSE_STEP = 10.0
"""Degrees, yaw and pitch taken together, by which two poses differ. The median cosine of two looks in one video of
ytf_dev, in the same light, is 0.91 where they are less than 3 degrees apart, 0.84 at 9 to 12, and 0.77 at 16 to 24."""
LIGHT_STEP = 20.0
"""Grey levels by which the mean brightness of two looks must differ to count as another light."""

_LIGHT = "Turn a little towards the light, or away from it."
_POSES = (
    ("Look straight at the camera.", 0.0, 0.0),
    # Positive yaw is the image's right: the left of a person who looks into the camera.
    ("Turn your head a little to the left.", 1.5 * POSE_STEP, 0.0),
    ("Turn your head a little to the right.", -1.5 * POSE_STEP, 0.0),
    ("Lift your chin a little.", 0.0, 1.5 * POSE_STEP),
    ("Lower your chin a little.", 0.0, -1.5 * POSE_STEP),
)
"""What to ask for, and the yaw and pitch in degrees that follow; halfway there is another pose already."""
_REMEDIES = {
    "certainty": "Come closer and look at the camera, please.",
    "size": "Come closer, please.",
    "sharpness": "Hold still for a moment, please.",
    "yaw": "Turn your face towards the camera, please.",
    "pitch": "Look straight ahead at the camera, please.",
    "roll": "Hold your head upright, please.",
    "exposure": "Find a place with better light, please.",
    "alignment": "Turn your face towards the camera, please.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A template to be, and under what pose and light it was taken; NaN where that was not measured."""

    template: Template
    yaw: float
    """Degrees, positive to the image's right."""
    pitch: float
    """Degrees, positive upwards."""
    brightness: float
    """Mean grey level of the face, 0 to 255."""

    @classmethod
    def of(cls, template: Template, quality: Quality) -> "Look":
        """The look that has this quality."""
        values = {measure.name: measure.value for measure in quality.measures}
        return cls(template, *(values.get(name, math.nan) for name in ("yaw", "pitch", "exposure")))


def differs(look: Look, kept: Sequence[Look], alike: float) -> bool:
    """Whether a look differs from each of those kept: in pose, in light, or in a cosine below `alike`."""
    return all(
        math.hypot(look.yaw - other.yaw, look.pitch - other.pitch) >= POSE_STEP
        or abs(look.brightness - other.brightness) >= LIGHT_STEP
        or float(look.template.embedding @ other.template.embedding) < alike
        for other in kept
    )


def next_pose(kept: Sequence[Look]) -> str:
    """The sentence that asks for a pose which is missing among the looks; for another light, where none is.

    Who cannot or will not take a pose is asked for the next one after each look that is kept.
    """
    missing = [
        sentence
        for sentence, yaw, pitch in _POSES
        if not any(math.hypot(look.yaw - yaw, look.pitch - pitch) < POSE_STEP for look in kept)
    ]
    if not kept:
        return missing[0]
    return missing[(len(kept) - 1) % len(missing)] if missing else _LIGHT


def remedy(quality: Quality) -> str:
    """What would help most against what is wrong with a look; empty where nothing is known to."""
    complained = [measure for measure in quality.measures if measure.sentence]
    worst = min(complained, key=lambda measure: measure.score, default=None)
    return _REMEDIES.get(worst.name, "") if worst else ""


def mean_similarity(look: FloatArray, looks: Sequence[Template]) -> float:
    """Mean cosine, weighted by quality, of a look (D,) with others, one or more.

    Not the cosine with their fused vector, which is higher the more they differ among themselves: lines that were
    measured on pairs of looks hold for the mean.
    """
    cosines = np.stack([other.embedding for other in looks]) @ look
    return float(np.average(cosines, weights=[max(other.quality, LEAST_WEIGHT) for other in looks]))
