"""Converts what was recognised into messages, value by value; no message ever carries a NaN."""

import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from face_recognition_msgs import msg
from geometry_msgs.msg import Point
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.types import LANDMARKS, ByteArray, Candidate, Detection, FloatArray, Identity, RecognizedFace

Locate = Callable[[Detection], FloatArray | None]
"""Where a face is: (3,) metres in the camera's optical frame, or None where that is not known."""


LAST_SECOND = float(2**31 - 1)
"""Of builtin_interfaces/Time, whose seconds are a signed 32-bit number."""


def nowhere(detection: Detection) -> FloatArray | None:
    """The Locate of a picture without depth."""
    return None


def identities_message(header: Header, result: FrameResult, locate: Locate = nowhere) -> msg.FaceIdentities:
    """All faces of one image; the header is the image's."""
    faces = [face_message(face, locate(face.detection)) for face in result.faces]
    return msg.FaceIdentities(header=header, gallery_revision=result.gallery_revision, faces=faces)


def face_message(face: RecognizedFace, position: FloatArray | None = None) -> msg.FaceIdentity:
    """One face; its name is set only where the status is KNOWN, position only where there is one.

    identity_id is set where the status is KNOWN, and for a stranger who is remembered.
    """
    decision = face.decision
    person = decision.identity
    somebody = person or decision.stranger
    best = decision.candidates[0] if decision.candidates else None
    message = msg.FaceIdentity(
        track_id=face.track_id,
        status=int(decision.status),
        identity_id=somebody.identity_id if somebody else "",
        name=person.name if person else "",
        remembered=decision.stranger is not None,
        confidence=finite(best.confidence) if best else 0.0,
        similarity=finite(decision.similarity),
        margin=finite(decision.margin),
        candidates=[candidate_message(candidate) for candidate in decision.candidates],
        box=box_message(face.detection.box),
        landmarks=landmarks_message(face.detection.landmarks),
        detection_score=finite(face.detection.score),
        quality=finite(face.quality.score),
        quality_complaints=list(face.quality.complaints),
    )
    if position is not None and np.isfinite(position).all():
        x, y, z = (float(value) for value in position)
        message.has_position, message.position = True, Point(x=x, y=y, z=z)
    return message


def candidate_message(candidate: Candidate) -> msg.Candidate:
    """One person whom a face resembles."""
    return msg.Candidate(
        identity_id=candidate.identity_id,
        name=candidate.name,
        similarity=finite(candidate.similarity),
        confidence=finite(candidate.confidence),
        remembered=candidate.remembered,
    )


def box_message(box: FloatArray) -> msg.BoundingBox:
    """(4,) left, top, right, bottom to left, top, width, height."""
    left, top, right, bottom = (finite(value) for value in box)
    return msg.BoundingBox(x=left, y=top, width=right - left, height=bottom - top)


def landmarks_message(landmarks: FloatArray) -> msg.Landmarks:
    """(5, 2) x, y of eyes, nose and mouth corners."""
    points = [msg.Point2D(x=finite(x), y=finite(y)) for x, y in landmarks]
    return msg.Landmarks(**dict(zip(LANDMARKS, points, strict=True)))


def identity_message(identity: Identity) -> msg.Identity:
    """One person of the gallery."""
    return msg.Identity(
        identity_id=identity.identity_id,
        name=identity.name,
        remembered=identity.remembered,
        templates=identity.templates,
        observed=identity.observed,
        consent=identity.consent,
        expires=Time() if identity.expires is None else time_message(identity.expires),
        created=time_message(identity.created),
        updated=time_message(identity.updated),
    )


def gallery_message(stamp: Time, revision: int, model_id: str, identities: Sequence[Identity]) -> msg.GalleryState:
    """Everybody in the gallery at that revision."""
    return msg.GalleryState(
        stamp=stamp,
        revision=revision,
        model_id=model_id,
        templates=sum(identity.templates for identity in identities),
        identities=[identity_message(identity) for identity in identities],
    )


def detections_message(header: Header, faces: Sequence[RecognizedFace]) -> Any:
    """The faces as vision_msgs/Detection2DArray: id = track id, class_id = identity id, no result = not known.

    Raises ImportError where vision_msgs is not installed.
    """
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

    message = Detection2DArray(header=header)
    for face in faces:
        box = box_message(face.detection.box)
        found = Detection2D(header=header, id=str(face.track_id))
        found.bbox.center.position.x = box.x + box.width / 2
        found.bbox.center.position.y = box.y + box.height / 2
        found.bbox.size_x, found.bbox.size_y = box.width, box.height
        if (person := face.decision.identity) is not None:
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id, result.hypothesis.score = person.identity_id, finite(person.confidence)
            found.results.append(result)
        message.detections.append(found)
    return message


def bgr_message(header: Header, picture: ByteArray) -> Image:
    """(H, W, 3) uint8 BGR as a bgr8 image."""
    height, width = picture.shape[:2]
    # An array.array filled by frombytes is taken over as it is; an ndarray would be checked byte by byte.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(picture).data.cast("B"))
    return Image(header=header, height=height, width=width, encoding="bgr8", step=3 * width, data=data)


def time_message(seconds: float) -> Time:
    """Seconds since the epoch, from 0 to the last one that the message can hold, in 2038."""
    within = min(max(finite(seconds), 0.0), LAST_SECOND)
    microseconds = round(within * 1e6)  # a float of this size knows no more
    return Time(sec=microseconds // 1_000_000, nanosec=microseconds % 1_000_000 * 1000)


def seconds(stamp: Time) -> float:
    """The stamp in seconds."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9


def finite(value: float) -> float:
    """The value, or 0 for one that is no number."""
    return float(value) if np.isfinite(value) else 0.0
