"""The pairs protocol: its file, its errors, and what a face that is not found costs."""

from pathlib import Path

import numpy as np
import pytest

from face_recognition_ros.errors import ImageError
from face_recognition_ros.evaluation.verification import Pair, evaluate, read_pairs

PAIRS = "2\t1\nAda\t1\t2\nAda\t1\tBea\t3\nBea\t1\t3\nBea\t1\tAda\t2\n"


def test_read_pairs(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(PAIRS)
    assert read_pairs(file) == [
        Pair("Ada/Ada_0001.jpg", "Ada/Ada_0002.jpg", True, 0),
        Pair("Ada/Ada_0001.jpg", "Bea/Bea_0003.jpg", False, 0),
        Pair("Bea/Bea_0001.jpg", "Bea/Bea_0003.jpg", True, 1),
        Pair("Bea/Bea_0001.jpg", "Ada/Ada_0002.jpg", False, 1),
    ]


def test_a_line_that_is_no_pair_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text("1\t1\nAda\n")
    with pytest.raises(ImageError, match="line 2"):
        read_pairs(file)


@pytest.mark.parametrize("header", ["", "many", "5"])
def test_a_wrong_header_is_named(tmp_path: Path, header: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(f"{header}\nAda\t1\t2\n")
    with pytest.raises(ImageError, match="line 1"):
        read_pairs(file)


def test_a_face_that_is_not_found_is_missed_but_no_false_accept() -> None:
    vectors = {"Ada": np.array([1, 0], np.float32), "Bea": np.array([0, 1], np.float32)}
    pairs = [
        Pair(f"{first} {number}", f"{second} {number + step}", first == second, fold)
        for fold, number in enumerate((1, 3))
        for first, second, step in (("Ada", "Ada", 1), ("Bea", "Bea", 1), ("Ada", "Bea", 0))
    ]
    pairs += [Pair("Ada 2", "Bea 2", False, 0), Pair("Ada 4", "Bea 4", False, 1)]
    seen = evaluate(pairs, lambda name: vectors[name[:3]])
    assert (seen["accuracy"], seen["f1"], seen["auc"], seen["failed_detections"]) == (1.0, 1.0, 1.0, [])

    blind = evaluate(pairs, lambda name: None if name == "Ada 2" else vectors[name[:3]])
    assert blind["failed_detections"] == ["Ada 2"]
    assert blind["accuracy"] == pytest.approx(6 / 8), "both of its pairs count as judged wrongly"
    assert blind["f1"] == pytest.approx(2 * 3 / (2 * 3 + 2))
    assert blind["auc"] == pytest.approx((3 * 4 + 0.5) / 16)
    assert blind["tar_at_far"]["0.001"] == pytest.approx(3 / 4)
