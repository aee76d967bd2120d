"""Builds a Recognizer and its gallery from settings: the only place that knows the concrete classes."""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from face_recognition_ros.detection import DetectorOptions, create_detector
from face_recognition_ros.detection.detector import FaceDetector
from face_recognition_ros.embedding import FaceEmbedder
from face_recognition_ros.errors import BackendError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.learning import Learner, LearnerOptions
from face_recognition_ros.gallery.matcher import Matcher, MatcherOptions
from face_recognition_ros.gallery.sealing import Seal, open_seal
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.models import find_model, load_model_file
from face_recognition_ros.pictures import encode_png
from face_recognition_ros.quality import QualityLimits
from face_recognition_ros.recognizer import Recognizer
from face_recognition_ros.runtime import BackendChoice, create_session
from face_recognition_ros.settings import Settings
from face_recognition_ros.stages import Embedder
from face_recognition_ros.track import TrackerOptions
from face_recognition_ros.tracking import FaceTracker
from face_recognition_ros.types import CROP_SIZE, ByteArray, Detection, FloatArray
from face_recognition_ros.video import VideoOptions

RELEASED_NETWORK = "face_embedding"
"""Name of the embedding network that comes with the package."""

SWAP_FALSE_ACCEPT_RATE = 0.02
"""A look contradicts its track unless it resembles it more than all but this part of pairs of strangers do."""


@dataclass(slots=True)
class Assembly:
    """All that recognises faces with one gallery. Close it when done."""

    settings: Settings
    recognizers: tuple[Recognizer, ...]
    """One for each stream; they share networks and matcher, so one thread at a time may use any of them."""
    store: GalleryStore
    matcher: Matcher
    calibration: Calibration
    learner: Learner
    model_id: str
    backend: BackendChoice
    embedder: FaceEmbedder
    trackers: tuple[FaceTracker, ...]
    """The streams'; no track id is given twice."""
    lacks_networks: bool = False
    """Whether they were given up: then every frame raises BackendError, until they are loaded again."""

    @property
    def recognizer(self) -> Recognizer:
        """The first stream's, which also looks at single pictures."""
        return self.recognizers[0]

    def reset_tracks(self) -> None:
        """Has all streams start anew."""
        for recognizer in self.recognizers:
            recognizer.reset_tracks()

    def stream_of(self, track_id: int) -> int:
        """Number of the stream that has this track; the first one's, 0, where none has it."""
        ids = [[track.id for track in tracker.tracks] for tracker in self.trackers]
        return next((number for number, own in enumerate(ids) if track_id in own), 0)

    def give_up_networks(self) -> None:
        """Leaves networks and tracks to a thread that hangs in them; may be called while that thread uses them."""
        self.trackers = tuple(tracker.successor() for tracker in self.trackers)
        missing = MissingNetworks(self.backend)
        self.recognizers = connect(self.settings, missing, missing, self.trackers, self.matcher)
        self.lacks_networks = True

    def load_networks(self) -> None:
        """Puts networks that are loaded anew in the place of those in use; gallery and tracks stay as they are.

        To be called by the thread that uses the recognizer. Raises as `assemble` does, and BackendError if the networks
        were given up meanwhile, with this thread; then nothing has changed.
        """
        trackers = self.trackers
        detector = build_detector(self.settings)
        embedder, backend = build_embedder(self.settings)
        warm_up(detector, embedder)
        if self.trackers is not trackers:
            raise BackendError("Loading the networks took so long that it was given up.")
        self.embedder, self.backend = embedder, backend
        self.recognizers = connect(self.settings, detector, embedder, trackers, self.matcher)
        self.lacks_networks = False

    def close(self) -> None:
        """Closes the gallery and the embedding network; may be called twice."""
        self.store.close()
        self.embedder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class MissingNetworks:
    """Stands where detector and embedder were: raises BackendError for every picture."""

    backend: BackendChoice
    """Of those that were there."""
    name: str = "none"

    def detect(self, frame: ByteArray) -> list[Detection]:
        raise BackendError("The networks hung, and are not loaded again yet.")

    def embed(self, crops: ByteArray) -> FloatArray:
        raise BackendError("The networks hung, and are not loaded again yet.")


def assemble(settings: Settings, clock: Callable[[], float] = time.time, streams: int = 1) -> Assembly:
    """Loads the networks, opens the gallery and connects the stages.

    clock: seconds since the epoch, for all that the gallery dates. streams: how many there are. Raises ModelError,
    BackendError, GalleryError or SettingsError with a sentence that says what is wrong and what would be right; nothing
    stays open then.
    """
    detector = build_detector(settings)
    with ExitStack() as undo:
        embedder, backend = build_embedder(settings)
        undo.callback(embedder.close)
        description = embedder.description
        calibration = Calibration.from_dict(description.calibration)
        store = open_gallery(settings, description.model_id, description.embedding_size, clock)
        undo.callback(store.close)
        matcher = Matcher(store, calibration, matcher_options(settings))
        encode_crop = encode_png if settings.store_crops else None
        learner = Learner(store, matcher, learner_options(settings), encode_crop)
        options, ids = tracker_options(settings, calibration), itertools.count(1)
        trackers = tuple(FaceTracker(options, ids) for _ in range(streams))
        recognizers = connect(settings, detector, embedder, trackers, matcher)
        warm_up(detector, embedder)
        undo.pop_all()
    return Assembly(
        settings, recognizers, store, matcher, calibration, learner, description.model_id, backend, embedder, trackers
    )


