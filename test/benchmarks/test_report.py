"""Tables, plots, and the part of a document that holds them."""

from pathlib import Path
from typing import Any

import pytest
from comparison import report, targets
from comparison.results import load, update


def times(ms: float, found: float) -> dict[str, float]:
    return {"median_ms": ms, "p95_ms": 1.1 * ms, "mean_ms": ms, "min_ms": ms, "frames": 30, "faces_found": found}


@pytest.fixture
def results() -> dict[str, Any]:
    by_size = {"640x480": {"0": times(4, 0), "1": times(7, 1)}}
    slower = {"640x480": {"0": times(50, 0), "1": times(70, 0.5)}}
    seen = {
        "recall": {"20-40": 0.5, "40-60": None}, "faces": {"20-40": 2, "40-60": 0}, "recall_40_and_more": None,
        "false_alarms_per_frame": 0.25, "landmark_error_common": 0.031,
    }  # fmt: skip
    contenders = {
        name: {
            "title": title,
            "cost": {"640x480": {"no_face_ms": 4.0, "further_face_ms": None}},
            "peak_memory_mib": 99.6,
        }
        for name, title in {"ours": "ours, ONNX Runtime", "peer": "the peer"}.items()
    }
    about = {"cpu": "a CPU", "cores": 2, "python": "3.11", "date": "2026-01-01", "load_average_before": 0.0}
    row = {
        "mode": "video mode", "size": "640x480", "faces": 1, "faces_answered": 1.0, "published": 300, "answered": 299,
        "fewest_answered": 299, "latency_p50_ms": 9.0, "latency_p95_ms": 11.0, "processing_p50_ms": 7.0,
        "cpu_percent": 50.0, "memory_mib": 300.0,
        "peak_memory_mib": 310.0,
    }  # fmt: skip
    way = {"size": "640x480", "published": 300, "received": 300, "latency_p50_ms": 1.0, "latency_p95_ms": 2.0}
    return {
        "machine": about,
        "comparison": {
            "threads": 2, "templates": 10_000, "rounds": 30, "sizes": ["640x480"], "faces_from": "somewhere",
            "truth": "known",
        },
        "contenders": contenders,
        "not_measured": {"the absent": "no model files"},
        "whole_frame_ms": {"ours": by_size, "peer": slower},
        "whole_frame_ratio": {"peer": {"640x480": {"0": 0.08, "1": 0.1}}},
        "whole_frame_ratio_of": {},
        "video_ratio": {"ours_video": {"insightface_320": {"640x480": {"1": 0.5}}}},
        "video_ms": {"ours": {"640x480": {"1": times(2, 1) | seen}}},
        "accuracy": {"640x480": {"ours": seen, "peer": seen}},
        "node": {
            "machine": about, "model_id": "network", "rate_hz": 30.0, "seconds": 10.0, "rows": [row],
            "rest": {"cpu_percent": 1.0, "memory_mib": 250.0, "peak_memory_mib": 260.0}, "transport": [way],
        },
    }  # fmt: skip


def test_tables_say_it_all(results: dict[str, Any]) -> None:
    text = report.measured_part(results)
    for line in (
        "| ours, ONNX Runtime | 4.0 / 4.4 | 7.0 / 7.7 |",
        "| the peer | 50.0 / 55.0 | 70.0 / 77.0 (finds 0.5) |",
        "| the peer | 0.08 | 0.10 |",
        "| ours, ONNX Runtime | 2.0 / 2.2 | – | 3.1% |",
        "| the peer | 0.50 | – | – | 0.25 | 3.1% |",
        "| the peer | 4.0 | – | 100 MiB |",
        "- the absent: no model files",
        "| video mode | 640x480, 1 face | 1.0 | 9.0 / 11.0 ms | 2.0 ms | 1 of 300 | 50 % | 300, 310 MiB |",
    ):
        assert line in text.splitlines(), line


def test_a_document_keeps_what_people_wrote(tmp_path: Path, results: dict[str, Any]) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text(f"# Title\n\n{report.BEGIN}\nold numbers \\1\n{report.END}\n\nBy hand.\n", encoding="utf-8")
    report.write_docs(document, results)
    first = document.read_text(encoding="utf-8")
    report.write_docs(document, results)
    assert document.read_text(encoding="utf-8") == first
    assert first.startswith("# Title\n")
    assert first.endswith("By hand.\n")
    assert "old numbers" not in first
    for name in (report.TIME_PLOT, report.RECALL_PLOT):
        assert f"](images/{name})" in first
        assert (tmp_path / "images" / name).stat().st_size > 5_000


def test_a_document_without_the_marks_is_refused(tmp_path: Path, results: dict[str, Any]) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text("# Title\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="has no part between"):
        report.write_docs(document, results)


def test_the_projects_document_has_the_marks() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert text.index(report.BEGIN) < text.index(report.END)


def test_promises_that_are_not_kept_are_named(results: dict[str, Any]) -> None:
    assert list(targets.missed(results)) == [
        "video mode, 640x480, 1 face(s): 0.500 of insightface_320; at most 0.4 is promised."
    ]
    kept = {"facenet_pytorch_min40": {"640x480": {"1": 0.12, "4": 0.13}}}
    better = {"ours_openvino": {"facenet_pytorch_min40": {"640x480": {"4": 0.12}}}}
    results |= {"video_ratio": {}, "whole_frame_ratio": kept, "whole_frame_ratio_of": better}
    assert list(targets.missed(results)) == []
    results["whole_frame_ratio_of"] = {}
    results["accuracy"]["640x480"] = {
        "ours": {"recall_40_and_more": 0.9},
        "insightface_320": {"recall_40_and_more": 1.0},
    }
    results["node"]["rows"][0]["peak_memory_mib"] = 351.0
    results["node"]["rows"][0]["processing_p50_ms"] = 5.5
    assert [sentence.split()[0] for sentence in targets.missed(results)] == ["whole", "Recall", "The", "ROS"]


def test_results_are_replaced_by_part(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    assert load(path) == {}
    update(path, {"node": {"seconds": 1}, "machine": "old"})
    assert update(path, {"machine": "new"}) == {"node": {"seconds": 1}, "machine": "new"}
    assert load(path) == {"node": {"seconds": 1}, "machine": "new"}
