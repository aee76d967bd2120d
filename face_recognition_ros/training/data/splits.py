"""Decides which faces are learned from and which are kept to judge by: whole identities, or images of each."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The faces of a data set that are used, and who they show."""

    rows: Rows
    """(N,) into the data set, ascending."""
    labels: Rows
    """(N,) into names."""
    names: tuple[str, ...]
    """Of the identities, sorted."""


def select_faces(
    identities: Sequence[str] | npt.NDArray[np.str_],
    min_images: int = 1,
    max_images: int | None = None,
    only: Collection[str] | None = None,
) -> Selection:
    """The faces whose identity is known, is one of `only`, and has at least `min_images` of them.

    Args:
        identities: a name for each face; "" where it is unknown.
        min_images: identities with fewer faces are left out.
        max_images: of each identity the first so many faces are used; None: all.
        only: names of the identities to use; None: all.

    Raises:
        ValueError: a limit below 1, a name of `only` that no face has, or no face is left.
    """
    if min_images < 1 or (max_images is not None and max_images < 1):
        raise ValueError(f"min_images and max_images must be 1 or more, not {min_images} and {max_images}")
    names, labels, counts = np.unique(np.asarray(identities, np.str_), return_inverse=True, return_counts=True)
    unknown = sorted(set(only or ()) - set(names.tolist()))
    if unknown:
        raise ValueError(f"{len(unknown)} of the identities asked for have no face, the first of them {unknown[0]!r}")
    wanted = (names != "") & (counts >= min_images)
    if only is not None:
        wanted &= np.isin(names, list(only))
    used = wanted[labels]
    if max_images is not None:
        used &= _rank(labels) < max_images
    if not used.any():
        most = counts[names != ""].max(initial=0)
        raise ValueError(
            f"none of the identities asked for has {min_images} or more faces; the most that any has is {most}"
        )
    numbers = np.cumsum(wanted) - 1
    return Selection(np.flatnonzero(used), numbers[labels[used]], tuple(names[wanted].tolist()))


def split_identities(labels: npt.ArrayLike, fractions: Sequence[float], seed: int) -> tuple[Rows, ...]:
    """Row indices of each part; all faces of an identity are in the same part.

    An identity's part follows from a hash of seed and label alone: adding identities or faces moves nobody who was
    there before. So parts have about, not exactly, their fraction of the identities, and may be empty where there are
    only a few.

    Args:
        labels: (N,) names, or numbers that will not change when identities are added.
        fractions: of the identities, one per part, which add up to 1 or less; what is left over is in no part.
        seed: another seed gives another split.

    Returns:
        Ascending row indices, one (n,) int64 array per fraction.

    Raises:
        ValueError: a fraction is negative, or they add up to more than 1.
    """
    edges = np.cumsum([0.0, *fractions])
    if min(fractions, default=0) < 0 or edges[-1] > 1 + 1e-9:
        raise ValueError(f"fractions must be 0 or more and add up to at most 1, not {list(fractions)}")
    if 1 - edges[-1] < 1e-9:
        edges[-1] = 1.0  # 0.8 + 0.1 + 0.1 is a little less
    names, inverse = np.unique(np.asarray(labels), return_inverse=True)
    places = np.array([_place(str(name), seed) for name in names.tolist()])
    parts = np.searchsorted(edges, places, side="right")[inverse] if len(names) else np.empty(0, np.int64)
    return tuple(np.flatnonzero(parts == number) for number in range(1, len(edges)))


def split_images(labels: npt.ArrayLike, fractions: Sequence[float], seed: int) -> tuple[Rows, ...]:
    """Row indices of the training part and of each held-out part; every identity has a face in the training part.

    For a classifier, which can only be judged on identities that it has learned. Faces are held out independently.

    Args:
        labels: (N,) names or numbers of the identities.
        fractions: of the faces, one per held-out part, which add up to less than 1.
        seed: another seed gives another split.

    Raises:
        ValueError: a fraction is negative, or they add up to 1 or more.
    """
    edges = np.cumsum([0.0, *fractions])
    if min(fractions, default=0) < 0 or edges[-1] >= 1:
        raise ValueError(f"fractions to hold out must be 0 or more and add up to less than 1, not {list(fractions)}")
    numbers = np.unique(np.asarray(labels), return_inverse=True)[1]
    draws = np.random.default_rng(seed).random(len(numbers))
    parts = np.searchsorted(edges, draws, side="right") % len(edges)  # past the last edge is training, part 0
    largest_draw_last = np.lexsort((draws, numbers))
    last = np.flatnonzero(np.diff(numbers[largest_draw_last], append=-1))
    parts[largest_draw_last[last]] = 0
    return tuple(np.flatnonzero(parts == number) for number in range(len(edges)))


def _place(name: str, seed: int) -> float:
    """A number in 0 to 1 that looks random, and is the same on every machine."""
    digest = hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _rank(labels: Rows) -> Rows:
    """The how-manieth face of its identity each is, from 0."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return ranks
