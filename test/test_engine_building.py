"""Building all engines ahead: progress, what failed, stopping and going on; on a TensorRT that is faked."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from face_recognition_ros.cli import INTERRUPTED, main
from face_recognition_ros.engine_building import network_files
from face_recognition_ros.errors import SettingsError
from face_recognition_ros.models import find_model
from face_recognition_ros.settings import Settings

from .runtime.tensorrt_machine import VERSIONS, Machine

NETWORKS = ["mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet", "face_embedding"]


@pytest.fixture(params=VERSIONS[1:])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(monkeypatch, tmp_path / "engines", request.param)
    yield machine
    assert machine.gpu.violations == []


def names(lines: str) -> list[str]:
    return [line.split(":")[0] for line in lines.splitlines()]


def test_each_network_gets_an_engine_once(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build-engines"]) == 0
    first = capsys.readouterr().out
    assert names(first) == NETWORKS
    assert all(": built, its numbers differ from ONNX Runtime's by " in line for line in first.splitlines())
    assert [line.split(": ")[-1] for line in first.splitlines()] == sorted(
        map(str, machine.engine_files()), key=lambda path: NETWORKS.index(Path(path).name.rsplit("-", 1)[0])
    )
    assert main(["build-engines"]) == 0
    assert capsys.readouterr().out.count(": was there: ") == machine.tensorrt.builds == len(NETWORKS)


def test_an_engine_that_fails_does_not_keep_the_others_from_being_built(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_second() -> None:
        machine.tensorrt.fails = "no tactic" if machine.tensorrt.builds == 2 else ""

    machine.tensorrt.while_building = fail_second
    assert main(["build-engines"]) == 1
    output = capsys.readouterr()
    assert names(output.out) == [NETWORKS[0], *NETWORKS[2:]]
    assert output.err == "mtcnn_rnet: TensorRT cannot build mtcnn_rnet.onnx: no tactic\n"


def test_what_is_built_stays_when_it_is_stopped(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(bar: object, *arguments: object, **options: object) -> None:
        if machine.tensorrt.builds == 3:
            raise KeyboardInterrupt  # as Ctrl-C is noticed in a callback from TensorRT, the only Python that runs then

    monkeypatch.setattr("face_recognition_ros.engine_building.tqdm.refresh", interrupt)
    assert main(["build-engines"]) == INTERRUPTED
    assert len(machine.engine_files()) == 2
    monkeypatch.undo()
    assert names(capsys.readouterr().out) == NETWORKS[:2]


def test_without_tensorrt_the_reason_is_said(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.remove("tensorrt")
    assert main(["build-engines", "--set", "detector=aligned"]) == 1
    assert capsys.readouterr().err.startswith("face-recognition: TensorRT cannot be imported")


@pytest.mark.parametrize(
    ("detector", "expected"),
    [
        ("mtcnn", NETWORKS),
        ("yunet", ["own", *NETWORKS[2:]]),
        ("scrfd", ["own", *NETWORKS[2:]]),
        ("aligned", NETWORKS[3:]),
    ],
)
def test_the_networks_of_each_detector(detector: str, expected: list[str], tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(find_model("mtcnn_pnet").path.read_bytes())
    model = str(own) if expected[0] == "own" else ""
    files = network_files(Settings.of(detector=detector, detector_model=model))
    assert [path.stem for path in files] == expected


def test_a_network_that_tensorrt_is_not_used_for_is_left_alone(
    machine: Machine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, None, None]) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["output"])], "any_size", sides[:1], sides[1:])
    path = tmp_path / "any_size.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), path)
    assert main(["build-engines", "--set", "detector=yunet", "--set", f"detector_model={path}"]) == 0
    lines = capsys.readouterr().out
    assert names(lines) == ["any_size", *NETWORKS[2:]]
    assert "any_size: left to ONNX Runtime: the network takes {'input': (1, 3, None, None)}" in lines
    assert len(machine.engine_files()) == 2


def test_an_unknown_detector_has_no_networks() -> None:
    with pytest.raises(SettingsError, match="no face detector 'haar'"):
        network_files(Settings.of(detector="haar"))
