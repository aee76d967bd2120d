"""Shows videos as one long stream to a recognizer and to the learner, and notes whose looks are learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.evaluation.faces import central_view
from face_recognition_ros.evaluation.identification import FRAME_INTERVAL, Video
from face_recognition_ros.gallery.learning import Observe, Proposal
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.recognizer import Recognizer
from face_recognition_ros.types import ByteArray, FloatArray

PASSES = 5
"""Times that a video is played, forwards and backwards by turns: few frames are a short visit."""
CANVAS, FACE_SIDE = 320, 120
"""Pixels: each frame is moved and scaled so that its face lies in the same place, whoever it is."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A look that became somebody's template."""

    filed_under: str
    person: str
    """Whom the frame shows; empty for somebody in the background."""
    frame: Path


class Stage:
    """Puts the faces of frames in one place, so that whoever comes next stands where the last one stood."""

    def __init__(self, recognizer: Recognizer) -> None:
        """recognizer: finds the faces; its tracks are not touched."""
        self._recognizer = recognizer
        self._boxes: dict[Path, FloatArray | None] = {}

    def place(self, path: Path, play: int) -> ByteArray:
        """(CANVAS, CANVAS, 3) uint8 BGR: the frame with the face in its middle moved to the canvas's.

        Each time that it is played it is turned, scaled and lit a little differently. Without a face it is only scaled.
        """
        picture = read_picture(path)
        if path not in self._boxes:
            subject = central_view(self._recognizer.view(picture), picture)
            self._boxes[path] = None if subject is None else subject.detection.box
        box, side = self._boxes[path], FACE_SIDE
        if box is None:
            box, side = np.array([0, 0, picture.shape[1], picture.shape[0]], np.float32), CANVAS
        scale = side / float(max(box[2] - box[0], box[3] - box[1])) * (1 + 0.02 * (play % 2))
        middle = (box[:2] + box[2:]).astype(np.float64) / 2
        move = cv2.getRotationMatrix2D((middle[0], middle[1]), 2.0 * (play % 3 - 1), scale)
        move[:, 2] = move[:, 2] + CANVAS / 2 - middle
        lit = np.clip(picture * (1.06 - 0.03 * play), 0, 255).astype(np.uint8)
        return np.asarray(cv2.warpAffine(lit, move, (CANVAS, CANVAS), borderMode=cv2.BORDER_REFLECT), np.uint8)


class Watcher:
    """Shows videos to a recognizer and to the learner, which may change the gallery at once."""

    def __init__(self, assembly: Assembly, stage: Stage, recognizer: Recognizer) -> None:
        self._assembly = assembly
        self._stage = stage
        self._recognizer = recognizer
        self._stamp = 0.0
        self._shown: dict[bytes, tuple[str, Path]] = {}
        self.learned: list[Learned] = []
        self.taken_for: set[str] = set()
        """Ids of the remembered strangers whom the face in the middle was taken for since `begin`."""

    def begin(self) -> None:
        """Whoever comes now is on a new track."""
        self._recognizer.reset_tracks()
        self._stamp += 1.0
        self._shown.clear()
        self.taken_for.clear()

    def show(self, video: Video) -> list[int]:
        """Plays a video where the last one ended; returns the ids of the tracks of the face in the middle, by frame."""
        tracks = []
        for play in range(PASSES):
            for path in video.frames[:: -1 if play % 2 else 1]:
                self._stamp += FRAME_INTERVAL
                picture = self._stage.place(path, play)
                faces = self._recognizer.process(picture, self._stamp).faces
                subject = central_view(faces, picture)
                for face in faces:
                    if face.embedding is not None:
                        self._shown[face.embedding.tobytes()] = (video.person if face is subject else "", path)
                if subject is not None:
                    tracks.append(subject.track_id)
                    stranger = subject.decision.stranger
                    self.taken_for |= {stranger.identity_id} if stranger else set()
                self._learn(self._assembly.learner.watch(faces, self._stamp))
        return tracks

    def _learn(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            refused = self._assembly.learner.apply([proposal])
            if isinstance(proposal, Observe) and not refused:
                person, path = self._shown[proposal.looks[0].embedding.tobytes()]
                self.learned.append(Learned(proposal.name, person, path))
