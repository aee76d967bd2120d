"""The summary page, and the timeline on it."""

import re
from pathlib import Path

import cv2
import numpy as np

from face_recognition_ros.replay.contact_sheets import write_sheets
from face_recognition_ros.replay.expectation import compare
from face_recognition_ros.replay.gathering import Gathering
from face_recognition_ros.replay.session import Counts
from face_recognition_ros.replay.summary import Facts, Learned, page
from face_recognition_ros.replay.timeline import MOST_ROWS, rows, timeline
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import IdentityStatus

from .faces import face, frame


def gathered() -> Gathering:
    gathering = Gathering()
    for number in range(40):
        faces = [face("<b>Anna & $co$</b>", similarity=0.7 + number / 200)] if number % 20 < 12 else []
        gathering.take(*frame(number / 5, *faces, face("stranger 1" if number > 20 else "", track_id=2)))
    gathering.take(*frame(9, face(status=IdentityStatus.AMBIGUOUS)))
    return gathering


def written(gathering: Gathering, tmp_path: Path, **values: object) -> str:
    facts = Facts("bag", "people.sqlite3", "net", "onnxruntime", Settings(min_face_size=60.0), 3, 1)
    given = {"counts": Counts(gathering.frames, 2), "problems": {"<i>broken</i>": 2}, "comparison": None} | values
    sheets = write_sheets(tmp_path / "people", gathering)
    return page(facts, gathering, Learned(4, 1), sheets=sheets, outputs=[tmp_path / "identities.jsonl"], **given)


def test_the_page_tells_who_was_there_and_with_what(tmp_path: Path) -> None:
    text = written(gathered(), tmp_path)
    for part in (
        "<b>41</b> frames", "<b>2</b> images skipped", "&lt;b&gt;Anna &amp; $co$&lt;/b&gt;", "24 frames in 2 visits",
        "stranger 1", "remembered stranger", "&lt;i&gt;broken&lt;/i&gt;", "min_face_size differs from the default",
        "4 templates, 1 stranger,", "people.sqlite3 (3 people, 1 remembered stranger)", "<td>net</td>",
    ):  # fmt: skip
        assert part in text, part
    assert "<b>Anna" not in text
    assert "people/_b_Anna%20_%20_co___b_.png" in text


def test_the_page_needs_no_other_file_and_is_the_same_every_time(tmp_path: Path) -> None:
    text = written(gathered(), tmp_path)
    assert text == written(gathered(), tmp_path)
    sources = re.findall(r'src="([^"]{0,20})', text)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"<link|<script|@import|https?:", text)
    for target in re.findall(r'href="([^"#]+)"', text):
        assert target == "identities.jsonl" or (tmp_path / target.replace("%20", " ")).is_file()


def test_the_page_says_what_differs_and_where_it_was_stopped(tmp_path: Path) -> None:
    record = {"stamp": {"sec": 1, "nanosec": 0}, "faces": []}
    differing = compare([record], [], 0.01)
    assert "the frame is missing" in written(gathered(), tmp_path, comparison=differing)
    assert "as expected: 1 frames" in written(gathered(), tmp_path, comparison=compare([record], [record], 0.01))
    assert "Stopped by Ctrl-C after 7 frames" in written(gathered(), tmp_path, counts=Counts(7, 0, True))


def test_a_replay_in_which_nobody_was_has_a_page_too(tmp_path: Path) -> None:
    gathering = Gathering()
    gathering.take(*frame(0.0))
    text = written(gathering, tmp_path)
    assert "<h2>When</h2>" not in text
    assert "<h2>Who</h2>" not in text
    assert "<b>0</b> people named" in written(Gathering(), tmp_path, counts=Counts(0, 0, True))


def test_the_page_does_not_say_that_somebody_was_named_where_nobody_was(tmp_path: Path) -> None:
    assert "The frame in which the most people were named" in written(gathered(), tmp_path)
    gathering = Gathering()
    gathering.take(*frame(0.0, face(status=IdentityStatus.TENTATIVE)))
    text = written(gathering, tmp_path)
    assert "Nobody was named." in text
    for part in ("<b>1</b> frame<", "<b>1</b> face<", "<b>0</b> people named", "<b>1</b> face not judged yet"):
        assert part in text, part
    gathering.take(*frame(0.5, face("Anna")))
    assert "<b>1</b> person named" in written(gathering, tmp_path)


def test_the_timeline_is_a_picture_that_shows_a_bar_for_each() -> None:
    content = timeline(gathered())
    assert content == timeline(gathered())
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    blue, vermilion = (0xB2, 0x72, 0x00), (0x00, 0x5E, 0xD5)  # BGR: the first person, the unknown
    for colour in (blue, vermilion):
        assert np.all(picture == colour, axis=2).sum() > 500


def test_of_many_people_those_who_stayed_longest_are_shown_as_they_came() -> None:
    gathering = Gathering()
    names = [f"person {number:02d}" for number in range(MOST_ROWS + 6)]
    for number, name in enumerate(names):
        for repetition in range(1 if number < 6 else 2):
            gathering.take(*frame(number + repetition / 10, face(name)))
    assert [one.name for one in rows(gathering)] == names[6:]
