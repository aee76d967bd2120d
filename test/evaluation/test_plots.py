"""Diagrams: what is drawn where, and that the same data give the same picture."""

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import norm

from face_recognition_ros.evaluation import plots

RATES = np.array([0.0, 0.01, 0.1, 1.0])


def decoded(figure: Figure) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(plots.png(figure), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_roc_keeps_the_point_of_no_false_accept_on_its_logarithmic_axis() -> None:
    figure = plots.roc([plots.Curve("ours", RATES, np.array([0.4, 0.6, 0.9, 1.0]))])
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    assert axes.get_xscale() == "log"
    assert line.get_xydata()[0] == pytest.approx([0.005, 0.4])
    assert axes.get_xlim() == pytest.approx((0.005, 1.0))


def test_det_is_drawn_on_normal_deviates() -> None:
    figure = plots.det([plots.Curve("ours", RATES, np.array([1.0, 0.2, 0.1, 0.0]))])
    line, diagonal = figure.axes[0].get_lines()
    assert line.get_xydata() == pytest.approx(norm.ppf([[0.01, 0.2], [0.1, 0.1]])), "0 and 1 lie at infinity"
    x, y = diagonal.get_data()
    assert x == pytest.approx(y)


def test_curves_show_intervals_and_a_legend_for_several() -> None:
    y = np.array([0.1, 0.2, 0.4, 0.8])
    band = plots.Curve("a", RATES, y, y - 0.1, y + 0.1)
    one = plots.curves([band], "x", "y")
    two = plots.curves([band, plots.Curve("b", RATES, y)], "x", "y", markers=True, y_limits=(0, 1))
    assert len(one.axes[0].collections) == 1
    assert one.axes[0].get_legend() is None
    legend = two.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert two.axes[0].get_ylim() == (0, 1)


def test_histograms_share_their_bins_and_have_area_one() -> None:
    groups = {"genuine": np.linspace(0.4, 1.0, 50), "impostor": np.linspace(-0.2, 0.5, 500)}
    axes = plots.histogram(groups, "similarity", lines={"threshold": 0.45}, bins=10).axes[0]
    first, second = axes.containers
    for bars in (first, second):
        assert sum(bar.get_width() * bar.get_height() for bar in bars) == pytest.approx(1.0)
    assert [bar.get_x() for bar in first] == pytest.approx([bar.get_x() for bar in second])
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["genuine (50)", "impostor (500)", "threshold (0.450)"]


@pytest.mark.filterwarnings("error")
def test_a_histogram_of_nothing_is_empty() -> None:
    axes = plots.histogram({"genuine": np.array([]), "impostor": np.array([])}, "similarity").axes[0]
    assert [bar.get_height() for bars in axes.containers for bar in bars] == [0] * 120


def test_boxes_stand_at_their_medians() -> None:
    groups = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([5.0, 6.0, 9.0])}
    axes = plots.boxes(groups, "similarity", reference=4.0).axes[0]
    flat = {float(line.get_ydata()[0]) for line in axes.get_lines() if len(set(line.get_ydata())) == 1}
    assert {2.0, 6.0, 4.0} <= flat
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_grid_shows_bgr_pictures_in_their_colours() -> None:
    red, blue = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = blue[..., 0] = 255
    image = decoded(plots.grid([[red, blue]], ["faces"], ["bare", "masked"]))
    is_red, is_blue = ((image == color).all(axis=2) for color in ((0, 0, 255), (255, 0, 0)))
    assert is_red.sum() > 1000
    assert is_blue.sum() > 1000
    assert np.nonzero(is_red)[1].max() < np.nonzero(is_blue)[1].min()


def test_the_same_data_give_the_same_bytes() -> None:
    first, second = (plots.png(plots.histogram({"a": np.arange(9.0)}, "x")) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
