"""Every setting of recognition, once: default, range and description. Node and command line read them from here."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

from face_recognition_ros.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Spec:
    """What is allowed for a setting, and what it means."""

    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    """Whether it may change while the node is active; the others are read when it is configured."""


def setting(default: Any, description: str, **limits: Any) -> Any:
    """A dataclass field that carries its Spec."""
    return field(default=default, metadata={"spec": Spec(description, **limits)})


@dataclass(frozen=True, slots=True)
class Settings:
    """All that is needed to build a Recognizer. Values are checked on creation.

    Raises SettingsError, naming the setting, its value and what is allowed.
    """

    detector: str = setting(
        "mtcnn_fast",
        "face detector: mtcnn_fast, mtcnn (facenet-pytorch's very boxes), yunet or scrfd (with a "
        "detector_model), or aligned (pictures are crops already)",
    )
    detector_model: str = setting(
        "", "model file of the detector; empty: the installed one (yunet and scrfd need a file)"
    )
    min_face_size: float = setting(
        40.0,
        "side of the smallest face looked for, in pixels; the time grows with its inverse square",
        low=12,
        high=2000,
    )
    detection_thresholds: tuple[float, ...] = setting(
        (0.6, 0.7, 0.7), "score a face needs to pass each of the detector's three stages", low=0.01, high=0.9999
    )
    max_faces: int = setting(32, "at most so many faces of a frame are looked at, the best first", low=1, high=1000)

    detection_interval: int = setting(
        10,
        "in video, newcomers are found within so many frames; in between known faces are only followed. 1: every "
        "frame is searched",
        low=1,
        high=60,
    )
    embedding_interval: float = setting(
        0.2,
        "in video, seconds after which a face that was seen well enough is embedded again, so that nobody can take "
        "over its name unnoticed; 0: in every frame",
        low=0.0,
        high=2.0,
    )

    embedding_model: str = setting(
        "",
        "ONNX file of the embedding network, or name of an installed one (face_embedding_int8); empty: face_embedding",
    )
    backend: str = setting(
        "auto",
        "what runs the networks; auto: tensorrt where installed, else onnxruntime; the others only when asked for",
        choices=("auto", "tensorrt", "onnxruntime", "openvino", "openvino_bf16", "torch_cuda"),
    )
    strict_backend: bool = setting(False, "refuse to start where the backend asked for is not available")
    threads: int = setting(0, "CPU threads for the networks; 0: one per core", low=0, high=256)

    gallery: str = setting("", "gallery file, made where there is none; empty: kept in memory and lost at the end")
    gallery_key: str = setting(
        "", "file with the key of an encrypted gallery, made with the gallery; empty: not encrypted"
    )
    store_crops: bool = setting(
        False, "keep the aligned face with each enrolled template, so that another network can take the gallery over"
    )
    target_false_accept_rate: float = setting(
        0.001, "how often a stranger may be called by anybody's name, whatever the gallery's size", low=1e-7, high=0.1,
        live=True,
    )  # fmt: skip
    min_margin: float = setting(
        0.08, "similarity by which the best person must lead the runner-up to be named", low=0.0, high=1.0, live=True
    )
    min_looks: int = setting(3, "good looks at a face before it is judged", low=1, high=50, live=True)
    max_candidates: int = setting(5, "how many candidates are listed for each face", low=2, high=100, live=True)

    min_face_width: float = setting(24.0, "cheek to cheek in pixels, to be recognised", low=8, high=500)
    min_enrollment_face_width: float = setting(60.0, "cheek to cheek in pixels, to be enrolled", low=9, high=1000)
    enrollment_looks: int = setting(5, "good and different looks that an enrolment collects", low=1, high=50, live=True)
    enrollment_timeout: float = setting(
        20.0, "seconds after which an enrolment gives up", low=1.0, high=600.0, live=True
    )

    learn_observed: bool = setting(
        True, "learn further looks of people who are recognised beyond doubt; they never outvote the enrolled ones",
        live=True,
    )  # fmt: skip
    remember_unknown: bool = setting(
        False,
        "give strangers an id after three agreeing looks, so that they can be told apart and named later",
        live=True,
    )
    unknown_max_age: float = setting(
        86400.0, "seconds after which a remembered stranger who is not seen again is forgotten", low=60.0, high=3.2e7,
        live=True,
    )  # fmt: skip

    track_max_age: float = setting(
        1.0, "seconds for which a face may be out of sight and keep its track", low=0.05, high=30
    )

    def __post_init__(self) -> None:
        for name, spec in specs().items():
            check(name, getattr(self, name), spec)
        if len(self.detection_thresholds) != 3:
            raise SettingsError(f"detection_thresholds must be three numbers, not {list(self.detection_thresholds)}")
        if self.min_face_width >= self.min_enrollment_face_width:
            raise SettingsError(
                f"min_enrollment_face_width ({self.min_enrollment_face_width:g}) must be larger than "
                f"min_face_width ({self.min_face_width:g})"
            )

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Settings from loosely typed values (lists for tuples), as parameter files give them."""
        unknown = sorted(set(values) - set(specs()))
        if unknown:
            raise SettingsError(f"there is no setting {unknown[0]!r}; there are {', '.join(specs())}")
        typed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**typed)


def specs() -> dict[str, Spec]:
    """The Spec of each setting, by name, in the order of Settings."""
    return {entry.name: entry.metadata["spec"] for entry in fields(Settings)}


def check(name: str, value: Any, spec: Spec) -> None:
    """Raises SettingsError unless `value` (or each element of a tuple) is what the spec allows."""
    if spec.choices and value not in spec.choices:
        raise SettingsError(f"{name} must be one of {', '.join(spec.choices)}, not {value!r}")
    for number in value if isinstance(value, tuple) else (value,):
        too_low = spec.low is not None and not number >= spec.low
        too_high = spec.high is not None and not number <= spec.high
        if too_low or too_high:
            raise SettingsError(f"{name} must lie between {spec.low:g} and {spec.high:g}, not {number!r}")
