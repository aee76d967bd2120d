"""Draws what was recognised on a picture: a box, the landmarks and a name for every face."""

import re
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

from face_recognition_ros.types import ByteArray, Detection, IdentityStatus, RecognizedFace

_Colour = tuple[int, int, int]
_Point = tuple[int, int]

# BGR; blue, vermilion and (darkened) purple of Okabe and Ito's palette, which colour-blind people tell apart, too.
COLOURS: dict[IdentityStatus, _Colour] = {
    IdentityStatus.KNOWN: (178, 114, 0),
    IdentityStatus.UNKNOWN: (0, 94, 213),
    IdentityStatus.AMBIGUOUS: (140, 80, 160),
    IdentityStatus.TENTATIVE: (140, 140, 140),
}
WHITE: _Colour = (255, 255, 255)
BLACK: _Colour = (0, 0, 0)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SPELLINGS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D"}
    | {"ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "ı": "i", "’": "'", "–": "-"}
)


def draw_faces(frame: ByteArray, faces: Sequence[RecognizedFace]) -> ByteArray:
    """A copy of the frame with every face's box, landmarks and label, coloured by status.

    Blue: known, vermilion: unknown, purple: ambiguous, grey: not judged yet. Line width and letters grow with the
    frame; labels stay inside of it. Names are spelled in ASCII, all that OpenCV can write (see ascii_name).

    Args:
        frame: (H, W, 3) uint8 BGR; left as it is.
        faces: in frame pixels.
    """
    picture = np.ascontiguousarray(frame).copy()
    unit = max(1.0, min(picture.shape[:2]) / 480)
    for face in faces:
        _draw_box(picture, face.detection, COLOURS[face.decision.status], unit)
    # Labels come last, so that no neighbour's box crosses a name.
    for face in faces:
        _draw_label(picture, label(face), face.detection, COLOURS[face.decision.status], unit)
    return picture


def label(face: RecognizedFace) -> str:
    """What is written on a face: name and confidence, 'A or B?', 'unknown', or '...' while it is not judged yet.

    A remembered stranger is called by the generated name, in the colour of those who have none.
    """
    decision = face.decision
    names = [ascii_name(candidate.name) for candidate in decision.candidates[:2]]
    if decision.identity is not None:
        return f"{names[0]} {decision.identity.percentage}"
    if decision.status is IdentityStatus.AMBIGUOUS:
        return " or ".join(names) + "?"
    if decision.stranger is not None:
        return ascii_name(decision.stranger.name)
    return "..." if decision.status is IdentityStatus.TENTATIVE else "unknown"


def ascii_name(name: str) -> str:
    """The name in ASCII: accents dropped, a few letters spelled out, and '?' for those that have no such spelling.

    Runs of '?' become one: a name in another script is shown as '?', its box still says known.
    """
    plain = unicodedata.normalize("NFKD", name.translate(_SPELLINGS))
    letters = "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode()
    printable = "".join(c if c.isprintable() else " " for c in letters)
    return re.sub(r"\?(\s*\?)+", "?", printable).strip()


def _draw_box(picture: ByteArray, detection: Detection, colour: _Colour, unit: float) -> None:
    left, top, right, bottom = _corners(detection)
    thickness = round(2 * unit)
    # A dark rim keeps the colour visible on a background of the same colour.
    cv2.rectangle(picture, (left, top), (right, bottom), BLACK, thickness + 2, cv2.LINE_AA)
    cv2.rectangle(picture, (left, top), (right, bottom), colour, thickness, cv2.LINE_AA)
    radius = max(1, round(min(1.5 * unit, detection.width / 25)))
    for x, y in np.rint(np.nan_to_num(detection.landmarks)).astype(int).tolist():
        cv2.circle(picture, (x, y), radius + 1, BLACK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(picture, (x, y), radius, WHITE, cv2.FILLED, cv2.LINE_AA)


def _draw_label(picture: ByteArray, text: str, detection: Detection, colour: _Colour, unit: float) -> None:
    """White letters on a plate of the status's colour, above the box, or below where there is no room above."""
    height, width = picture.shape[:2]
    scale, thickness, padding = 0.55 * unit, max(1, round(1.2 * unit)), round(4 * unit)
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    room = width - 2 * padding
    if text_width > room > 0:
        scale *= room / text_width
        (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    plate_width, plate_height = text_width + 2 * padding, text_height + baseline + padding
    left, top, _, bottom = _corners(detection)
    rim = round(unit) + 1
    x = max(0, min(left - rim, width - plate_width))
    y = top - plate_height if top >= plate_height else bottom
    y = max(0, min(y, height - plate_height))
    cv2.rectangle(picture, (x, y), (x + plate_width - 1, y + plate_height - 1), colour, cv2.FILLED)
    origin: _Point = (x + padding, y + (plate_height + text_height) // 2)
    cv2.putText(picture, text, origin, _FONT, scale, WHITE, thickness, cv2.LINE_AA)


def _corners(detection: Detection) -> tuple[int, int, int, int]:
    left, top, right, bottom = (int(v) for v in np.rint(np.clip(np.nan_to_num(detection.box), -1e4, 1e5)))
    return left, top, right, bottom
