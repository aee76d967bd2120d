"""Diagrams in one common style: arrays in, a matplotlib Figure out. No pyplot, so no window and no global state."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import norm

from face_recognition_ros.types import ByteArray

Values = npt.NDArray[np.float64]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c6b78")
"""Told apart also by people who see colours differently (Okabe and Ito, "Color universal design", 2008)."""

STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5c6b78",
    "axes.labelcolor": "#1d2730",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dfe5ea",
    "grid.linewidth": 0.8,
    "font.size": 11,
    "lines.linewidth": 2.0,
    "text.color": "#1d2730",
    "xtick.color": "#5c6b78",
    "ytick.color": "#5c6b78",
}

PERCENT_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Rates marked on the axes of a DET diagram."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A line of a diagram: x and y (N,), and where there is an interval its ends low and high (N,)."""

    label: str
    x: Values
    y: Values
    low: Values | None = None
    high: Values | None = None


def curves(
    lines: Sequence[Curve],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    y_limits: tuple[float, float] | None = None,
    markers: bool = False,
) -> Figure:
    """Lines, with their intervals as bands; `markers` for few measured points."""
    figure, axes = _figure()
    with mpl.rc_context(STYLE):
        for line in lines:
            drawn = axes.plot(line.x, line.y, marker="o" if markers else "", label=line.label)
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=drawn[0].get_color(), alpha=0.15, linewidth=0)
        if log_x:
            axes.set_xscale("log")
        if y_limits:
            axes.set_ylim(*y_limits)
        _finish(axes, x_label, y_label, legend=len(lines) > 1)
    return figure


def roc(lines: Sequence[Curve]) -> Figure:
    """Receiver operating characteristic: x false accept rate, on a logarithmic axis, y true accept rate, 0 to 1."""
    smallest = min((float(line.x[line.x > 0].min()) for line in lines if np.any(line.x > 0)), default=1e-3)
    # A rate of zero has no place on the axis; the curve begins at its left edge.
    shown = [Curve(line.label, np.maximum(line.x, smallest / 2), line.y) for line in lines]
    figure = curves(shown, "false accept rate", "true accept rate", log_x=True, y_limits=(0.0, 1.02))
    figure.axes[0].set_xlim(smallest / 2, 1.0)
    _legend(figure.axes[0], "lower right")
    return figure


def det(lines: Sequence[Curve]) -> Figure:
    """Detection error trade-off (Martin et al. 1997): x false accept rate, y false reject rate, both 0 to 1.

    On axes of normal deviates, on which normally distributed scores give a straight line.
    """
    figure, axes = _figure(5.6)
    low, high = norm.ppf(PERCENT_TICKS[0] * 0.8), norm.ppf(0.5)
    with mpl.rc_context(STYLE):
        for line in lines:
            inside = (line.x > 0) & (line.x < 1) & (line.y > 0) & (line.y < 1)
            axes.plot(norm.ppf(line.x[inside]), norm.ppf(line.y[inside]), label=line.label)
        axes.plot([low, high], [low, high], color="#5c6b78", linewidth=1, linestyle=":", label="equal error rates")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(list(norm.ppf(PERCENT_TICKS)), [f"{rate:.3g}" for rate in 100 * np.array(PERCENT_TICKS)])
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        _finish(axes, "false accept rate in %", "false reject rate in %", legend=True)
    return figure


def histogram(
    groups: Mapping[str, Values], x_label: str, *, lines: Mapping[str, float] | None = None, bins: int = 60
) -> Figure:
    """Densities of groups of values on common bins; `lines` are marked values of x, such as a threshold."""
    figure, axes = _figure()
    edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), bins)
    with mpl.rc_context(STYLE):
        for name, values in groups.items():
            axes.hist(values, edges.tolist(), density=len(values) > 0, alpha=0.55, label=f"{name} ({len(values)})")
        for name, x in (lines or {}).items():
            axes.axvline(x, color="#1d2730", linewidth=1.2, linestyle="--", label=f"{name} ({x:.3f})")
        _finish(axes, x_label, "density", legend=True)
    return figure


def boxes(groups: Mapping[str, Values], y_label: str, *, reference: float | None = None) -> Figure:
    """Box plots side by side: median, quartiles, whiskers at the 5th and 95th percentile; `reference` is a level."""
    figure, axes = _figure(max(6.4, 1.1 * len(groups)))
    with mpl.rc_context(STYLE):
        drawn = axes.boxplot(
            list(groups.values()), whis=(5, 95), showfliers=False, patch_artist=True, widths=0.55,
            medianprops={"color": "#1d2730", "linewidth": 2}, whiskerprops={"color": "#5c6b78"},
            capprops={"color": "#5c6b78"}, boxprops={"linewidth": 0},
        )  # fmt: skip
        for index, box in enumerate(drawn["boxes"]):
            box.set(facecolor=COLORS[index % len(COLORS)], alpha=0.55)
        crowded = sum(map(len, groups)) > 60
        axes.set_xticks(range(1, len(groups) + 1), list(groups), rotation=30 if crowded else 0,
                        ha="right" if crowded else "center")  # fmt: skip
        if reference is not None:
            axes.axhline(reference, color="#1d2730", linewidth=1.2, linestyle="--")
        _finish(axes, "", y_label, legend=False)
        axes.grid(visible=False, axis="x")
    return figure


def grid(rows: Sequence[Sequence[ByteArray]], row_labels: Sequence[str], column_labels: Sequence[str]) -> Figure:
    """Pictures (H, W, 3) uint8 BGR in rows of equal length, with a label for each row and each column."""
    height, width = len(rows), len(rows[0])
    figure = _empty(1.6 * width + 1.2, 1.6 * height + 0.4)
    with mpl.rc_context(STYLE):
        all_axes = figure.subplots(height, width, squeeze=False)
        for y, row in enumerate(rows):
            for x, image in enumerate(row):
                axes: Axes = all_axes[y, x]
                axes.imshow(image[..., ::-1])
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        for axes, label in zip(all_axes[0], column_labels, strict=True):
            axes.set_title(label, fontsize=10)
        for axes, label in zip(all_axes[:, 0], row_labels, strict=True):
            axes.set_ylabel(label, fontsize=10)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file; the same data give the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _empty(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _figure(width: float = 6.4, height: float = 4.6) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = _empty(width, height)
        return figure, figure.subplots()


def _finish(axes: Axes, x_label: str, y_label: str, *, legend: bool) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if legend:
        _legend(axes, "best")


def _legend(axes: Axes, place: Literal["best", "lower right"]) -> None:
    if len(axes.get_lines()) + len(axes.patches) > 1:
        axes.legend(loc=place, fontsize=10, frameon=False)
