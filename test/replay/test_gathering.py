"""Who was there when, and which looks at them are kept."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from face_recognition_ros.replay.contact_sheets import COLUMNS, TILE, Row, file_name, sheet, write_sheets
from face_recognition_ros.replay.gathering import TRACKS, Album, Gathering, Look
from face_recognition_ros.types import IdentityStatus

from .faces import face, frame


def look(seconds: float, quality: float = 0.5) -> Look:
    return Look(seconds, round(seconds * 1e9), 0.7, quality, np.zeros((112, 112, 3), np.uint8))


@given(st.lists(st.tuples(st.floats(-50, 5000), st.floats(0, 1)), min_size=1, max_size=200))
def test_an_album_has_few_looks_in_order_the_best_among_them(drawn: list[tuple[float, float]]) -> None:
    album = Album(8)
    for seconds, quality in drawn:
        album.add(look(seconds, quality))
    times = [one.seconds for one in album.looks]
    assert 1 <= len(times) <= 8
    assert times == sorted(times)
    assert album.best is not None
    assert album.best.quality == max(quality for _, quality in drawn)


def test_an_album_is_spread_over_a_long_time() -> None:
    album = Album(24)
    for tenth in range(36_000):
        album.add(look(tenth / 10, 0.5 + 0.4 * (tenth % 100 == 7)))
    times = np.array([one.seconds for one in album.looks])
    assert 12 <= len(times) <= 24
    assert np.diff(times).max() < 2 * 3600 / 12
    assert all(one.quality == 0.9 for one in album.looks)


def test_people_strangers_and_others_are_told_apart() -> None:
    gathering = Gathering()
    gathering.take(*frame(0.0, face("Anna"), face(track_id=2)))
    gathering.take(*frame(0.1, face("Anna"), face("stranger 1", track_id=2)))
    gathering.take(*frame(3.0, face(status=IdentityStatus.AMBIGUOUS, track_id=3), face("Anna")))
    gathering.take(*frame(3.5, face(status=IdentityStatus.TENTATIVE, track_id=4)))
    assert {one.name: (one.kind, len(one.seconds)) for one in gathering.people.values()} == {
        "Anna": ("known", 3),
        "stranger 1": ("remembered", 1),
    }
    assert gathering.statuses == {"known": 3, "unknown": 2, "ambiguous": 1, "tentative": 1}
    assert list(gathering.unknown_tracks) == [2]
    assert (gathering.frames, gathering.faces, gathering.duration) == (4, 7, 3.5)
    (anna, _) = gathering.people.values()
    assert anna.visits == [(0.0, pytest.approx(0.1)), (3.0, 3.0)]


def test_of_many_unknown_tracks_the_longest_are_kept() -> None:
    gathering = Gathering()
    for number in range(3):
        gathering.take(*frame(number, face(track_id=1)))
    for track in range(2, 2 * TRACKS):
        gathering.take(*frame(10 + track, face(track_id=track)))
    assert len(gathering.unknown_tracks) == TRACKS
    assert 1 in gathering.unknown_tracks


def test_the_best_frame_names_the_most() -> None:
    gathering = Gathering()
    gathering.take(*frame(0.0, size=(10, 10)))
    gathering.take(*frame(0.1, face("Anna"), face("Bert"), size=(20, 20)))
    gathering.take(*frame(0.2, face("Anna"), face("Bert"), face(), size=(30, 30)))
    gathering.take(*frame(0.3, face("Anna", similarity=0.9), size=(40, 40)))
    assert gathering.best_frame is not None
    assert gathering.best_frame.shape == (20, 20, 3)


def test_where_nobody_is_named_the_best_frame_has_the_most_faces_and_most_of_them_judged() -> None:
    gathering = Gathering()
    tentative = face(status=IdentityStatus.TENTATIVE)
    gathering.take(*frame(0.0, size=(10, 10)))
    gathering.take(*frame(0.1, tentative, tentative, tentative, size=(20, 20)))
    gathering.take(*frame(0.2, face(), tentative, face(), size=(30, 30)))
    gathering.take(*frame(0.3, face(), size=(40, 40)))
    assert gathering.best_frame is not None
    assert gathering.best_frame.shape == (30, 30, 3)


def test_each_person_has_a_sheet_and_the_unknown_share_one(tmp_path: Path) -> None:
    gathering = Gathering()
    gathering.take(
        *frame(0.0, face("Anna", identity_id="p-1"), face("a/nna", identity_id="p-2"), face("a?nna", identity_id="p-3"),
               face("unknown", identity_id="p-4"), face("../../up", identity_id="p-5"), face(track_id=9)),
    )  # fmt: skip
    written = write_sheets(tmp_path / "people", gathering)
    assert {key: path.name for key, path in written.items()} == {
        "p-1": "Anna.png", "p-2": "a_nna.png", "p-3": "a_nna p-3.png", "p-4": "unknown p-4.png", "p-5": "______up.png",
        "": "unknown.png",
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "people").iterdir()) == sorted(
        path.name for path in written.values()
    )
    for path in written.values():
        with Image.open(path) as picture:
            picture.load()


def test_a_sheet_shows_every_look_in_rows() -> None:
    one, many = sheet("Anna", [], [Row("", [look(0.0)])]), sheet("Anna", [], [Row("", [look(0.0)] * (COLUMNS + 1))])
    assert one.width == many.width
    assert many.height > one.height + TILE
    assert sheet("A name " * 40, ["$x^2$ and a line " * 40], []).width == one.width


@pytest.mark.parametrize(("name", "safe"), [("Zoë", "Zoë"), ("a/b\\c:d", "a_b_c_d"), (".", "_"), ("x" * 300, "x" * 80)])
def test_names_become_files(name: str, safe: str) -> None:
    assert file_name(name) == safe
