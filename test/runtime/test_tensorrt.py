"""The TensorRT backend from the ONNX file to the answers, on a TensorRT and a GPU that are faked at the boundary."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_recognition_ros.assembly import assemble
from face_recognition_ros.errors import BackendError
from face_recognition_ros.models import find_model
from face_recognition_ros.runtime import BackendChoice, InferenceSession, create_session
from face_recognition_ros.runtime.onnx_runtime import OnnxRuntimeSession
from face_recognition_ros.runtime.parity import check_parity, pictures
from face_recognition_ros.runtime.takeover import TakeoverSession
from face_recognition_ros.runtime.tensorrt import MOST_SHAPES, TensorRtSession
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray, RecognizedFace

from .fake_cuda import FakeGpu
from .tensorrt_machine import VERSIONS, Machine

RNET = find_model("mtcnn_rnet").path
PNET = find_model("mtcnn_pnet").path
EMBEDDING = find_model("face_embedding").path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """A Jetson with TensorRT 10.3; whatever a test did to it, CUDA's rules must have been kept."""
    monkeypatch.setattr("face_recognition_ros.runtime.tensorrt_opening.takeovers_are_allowed", lambda: True)
    machine = Machine(monkeypatch, tmp_path / "engines")
    yield machine
    assert machine.gpu.violations == []


