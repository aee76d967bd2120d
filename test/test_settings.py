"""Settings: one source of defaults, ranges and descriptions."""

import pytest

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.settings import Settings, specs


def test_every_setting_is_described_and_in_range_by_default() -> None:
    Settings()
    assert all(spec.description for spec in specs().values())


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("backend", "cuda", "auto, tensorrt, onnxruntime, openvino, openvino_bf16, torch_cuda"),
        ("min_face_size", 3.0, "12 and 2000"),
        ("target_false_accept_rate", 0.5, "1e-07 and 0.1"),
        ("target_false_accept_rate", float("nan"), "1e-07 and 0.1"),
        ("detection_thresholds", [0.6, 1.5, 0.7], "0.01 and 0.9999"),
        ("detection_thresholds", [0.6, 0.7], "three numbers"),
        ("min_looks", 0, "1 and 50"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(name: str, value: object, allowed: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}.*{allowed}"):
        Settings.of(**{name: value})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="no setting 'min_size'"):
        Settings.of(min_size=3)


def test_enrolling_must_ask_for_more_than_matching() -> None:
    with pytest.raises(SettingsError, match="min_enrollment_face_width"):
        Settings(min_face_width=80.0)


def test_lists_of_parameter_files_become_tuples() -> None:
    assert Settings.of(detection_thresholds=[0.5, 0.6, 0.7]).detection_thresholds == (0.5, 0.6, 0.7)
