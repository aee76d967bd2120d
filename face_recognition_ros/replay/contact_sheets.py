"""Draws contact sheets: the best looks at somebody over time, each with its time, stamp and similarity."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from face_recognition_ros.replay.gathering import Gathering, Look, Presence, counted
from face_recognition_ros.replay.sources import NANOSECONDS

TILE, GAP, MARGIN, CAPTION = 128, 12, 24, 52
"""Pixels: a look's side, between looks, around them, and below each for its caption."""
COLUMNS = 6
INK, QUIET, PAPER, LINE = (29, 39, 48), (92, 107, 120), (255, 255, 255), (223, 229, 234)
UNKNOWN_SHEET = "unknown"
"""Name of the sheet of all tracks that stayed unknown."""
LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Row:
    """Looks that belong together, under a heading."""

    heading: str
    looks: Sequence[Look]


def write_sheets(folder: Path, gathering: Gathering) -> dict[str, Path]:
    """Writes a PNG for each person, and one for all unknown tracks; returns the files by identity id ('' for these)."""
    folder.mkdir(exist_ok=True)
    people = gathering.people.items()
    sheets = {number: (one.name, [_about(one)], [Row("", one.album.looks)]) for number, one in people}
    tracks = sorted(gathering.unknown_tracks.items())
    if tracks:
        rows = [Row(f"{track.name}: {_about(track)}", track.album.looks) for _, track in tracks]
        many = f"{len(tracks)} {counted(len(tracks), 'track')}"
        line = f"{many} without a name, at least for a time; similarities are to the nearest person"
        sheets[""] = (UNKNOWN_SHEET, [line], rows)
    written: dict[str, Path] = {}
    for identity_id, (name, lines, rows) in sheets.items():
        taken = {path.name.casefold() for path in written.values()}
        path = folder / f"{file_name(name)}.png"
        if path.name.casefold() in taken or (identity_id and file_name(name).casefold() == UNKNOWN_SHEET):
            path = folder / f"{file_name(name)} {identity_id}.png"
        sheet(name, lines, rows).save(path)
        written[identity_id] = path
    return written


def file_name(name: str) -> str:
    """The name with what is dangerous or impossible in a file's name replaced by _."""
    return re.sub(r"[^\w\- ]", "_", name).strip()[:LONGEST_NAME] or "_"


def sheet(title: str, lines: Sequence[str], rows: Sequence[Row]) -> Image.Image:
    """A picture of all looks of all rows."""
    width = 2 * MARGIN + COLUMNS * TILE + (COLUMNS - 1) * GAP
    heights = [_height(row) for row in rows]
    top = MARGIN + 40 + 22 * len(lines) + GAP
    picture = Image.new("RGB", (width, top + sum(heights) + MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), _shortened(draw, title, 26, width), INK, _font(26))
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + 40 + 22 * number), _shortened(draw, line, 14, width), QUIET, _font(14))
    for row, height in zip(rows, heights, strict=True):
        _draw_row(picture, draw, row, top)
        top += height
    return picture


def _draw_row(picture: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    if row.heading:
        draw.line((MARGIN, top, picture.width - MARGIN, top), LINE)
        draw.text((MARGIN, top + 6), _shortened(draw, row.heading, 14, picture.width), INK, _font(14))
        top += 32
    for number, look in enumerate(row.looks):
        x = MARGIN + number % COLUMNS * (TILE + GAP)
        y = top + number // COLUMNS * (TILE + CAPTION + GAP)
        crop = Image.fromarray(np.ascontiguousarray(look.crop[..., ::-1]))
        picture.paste(crop.resize((TILE, TILE), Image.Resampling.BICUBIC), (x, y))
        seconds, nanoseconds = divmod(look.stamp_ns, NANOSECONDS)
        draw.text((x, y + TILE + 3), f"{look.seconds:.3f} s", INK, _font(13))
        draw.text((x, y + TILE + 19), f"{seconds}.{nanoseconds // 1_000_000:03d}", QUIET, _font(11))
        draw.text((x, y + TILE + 34), f"similarity {look.similarity:.2f}", QUIET, _font(11))


def _height(row: Row) -> int:
    lines = -(-len(row.looks) // COLUMNS)
    return (32 if row.heading else 0) + lines * (TILE + CAPTION + GAP)


def _about(person: Presence) -> str:
    """When somebody was there, and how alike the looks were."""
    visits, similarities = person.visits, np.array(person.similarities)
    frames, many = len(person.seconds), len(visits)
    low, middle, high = similarities.min(), np.median(similarities), similarities.max()
    times = f"{visits[0][0]:.1f} to {visits[-1][1]:.1f} s"
    return (
        f"{frames} {counted(frames, 'frame')}, {many} {counted(many, 'visit')}, {times}; "
        f"similarity {low:.2f} to {high:.2f}, median {middle:.2f}"
    )


def _shortened(draw: ImageDraw.ImageDraw, text: str, size: int, width: int) -> str:
    """The text, cut where it would leave a sheet of that width."""
    room = width - 2 * MARGIN
    if draw.textlength(text, _font(size)) <= room:
        return text
    while text and draw.textlength(f"{text}…", _font(size)) > room:
        text = text[:-1]
    return f"{text}…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: it knows most alphabets."""
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
