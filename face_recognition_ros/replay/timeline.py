"""Draws the timeline of a replay: who was there when, and how alike each face was to the person."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from face_recognition_ros.replay.gathering import Gathering, Presence

# Okabe and Ito's palette; vermilion and purple are those of unknown and ambiguous in the video.
PEOPLE = ("#0072b2", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#8a6d00", "#004f7c", "#5f9ea0")
COLOURS = {"unknown": "#d55e00", "ambiguous": "#a0508c", "tentative": "#8c8c8c"}
WORDS = {"unknown": "unknown", "ambiguous": "ambiguous", "tentative": "not judged yet"}
MOST_ROWS = 24
"""So many people at most, those who were there most."""
POINTS = 4000
"""So many points of a person's similarity at most."""


def timeline(gathering: Gathering) -> bytes:
    """A PNG."""
    shown = rows(gathering)
    figure = Figure(figsize=(11, 2.9 + 0.36 * max(len(shown), 2)), dpi=110, layout="constrained")
    presence, similarity = figure.subplots(2, 1, sharex=True, height_ratios=[0.36 * max(len(shown), 2) + 0.3, 2.0])
    colours = colours_of(shown)
    _draw_presence(presence, shown, colours, gathering.duration)
    _draw_similarity(similarity, shown, colours)
    similarity.set_xlabel("seconds since the first frame")
    similarity.set_xlim(0 if gathering.duration else -1, gathering.duration or 1)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def rows(gathering: Gathering) -> list[Presence]:
    """Who is shown, from top to bottom: people as they appeared, then those without a name."""
    people = list(gathering.people.values())
    most = sorted(people, key=lambda one: -len(one.seconds))[:MOST_ROWS]
    others = [gathering.others[kind] for kind in WORDS if kind in gathering.others]
    return [one for one in people if one in most] + others


def colours_of(shown: Sequence[Presence]) -> list[str]:
    """A colour for each."""
    return [COLOURS.get(one.kind, PEOPLE[number % len(PEOPLE)]) for number, one in enumerate(shown)]


def _draw_presence(axes: Axes, shown: Sequence[Presence], colours: Sequence[str], duration: float) -> None:
    least = max(duration, 1e-9) / 400  # a single frame stays visible
    for number, (one, colour) in enumerate(zip(shown, colours, strict=True)):
        spans = [(start, max(end - start, least)) for start, end in one.visits]
        axes.broken_barh(spans, (number - 0.34, 0.68), facecolors=colour)
    axes.set_yticks(range(len(shown)), [WORDS.get(one.kind, one.name[:32]) for one in shown])
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(len(shown) - 0.5 if shown else 0.5, -0.5)
    axes.grid(axis="x", color="#dfe5ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title("Who was there", loc="left", fontsize=11)


def _draw_similarity(axes: Axes, shown: Sequence[Presence], colours: Sequence[str]) -> None:
    axes.set_title("Similarity to the nearest person, and the line over which one is named", loc="left", fontsize=11)
    for one, colour in zip(shown, colours, strict=True):
        if one.kind != "tentative":
            chosen = np.linspace(0, len(one.seconds) - 1, min(len(one.seconds), POINTS)).astype(int)
            times, similarities = np.array(one.seconds)[chosen], np.array(one.similarities)[chosen]
            axes.plot(times, similarities, ".", color=colour, markersize=4)
    judged = [one for one in shown if one.kind in ("known", "unknown", "ambiguous")]
    if judged:
        times = np.concatenate([np.array(one.seconds) for one in judged])
        lines = np.concatenate([np.array(one.accept_lines) for one in judged])
        order = np.argsort(times, kind="stable")
        axes.step(times[order], lines[order], where="post", color="#5c6b78", linewidth=1, linestyle="--")
    if all(one.kind == "tentative" for one in shown):
        words = "no face was seen well and often enough to be judged"
        axes.text(0.5, 0.5, words, color="#5c6b78", ha="center", va="center", transform=axes.transAxes)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color="#dfe5ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
