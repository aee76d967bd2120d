"""Builds a thing by the name and the options that a recipe gives it, with a sentence for names it does not know."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Thing = TypeVar("Thing")


def build(kind: str, makers: Mapping[str, Callable[..., Thing]], name: str, *given: Any, **options: Any) -> Thing:
    """`makers[name](*given, **options)`; `kind` is the word for such things in messages.

    Raises ValueError for an unknown name or option: it says which ones there are.
    """
    if name not in makers:
        raise ValueError(f"there is no {kind} {name!r}; choose one of {', '.join(sorted(makers))}")
    allowed = list(inspect.signature(makers[name]).parameters)[len(given) :]
    for option in options:
        if option not in allowed:
            raise ValueError(f"{kind} {name} has no option {option!r}; it has {', '.join(allowed) or 'none'}")
    return makers[name](*given, **options)
