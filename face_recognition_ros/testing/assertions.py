"""Who was seen in a number of answers, and assertions about it that say what was seen instead."""

from collections import Counter
from collections.abc import Sequence

from face_recognition_msgs.msg import FaceIdentities


class NodeTestError(AssertionError):
    """Something that a test waited for did not happen, or somebody else was seen than was expected."""


def names_seen(seen: Sequence[FaceIdentities]) -> Counter[str]:
    """In how many of the images each person was named."""
    return Counter(name for answer in seen for name in {face.name for face in answer.faces if face.name})


def assert_seen(seen: Sequence[FaceIdentities], *names: str, at_least: int = 1) -> None:
    """Raises NodeTestError unless each of the people was named in so many of the images."""
    _require_names(names)
    if at_least < 1:
        raise ValueError(f"at_least must be 1 or more, not {at_least}; assert_not_named is for who must not be named")
    found = names_seen(seen)
    missing = [f"{name!r} in {found[name]}" for name in names if found[name] < at_least]
    if missing:
        raise NodeTestError(
            f"expected in at least {at_least} image{'s' if at_least > 1 else ''} each, but named: "
            f"{', '.join(missing)}; {_summary(seen)}"
        )


def assert_not_named(seen: Sequence[FaceIdentities], *names: str) -> None:
    """Raises NodeTestError where one of the people was named in any of the images, or no image was answered."""
    _require_names(names)
    _require_answers(seen)
    found = names_seen(seen)
    named = [f"{name!r} in {found[name]}" for name in names if found[name]]
    if named:
        raise NodeTestError(f"expected not to be named, but named: {', '.join(named)}; {_summary(seen)}")


def assert_nobody_named(seen: Sequence[FaceIdentities]) -> None:
    """Raises NodeTestError where anybody was named in any of the images, or no image was answered.

    It passes where all are strangers, and where nobody is there.
    """
    _require_answers(seen)
    if names_seen(seen):
        raise NodeTestError(f"expected nobody to be named; {_summary(seen)}")


def _require_names(names: Sequence[str]) -> None:
    if not names:
        raise ValueError("whom? name at least one person")


def _require_answers(seen: Sequence[FaceIdentities]) -> None:
    if not seen:
        raise NodeTestError("no image was answered, so nothing is known of who would be named")


def _summary(seen: Sequence[FaceIdentities]) -> str:
    faces = sum(bool(answer.faces) for answer in seen)
    counted = ", ".join(f"{name!r} in {count}" for name, count in names_seen(seen).most_common()) or "nobody"
    return f"of {len(seen)} answered images {faces} show a face, and named were: {counted}"
