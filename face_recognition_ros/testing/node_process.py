"""Starts the node as users run it, in a process of its own, shut off from every other ROS system."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGINT, Signals
from typing import Any
from unittest import mock

from face_recognition_ros.demo.processes import PythonProcess, isolated_environment, node_arguments
from face_recognition_ros.node.parameter_files import check_parameters
from face_recognition_ros.settings import Settings, specs
from face_recognition_ros.testing.galleries import GallerySource, make_gallery
from face_recognition_ros.testing.node_client import DEADLINE, NodeClient


class NodeProcess(PythonProcess):
    """The node, running. Its environment is this process's."""

    def __init__(
        self,
        log: Path,
        gallery: Path,
        parameters: Mapping[str, Any] | None = None,
        remappings: Mapping[str, str] | None = None,
        namespace: str = "",
    ) -> None:
        """Starts it; what it prints goes to the log."""
        words = [("-p", f"{name}:={_yaml(value)}") for name, value in (parameters or {}).items()]
        renamed = {**({"__ns": f"/{namespace.strip('/')}"} if namespace else {}), **(remappings or {})}
        words += [("-r", f"{old}:={new}") for old, new in renamed.items()]
        super().__init__([*node_arguments(gallery), *(word for pair in words for word in pair)], {}, log)

    @property
    def output(self) -> str:
        """All that it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.popen.wait(DEADLINE)

    def signal(self, number: Signals) -> None:
        """Sends it a signal."""
        self.popen.send_signal(number)

    def stop(self, number: Signals = SIGINT) -> int:
        """Its exit code after that signal."""
        self.signal(number)
        return self.wait()

    def end(self) -> None:
        """Ends it if it still runs, and kills it if it does not listen."""
        super().stop()

    def __exit__(self, *_: object) -> None:
        self.end()


@contextlib.contextmanager
def running_node(
    gallery: GallerySource | None = None,
    parameters: Mapping[str, Any] | None = None,
    remappings: Mapping[str, str] | None = None,
    namespace: str = "",
    folder: Path | None = None,
) -> Iterator[NodeClient]:
    """The active node with a gallery of its own, and all that a test needs to talk to it.

    gallery: whom it knows: a gallery file, of which it gets a copy, a folder of pictures NAME.jpg or NAME/, or the
    pictures of each name; None: nobody. folder: where gallery.sqlite3 and node.log are written; None: a temporary one.
    With the parameter autostart set to false the node is left unconfigured.

    Raises NodeTestError where the node does not become active, SettingsError for a parameter that is not allowed, and
    what make_gallery raises.
    """
    parameters = dict(parameters or {})
    check_parameters(parameters)
    with contextlib.ExitStack() as undo:
        folder = folder or Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="face_recognition_")))
        variables = isolated_environment() | {"ROS_LOG_DIR": str(folder)}
        undo.enter_context(mock.patch.dict(os.environ, variables))
        file = folder / "gallery.sqlite3"
        if gallery is not None:
            make_gallery(file, gallery, Settings.of(**{key: parameters[key] for key in specs() if key in parameters}))
        client = NodeClient(int(variables["ROS_DOMAIN_ID"]), namespace, (remappings or {}).get("image", "image"))
        undo.callback(client.close)
        client.process = undo.enter_context(NodeProcess(folder / "node.log", file, parameters, remappings, namespace))
        if parameters.get("autostart", True):
            client.wait_for_state("active")
            client.wait_until(lambda: client.gallery, "the gallery, without which answers might be missed as well")
        yield client


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"'{value}'" if isinstance(value, str) else str(value)
