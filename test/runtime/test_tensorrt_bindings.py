"""The fakes offer nothing that the real bindings lack; so what runs on the fakes calls only what there is.

The bindings come from environments of their own, which `make test-tensorrt-names` makes.
"""

import enum
import inspect
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .fake_cuda import FakeGpu, fake_cuda
from .fake_tensorrt import FakeTensorRt

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ("tensorrt-10-3", "tensorrt-10", "tensorrt-11")


@cache
def described(environment: str, folder: Path) -> dict[str, Any]:
    """What the bindings offer there; the test is skipped where they are not installed."""
    python = REPOSITORY / f".venv-{environment}" / "bin" / "python"
    if not python.is_file():
        pytest.skip(f".venv-{environment} is not there: `make test-tensorrt-names` makes it")
    if not all(map(shutil.which, ("cc", "nm", "readelf"))):
        pytest.skip("a C compiler and binutils are needed for libraries that the bindings can be loaded with")
    folder.mkdir()
    command = [python, Path(__file__).with_name("describe_bindings.py"), folder]
    subprocess.run(command, check=True)
    result = subprocess.run(command, check=True, capture_output=True, text=True, env={"LD_LIBRARY_PATH": str(folder)})
    content: dict[str, Any] = json.loads(result.stdout)
    return content


@pytest.fixture(params=ENVIRONMENTS)
def bindings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return described(request.param, tmp_path_factory.getbasetemp() / f"libraries-{request.param}")


def public(thing: Any) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in vars(thing) if not name.startswith("_")}


def differences(module: ModuleType, real: dict[str, Any]) -> list[str]:
    """What of a fake module the real one has not, or has otherwise."""
    found = []
    for name, thing in public(module).items():
        if name not in real:
            found.append(name)
        elif isinstance(thing, type):
            found += [f"{name}.{difference}" for difference in in_class(thing, real[name]["members"])]
        elif inspect.isroutine(thing) and not takes(thing, real[name]["arguments"]):
            found.append(f"{name}{parameters(thing)} is {real[name]['arguments']}")
    return found


def in_class(kind: type, real: dict[str, Any]) -> list[str]:
    if issubclass(kind, enum.Enum):
        return [member.name for member in kind if real.get(member.name) != {"value": member.value}]
    found = []
    for name, member in public(kind).items():
        if name not in real:
            found.append(name)
        elif isinstance(member, property):
            if member.fset and not real[name]["settable"]:
                found.append(f"{name} cannot be set")
        elif inspect.isfunction(member) and not takes(member, real[name]["arguments"]):
            found.append(f"{name}{parameters(member)} is {real[name]['arguments']}")
    return found


def takes(function: Any, overloads: list[list[str]]) -> bool:
    """Whether an overload has these arguments, and perhaps further ones behind them."""
    wanted = parameters(function)
    return any(overload[: len(wanted)] == wanted for overload in overloads)


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(inspect.unwrap(function)).parameters if name != "self"]


def test_the_fake_tensorrt_has_no_name_of_its_own(bindings: dict[str, Any]) -> None:
    module = FakeTensorRt(FakeGpu(), bindings["version"]).module()
    assert len(public(module)) > 20
    assert differences(module, bindings["tensorrt"]) == []


def test_the_fake_cuda_has_no_name_of_its_own(bindings: dict[str, Any]) -> None:
    module = fake_cuda(FakeGpu())
    assert len(public(module)) > 20
    assert differences(module, bindings["cuda"]) == []


def test_the_flag_for_half_precision_is_there_in_tensorrt_10_and_gone_in_11(bindings: dict[str, Any]) -> None:
    flags = bindings["tensorrt"]["BuilderFlag"]["members"]
    assert ("FP16" in flags) == bindings["version"].startswith("10."), (
        "as the fake and runtime/tensorrt_build.py have it"
    )


def test_a_wrong_name_or_argument_would_be_found(bindings: dict[str, Any]) -> None:
    module = FakeTensorRt(FakeGpu(), bindings["version"]).module()
    module.Builder.build_engine = lambda self, network: None
    module.Runtime.deserialize_cuda_engine = lambda self, engine: None
    module.ITensor.shape = property(lambda self: None, lambda self, value: None)
    found = " ".join(differences(module, bindings["tensorrt"]))
    assert "Builder.build_engine" in found
    assert "Runtime.deserialize_cuda_engine['engine'] is " in found