def connect(
    settings: Settings,
    detector: FaceDetector,
    embedder: Embedder,
    trackers: Sequence[FaceTracker],
    matcher: Matcher,
) -> tuple[Recognizer, ...]:
    """A recognizer for each of the trackers."""
    limits, video = quality_limits(settings), video_options(settings)
    return tuple(Recognizer(detector, embedder, tracker, matcher, limits, video) for tracker in trackers)


def build_detector(settings: Settings) -> FaceDetector:
    """The detector that the settings name."""
    first, second, third = settings.detection_thresholds
    options = DetectorOptions(
        min_face_size=settings.min_face_size,
        thresholds=(first, second, third),
        max_faces=settings.max_faces,
        model=str(Path(settings.detector_model).expanduser()) if settings.detector_model else "",
        backend=settings.backend,
        strict_backend=settings.strict_backend,
        threads=settings.threads,
    )
    return create_detector(settings.detector, options)


def embedding_model_file(settings: Settings) -> Path:
    """Where the embedding network lies: the file that the settings give, or the installed one that they name."""
    chosen = settings.embedding_model or RELEASED_NETWORK
    model = load_model_file(Path(chosen).expanduser()) if chosen.endswith(".onnx") else find_model(chosen)
    return model.path


def build_embedder(settings: Settings) -> tuple[FaceEmbedder, BackendChoice]:
    """The embedding network on its backend, and how the backend was chosen."""
    model = embedding_model_file(settings)
    session, backend = create_session(model, settings.backend, settings.strict_backend, settings.threads)
    return FaceEmbedder(session), backend


def open_gallery(
    settings: Settings, model_id: str, embedding_size: int, clock: Callable[[], float] = time.time
) -> GalleryStore:
    """The gallery file that the settings name (~ is expanded, its folder is made), or one in memory for no file.

    With a gallery_key it is encrypted; where there is no gallery yet, a key file that is not there is made as well.
    """
    if not settings.gallery:
        return GalleryStore.open(None, model_id, embedding_size, clock=clock)
    path = Path(settings.gallery).expanduser()
    return GalleryStore.open(path, model_id, embedding_size, gallery_seal(settings, create=not path.exists()), clock)


def gallery_seal(settings: Settings, create: bool = False) -> Seal:
    """What encrypts the gallery that the settings name: nothing where they name no key.

    create: make a key file that is not there.
    """
    return open_seal(Path(settings.gallery_key).expanduser() if settings.gallery_key else None, create)


def matcher_options(settings: Settings) -> MatcherOptions:
    """How sure the matcher must be."""
    return MatcherOptions(
        target_false_accept_rate=settings.target_false_accept_rate,
        min_margin=settings.min_margin,
        min_looks=settings.min_looks,
        max_candidates=settings.max_candidates,
    )


def learner_options(settings: Settings) -> LearnerOptions:
    """What is learned in passing."""
    return LearnerOptions(
        learn_observed=settings.learn_observed,
        remember_unknown=settings.remember_unknown,
        unknown_max_age=settings.unknown_max_age,
    )


def tracker_options(settings: Settings, calibration: Calibration) -> TrackerOptions:
    """What contradicts a track follows from the network's own statistics."""
    contradiction = calibration.accept_similarity(SWAP_FALSE_ACCEPT_RATE, comparisons=1)
    return TrackerOptions(
        max_age=settings.track_max_age,
        contradiction_similarity=contradiction,
        usual_similarity=calibration.genuine_mean,
    )


def video_options(settings: Settings) -> VideoOptions:
    """How much is done anew in each frame of a stream."""
    return VideoOptions(settings.detection_interval, settings.embedding_interval)


def quality_limits(settings: Settings) -> QualityLimits:
    """What a face must have to be matched and to be enrolled."""
    default = QualityLimits()
    return QualityLimits(
        matching=replace(default.matching, min_face_width=settings.min_face_width),
        enrollment=replace(default.enrollment, min_face_width=settings.min_enrollment_face_width),
    )


def warm_up(detector: FaceDetector, embedder: FaceEmbedder, sizes: Iterable[int] = (1, 2)) -> None:
    """Runs everything once, so that the first frame is as fast as the others."""
    detector.detect(np.zeros((480, 640, 3), np.uint8))
    for count in sizes:
        embedder.embed(np.zeros((count, CROP_SIZE, CROP_SIZE, 3), np.uint8))
