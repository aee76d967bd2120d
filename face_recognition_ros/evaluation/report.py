"""An evaluation's report: what was measured in words, tables and figures, as JSON, PNGs and one HTML page."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from face_recognition_ros import __version__
from face_recognition_ros.types import ByteArray

THUMBNAIL_HEIGHT = 112
"""Pixels."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a cell of a table."""

    jpeg: bytes
    caption: str = ""


Cell = str | Picture


@dataclass(frozen=True, slots=True)
class Table:
    """A heading and rows of as many cells; a cell is text or a Picture. A heading of nothing is not shown."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row of {len(row)} cells under {len(self.header)} headings: {row}")


@dataclass(frozen=True, slots=True)
class Figure:
    """A diagram; `name` becomes a part of its file's name, so it may hold letters, digits, - and _ only."""

    name: str
    png: bytes
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.name.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"{self.name!r} names a file; letters, digits, - and _ are allowed")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report; paragraphs of `text` are parted by empty lines."""

    title: str
    text: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All that a reader is shown; the summary's lines stay lines."""

    title: str
    summary: str
    sections: tuple[Section, ...]

    def and_section(self, section: Section) -> Self:
        """The same with one section more, at the end."""
        return replace(self, sections=(*self.sections, section))


def picture(image: ByteArray, caption: str = "") -> Picture:
    """A cell of (H, W, 3) uint8 BGR pixels, made smaller where it is higher than THUMBNAIL_HEIGHT."""
    height, width = image.shape[:2]
    if height > THUMBNAIL_HEIGHT:
        size = max(1, round(width * THUMBNAIL_HEIGHT / height)), THUMBNAIL_HEIGHT
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} cannot be written as JPEG")
    return Picture(data.tobytes(), caption)


def html(report: Report, numbers_file: str = "") -> str:
    """The report as a page that needs no other file; `numbers_file` is named as the place of all numbers."""
    environment = Environment(
        loader=PackageLoader("face_recognition_ros.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    environment.tests["picture"] = lambda cell: isinstance(cell, Picture)
    template = environment.get_template("report.html.jinja")
    return template.render(report=report, numbers_file=numbers_file, version=__version__)


def write(report: Report, numbers: Mapping[str, Any], json_path: Path) -> None:
    """Writes the numbers to `json_path`, the page beside it as STEM.html, and each figure as STEM_NAME.png.

    Raises ValueError where a number is NaN or infinite, which JSON does not know, and OSError as Path.write_text does.
    """
    text = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False)
    json_path.write_text(text + "\n", encoding="utf-8")
    for section in report.sections:
        for figure in section.figures:
            json_path.with_name(f"{json_path.stem}_{figure.name}.png").write_bytes(figure.png)
    json_path.with_suffix(".html").write_text(html(report, json_path.name), encoding="utf-8")
