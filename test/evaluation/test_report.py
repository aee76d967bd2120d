"""The report's three forms: JSON, PNG files, and a page that needs nothing else."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.evaluation.report import Figure, Report, Section, Table, html, picture, write

PNG = b"\x89PNG not really"


def example() -> Report:
    table = Table(
        ("pair", "face"), (("a < b & c", picture(np.full((224, 112, 3), 90, np.uint8), "Ada/1.jpg")),), "Worst"
    )
    return Report(
        "Verification <1>",
        "two lines\nof summary",
        (Section("Curves", "First.\n\nSecond.", figures=(Figure("roc", PNG, "ROC"),)), Section("Errors", "", (table,))),
    )


def test_write_puts_everything_beside_the_numbers(tmp_path: Path) -> None:
    write(example(), {"auc": 0.5, "names": ["Zoë"]}, tmp_path / "lfw.json")
    assert json.loads((tmp_path / "lfw.json").read_text(encoding="utf-8")) == {"auc": 0.5, "names": ["Zoë"]}
    assert (tmp_path / "lfw_roc.png").read_bytes() == PNG
    page = (tmp_path / "lfw.html").read_text(encoding="utf-8")
    assert "all numbers: lfw.json" in page
    assert len(list(tmp_path.iterdir())) == 3


def test_the_page_holds_its_pictures_and_loads_nothing() -> None:
    page = html(example())
    sources = re.findall(r'src="([^"]*)"', page)
    assert [source.split(",")[0] for source in sources] == ["data:image/png;base64", "data:image/jpeg;base64"]
    assert base64.b64decode(sources[0].split(",")[1]) == PNG
    thumbnail = cv2.imdecode(np.frombuffer(base64.b64decode(sources[1].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert thumbnail is not None
    assert thumbnail.shape == (112, 56, 3), "made smaller, not distorted"
    assert not re.search(r"https?://|<script|<link", page)


def test_every_picture_has_words_for_who_cannot_see_it_and_no_heading_is_empty() -> None:
    faces = Table(("", ""), ((picture(np.full((9, 9, 3), 90, np.uint8), "Ada"), "b"),))
    page = html(example().and_section(Section("Faces", "", (faces,), (Figure("det", PNG),))))
    words = re.findall(r'<img src="[^"]*" alt="([^"]*)"', page)
    assert words == ["ROC", "Ada/1.jpg", "det", "Ada"]
    assert re.findall(r"<th[^>]*>(.*?)</th>", page) == ["pair", "face"]


class Nesting(HTMLParser):
    """Raises AssertionError where an element is closed that is not the innermost open one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_elements_are_nested() -> None:
    parser = Nesting()
    parser.feed(html(example()))
    assert parser.open == []


def test_text_is_text() -> None:
    page = html(example())
    assert "a &lt; b &amp; c" in page
    assert "<h1>Verification &lt;1&gt;</h1>" in page
    assert "<p>First.</p>" in page
    assert "<p>Second.</p>" in page
    assert 'href="#section-2">Errors' in page


def test_what_json_does_not_know_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(example(), {"auc": float("nan")}, tmp_path / "lfw.json")
    assert list(tmp_path.iterdir()) == []


def test_rows_must_fit_their_heading() -> None:
    with pytest.raises(ValueError, match="1 cells under 2"):
        Table(("a", "b"), (("1",),))


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b"])
def test_a_figures_name_must_be_fit_for_a_file(name: str) -> None:
    with pytest.raises(ValueError, match="names a file"):
        Figure(name, PNG)
