"""What the node measures of itself, and the diagnostics message made of it."""

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.runtime import BACKENDS
from face_recognition_ros.types import Identity

WINDOW = 10.0
"""Seconds over which rates and latencies are taken."""

SILENCE = 2.0
"""Seconds without an image after which the node warns."""


COUNTS = ("received", "answered", "dropped", "malformed", "failed", "restarts")
"""What is counted since activation."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What the statistics hold at one moment."""

    input_rate: float
    """Images that arrived, per second over the window."""
    output_rate: float
    """Images that were answered, per second over the window."""
    received: int
    answered: int
    dropped: int
    malformed: int
    failed: int
    """Since activation: images that arrived, were answered, were replaced by newer ones, were refused, met an error."""
    restarts: int
    """How often the networks were loaded anew since, after a failure."""
    recently_malformed: int
    recently_failed: int
    """Within the window."""
    last_malformed: str
    last_failure: str
    silence: float
    """Seconds since the last image, or since activation."""
    latencies: Mapping[str, tuple[float, float]]
    """p50 and p95 in seconds over the window: of each stage, of the whole ("processing"), and from stamp to answer."""


@dataclass(slots=True)
class _Window:
    """Moments and values of the last WINDOW seconds."""

    entries: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, now: float, value: float = 0.0) -> None:
        self.entries.append((now, value))
        self.trim(now)

    def trim(self, now: float) -> None:
        while self.entries and self.entries[0][0] < now - WINDOW:
            self.entries.popleft()


class StreamStatistics:
    """Counts and times the images of one activation; any thread may use it. All moments are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._started = now
        self._last_image = now
        self._counts: Counter[str] = Counter()
        self._arrivals, self._answers, self._malformed, self._failed = _Window(), _Window(), _Window(), _Window()
        self._latencies: dict[str, _Window] = {}
        self._last_malformed = self._last_failure = ""
        self._noticed_drops = 0

    def image_arrived(self, now: float) -> None:
        with self._lock:
            self._counts["received"] += 1
            self._last_image = now
            self._arrivals.add(now)

    def image_dropped(self) -> None:
        with self._lock:
            self._counts["dropped"] += 1

    def fell_behind(self) -> bool:
        """Whether images were dropped since this was asked last."""
        with self._lock:
            noticed, self._noticed_drops = self._noticed_drops, self._counts["dropped"]
            return self._noticed_drops > noticed

    def image_malformed(self, now: float, reason: str) -> None:
        with self._lock:
            self._counts["malformed"] += 1
            self._last_malformed = reason
            self._malformed.add(now)

    def image_failed(self, now: float, reason: str) -> None:
        with self._lock:
            self._counts["failed"] += 1
            self._last_failure = reason
            self._failed.add(now)

    def network_failed(self, now: float, reason: str) -> None:
        """Something failed that was not about an image."""
        with self._lock:
            self._last_failure = reason
            self._failed.add(now)

    def networks_loaded(self) -> None:
        """They were loaded anew, after a failure."""
        with self._lock:
            self._counts["restarts"] += 1

    def image_answered(self, now: float, timings: Mapping[str, float]) -> None:
        """Takes the seconds that each stage took."""
        with self._lock:
            self._counts["answered"] += 1
            self._answers.add(now)
            for stage, seconds in timings.items():
                self._latencies.setdefault(stage, _Window()).add(now, seconds)

    def measure(self, now: float) -> Measurements:
        with self._lock:
            for window in (self._arrivals, self._answers, self._malformed, self._failed, *self._latencies.values()):
                window.trim(now)
            span = max(min(WINDOW, now - self._started), 1e-3)
            return Measurements(
                input_rate=len(self._arrivals.entries) / span,
                output_rate=len(self._answers.entries) / span,
                recently_malformed=len(self._malformed.entries),
                recently_failed=len(self._failed.entries),
                last_malformed=self._last_malformed,
                last_failure=self._last_failure,
                silence=now - self._last_image,
                latencies={stage: _percentiles(window) for stage, window in self._latencies.items() if window.entries},
                **{name: self._counts[name] for name in COUNTS},
            )


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What the node says of itself beside the images."""

    state: str
    """Of the lifecycle: unconfigured, inactive or active."""
    topic: str = ""
    """The images' topic while active."""
    publishers: int = 0
    """How many there are on that topic."""
    complaint: str = ""
    """Why the node could not be configured or activated, or its gallery not be read; empty where all is well."""
    warning: str = ""
    """Something that works, but not as it was asked for."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Backend, model and gallery."""