def candidates(count: int, seed: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    return {"image": pictures((count, 24, 24, 3), np.float32, seed)}


def close_to_onnx_runtime(session: InferenceSession, model: Path, inputs: dict[str, np.ndarray[Any, Any]]) -> bool:
    reference = OnnxRuntimeSession(model)
    if not len(next(iter(inputs.values()))):
        return [output.shape for output in session.run(inputs)] == [output.shape for output in reference.run(inputs)]
    return check_parity(reference, session, [inputs]) < 0.02


def strict(model: Path = RNET) -> TensorRtSession:
    session, choice = create_session(model, "tensorrt", strict=True)
    assert isinstance(session, TensorRtSession)
    assert (choice.used, choice.reason) == ("tensorrt", "as requested")
    return session


def in_background(model: Path = RNET, backend: str = "tensorrt") -> tuple[TakeoverSession, BackendChoice]:
    session, choice = create_session(model, backend)
    assert isinstance(session, TakeoverSession)
    return session, choice


class TestSession:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("model", [RNET, PNET, EMBEDDING], ids=lambda path: path.stem)
    def test_gives_onnx_runtimes_numbers(self, machine: Machine, version: str, model: Path) -> None:
        machine.install(version)
        session = strict(model)
        shape = {RNET: (5, 24, 24, 3), PNET: (1, 97, 131, 4), EMBEDDING: (3, 112, 112, 3)}[model]
        ((name, _),) = session.inputs.items()
        for seed in range(3):  # step by step, recorded, replayed
            assert close_to_onnx_runtime(session, model, {name: pictures(shape, session.dtype, seed)})
        assert session.backend.startswith(f"TensorRT {version}, Orin, fp16")
        assert session.metadata == OnnxRuntimeSession(model).metadata

    def test_a_shape_that_comes_again_is_replayed_with_the_new_pictures(self, machine: Machine) -> None:
        session = strict()
        launches = machine.gpu.launches
        for count, seed in ((3, 1), (4, 2), (3, 3), (4, 4)):  # both are rounded up to four
            assert close_to_onnx_runtime(session, RNET, candidates(count, seed))
        assert machine.gpu.launches == launches + 4, "the check has run and recorded that shape already"

    def test_where_nothing_can_be_recorded_each_call_is_made_step_by_step(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        machine.gpu.captures_are_refused = True
        session = strict()
        for seed in range(3):
            assert close_to_onnx_runtime(session, RNET, candidates(5, seed))
        assert machine.gpu.launches == 0
        assert caplog.text.count("no CUDA graph for (8, 24, 24, 3)") == 1, "tried once"

    def test_batches_beyond_the_profile_are_split(self, machine: Machine) -> None:
        assert close_to_onnx_runtime(strict(), RNET, candidates(256 + 3))

    @pytest.mark.parametrize("shape", [(0, 24, 24, 3), (1, 11, 300, 4), (1, 20, 2000, 4), (2, 40, 40, 4)])
    def test_what_the_engine_is_not_built_for_is_served_all_the_same(
        self, machine: Machine, shape: tuple[int, ...]
    ) -> None:
        model = RNET if shape[1] == 24 else PNET
        assert close_to_onnx_runtime(strict(model), model, {"image": pictures(shape, np.float32)})

    def test_what_is_too_large_for_half_precision_is_served_all_the_same(self, machine: Machine) -> None:
        session = strict()
        machine.tensorrt.error = np.inf
        assert close_to_onnx_runtime(session, RNET, candidates(2))

    def test_wrong_inputs_are_refused_with_a_sentence(self, machine: Machine) -> None:
        with pytest.raises(BackendError, match=r"float64\(1, 24, 24, 3\)"):
            strict().run({"image": np.zeros((1, 24, 24, 3))})

    def test_memory_of_shapes_not_used_for_long_and_of_closed_sessions_is_given_back(self, machine: Machine) -> None:
        session = strict(PNET)
        for width in range(MOST_SHAPES + 10):
            session.run({"image": np.zeros((1, 20, 20 + width, 4), np.float32)})
        assert len(machine.gpu.host) == 2 * MOST_SHAPES, "an input and an output each"
        session.close()
        session.close()
        assert (machine.gpu.host, machine.gpu.device, machine.gpu.graphs, machine.gpu.streams) == ({}, {}, {}, {})
        with pytest.raises(BackendError, match="closed"):
            session.run({"image": np.zeros((1, 20, 20, 4), np.float32)})

    def test_memory_of_forgotten_sessions_is_given_back(self, machine: Machine) -> None:
        session = strict()
        del session
        assert (machine.gpu.host, machine.gpu.device, machine.gpu.graphs, machine.gpu.streams) == ({}, {}, {}, {})


class TestBuild:
    def test_asks_tensorrt_10_for_half_precision_and_bounded_memory(self, machine: Machine) -> None:
        strict()
        (asked,) = machine.tensorrt.configurations
        assert (asked["flags"], asked["WORKSPACE"]) == ({"FP16"}, 1 << 30)

    def test_leaves_convolutions_compiled_on_the_spot_out_on_10_3_alone(self, machine: Machine) -> None:
        strict(EMBEDDING)  # the fake's 10.3 builds no Swish otherwise
        assert machine.tensorrt.configurations[0]["sources"] == 0b01111
        machine.install("10.16.1.11")
        strict(EMBEDDING)
        assert machine.tensorrt.configurations[0]["sources"] == 0b11111

    def test_without_onnx_tensorrt_11_computes_in_single_precision_and_says_so(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.install("11.4.0.106")
        monkeypatch.setattr("face_recognition_ros.runtime.tensorrt_build.can_convert", lambda: False)
        session = strict()
        assert "fp32, strongly typed (fp16 needs the package onnx)" in session.backend
        for expected, actual in zip(
            OnnxRuntimeSession(RNET).run(candidates(2)), session.run(candidates(2)), strict=True
        ):
            np.testing.assert_allclose(actual, expected, atol=1e-5)

    def test_what_was_timed_is_used_again(self, machine: Machine) -> None:
        strict(RNET)
        strict(PNET)
        assert [asked["timings"] for asked in machine.tensorrt.configurations] == [b"", b"timed;"]

    def test_failure_is_told_in_tensorrts_words(self, machine: Machine) -> None:
        machine.tensorrt.fails = "no tactic for Conv_5"
        with pytest.raises(BackendError, match=r"cannot build mtcnn_rnet.onnx: no tactic for Conv_5"):
            strict()

    def test_a_network_that_cannot_be_read_is_told_in_tensorrts_words(self, machine: Machine) -> None:
        machine.tensorrt.cannot_read = "No importer registered for op: ConvInteger"
        with pytest.raises(BackendError, match=r"cannot read mtcnn_rnet.onnx: No importer registered for op: ConvInt"):
            strict()

    @pytest.mark.parametrize(
        ("missing", "reason"),
        [
            ("tensorrt", r"TensorRT cannot be imported"),
            ("cuda.bindings.runtime", r"cuda-python cannot be imported .*docs/tensorrt.md"),
        ],
    )
    def test_what_is_not_installed_is_named(self, machine: Machine, missing: str, reason: str) -> None:
        machine.remove(missing)
        session, choice = create_session(RNET, "tensorrt")
        assert choice.used == "onnxruntime"
        with pytest.raises(BackendError, match=reason):
            create_session(RNET, "tensorrt", strict=True)
        assert close_to_onnx_runtime(session, RNET, candidates(1))

    def test_no_gpu(self, machine: Machine) -> None:
        machine.install("10.3.0", FakeGpu(count=0))
        with pytest.raises(BackendError, match="CUDA finds no GPU"):
            strict()

    def test_no_driver(self, machine: Machine) -> None:
        machine.gpu.has_driver = False
        with pytest.raises(BackendError, match=r"there is no CUDA driver: Failed to dlopen libcuda\.so\.1"):
            strict()

    def test_tensorrt_8_is_too_old(self, machine: Machine) -> None:
        machine.install("8.6.1")
        with pytest.raises(BackendError, match=r"TensorRT 8\.6\.1 is too old"):
            strict()

    def test_cuda_python_under_its_old_name(self, machine: Machine) -> None:
        machine.install("10.3.0", cuda="cuda.cudart")
        assert close_to_onnx_runtime(strict(), RNET, candidates(2))


class TestCache:
    def test_an_engine_is_built_once(self, machine: Machine) -> None:
        strict()
        session, choice = in_background()
        assert session.backend.startswith("TensorRT"), "no waiting either"
        assert (choice.used, choice.reason, machine.tensorrt.builds) == ("tensorrt", "as requested", 1)
        assert close_to_onnx_runtime(session, RNET, candidates(2))

    def test_another_version_gpu_or_network_has_an_engine_of_its_own(self, machine: Machine) -> None:
        strict()
        machine.install("10.16.1.11")
        strict()
        machine.install("10.16.1.11", FakeGpu("Thor", (11, 0)))
        strict()
        strict(PNET)
        assert machine.tensorrt.builds == 2, "on that machine"
        assert len(machine.engine_files()) == 4

    @pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "no JSON", "foreign"])
    def test_a_file_that_is_no_engine_of_ours_is_built_again(
        self, machine: Machine, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        strict()
        (path,) = machine.engine_files()
        content = path.read_bytes()
        damaged = {
            "empty": b"",
            "truncated": content[: len(content) // 2],
            "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
            "no JSON": b"ftrt" + content,
            "foreign": content.replace(b'"GPU": "Orin"', b'"GPU": "Xavi"', 1),
        }
        path.write_bytes(damaged[damage])
        assert close_to_onnx_runtime(strict(), RNET, candidates(2))
        assert machine.tensorrt.builds == 2
        assert path.read_bytes() == content, "and kept"
        assert str(path) in caplog.text

    def test_an_engine_that_tensorrt_refuses_is_built_again(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        strict()
        machine.tensorrt.version = "10.3.0.26"  # a patch release that does not say so
        assert close_to_onnx_runtime(strict(), RNET, candidates(2))
        assert "is of no use and is built again: TensorRT refuses the engine: Serialization assertion" in caplog.text
        assert len(machine.engine_files()) == 1

    def test_a_folder_that_cannot_be_written_costs_only_the_cache(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        machine.engines.write_text("a file lies where the folder should be")
        assert close_to_onnx_runtime(strict(), RNET, candidates(2))
        assert "cannot be kept, so that it is made anew at the next start" in caplog.text

    def test_a_write_that_fails_leaves_nothing_behind(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_space(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", no_space)
        strict()
        assert list(machine.engines.iterdir()) == []


class TestWholePipeline:
    def test_finds_and_embeds_the_face_that_onnx_runtime_does(self, machine: Machine, astronaut_bgr: ByteArray) -> None:
        faces: dict[str, RecognizedFace] = {}
        for backend in ("tensorrt", "onnxruntime"):
            with assemble(Settings(backend=backend, strict_backend=True)) as assembly:
                assert assembly.backend.used == assembly.recognizer.detector_backend.used == backend
                launches = machine.gpu.launches
                for _ in range(3):
                    (faces[backend],) = assembly.recognizer.recognize(astronaut_bgr).faces
                assert (machine.gpu.launches > launches) == (backend == "tensorrt")
        found, expected = faces["tensorrt"].detection, faces["onnxruntime"].detection
        np.testing.assert_allclose(found.box, expected.box, atol=1)
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=1)


class TestTakeover:
    def test_onnx_runtime_serves_until_the_engine_is_built_and_checked(self, machine: Machine) -> None:
        may_go_on = threading.Event()
        machine.tensorrt.while_building = lambda: assert_(may_go_on.wait(60))
        session, choice = in_background()
        assert choice.used == "onnxruntime"
        assert choice.reason.startswith("tensorrt: its engine is being built")
        assert session.backend.startswith("ONNX Runtime")
        assert close_to_onnx_runtime(session, RNET, candidates(2))
        may_go_on.set()
        session.wait(60)
        assert choice.used == "tensorrt"
        assert choice.reason.startswith("took over from onnxruntime after ")
        assert "its numbers differ from ONNX Runtime's by " in choice.reason
        assert session.backend.startswith("TensorRT 10.3.0, Orin, fp16")
        assert close_to_onnx_runtime(session, RNET, candidates(2))

    def test_while_frames_flow_each_gets_its_answer(self, machine: Machine) -> None:
        frames_seen = threading.Semaphore(0)
        machine.tensorrt.while_building = lambda: [frames_seen.acquire(timeout=60) for _ in range(5)]
        session, choice = in_background()
        after = 0
        while after < 5:
            assert close_to_onnx_runtime(session, RNET, candidates(1 + after))
            frames_seen.release()
            after += choice.used == "tensorrt"

    def test_programs_of_short_life_stay_with_what_they_begin_with(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("face_recognition_ros.runtime.tensorrt_opening.takeovers_are_allowed", lambda: False)
        _, choice = create_session(RNET)
        assert choice.used == "onnxruntime"
        assert choice.reason.startswith("tensorrt: its engine is not built yet; `face-recognition build-engines` ")
        strict()
        assert create_session(RNET)[1].used == "tensorrt"

    def test_auto_says_the_same(self, machine: Machine) -> None:
        session, choice = in_background(backend="auto")
        session.wait(60)
        assert (choice.requested, choice.used) == ("auto", "tensorrt")

    def test_a_build_that_fails_leaves_onnx_runtime_with_the_reason(self, machine: Machine) -> None:
        machine.tensorrt.fails = "no tactic for Conv_5"
        session, choice = in_background()
        session.wait(60)
        assert choice.used == "onnxruntime"
        assert choice.reason == "tensorrt: TensorRT cannot build mtcnn_rnet.onnx: no tactic for Conv_5"
        assert close_to_onnx_runtime(session, RNET, candidates(2))

    def test_wrong_numbers_do_not_take_over(self, machine: Machine) -> None:
        machine.tensorrt.error = 0.3
        session, choice = in_background()
        session.wait(60)
        assert choice.used == "onnxruntime"
        assert choice.reason.startswith("tensorrt: the engine for mtcnn_rnet.onnx is wrong: its output answers ")
        assert close_to_onnx_runtime(session, RNET, candidates(2))
        with pytest.raises(BackendError, match="too much for rounding"):
            strict()
        machine.tensorrt.error = np.nan
        with pytest.raises(BackendError, match="its outputs are not finite"):
            strict()

    @pytest.mark.parametrize("built_before", [False, True])
    def test_a_gpu_that_fails_while_it_serves_costs_no_frame(
        self, machine: Machine, caplog: pytest.LogCaptureFixture, built_before: bool
    ) -> None:
        if built_before:
            strict().close()
        session, choice = in_background()
        session.wait(60)
        assert choice.used == "tensorrt"
        machine.gpu.broken = True
        assert close_to_onnx_runtime(session, RNET, candidates(2))
        assert choice.used == "onnxruntime"
        assert choice.reason.startswith("tensorrt: failed while it served: CUDA's ")
        assert any(record.levelno == logging.ERROR for record in caplog.records)

    def test_wrong_inputs_do_not_count_as_failure(self, machine: Machine) -> None:
        session, choice = in_background()
        session.wait(60)
        with pytest.raises(BackendError, match="float64"):
            session.run({"image": np.zeros((1, 24, 24, 3))})
        assert choice.used == "tensorrt"

    def test_closing_stops_the_build(self, machine: Machine) -> None:
        building, may_go_on = threading.Event(), threading.Event()
        machine.tensorrt.while_building = lambda: (building.set(), assert_(may_go_on.wait(60)))
        session, choice = in_background()
        assert building.wait(60)
        session.close()
        may_go_on.set()
        session.wait(60)
        assert not list(machine.engines.glob("mtcnn_rnet*"))
        assert choice.used == "onnxruntime"
        with pytest.raises(BackendError, match="closed"):
            session.run(candidates(1))

    def test_strict_waits_for_the_engine_and_makes_failure_an_error(self, machine: Machine) -> None:
        assert isinstance(strict(), TensorRtSession)
        machine.tensorrt.fails = "no tactic for Conv_5"
        with pytest.raises(BackendError, match="no tactic for Conv_5"):
            strict(PNET)


def assert_(condition: bool) -> None:
    assert condition
