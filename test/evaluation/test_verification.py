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


def test_a_face_that_is_not_found_is_an_error_in_every_pair(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(PAIRS)
    vectors = {"Ada": np.array([1, 0], np.float32), "Bea": np.array([0, 1], np.float32)}
    seen = evaluate(read_pairs(file), lambda name: vectors[name[:3]])
    assert (seen["accuracy"], seen["auc"], seen["failed_detections"]) == (1.0, 1.0, [])

    blind = evaluate(read_pairs(file), lambda name: None if name == "Ada/Ada_0002.jpg" else vectors[name[:3]])
    assert blind["failed_detections"] == ["Ada/Ada_0002.jpg"]
    assert blind["accuracy"] == 0.5
    assert blind["auc"] == 0.25
