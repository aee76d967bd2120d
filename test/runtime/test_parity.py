"""When two sessions agree: rounding passes, a wrong sample, channel or number does not."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from face_recognition_ros.errors import BackendError
from face_recognition_ros.models import find_model
from face_recognition_ros.runtime.half_precision import half_precision
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
from face_recognition_ros.runtime.parity import check_parity, pictures
from face_recognition_ros.runtime.profiles import profile_of

Array = npt.NDArray[Any]


class Session:
    """Gives what it was told to give."""

    outputs = ("answers",)

    def __init__(self, answers: Array) -> None:
        self._answers = answers

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        return [self._answers]


def session(answers: Array) -> Any:
    return Session(answers)


def agreement(change: Callable[[Array], None], shape: tuple[int, ...] = (8, 5)) -> float:
    """Of numbers about 10, in the last channel about 1, and the same after a change."""
    expected = np.random.default_rng(0).normal(0, 10, shape).astype(np.float32)
    expected[:, 4] /= 10
    actual = expected.copy()
    change(actual)
    return check_parity(session(expected), session(actual), [{}])


def test_rounding_agrees() -> None:
    assert agreement(lambda answers: None) == 0
    assert 0 < agreement(lambda answers: np.multiply(answers, 1.01, out=answers)) == pytest.approx(0.01, rel=0.01)


def test_numbers_of_no_size_may_differ_a_little() -> None:
    def shrink_one_channel(answers: Array) -> None:
        answers[:, 3] = 0.001

    zeros = np.zeros((4, 5), np.float32)
    slightly = zeros.copy()
    shrink_one_channel(slightly)
    assert check_parity(session(zeros), session(slightly), [{}]) < 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda answers: np.add(answers[3], 1, out=answers[3]), "in sample 3 by 1 where"),
        (lambda answers: np.add(answers[:, 4], 0.05, out=answers[:, 4]), "in channel 4 by 0.05 where"),
        (lambda answers: np.copyto(answers[1, 1:2], np.nan), "not finite"),
        (lambda answers: np.copyto(answers[1, 1:2], np.inf), "not finite"),
    ],
)
def test_what_is_wrong_is_found(change: Callable[[Array], None], words: str) -> None:
    with pytest.raises(BackendError, match=f"its output answers .*{words}"):
        agreement(change)


def test_a_single_wrong_number_in_a_large_map_is_found() -> None:
    def change(answers: Array) -> None:
        answers[0, 0, 50, 50] += 10

    with pytest.raises(BackendError, match=r"a number that differs from ONNX Runtime's by 10$"):
        agreement(change, (1, 5, 200, 200))


def test_another_shape_is_found() -> None:
    with pytest.raises(BackendError, match=r"has shape \(2, 4\), ONNX Runtime's has \(2, 5\)"):
        check_parity(session(np.zeros((2, 5))), session(np.zeros((2, 4))), [{}])


def test_pictures_are_the_same_for_the_same_seed_and_smooth() -> None:
    first, again, other = (pictures((2, 33, 47, 3), np.uint8, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert np.abs(np.diff(first.astype(int), axis=1)).mean() < np.abs(first.astype(int) - other).mean() / 3


@pytest.mark.parametrize("network", ["mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet", "face_embedding"])
def test_half_precision_alone_stays_far_below_the_tolerance(network: str, tmp_path: Any) -> None:
    path = find_model(network).path
    halved = tmp_path / "halved.onnx"
    halved.write_bytes(half_precision(path))
    reference, candidate = OnnxRuntimeSession(path), OnnxRuntimeSession(halved)
    assert candidate.inputs == reference.inputs
    profile = profile_of(reference.inputs)
    dtype = np.uint8 if network == "face_embedding" else np.float32
    assert 0 < check_parity(reference, candidate, [{profile.name: pictures(profile.optimum, dtype)}]) < 0.01
