"""Finds what is wrong in a parameter file before the node that is to read it is started; the launch files call it."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.node.parameters import NodeSettings, parameters, type_in_words, untyped
from face_recognition_ros.settings import Settings, Spec, check, specs

PARAMETERS = "ros__parameters"
OF_EVERY_NODE = ("use_sim_time", "start_type_description_service")
"""What rclpy itself declares; the names that begin with qos_overrides. are its own as well."""


class _Loader(yaml.SafeLoader):
    """Takes 1e-3 for a number, as rcl does; YAML 1.1, which PyYAML follows, takes it for a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def check_parameter_file(path: Path, node: str, given: Mapping[str, Any] | None = None) -> None:
    """Raises SettingsError, in one sentence with the file's name, unless the node could be started with the file.

    node: its full name, such as /robot/face_recognition, by which the sections that concern it are found.
    given: parameters that go before those of the file.
    """
    try:
        check_parameters(_parameters_of(_read(path), node) | dict(given or {}))
    except SettingsError as error:
        sentence = str(error) if str(error).endswith("?") else f"{str(error).removesuffix('.')}."
        raise SettingsError(f"The parameter file {path} cannot be used: {sentence}") from error


def check_parameters(values: Mapping[str, Any]) -> None:
    """Raises SettingsError unless the node has parameters of these names, and they may have these values together."""
    for name, value in values.items():
        _check(name, value)
    Settings.of(**{name: value for name, value in values.items() if name in specs()})
    NodeSettings(**{entry.name: untyped(values[entry.name]) for entry in fields(NodeSettings) if entry.name in values})


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError as error:
        raise SettingsError("there is no such file") from error
    except OSError as error:
        raise SettingsError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"it is no text in UTF-8 (byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SettingsError(f"it is no YAML: {where}{error.problem or error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"it is no YAML: {' '.join(str(error).split())}") from error


def _parameters_of(content: Any, node: str) -> dict[str, Any]:
    """What the file sets for the node; later sections go before earlier ones."""
    sections = list(_sections(content))
    if not sections:
        raise SettingsError(f"it must hold names of nodes with {PARAMETERS} below, as in /**: {{{PARAMETERS}: ...}}")
    values: dict[str, Any] = {}
    matching = [section for name, section in sections if _matches(name, node)]
    if not matching:
        others = ", ".join(dict.fromkeys(name for name, _ in sections))
        raise SettingsError(f"it says nothing about the node {node}, only about {others}; a section /**: is for all")
    for section in matching:
        if not isinstance(section, dict):
            raise SettingsError(f"{PARAMETERS} must be followed by lines NAME: VALUE, not by {section!r}")
        values |= section
    return values


def _sections(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name of a node, which may have wildcards and come in nested parts, and what is written below its parameters."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key == PARAMETERS:
            yield prefix or "/", {} if value is None else value
        else:
            yield from _sections(value, f"{prefix}/{str(key).strip('/')}")


def _matches(pattern: str, node: str) -> bool:
    """Whether the section is for the node: * stands for one part of the name, ** for any number of parts."""
    parts = {"**": r"(?:/[^/]+)*", "*": r"/[^/]+"}
    expression = "".join(parts.get(part, f"/{re.escape(part)}") for part in pattern.strip("/").split("/"))
    return re.fullmatch(expression, node) is not None


def _check(name: Any, value: Any) -> None:
    known = parameters()
    if name in OF_EVERY_NODE or str(name).startswith("qos_overrides"):
        return
    if name not in known:
        near = difflib.get_close_matches(str(name), [*known, *OF_EVERY_NODE], n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise SettingsError(f"there is no parameter {name}; {hint}")
    default, spec = known[name]
    if not _has_type_of(value, default):
        raise SettingsError(f"{name} must be {type_in_words(default)}{_range(spec)}, not {value!r}")
    check(name, untyped(value), spec)


def _has_type_of(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, list) and all(type(one) is type(default[0]) for one in value)
    return type(value) is type(default)


def _range(spec: Spec) -> str:
    return "" if spec.low is None else f" between {spec.low:g} and {spec.high:g}"
