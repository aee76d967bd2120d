"""The pairs protocol: its file, its errors, what a face that is not found costs, and its report."""

import json
from pathlib import Path

import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation.faces import OURS, REFERENCE, FaceFinder
from face_recognition_ros.evaluation.report import Picture, html
from face_recognition_ros.evaluation.verification import Pair, compare, evaluate, measure, read_pairs, summary
from face_recognition_ros.evaluation.verification_report import build, evaluate_folder
from face_recognition_ros.types import ByteArray, FloatArray

PAIRS = "2\t1\nAda\t1\t2\nAda\t1\tBea\t3\nBea\t1\t3\nBea\t1\tAda\t2\n"


def test_read_pairs(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(PAIRS)
    pairs = read_pairs(file)
    assert pairs == [
        Pair("Ada/Ada_0001.jpg", "Ada/Ada_0002.jpg", True, 0),
        Pair("Ada/Ada_0001.jpg", "Bea/Bea_0003.jpg", False, 0),
        Pair("Bea/Bea_0001.jpg", "Bea/Bea_0003.jpg", True, 1),
        Pair("Bea/Bea_0001.jpg", "Ada/Ada_0002.jpg", False, 1),
    ]
    assert [pair.people for pair in pairs[:2]] == [("Ada", "Ada"), ("Ada", "Bea")]


@pytest.mark.parametrize("line", ["Ada", "Ada\t1\ttwo", "Ada\t1\tBea", "Ada\t1\tBea\tthree"])
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(f"2\t1\n{line}\n")
    with pytest.raises(ImageError, match="line 2"):
        read_pairs(file)


@pytest.mark.parametrize("header", ["", "many", "5"])
def test_a_wrong_header_is_named(tmp_path: Path, header: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(f"{header}\nAda\t1\t2\n")
    with pytest.raises(ImageError, match="line 1"):
        read_pairs(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [("2\t2\nAda\t1\t2\nAda\t1\tBea\t3\n", "two folds"), ("2\t1\nAda\t1\t2\nAda\t1\t2\nAda\t1\t3\n", "one kind")],
)
def test_pairs_that_cannot_be_judged_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(text)
    with pytest.raises(ImageError, match=message):
        read_pairs(file)


def test_a_face_that_is_not_found_is_missed_but_no_false_accept() -> None:
    vectors = {"Ada": np.array([1, 0], np.float32), "Bea": np.array([0, 1], np.float32)}
    pairs = [
        Pair(f"{first}/{number}", f"{second}/{number + step}", first == second, fold)
        for fold, number in enumerate((1, 3))
        for first, second, step in (("Ada", "Ada", 1), ("Bea", "Bea", 1), ("Ada", "Bea", 0))
    ]
    pairs += [Pair("Ada/2", "Bea/2", False, 0), Pair("Ada/4", "Bea/4", False, 1)]
    embeddings: dict[str, FloatArray | None] = {
        name: vectors[name[:3]] for pair in pairs for name in (pair.first, pair.second)
    }
    seen = measure(compare(pairs, embeddings))
    assert (seen["accuracy"], seen["f1"], seen["precision"], seen["recall"], seen["auc"]) == (1, 1, 1, 1, 1)
    assert seen["f1_threshold"] == pytest.approx(0.5)
    assert seen["tar_at_far"] == {"0.01": None, "0.001": None, "0.0001": None}, "four impostor pairs cannot tell"

    blind = measure(compare(pairs, embeddings | {"Ada/2": None}))
    assert blind["accuracy"] == pytest.approx(6 / 8), "both of its pairs count as judged wrongly"
    assert blind["fold_accuracies"] == pytest.approx([0.5, 1.0])
    assert (blind["precision"], blind["recall"]) == pytest.approx((3 / 4, 3 / 4))
    assert blind["f1"] == pytest.approx(2 * 3 / (2 * 3 + 2))
    assert blind["auc"] == pytest.approx((3 * 4 + 0.5) / 16)


def test_rates_are_measured_where_there_are_enough_impostor_pairs() -> None:
    # 200 impostor pairs at 0; two genuine pairs out of ten are no more similar than that.
    pairs = [Pair(f"p{i}/1", f"p{i}/2", True, i % 2) for i in range(10)]
    pairs += [Pair(f"p{i % 10}/1", f"q{i}/1", False, i % 2) for i in range(200)]
    same, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    embeddings: dict[str, FloatArray | None] = {name: same for i in range(10) for name in (f"p{i}/1", f"p{i}/2")}
    embeddings |= {f"q{i}/1": other for i in range(200)} | {"p3/2": other, "p4/2": other}
    numbers = measure(compare(pairs, embeddings))
    assert numbers["tar_at_far"] == {"0.01": pytest.approx(0.8), "0.001": None, "0.0001": None}
    interval = numbers["tar_at_far_intervals"]["0.01"]
    assert interval["bootstrap"][0] < 0.8 < interval["bootstrap"][1]
    assert (interval["impostors"], interval["false_accepts"]) == (200, 0)


class Halves:
    """A network that knows the mean colours of a crop's two halves."""

    def embed(self, crops: ByteArray) -> FloatArray:
        vectors = crops.reshape(len(crops), 2, -1, 3).mean(axis=2).reshape(len(crops), 6) - 100
        unit: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit


def test_two_networks_are_judged_on_the_same_faces(pairs_folder: Path, assembly: Assembly) -> None:
    pairs = read_pairs(pairs_folder / "pairs.txt")
    blank = "Grace_Hopper/Grace_Hopper_0005.jpg"
    pairs += [Pair("Grace_Hopper/Grace_Hopper_0001.jpg", blank, True, 1)]
    finder = FaceFinder(assembly.recognizer, pairs_folder / "images", Halves())
    numbers, comparisons = evaluate(pairs, finder)
    assert numbers["failed_detections"] == [blank]
    assert numbers["accuracy"] == pytest.approx((1 + 4 / 5) / 2)
    assert list(comparisons) == [OURS, REFERENCE]
    assert comparisons[OURS].missed.tolist() == comparisons[REFERENCE].missed.tolist() == [False] * 8 + [True]
    assert numbers["reference_network"].keys() < numbers.keys()
    assert not np.allclose(comparisons[OURS].similarities[:8], comparisons[REFERENCE].similarities[:8])
    assert "the reference network: accuracy" in summary(numbers)

    report = build(numbers, pairs, comparisons, finder)
    *_, unseen = report.sections[-1].tables
    ((name, shown),) = unseen.rows
    assert name == blank
    assert isinstance(shown, Picture)
    assert html(report).count("<img") >= 4, "three curves and the picture without a face"


def test_the_report_shows_the_pairs_that_were_judged_wrongly(pairs_folder: Path, assembly: Assembly) -> None:
    pairs = read_pairs(pairs_folder / "pairs.txt")
    finder = FaceFinder(assembly.recognizer, pairs_folder / "images")
    numbers, comparisons = evaluate(pairs, finder)
    accepts, rejects = build(numbers, pairs, comparisons, finder).sections[-1].tables
    assert (accepts.rows, rejects.rows) == ((), ())
    accepts, rejects = build(numbers | {"f1_threshold": -1.0}, pairs, comparisons, finder).sections[-1].tables
    similarities = [float(str(row[0])) for row in accepts.rows]
    assert len(similarities) == 4
    assert similarities == sorted(similarities, reverse=True), "the worst first"
    assert not rejects.rows


def test_the_whole_protocol_gives_numbers_that_json_knows(pairs_folder: Path, assembly: Assembly) -> None:
    numbers, report = evaluate_folder(assembly.recognizer, pairs_folder / "images", pairs_folder / "pairs.txt")
    assert json.loads(json.dumps(numbers, allow_nan=False))["accuracy"] == 1.0
    assert (numbers["pairs"], numbers["genuine_pairs"], numbers["impostor_pairs"]) == (8, 4, 4)
    assert [section.title for section in report.sections] == ["Numbers", "Curves", "Errors"]
