"""The demo's moving view: a camera that pans, zooms and tilts along a wall of portraits in changing light.

Everything follows from the portraits and the frame's index, so that camera and runner see the same without talking.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from face_recognition_ros.demo.cast import Portrait
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.types import ByteArray

_Vector = npt.NDArray[np.float64]

WIDTH, HEIGHT = 640, 480
"""Of a frame, pixels."""

FACE_WIDTH = 130.0
"""Of every portrait's face on the wall, in wall pixels."""
WALL_HEIGHT, EYE_LEVEL = 1300, 600
MARGIN, GAP, STRANGER_GAP = 900, 60, 120
"""Bare wall at both ends, between portraits, and between the enrolled and the strangers."""
FRAME_BORDER = 14

SECONDS_PER_STOP = 4.0
"""Of a film of the standard length: the way to each stop of the camera and the stay there."""

CLOSE, TOGETHER_MARGIN = 470.0, 120.0
"""Width of the view, in wall pixels, on one portrait; what is added to the width of two or more."""


@dataclass(frozen=True, slots=True)
class TrueFace:
    """A face that is in a frame, whatever the node says."""

    name: str
    enrolled: bool
    box: tuple[float, float, float, float]
    """Frame pixels: left, top, right, bottom; may reach beyond the frame."""
    visible: float
    """Share of the box that is inside the frame, 0 to 1."""


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera looks at one moment of the film, and in which light."""

    moment: float
    """Position in the film; what counts is the difference to the neighbours."""
    x: float
    y: float
    """Middle of the view, wall pixels."""
    width: float
    """Of the view, wall pixels."""
    roll: float = 0.0
    """Degrees, clockwise."""
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gain of blue, green and red."""

    def vector(self) -> _Vector:
        return np.array([self.x, self.y, np.log(self.width), self.roll, *self.light])


LIGHTS = ((1.0, 1.0, 1.0), (0.50, 0.55, 0.60), (1.2, 1.2, 1.2), (0.70, 0.85, 1.0))
"""As the picture is, dim, bright, lamplight."""


@dataclass(frozen=True, slots=True, eq=False)
class Wall:
    """The portraits, hung side by side at one face width: first the enrolled, then the strangers."""

    canvas: ByteArray
    """(H, W, 3) uint8 BGR."""
    panels: npt.NDArray[np.float64]
    """(N, 4) each portrait's place, wall pixels: left, top, right, bottom."""
    faces: npt.NDArray[np.float64]
    """(N, 4) each face's box, wall pixels."""


class Film:
    """The frames of the demo and what is to be seen in them."""

    def __init__(self, portraits: Sequence[Portrait], frames: int) -> None:
        """Reads the pictures; raises ImageError where one is gone."""
        self.portraits = sorted(portraits, key=lambda portrait: not portrait.enrolled)
        self.frames = frames
        self._wall = build_wall(self.portraits)
        self._path = camera_path(self._wall, [portrait.enrolled for portrait in self.portraits])

    def frame(self, index: int) -> ByteArray:
        """(480, 640, 3) uint8 BGR."""
        view = self._view(index)
        picture = cv2.warpAffine(
            self._wall.canvas, _wall_to_frame(view), (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return np.clip(picture * view[4:], 0, 255).astype(np.uint8)

    def truth(self, index: int) -> list[TrueFace]:
        """The faces of which at least a part is in the frame."""
        matrix = _wall_to_frame(self._view(index))
        seen = []
        for portrait, face in zip(self.portraits, self._wall.faces, strict=True):
            box = _transformed(matrix, face)
            inside = np.clip(box, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT))
            visible = float(np.prod(inside[2:] - inside[:2]) / np.prod(box[2:] - box[:2]))
            if visible > 0:
                left, top, right, bottom = (round(float(value), 1) for value in box)
                seen.append(TrueFace(portrait.name, portrait.enrolled, (left, top, right, bottom), round(visible, 3)))
        return seen

    def _view(self, index: int) -> _Vector:
        """x, y, log width, roll and gains at that frame: eased between the path's views, from an unsteady hand."""
        moments = [view.moment for view in self._path]
        moment = moments[-1] * index / max(self.frames - 1, 1)
        after = int(np.clip(np.searchsorted(moments, moment, side="right"), 1, len(moments) - 1))
        before = after - 1
        share = (moment - moments[before]) / (moments[after] - moments[before])
        eased = share * share * (3 - 2 * share)
        first, second = self._path[before].vector(), self._path[after].vector()
        view = first + (second - first) * eased
        view[:2] += 2.0 * np.sin([0.53 * index, 0.37 * index + 1.0])
        return np.asarray(view, np.float64)


def standard_length(portraits: Sequence[Portrait]) -> float:
    """Seconds in which the camera can stop for everybody, and for the bare wall at both ends: see camera_path."""
    known = sum(portrait.enrolled for portrait in portraits)
    alone, pairs, company = len(portraits), max(known - 1, 0), len(portraits) - known
    return SECONDS_PER_STOP * (alone + pairs + company + 1)


def truth_record(index: int, stamp_ns: int, faces: Sequence[TrueFace]) -> dict[str, Any]:
    """One line of the camera's ground truth."""
    described = [
        {"name": face.name, "enrolled": face.enrolled, "box": list(face.box), "visible": face.visible} for face in faces
    ]
    return {"index": index, "stamp_ns": stamp_ns, "faces": described}


def build_wall(portraits: Sequence[Portrait]) -> Wall:
    """Hangs the portraits, all faces equally wide and on one level."""
    crops = [head_and_shoulders(portrait) for portrait in portraits]
    panels, faces, x = [], [], float(MARGIN)
    for i, ((crop, face), portrait) in enumerate(zip(crops, portraits, strict=True)):
        if i:
            x += GAP if portrait.enrolled == portraits[i - 1].enrolled else STRANGER_GAP
        y = EYE_LEVEL - (face[1] + face[3]) / 2
        corner = np.round([x, y])
        panels.append([*corner, *(corner + crop.shape[1::-1])])
        faces.append(face + np.tile(corner, 2))
        x += crop.shape[1]
    canvas = _bare_wall(round(x) + MARGIN)
    for (crop, _), panel in zip(crops, panels, strict=True):
        left, top, right, bottom = (int(value) for value in panel)
        cv2.rectangle(
            canvas, (left - FRAME_BORDER, top - FRAME_BORDER), (right + FRAME_BORDER - 1, bottom + FRAME_BORDER - 1),
            (38, 48, 62), cv2.FILLED,
        )  # fmt: skip
        canvas[top:bottom, left:right] = crop
    return Wall(canvas, np.array(panels), np.array(faces))


def head_and_shoulders(portrait: Portrait) -> tuple[ByteArray, _Vector]:
    """The part of the picture around the face at the wall's scale, (H, W, 3), and the face's box in it, (4,)."""
    picture = read_picture(Path(portrait.picture))
    left, top, right, bottom = portrait.box
    width, x, y = right - left, (left + right) / 2, (top + bottom) / 2
    size = picture.shape[1::-1]
    crop_left, crop_top = max(0, int(x - 1.4 * width)), max(0, int(y - 1.4 * width))
    crop_right, crop_bottom = min(size[0], int(x + 1.4 * width)), min(size[1], int(y + 1.9 * width))
    scale = FACE_WIDTH / width
    crop = picture[crop_top:crop_bottom, crop_left:crop_right]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(crop, None, fx=scale, fy=scale, interpolation=method), np.uint8)
    box = (np.array(portrait.box) - np.tile([crop_left, crop_top], 2)) * scale
    return resized, box


