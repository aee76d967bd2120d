"""What a test sees of the node from outside: its diagnostics and its memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from face_recognition_ros.testing import NodeClient, NodeProcess

OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"


def diagnosed(robot: NodeClient, level: bytes, part: str) -> dict[str, str]:
    """The values of the next diagnostics of that level whose sentence has that part in it."""
    robot.diagnostics = None

    def there() -> Any:
        status = robot.diagnostics.status[0] if robot.diagnostics else None
        return status if status and status.level == level and part in status.message else None

    status = robot.wait_until(there, f"{part!r} in /diagnostics, with level {level!r}")
    return {entry.key: entry.value for entry in status.values}


def counts(robot: NodeClient, condition: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """How many images were received, answered, dropped, ... by the next diagnostics in which they are such."""
    robot.diagnostics = None

    def there() -> Any:
        values = {entry.key: entry.value for entry in robot.diagnostics.status[0].values} if robot.diagnostics else {}
        found = {key.removeprefix("images "): int(values[key]) for key in values if key.startswith("images ")}
        return found if found and condition(found) else None

    return dict(robot.wait_until(there, "the numbers of images in /diagnostics"))


def all_settled(images: dict[str, int]) -> bool:
    """Whether what became of every image is counted, once."""
    return images["received"] == sum(images[key] for key in ("answered", "dropped", "malformed", "failed"))


def resident_mib(process: NodeProcess) -> float:
    """Memory of the process, without what it shares with others."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return float(fields["RssAnon"].split()[0]) / 1024
