"""What the node says of itself: counts, rates, latencies, and the sentence that sums them up."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from face_recognition_ros.gallery.sealing import AesGcmSeal
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.node.diagnostics import (
    WINDOW,
    Facts,
    NodeReport,
    StreamStatistics,
    diagnostics_status,
    fallback,
    judge,
)
from face_recognition_ros.runtime import BackendChoice
from face_recognition_ros.settings import Settings

ACTIVE = NodeReport("active", topic="/image", publishers=1)


def steady_stream(images: int = 100, period: float = 0.05) -> StreamStatistics:
    """So many images, each answered after 1, 2, ... ms."""
    statistics = StreamStatistics(0.0)
    for i in range(1, images + 1):
        statistics.image_arrived(i * period)
        statistics.image_answered(i * period, {"detection": i * 1e-3})
    return statistics


def test_rates_and_percentiles() -> None:
    measured = steady_stream().measure(5.0)
    assert measured.input_rate == pytest.approx(20.0)
    assert measured.output_rate == pytest.approx(20.0)
    assert measured.latencies["detection"] == pytest.approx((0.0505, 0.09505))
    assert (measured.received, measured.answered, measured.dropped) == (100, 100, 0)


def test_what_is_older_than_the_window_counts_no_more() -> None:
    measured = steady_stream().measure(5.0 + WINDOW + 0.1)
    assert (measured.input_rate, measured.output_rate, measured.latencies) == (0.0, 0.0, {})
    assert measured.answered == 100


def test_each_problem_is_counted_with_its_last_reason() -> None:
    statistics = StreamStatistics(0.0)
    statistics.image_dropped()
    statistics.image_malformed(1.0, "too short")
    statistics.image_malformed(1.0, "too long")
    statistics.image_failed(1.0, "out of memory")
    measured = statistics.measure(1.0)
    assert (measured.dropped, measured.malformed, measured.failed) == (1, 2, 1)
    assert (measured.last_malformed, measured.last_failure) == ("too long", "out of memory")


@pytest.mark.parametrize("state", ["unconfigured", "inactive", "finalized"])
def test_a_node_that_is_not_active_says_so(state: str) -> None:
    assert judge(NodeReport(state), None) == (DiagnosticStatus.OK, f"The node is {state}: it looks at no image.")


def test_the_most_serious_comes_first() -> None:
    statistics = steady_stream()
    fine = statistics.measure(5.0)
    assert judge(ACTIVE, fine) == (DiagnosticStatus.OK, "Recognising faces in 20.0 images per second.")
    fallback = NodeReport("active", warning="Fell back.")
    assert judge(fallback, fine) == (DiagnosticStatus.WARN, "Fell back.")
    statistics.image_malformed(5.0, "It is too short.")
    assert judge(fallback, statistics.measure(5.0)) == (DiagnosticStatus.WARN, "Images are refused: It is too short.")
    statistics.image_failed(5.0, "KeyError")
    level, sentence = judge(fallback, statistics.measure(5.0))
    assert (level, sentence) == (DiagnosticStatus.ERROR, "Images could not be processed: KeyError")
    broken = NodeReport("unconfigured", complaint="There is no model.")
    assert judge(broken, None) == (DiagnosticStatus.ERROR, "There is no model.")


def test_silence_is_a_warning_that_says_whether_anybody_publishes() -> None:
    silent = StreamStatistics(0.0).measure(2.5)
    level, sentence = judge(NodeReport("active", topic="/image", publishers=0), silent)
    assert (level, sentence) == (DiagnosticStatus.WARN, "No image has arrived on /image for 2 s; nobody publishes it.")
    assert "it has 1 publisher(s)" in judge(ACTIVE, silent)[1]
    assert judge(ACTIVE, StreamStatistics(0.0).measure(1.5))[0] == DiagnosticStatus.OK


def template(axis: int) -> Template:
    return Template(np.eye(8, dtype=np.float32)[axis], 0.9)


def facts_of(store: GalleryStore, settings: Settings, backend: BackendChoice | None = None) -> Facts:
    embedder = SimpleNamespace(backend="ONNX Runtime")
    backend = backend or BackendChoice("auto", "onnxruntime", "there is no GPU")
    recognizer = SimpleNamespace(detector_backend=BackendChoice("auto", "tensorrt", "the first"))
    assembly: Any = SimpleNamespace(
        store=store, settings=settings, recognizer=recognizer, backend=backend, embedder=embedder, model_id="net"
    )
    return Facts(assembly)


@pytest.mark.parametrize(
    ("embedder", "detector", "warning"),
    [
        (("tensorrt", "tensorrt"), ("tensorrt", "tensorrt"), ""),
        (("tensorrt", "onnxruntime"), ("tensorrt", "tensorrt"), "Not the backend tensorrt but onnxruntime serves: w"),
        (("tensorrt", "tensorrt"), ("tensorrt", "onnxruntime"), "Not the backend tensorrt but onnxruntime serves: w"),
        (("auto", "onnxruntime"), ("auto", "onnxruntime"), ""),
        (("onnxruntime", "onnxruntime"), ("onnxruntime", "OpenCV 5"), ""),
    ],
)
def test_another_backend_than_the_one_asked_for_is_a_warning(
    embedder: tuple[str, str], detector: tuple[str, str], warning: str
) -> None:
    recognizer = SimpleNamespace(detector_backend=BackendChoice(*detector, "w"))
    assembly: Any = SimpleNamespace(backend=BackendChoice(*embedder, "w"), recognizer=recognizer)
    assert fallback(assembly) == warning


def test_the_gallery_is_counted_by_kind() -> None:
    now = 1000.0
    with GalleryStore.open(None, "net", 8, clock=lambda: now) as store:
        facts = facts_of(store, Settings(gallery_key="key"))
        empty = facts.read()
        assert (empty["backend"], empty["detector backend"], empty["model"]) == ("onnxruntime", "tensorrt", "net")
        assert (empty["gallery"], empty["gallery encryption"]) == ("in memory", "none"), "nothing is stored"
        assert (empty["gallery people"], empty["gallery next expiry"]) == ("0", "never")
        anna = store.enroll("Anna", [template(0), template(1)])
        store.observe(anna.identity_id, [template(2)])
        store.remember([template(3)], expires=7200.0)
        full = facts.read()
        assert full["gallery revision"] == str(store.revision)
    assert (full["gallery people"], full["gallery remembered strangers"]) == ("1", "1")
    assert (full["gallery enrolled templates"], full["gallery observed templates"]) == ("3", "1")
    assert full["gallery next expiry"] == "1970-01-01T02:00:00+00:00"
    closed = facts.read()
    assert "could not be read" in closed["gallery error"]
    assert "gallery people" not in closed


def test_the_backend_is_the_one_that_serves_now() -> None:
    backend = BackendChoice("auto", "onnxruntime", "tensorrt: its engine is being built")
    with GalleryStore.open(None, "net", 8) as store:
        facts = facts_of(store, Settings(), backend)
        assert facts.read()["backend"] == "onnxruntime"
        backend.change("tensorrt", "took over")
        values = facts.read()
    assert (values["backend"], values["backend reason"], values["backend asked for"]) == (
        "tensorrt",
        "took over",
        "auto",
    )


def test_the_gallery_is_said_to_be_encrypted_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "gallery"
    with GalleryStore.open(path, "net", 8, AesGcmSeal(bytes(32))) as store:
        encrypted = facts_of(store, Settings(gallery=str(path), gallery_key="/etc/key")).read()
    assert (encrypted["gallery"], encrypted["gallery encryption"]) == (str(path), "AES-256-GCM, key in /etc/key")


def test_the_message_carries_all_values() -> None:
    report = NodeReport("active", "/image", 1, facts={"backend": "onnxruntime", "gallery revision": "3"})
    status = diagnostics_status("robot/faces", "robot", report, steady_stream().measure(5.0))
    values = {entry.key: entry.value for entry in status.values}
    assert (status.name, status.hardware_id, status.level) == ("robot/faces", "robot", DiagnosticStatus.OK)
    assert (values["backend"], values["gallery revision"], values["state"]) == ("onnxruntime", "3", "active")
    assert values["input rate (Hz)"] == "20.00"
    assert values["detection p50 (ms)"] == "50.50"


def test_falling_behind_is_told_once() -> None:
    statistics = StreamStatistics(0.0)
    assert not statistics.fell_behind()
    statistics.image_dropped()
    statistics.image_dropped()
    assert statistics.fell_behind()
    assert not statistics.fell_behind()
