"""The learning protocol: its plan, its stream, its numbers, and the whole of it on two portraits."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.cli import main
from face_recognition_ros.demo.cast import standard_cast
from face_recognition_ros.errors import SettingsError
from face_recognition_ros.evaluation import learning, learning_report
from face_recognition_ros.evaluation.faces import central_view
from face_recognition_ros.evaluation.identification import Round, Video, read_videos
from face_recognition_ros.evaluation.identification_numbers import Search, Sighting, VideoResult
from face_recognition_ros.evaluation.learning import BLIND, SEEING, Outcome, Passer, Stream
from face_recognition_ros.evaluation.learning_stream import CANVAS, PASSES, Learned, Stage, Watcher
from face_recognition_ros.evaluation.report import Picture
from face_recognition_ros.pictures import read_picture
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray

from .conftest import varied

FRAMES = 3


@pytest.fixture(scope="module")
def three_videos(tmp_path_factory: pytest.TempPathFactory, portraits: dict[str, ByteArray], assembly: Assembly) -> Path:
    """NAME/SET_NAME_VF.jpg: three videos of three frames of each of two people whom the network does not confuse."""
    folder = tmp_path_factory.mktemp("three")
    stranger = read_picture(standard_cast()[-1].pictures.paths[0])
    (face,) = assembly.recognizer.view(stranger)
    left, top = (int(centre) - 128 for centre in (face.detection.box[:2] + face.detection.box[2:]) / 2)
    people = {"A_Stranger": stranger[max(top, 0) :, max(left, 0) :][:256, :256]}
    people["Grace_Hopper"] = portraits["Grace_Hopper"]
    for name, picture in people.items():
        (folder / name).mkdir()
        for video in range(3):
            for frame in range(FRAMES):
                cv2.imwrite(str(folder / name / f"test_{name}_{video}{frame}.jpg"), varied(picture, frame + video))
    return folder


def test_every_video_has_its_task(three_videos: Path, assembly: Assembly) -> None:
    part = Round(("Grace Hopper",), ("A Stranger",))
    plan, failures = learning.prepare(assembly, read_videos(three_videos), part, seed=0)
    assembly.store.forget("Grace Hopper")
    assert failures == {}
    assert [(video.person, video.number, known) for video, known in sorted(plan.probes, key=lambda one: one[1])] == [
        ("A Stranger", "2", False),
        ("Grace Hopper", "2", True),
    ]
    tracks = sorted([[(video.person, video.number) for video in track] for track in plan.tracks], key=len)
    assert [len(track) for track in tracks] == [1, 1, 2]
    assert tracks[2][0] == ("Grace Hopper", "1"), "her first video was enrolled from, her last one is a probe"
    assert tracks[2][1][0] == "A Stranger", "who takes over her track"
    assert {track[0] for track in tracks[:2]} == {("A Stranger", "0"), ("A Stranger", "1")}
    assert len(plan.passers) == 5


def test_intruders_are_strangers_and_others_by_turns() -> None:
    known = [Video("Ada", "1", ()), Video("Ada", "2", ()), Video("Bea", "1", ())]
    strangers = [Video("Sam", "1", ())]
    found = [learning._intruder(video, i, known, strangers) for i, video in enumerate(known)]
    assert [one[0].person for one in found] == ["Sam", "Bea", "Sam"]
    assert learning._intruder(known[0], 1, known[:2], strangers)[0].person == "Sam", "nobody is her own intruder"
    assert learning._intruder(known[0], 0, known, []) == ()


def test_every_face_stands_in_one_place(three_videos: Path, assembly: Assembly) -> None:
    stage = Stage(assembly.recognizer)
    boxes = []
    for name in ("A_Stranger", "Grace_Hopper"):
        for play in range(PASSES):
            picture = stage.place(three_videos / name / f"test_{name}_00.jpg", play)
            assert picture.shape == (CANVAS, CANVAS, 3)
            subject = central_view(assembly.recognizer.view(picture), picture)
            assert subject is not None
            boxes.append(subject.detection.box)
    centres = (np.array(boxes)[:, :2] + np.array(boxes)[:, 2:]) / 2
    assert np.abs(centres - CANVAS / 2).max() < 15


def test_a_frame_without_a_face_is_shown_all_the_same(tmp_path: Path, assembly: Assembly) -> None:
    path = tmp_path / "grey.jpg"
    cv2.imwrite(str(path), np.full((60, 90, 3), 90, np.uint8))
    stage = Stage(assembly.recognizer)
    assert stage.place(path, 0).shape == (CANVAS, CANVAS, 3)
    watcher = Watcher(assembly, stage, assembly.recognizer)
    watcher.begin()
    assert watcher.show(Video("Ada", "1", (path,))) == []


FOLDER = Path("videos")


def probe(person: str, known: bool, named: str, similarity: float) -> VideoResult:
    search = Search("Ada", similarity)
    sighting = Sighting(FOLDER / person / "1.jpg", search, (named,) if named else ())
    return VideoResult(person, "1", known, (sighting,), search)


def outcome(folder: Path = FOLDER) -> Outcome:
    """Ada is found after the stream only, with a look at Sam among hers where the tracker is blind."""
    before = (probe("Ada", True, "", 0.5), probe("Sam", False, "", 0.2))
    after = (probe("Ada", True, "Ada", 0.8), probe("Sam", False, "", 0.3))
    frame = folder / "Sam" / "test_Sam_00.jpg"
    return Outcome(
        before,
        {
            SEEING: Stream((Learned("Ada", "Ada", frame),), 4, 0, after),
            BLIND: Stream((Learned("Ada", "Ada", frame), Learned("Ada", "Sam", frame)), 4, 4, after),
        },
        (Passer("Ada", True, 2, 1, 1, 0), Passer("Sam", False, 3, 3, 1, 0), Passer("Tim", False, 3, 2, 2, 1)),
    )


def test_numbers() -> None:
    numbers = learning_report.measure([outcome(), outcome()], {"Eve": "no picture of a good face"}, FOLDER)
    assert numbers["before"]["known_recall"] == 0
    assert numbers["after"][SEEING]["known_recall"] == numbers["after"][BLIND]["known_recall"] == 1
    assert (numbers["after"][SEEING]["learned"], numbers["after"][SEEING]["of_somebody_else"]) == (2, [])
    assert (numbers["after"][BLIND]["learned"], numbers["after"][BLIND]["learned_people"]) == (4, 1)
    assert numbers["after"][BLIND]["of_somebody_else"] == [
        {"filed_under": "Ada", "person": "Sam", "frame": "Sam/test_Sam_00.jpg"}
    ] * 2  # fmt: skip
    assert (numbers["after"][BLIND]["swaps"], numbers["after"][BLIND]["swaps_on_one_track"]) == (8, 8)
    assert numbers["after"][SEEING]["swaps_on_one_track"] == 0
    strangers = numbers["passers_by"]["strangers"]
    assert strangers["ids_per_person"] == {"1": 2, "2": 2}
    assert (strangers["visits"], strangers["visits_with_an_id"], strangers["visits_with_anothers_id"]) == (12, 10, 2)
    assert numbers["passers_by"]["enrolled"]["ids_per_person"] == {"1": 2}
    assert json.loads(json.dumps(numbers, allow_nan=False)).keys() == numbers.keys()
    assert "8 swaps, 8 of them on one track" in learning_report.summary(numbers)


def test_a_wrongly_learned_look_is_shown(tmp_path: Path) -> None:
    (tmp_path / "Sam").mkdir()
    cv2.imwrite(str(tmp_path / "Sam" / "test_Sam_00.jpg"), np.full((60, 60, 3), 90, np.uint8))
    numbers = learning_report.measure([outcome(tmp_path)], {}, tmp_path)
    report = learning_report.build(numbers, [outcome(tmp_path)], tmp_path)
    assert [section.title for section in report.sections] == [
        "Before and after", "What was learned", "Strangers who are remembered", "Failures",
    ]  # fmt: skip
    (_, wrong) = report.sections[1].tables
    ((filed_under, shows, frame),) = wrong.rows
    assert (filed_under, shows) == ("Ada", "Sam")
    assert isinstance(frame, Picture)
    assert report.sections[2].tables[0].rows[1] == ("people with 1 ids", "1", "1")


def test_the_whole_pipeline_on_two_people(three_videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Round(("Grace Hopper",), ("A Stranger",))
    monkeypatch.setattr(learning, "rounds", lambda people, seed: (part,))
    numbers, report = learning_report.evaluate_folder(Settings(), three_videos)
    assert numbers["failed_enrollments"] == {}
    for stage in (numbers["before"], *numbers["after"].values()):
        assert (stage["wrong_person_rate"], stage["strangers_named"], stage["known_recall"]) == (0, 0, 1)
    for tracker, unnoticed in ((SEEING, 0), (BLIND, 1)):
        after = numbers["after"][tracker]
        assert (after["swaps"], after["swaps_on_one_track"], after["of_somebody_else"]) == (1, unnoticed, [])
    for kind, visits in (("strangers", 3), ("enrolled", 2)):
        passers = numbers["passers_by"][kind]
        assert (passers["people"], passers["visits"], passers["visits_with_anothers_id"]) == (1, visits, 0)
    assert [figure.name for section in report.sections for figure in section.figures] == ["scores"]


def test_who_passes_by_twice_is_one_stranger(three_videos: Path) -> None:
    visits = [(video, False) for video in read_videos(three_videos)["A Stranger"][:2]]
    with assemble(Settings(remember_unknown=True)) as assembly:
        plan = learning.Plan((), (), tuple(visits))
        (passer,) = learning.pass_by(assembly, Stage(assembly.recognizer), assembly.recognizer, plan, "")
    assert passer == Passer("A Stranger", False, 2, 2, 1, 0)


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "learning", "--videos", "/nowhere"]) == 1
    assert "there is no folder /nowhere" in capsys.readouterr().err


def test_crops_are_refused(three_videos: Path) -> None:
    with pytest.raises(SettingsError, match=r"moves faces within frames.*not detector=aligned"):
        learning.run(Settings(detector="aligned"), three_videos)
