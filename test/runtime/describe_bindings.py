"""Prints as JSON what TensorRT's bindings and cuda-python offer in the environment that runs this; needs no GPU.

    LD_LIBRARY_PATH=FOLDER python describe_bindings.py FOLDER

The bindings are linked with TensorRT's libraries, which no package registry has. For a look at the names, empty ones in
FOLDER will do: they are made here with the C compiler when the script is run the first time.
"""

import enum
import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any


def make_libraries(folder: Path) -> None:
    """Shared libraries with the functions that the bindings are linked with, all of which do nothing."""
    extension = Path(str(importlib.util.find_spec("tensorrt_bindings").origin)).with_name("tensorrt.so")  # type: ignore[union-attr]
    needed = re.findall(r"\[(lib(?:nvinfer|nvonnx)\S*)\]", output("readelf", "-d", extension))
    symbols = [line.split()[-1] for line in output("nm", "-D", "--undefined-only", extension).splitlines()]
    functions = [name for name in symbols if re.fullmatch(r"(create|get|init)\w*(Nv|Infer|Plugin)\w*", name)]
    source = folder / "libraries.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions))
    for name in needed:
        output("cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source)


def output(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def describe(thing: Any) -> dict[str, Any]:
    """Members of a class or an enumeration, or the names of a function's arguments."""
    if isinstance(thing, type):
        members = {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}
        if isinstance(thing, enum.EnumMeta) or hasattr(thing, "__members__"):
            return {"members": {name: {"value": int(value)} for name, value in thing.__members__.items()}}  # type: ignore[attr-defined]
        return {"members": {name: describe(member) for name, member in members.items()}}
    if isinstance(thing, property):
        return {"settable": thing.fset is not None}
    return {"arguments": arguments(thing)}


def arguments(function: Any) -> list[list[str]]:
    """Of each overload, as the docstring gives them: `f(self: C, a: int, b: int = 0) -> C` or `f(size_t a, b)`."""
    if inspect.isfunction(function):
        return [list(inspect.signature(function).parameters)]
    name = getattr(function, "__name__", "")
    overloads = re.findall(rf"^(?:\d+\. )?{name}\((.*?)\)(?: ->|$)", function.__doc__ or "", re.MULTILINE)
    pieces = [re.split(r", (?![^\[<(]*[\]>)])", overload) for overload in overloads]
    names = [[re.sub(r"\s*[:=].*", "", piece).split(" ")[-1] for piece in overload] for overload in pieces]
    return [[word for word in words if word not in ("self", "")] for words in names if "*args" not in words]


def cuda_runtime() -> Any:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        return importlib.import_module("cuda.cudart")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if not any(folder.iterdir()):
        make_libraries(folder)
        sys.exit()
    modules = {"tensorrt": importlib.import_module("tensorrt_bindings"), "cuda": cuda_runtime()}
    described = {
        title: {name: describe(getattr(module, name)) for name in dir(module) if not name.startswith("_")}
        for title, module in modules.items()
    }
    json.dump({"version": modules["tensorrt"].__version__, **described}, sys.stdout)
