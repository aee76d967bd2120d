"""The summary page of a replay: one HTML file that needs no other, and in which no time of day stands."""

import base64
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from face_recognition_ros import __version__
from face_recognition_ros.assembly import Assembly
from face_recognition_ros.replay.expectation import Comparison
from face_recognition_ros.replay.gathering import Gathering, Look, Presence, counted
from face_recognition_ros.replay.session import Counts
from face_recognition_ros.replay.timeline import colours_of, rows, timeline
from face_recognition_ros.settings import Settings, specs
from face_recognition_ros.types import ByteArray

THUMBNAILS = 6
"""Of a person, on the page; the contact sheet has more."""
WIDEST = 960
"""Pixels of the best frame."""
PROBLEMS_SHOWN = 20
LIBRARIES = ("numpy", "opencv-python-headless", "onnxruntime", "rosbags")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page tells beside what was gathered."""

    source: str
    gallery: str
    model_id: str
    backend: str
    settings: Settings
    people: int
    """In the gallery at the start."""
    strangers: int
    """Remembered, at the start."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a gallery has learned in passing, or has learned more than before."""

    templates: int
    strangers: int


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture and what is written below it."""

    data: str
    """A data URI."""
    caption: str


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A line of the table of people."""

    name: str
    kind: str
    colour: str
    thumbnails: tuple[Thumbnail, ...]
    visits: int
    frames: int
    first: float
    last: float
    seconds: float
    similarity: str
    sheet: str


def facts_of(assembly: Assembly, source: str, gallery: str) -> Facts:
    """gallery: the one that was given, of which the assembly has a copy."""
    people = assembly.store.list_identities()
    strangers = sum(person.remembered for person in people)
    backend = assembly.backend.used
    return Facts(source, gallery, assembly.model_id, backend, assembly.settings, len(people) - strangers, strangers)


def page(
    facts: Facts,
    gathering: Gathering,
    learned: Learned,
    counts: Counts,
    problems: Mapping[str, int],
    comparison: Comparison | None,
    sheets: Mapping[str, Path],
    outputs: Sequence[Path],
) -> str:
    """The page as HTML.

    problems: sentences and how often each came. sheets: contact sheets by identity id, "" for unknown tracks; with
    outputs, files beside the page that it links to.
    """
    environment = Environment(
        loader=PackageLoader("face_recognition_ros.replay", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["counted"] = counted
    best = gathering.best_frame
    return environment.get_template("summary.html.jinja").render(
        facts=facts,
        gathering=gathering,
        learned=learned,
        counts=counts,
        problems=sorted(problems.items(), key=lambda item: -item[1])[:PROBLEMS_SHOWN],
        comparison=comparison,
        people=person_rows(gathering, sheets),
        unknown=unknown_thumbnails(gathering),
        unknown_sheet=f"people/{sheets[''].name}" if "" in sheets else "",
        timeline=data_uri(timeline(gathering), "png") if gathering.faces else "",
        best_frame=data_uri(jpeg(best, WIDEST), "jpeg") if best is not None else "",
        settings=settings_rows(facts.settings),
        versions=versions(),
        version=__version__,
        outputs=[path.name for path in outputs],
    )


def person_rows(gathering: Gathering, sheets: Mapping[str, Path]) -> list[PersonRow]:
    """Everybody of the timeline who has an identity."""
    shown = rows(gathering)
    found = []
    for person, colour in zip(shown, colours_of(shown), strict=True):
        if not person.identity_id:
            continue
        visits, similarities = person.visits, np.array(person.similarities)
        found.append(
            PersonRow(
                name=person.name,
                kind="remembered stranger" if person.kind == "remembered" else "",
                colour=colour,
                thumbnails=tuple(map(thumbnail, spread(person.album.looks, THUMBNAILS))),
                visits=len(visits),
                frames=len(person.seconds),
                first=visits[0][0],
                last=visits[-1][1],
                seconds=sum(end - start for start, end in visits),
                similarity=f"{np.median(similarities):.2f} ({similarities.min():.2f} to {similarities.max():.2f})",
                sheet=f"people/{sheets[person.identity_id].name}",
            )
        )
    return found


def unknown_thumbnails(gathering: Gathering) -> list[Thumbnail]:
    """The best look at each of the unknown tracks that were seen longest."""
    longest = sorted(gathering.unknown_tracks.values(), key=lambda track: -len(track.seconds))[: 2 * THUMBNAILS]
    return [thumbnail(best, _track_caption(track)) for track in longest if (best := track.album.best) is not None]


def spread(looks: Sequence[Look], count: int) -> list[Look]:
    """At most `count` of them, evenly over time."""
    chosen = np.unique(np.linspace(0, len(looks) - 1, min(count, len(looks))).astype(int))
    return [looks[i] for i in chosen]


def thumbnail(look: Look, caption: str = "") -> Thumbnail:
    """The look, with its time and similarity unless something else is to be said."""
    return Thumbnail(data_uri(jpeg(look.crop), "jpeg"), caption or f"{look.seconds:.1f} s · {look.similarity:.2f}")


def jpeg(picture: ByteArray, widest: int = 0) -> bytes:
    """(H, W, 3) uint8 BGR as JPEG, made smaller where it is wider than `widest` (0: as it is)."""
    if 0 < widest < picture.shape[1]:
        size = widest, max(1, round(picture.shape[0] * widest / picture.shape[1]))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 86])[1])


def data_uri(content: bytes, kind: str) -> str:
    """A picture as a link that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def settings_rows(settings: Settings) -> list[tuple[str, str, bool]]:
    """Name, value, and whether it is not the default; without the gallery's place, which is a copy's."""
    default = Settings()
    values = {entry.name: getattr(settings, entry.name) for entry in fields(settings) if entry.name in specs()}
    return [
        (name, _value(value), value != getattr(default, name)) for name, value in values.items() if name != "gallery"
    ]


def versions() -> list[tuple[str, str]]:
    """Of what the numbers may depend on."""
    found = [("face_recognition_ros", __version__), ("Python", platform.python_version())]
    installed = {one.name.lower(): one.version for one in metadata.distributions()}
    return found + [(name, installed[name]) for name in LIBRARIES if name in installed]


def _track_caption(track: Presence) -> str:
    count = len(track.seconds)
    return f"{track.name}, {track.seconds[0]:.1f} s, {count} {counted(count, 'frame')}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(f"{number:g}" for number in value)
    return f"{value:g}" if isinstance(value, float) else str(value) or "(none)"
