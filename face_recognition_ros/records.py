"""What the command line prints of people and faces: records for JSON, and lines for people."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np

from face_recognition_ros.types import LANDMARKS, Candidate, Identity, IdentityStatus, RecognizedFace


def identity_record(identity: Identity) -> dict[str, Any]:
    """Ready for JSON; times are ISO 8601, UTC."""
    return {
        "identity_id": identity.identity_id,
        "name": identity.name,
        "remembered": identity.remembered,
        "templates": identity.templates,
        "observed": identity.observed,
        "consent": identity.consent,
        "expires": None if identity.expires is None else iso_time(identity.expires),
        "created": iso_time(identity.created),
        "updated": iso_time(identity.updated),
    }


def face_record(face: RecognizedFace) -> dict[str, Any]:
    """Ready for JSON. Pixels; box is left, top, right, bottom.

    name is null unless status is known; identity_id is null for all others but remembered strangers.
    """
    decision = face.decision
    somebody = decision.identity or decision.stranger
    return {
        "status": decision.status.name.lower(),
        "identity_id": somebody.identity_id if somebody else None,
        "name": decision.identity.name if decision.identity else None,
        "remembered": decision.stranger is not None,
        "similarity": round(decision.similarity, 4),
        "confidence": round(decision.candidates[0].confidence, 4) if decision.candidates else 0.0,
        "margin": round(decision.margin, 4),
        "candidates": [_candidate_record(candidate) for candidate in decision.candidates],
        "box": _pixels(face.detection.box),
        "landmarks": dict(zip(LANDMARKS, map(_pixels, face.detection.landmarks), strict=True)),
        "detection_score": round(face.detection.score, 4),
        "quality": round(face.quality.score, 4),
        "quality_complaints": list(face.quality.complaints),
    }


def face_line(face: RecognizedFace) -> str:
    """Who it is, how sure that is, and where the face is."""
    left, top, right, bottom = np.rint(face.detection.box).astype(int)
    return f"{_who(face)}, at ({left}, {top}) to ({right}, {bottom})"


def identity_table(identities: list[Identity]) -> list[str]:
    """One line per person under a heading."""
    width = max([4, *(len(identity.name) for identity in identities)])
    return [
        f"{'id':14}  {'name':{width}}  templates  observed  {'updated':25}  {'expires':25}  consent",
        *(_table_line(identity, width).rstrip() for identity in identities),
    ]


def json_text(value: Any) -> str:
    """For programs, and still readable."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def iso_time(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _table_line(person: Identity, width: int) -> str:
    counts = f"{person.templates:9}  {person.observed:8}"
    expires = "never" if person.expires is None else iso_time(person.expires)
    who = f"{person.identity_id:14}  {person.name:{width}}"
    return f"{who}  {counts}  {iso_time(person.updated):25}  {expires:25}  {person.consent}"


def _who(face: RecognizedFace) -> str:
    candidates = face.decision.candidates
    match face.decision.status:
        case IdentityStatus.KNOWN:
            return f"{candidates[0].name} (confidence {candidates[0].percentage})"
        case IdentityStatus.AMBIGUOUS:
            return f"ambiguous: {' or '.join(candidate.name for candidate in candidates[:2])}"
        case IdentityStatus.UNKNOWN if face.decision.stranger is not None:
            return f"unknown, seen before as {face.decision.stranger.name}"
        case IdentityStatus.UNKNOWN:
            near = f" (nearest: {candidates[0].name}, similarity {candidates[0].similarity:.2f})" if candidates else ""
            return f"unknown{near}"
        case IdentityStatus.TENTATIVE:
            return f"not judged: {'; '.join(face.quality.complaints) or 'the face is not good enough'}"


def _candidate_record(candidate: Candidate) -> dict[str, Any]:
    return {
        "identity_id": candidate.identity_id,
        "name": candidate.name,
        "remembered": candidate.remembered,
        "similarity": round(candidate.similarity, 4),
        "confidence": round(candidate.confidence, 4),
    }


def _pixels(values: Any) -> list[float]:
    return [round(float(value), 1) for value in values]