class Facts:
    """Backend, model and gallery in use; the gallery is read only when its revision is another than before."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._store = assembly.store
        self._revision = -1
        self._counts: dict[str, str] = {}
        key = assembly.settings.gallery_key if assembly.store.path else ""
        self._gallery = {
            "gallery": str(assembly.store.path or "in memory"),
            "gallery encryption": f"AES-256-GCM, key in {key}" if key else "none",
        }

    def read(self) -> dict[str, str]:
        """All of them; the reason instead of the gallery's where it cannot be read."""
        fixed = self._networks() | self._gallery
        try:
            if self._store.revision != self._revision:
                self._revision, identities = self._store.snapshot()
                self._counts = gallery_counts(self._revision, identities)
            expiry = self._store.next_expiry
        except FaceRecognitionError as error:
            return fixed | {"gallery error": str(error)}
        return fixed | self._counts | {"gallery next expiry": "never" if expiry is None else utc(expiry)}

    def _networks(self) -> dict[str, str]:
        """They may have been loaded anew, or another backend may have taken over."""
        backend, detector = self._assembly.backend, self._assembly.recognizer.detector_backend
        return {
            "backend": backend.used,
            "backend asked for": backend.requested,
            "backend reason": backend.reason,
            "detector backend": detector.used,
            "detector backend reason": detector.reason,
            "runtime": self._assembly.embedder.backend,
            "model": self._assembly.model_id,
        }


def gallery_counts(revision: int, identities: Sequence[Identity]) -> dict[str, str]:
    """How many people and templates of each kind there are."""
    strangers = sum(identity.remembered for identity in identities)
    observed = sum(identity.observed for identity in identities)
    return {
        "gallery revision": str(revision),
        "gallery people": str(len(identities) - strangers),
        "gallery remembered strangers": str(strangers),
        "gallery enrolled templates": str(sum(identity.templates for identity in identities) - observed),
        "gallery observed templates": str(observed),
    }


def utc(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def fallback(assembly: Assembly) -> str:
    """Says that another backend than the one asked for serves; empty where it does not, or there is no choice."""
    for backend in (assembly.backend, assembly.recognizer.detector_backend):
        if backend.requested not in ("auto", backend.used) and backend.used in BACKENDS:
            return f"Not the backend {backend.requested} but {backend.used} serves: {backend.reason}"
    return ""


def diagnostics_status(
    name: str, hardware_id: str, report: NodeReport, measured: Measurements | None
) -> DiagnosticStatus:
    """Of one stream: its message is a sentence, its values are what was measured."""
    level, sentence = judge(report, measured)
    values = {"state": report.state, **report.facts, **(_values(measured) if measured else {})}
    return DiagnosticStatus(
        level=level,
        name=name,
        message=sentence,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def judge(report: NodeReport, measured: Measurements | None) -> tuple[bytes, str]:
    """Level and sentence, the most serious first."""
    if report.complaint:
        return DiagnosticStatus.ERROR, report.complaint
    if measured is None:
        return DiagnosticStatus.OK, f"The node is {report.state}: it looks at no image."
    if measured.recently_failed:
        return DiagnosticStatus.ERROR, f"Images could not be processed: {measured.last_failure}"
    if measured.silence > SILENCE:
        reason = "nobody publishes it" if report.publishers == 0 else f"it has {report.publishers} publisher(s)"
        return (
            DiagnosticStatus.WARN,
            f"No image has arrived on {report.topic} for {measured.silence:.0f} s; {reason}.",
        )
    if measured.recently_malformed:
        return DiagnosticStatus.WARN, f"Images are refused: {measured.last_malformed}"
    if report.warning:
        return DiagnosticStatus.WARN, report.warning
    return DiagnosticStatus.OK, f"Recognising faces in {measured.output_rate:.1f} images per second."


def _values(measured: Measurements) -> dict[str, str]:
    values = {
        "input rate (Hz)": f"{measured.input_rate:.2f}",
        "output rate (Hz)": f"{measured.output_rate:.2f}",
        "images received": str(measured.received),
        "images answered": str(measured.answered),
        "images dropped": str(measured.dropped),
        "images malformed": str(measured.malformed),
        "last malformed image": measured.last_malformed,
        "images failed": str(measured.failed),
        "last failure": measured.last_failure,
        "network restarts": str(measured.restarts),
    }
    for stage, (median, p95) in measured.latencies.items():
        values[f"{stage} p50 (ms)"] = f"{1e3 * median:.2f}"
        values[f"{stage} p95 (ms)"] = f"{1e3 * p95:.2f}"
    return values


def _percentiles(window: _Window) -> tuple[float, float]:
    seconds: Sequence[float] = [value for _, value in window.entries]
    median, p95 = np.percentile(seconds, [50, 95])
    return float(median), float(p95)