def _bare_wall(width: int) -> ByteArray:
    """Plaster: a soft gradient with a little grain, the same every time."""
    grain = np.random.default_rng(0).normal(0.0, 6.0, (WALL_HEIGHT // 4, width // 4 + 1)).astype(np.float32)
    grain = np.asarray(cv2.resize(grain, (width, WALL_HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)
    shade = np.linspace(0.0, -45.0, WALL_HEIGHT, dtype=np.float32)[:, None] + grain
    colour = np.array([196, 208, 214], np.float32)
    return np.clip(colour + shade[..., None], 0, 255).astype(np.uint8)


def camera_path(wall: Wall, enrolled: Sequence[bool]) -> list[View]:
    """Nobody, each portrait by itself, the enrolled in pairs, each stranger alone and in company, and nobody again."""
    middle = (wall.faces[:, :2] + wall.faces[:, 2:]) / 2
    count, known = len(enrolled), sum(enrolled)
    alone = [_on_one(middle[i], i) for i in range(count)]
    pairs = [_on_several(wall.panels[i : i + 2], i) for i in range(known - 1)]
    company = [_on_several(wall.panels[max(0, i - 2) : i + 1], i) for i in range(known, count)]
    order = [*alone[:known], *pairs, *alone[known:], *company]
    bare = View(0, MARGIN * 0.4, EYE_LEVEL, 500.0)
    end = View(0, wall.canvas.shape[1] - MARGIN * 0.4, EYE_LEVEL, 500.0)
    path, moment = [_at(bare, 0.0), _at(bare, 1.0)], 1.0
    for stop in order:
        path.append(_at(stop, moment + 0.8, zoom=1.12, roll=stop.roll))
        path.append(_at(stop, moment + 2.8, zoom=0.97, roll=-stop.roll))
        moment += 2.8
    return [*path, _at(end, moment + 0.8), _at(end, moment + 1.8)]


def _on_one(middle: _Vector, number: int) -> View:
    roll = 5.0 if number % 2 else -5.0
    return View(0, middle[0], middle[1] + 15, CLOSE, roll, LIGHTS[(number + 1) % len(LIGHTS)])


def _on_several(panels: _Vector, number: int) -> View:
    left, right = panels[:, 0].min(), panels[:, 2].max()
    width = right - left + TOGETHER_MARGIN
    return View(0, (left + right) / 2, EYE_LEVEL + 0.05 * width, width, 2.0, LIGHTS[(number * 2) % len(LIGHTS)])


def _at(view: View, moment: float, zoom: float = 1.0, roll: float = 0.0) -> View:
    return View(moment, view.x, view.y, view.width * zoom, roll, view.light)


def _wall_to_frame(view: _Vector) -> _Vector:
    """(2, 3) affine map from wall to frame pixels."""
    x, y, log_width, roll = view[:4]
    matrix = cv2.getRotationMatrix2D((float(x), float(y)), -float(roll), WIDTH / float(np.exp(log_width)))
    matrix[:, 2] += (WIDTH / 2 - x, HEIGHT / 2 - y)
    return np.asarray(matrix, np.float64)


def _transformed(matrix: _Vector, box: _Vector) -> _Vector:
    """(4,) the upright box of the same centre and area as the transformed one: heads that tilt do not grow."""
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    centre = matrix @ np.array([*(box[:2] + box[2:]) / 2, 1.0])
    half = (box[2:] - box[:2]) / 2 * scale
    return np.concatenate([centre - half, centre + half])
