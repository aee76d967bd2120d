"""Does less in video: which frames are searched in full for faces, and which faces are looked at anew.

All that is decided here follows from the frames, their stamps and what the caller says of its load, never from a clock:
the same bag gives the same answers.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.types import ByteArray, FloatArray

MAX_GAP = 0.25
"""Seconds between two frames of one movement; after a longer pause nothing is where it was."""
MAX_BLIND = 0.5
"""Seconds after which a frame is searched, however few frames there were: a newcomer waits no longer."""
GLIMPSE = 32
"""Pixels along the longer side of what is compared to see that the scene has changed."""
SAMPLES = 4
"""Along each side of such a pixel: the mean of these is blind to edges that move a little."""
CHANGED = 16.0
"""Mean difference of two glimpses, in grey values, that makes another scene: a cut, a turn of the camera, the lights.
A person who walks through changes a tenth of the picture."""
PATTERN = 8
"""Pixels along each side of what is compared to see that a face looks as it did."""
ALIKE = 0.75
"""Correlation of two patterns of one face, at least: below it are 1 % of such pairs from the same second, and nearly
all pairs of two people (benchmarks/video_swaps.py plants such swaps)."""


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How much is done anew in each frame. A value out of its range raises SettingsError."""

    detection_interval: int = 1
    """Faces that come into view are found within so many frames; 1: every frame is searched in full."""
    embedding_interval: float = 0.0
    """Seconds after which a face whose track has looks enough is looked at again; 0: in every frame."""

    def __post_init__(self) -> None:
        if self.detection_interval < 1:
            raise SettingsError(f"detection_interval must be 1 frame or more, not {self.detection_interval}.")
        if not self.embedding_interval >= 0:
            raise SettingsError(f"embedding_interval must be 0 seconds or more, not {self.embedding_interval:g}.")


class SearchSchedule:
    """Says which frames of a stream are searched in full; in the others only the known faces are followed.

    A frame is searched after a pause, when the scene has changed, and every n-th time. n is half of detection_interval,
    and grows up to it with the faces in view, whom a search costs most, and while frames are lost to the load.
    """

    def __init__(self, detection_interval: int) -> None:
        self._interval = detection_interval
        self._lag = 0
        self._frames = 0
        self._stamp = self._searched_at = -math.inf
        self._latest: npt.NDArray[np.int16] | None = None
        self._glimpse: npt.NDArray[np.int16] | None = None
        """Of the frame that was asked for last, and of the one that was searched last."""

    def is_due(self, frame: ByteArray, stamp: float, faces: int, behind: bool) -> bool:
        """Whether the next frame is to be searched; to be asked for each.

        Args:
            frame: (H, W, 3) uint8.
            stamp: seconds.
            faces: in view, as far as is known.
            behind: whether frames were lost since the one before, because there was no time for them.
        """
        if self._interval == 1:
            return True
        self._latest = latest = glimpse_of(frame)
        pause, self._stamp = stamp - self._stamp, stamp
        self._frames += 1
        self._lag = min(self._lag + 1, self._interval) if behind else max(self._lag - 1, 0)
        patience = min(math.ceil(self._interval / 2) + max(faces - 1, 0) + self._lag, self._interval)
        due = (
            self._frames >= patience
            or not 0 <= pause <= MAX_GAP
            or not 0 <= stamp - self._searched_at <= MAX_BLIND
            or differ(latest, self._glimpse)
        )
        if due:
            self.searched()
        return due

    def searched(self) -> None:
        """The frame that was asked for last is searched, though it was not due."""
        self._frames, self._searched_at, self._glimpse = 0, self._stamp, self._latest


def glimpse_of(frame: ByteArray) -> npt.NDArray[np.int16]:
    """(rows, columns) what a (H, W, 3) frame looks like from afar, in its green: means of some pixels of each part."""
    step = max(max(frame.shape[:2]) // (SAMPLES * GLIMPSE), 1)
    seen = np.ascontiguousarray(frame[::step, ::step, 1])
    height, width = (min(max(side // SAMPLES, 1), GLIMPSE) for side in seen.shape)
    return cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA).astype(np.int16)


def face_pattern(frame: ByteArray, box: FloatArray) -> FloatArray:
    """(PATTERN * PATTERN,) what a face at (4,) left, top, right, bottom looks like from afar: mean 0 and length 1.

    All zeros for a box that shows nothing of the frame, or a plain area.
    """
    height, width = frame.shape[:2]
    left, top, right, bottom = (round(float(side)) for side in box)
    seen = frame[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width), 1]
    if not seen.size:
        return np.zeros(PATTERN * PATTERN, np.float32)
    pattern = cv2.resize(seen, (PATTERN, PATTERN), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    pattern -= pattern.mean()
    return np.asarray(pattern / max(float(np.linalg.norm(pattern)), 1.0), np.float32)


def alike(pattern: FloatArray, former: FloatArray | None) -> bool:
    """Whether both may be of one face, seen much the same."""
    return former is not None and float(pattern @ former) >= ALIKE


def differ(glimpse: npt.NDArray[np.int16], former: npt.NDArray[np.int16] | None) -> bool:
    """Whether they show two scenes."""
    if former is None or former.shape != glimpse.shape:
        return True
    return float(np.abs(glimpse - former).mean()) > CHANGED
