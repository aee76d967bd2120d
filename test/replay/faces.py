"""Frames and faces made up for tests of what is done with them."""

import numpy as np

from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.replay.sources import NANOSECONDS, SourceFrame
from face_recognition_ros.types import Candidate, Decision, Detection, IdentityStatus, Quality, RecognizedFace


def face(
    name: str = "",
    status: IdentityStatus | None = None,
    similarity: float = 0.8,
    track_id: int = 1,
    quality: float = 0.9,
    identity_id: str = "",
) -> RecognizedFace:
    """Known by that name; without one, unknown. A name that begins with stranger is a remembered one's."""
    box = np.array([10.04, 20, 50, 60], np.float32)
    landmarks = np.array([[20, 30], [40, 30], [30, 40], [22, 50], [38, 50]], np.float32)
    remembered = name.startswith("stranger")
    candidate = Candidate(identity_id or f"p-{name or 'near'}", name or "Near", similarity, 0.95, remembered)
    default = IdentityStatus.KNOWN if name and not remembered else IdentityStatus.UNKNOWN
    decision = Decision(status or default, (candidate,), 0.65, candidate if remembered else None)
    crop = np.full((112, 112, 3), int(200 * quality), np.uint8)
    return RecognizedFace(track_id, Detection(box, landmarks, 0.99), Quality(quality, True, True), decision, None, crop)


def frame(seconds: float, *faces: RecognizedFace, size: tuple[int, int] = (96, 128)) -> tuple[SourceFrame, FrameResult]:
    """What a sink takes; size: height and width."""
    picture = np.full((*size, 3), 128, np.uint8)
    stamp = 1_700_000_000 * NANOSECONDS + round(seconds * NANOSECONDS)
    return SourceFrame(stamp, "camera", picture), FrameResult(faces, 5)
