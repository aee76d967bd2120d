"""Draws the results: time of a frame by the number of faces, recall by their size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

MILLISECONDS = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
LEGEND_COLUMNS = 3
PALETTE = [*mpl.color_sequences["tab20"][::2], *mpl.color_sequences["tab20"][1::2]]
"""The ten strong colours first."""


def draw(path: Path, results: dict[str, Any], panel: Callable[[dict[str, Any], str, Any], None]) -> None:
    """A panel for each resolution, one legend; written as PNG."""
    sizes = results["comparison"]["sizes"]
    figure, panels = plt.subplots(1, len(sizes), figsize=(5.2 * len(sizes), 4.6), squeeze=False, sharey=True)
    for size, axes in zip(sizes, panels[0], strict=True):
        panel(results, size, axes)
        axes.set_title(size)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.label_outer()
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=LEGEND_COLUMNS, frameon=False)
    figure.tight_layout(rect=(0, 0.03 + 0.05 * -(-len(labels) // LEGEND_COLUMNS), 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def colours(results: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    """One for each contender that looks anew in every frame, the same in all plots."""
    return dict(zip(results["whole_frame_ms"], PALETTE, strict=False))


def times(results: dict[str, Any], size: str, axes: Any) -> None:
    """Ours are thick lines, the others dashed."""
    shown: set[int] = set()
    for name, colour in colours(results).items():
        by_faces = {int(faces): at["median_ms"] for faces, at in results["whole_frame_ms"][name].get(size, {}).items()}
        look = {"linewidth": 2.4} if name.startswith("ours") else {"linewidth": 1.4, "linestyle": "--"}
        title = results["contenders"][name]["title"]
        axes.plot(list(by_faces), list(by_faces.values()), label=title, color=colour, marker="o", markersize=4, **look)
        shown |= set(by_faces)
    axes.set_yscale("log")
    axes.set_yticks(MILLISECONDS, labels=[str(tick) for tick in MILLISECONDS])
    axes.minorticks_off()
    axes.set_xticks(sorted(shown))
    axes.set_xlabel("faces in the frame")
    axes.set_ylabel("ms a frame, median")


def recall(results: dict[str, Any], size: str, axes: Any) -> None:
    """Bars, as many are equal."""
    seen = results["accuracy"].get(size, {})
    width = 0.85 / max(len(seen), 1)
    for position, (name, entry) in enumerate(seen.items()):
        heights = [value or 0.0 for value in entry["recall"].values()]
        places = [bin_number - 0.425 + width * (position + 0.5) for bin_number in range(len(heights))]
        title = results["contenders"][name]["title"]
        axes.bar(places, heights, width, label=title, color=colours(results)[name])
        axes.set_xticks(range(len(heights)), labels=list(entry["recall"]))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("size of the face, pixels")
    axes.set_ylabel("part of the faces found")
