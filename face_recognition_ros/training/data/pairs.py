"""Builds pairs of faces for siamese training: genuine and impostor in equal number, with a cap for each identity.

The protocol of masked-face work on RMFRD: subjects split 80 to 20 (splits.split_identities), at most 20 genuine pairs
of each, and as many impostor pairs.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Masks = Literal["none", "one", "both", "mixed"]
"""Which sides of a pair get a drawn mask: neither, one of them at random, both, or each by a coin of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of rows of a data set, all fields (N,)."""

    first: Rows
    second: Rows
    different: Flags
    """True for an impostor pair, as label 1 of the contrastive losses."""
    first_masked: Flags
    """Whether a mask is to be drawn on this side; False for a photo that shows a real one."""
    second_masked: Flags

    def __len__(self) -> int:
        return len(self.first)


def build_pairs(
    labels: npt.ArrayLike,
    seed: int,
    per_identity: int = 20,
    masks: Masks = "none",
    with_itself: bool = False,
    worn: npt.ArrayLike | None = None,
) -> Pairs:
    """Genuine pairs of each identity, drawn without repeats, and as many impostor pairs, in random order.

    Each genuine pair has an impostor pair of the same first face and a random face of a random other identity, so every
    identity stands first in both kinds equally often. Where there are few faces, an impostor pair may come up twice.

    Args:
        labels: (N,) names or numbers of the identities, one per face.
        seed: the same seed gives the same pairs.
        per_identity: at most so many genuine pairs of one identity.
        masks: where masks are to be drawn.
        with_itself: whether a face may be paired with its own masked version; only for `masks` "one".
        worn: (N,) bool, whether a photo shows a real mask. Then every pair is a face with a real mask and one without.

    Raises:
        ValueError: an argument out of its range, options that exclude each other, or no pair of one of the kinds.
    """
    if per_identity < 1 or masks not in get_args(Masks):
        raise ValueError(f"per_identity must be 1 or more, and masks one of {', '.join(get_args(Masks))}")
    if with_itself and masks != "one":
        raise ValueError('with_itself pairs a face with its own masked version: it needs masks to be "one"')
    if worn is not None and masks != "none":
        raise ValueError('worn pairs real masks with bare faces: masks must be "none" then, as none are drawn')
    numbers = np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)
    flags = None if worn is None else np.asarray(worn, np.bool_)
    random = np.random.default_rng(seed)

    genuine = _genuine(numbers, flags, per_identity, with_itself, random)
    if not len(genuine):
        raise ValueError("no identity has two faces to pair" + ("" if flags is None else ", one masked and one not"))
    candidates = np.arange(len(numbers)) if flags is None else np.flatnonzero(~flags)
    strangers = _strangers(numbers, genuine[:, 0], candidates, random)
    first = np.tile(genuine[:, 0], 2)
    second = np.concatenate([genuine[:, 1], strangers])
    order = random.permutation(len(first))
    return Pairs(first[order], second[order], order >= len(genuine), *_sides(len(first), masks, random))


def _genuine(
    numbers: Rows, worn: Flags | None, per_identity: int, with_itself: bool, random: np.random.Generator
) -> Rows:
    """Pairs (G, 2) of rows that show the same identity; with `worn`, the masked one first."""
    order = np.argsort(numbers, kind="stable")
    chosen = [np.empty((0, 2), np.int64)]
    for rows in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        if worn is None:
            chosen.append(_pairs_within(rows, per_identity, with_itself, random))
        else:
            chosen.append(_pairs_between(rows[worn[rows]], rows[~worn[rows]], per_identity, random))
    return np.concatenate(chosen)


def _pairs_within(rows: Rows, most: int, with_itself: bool, random: np.random.Generator) -> Rows:
    """At most so many of the pairs (i, j), i < j, or i <= j `with_itself`, each in random order."""
    gap = 0 if with_itself else 1
    count = len(rows) + 1 - gap
    total = count * (count - 1) // 2
    picks = random.choice(total, min(total, most), replace=False)
    # The pairs are counted along the rows of a triangle, so that those of 800 photos need not be listed to draw 20.
    line = ((np.sqrt(8.0 * picks + 1) - 1) // 2).astype(np.int64)
    pairs = rows[np.column_stack([picks - line * (line + 1) // 2, line + gap])]
    return random.permuted(pairs, axis=1)


def _pairs_between(masked: Rows, bare: Rows, most: int, random: np.random.Generator) -> Rows:
    """At most so many pairs of one of `masked` and one of `bare`."""
    total = len(masked) * len(bare)
    picks = random.choice(total, min(total, most), replace=False)
    return np.column_stack([masked[picks // max(len(bare), 1)], bare[picks % max(len(bare), 1)]])


def _strangers(numbers: Rows, first: Rows, candidates: Rows, random: np.random.Generator) -> Rows:
    """For each row of `first` one of `candidates` that shows another identity; every identity is equally likely."""
    ordered = candidates[np.argsort(numbers[candidates], kind="stable")]
    identities, starts, counts = np.unique(numbers[ordered], return_index=True, return_counts=True)
    own = np.searchsorted(identities, numbers[first])
    if len(identities) < 2:
        raise ValueError("impostor pairs need faces of at least two identities, each with one that may stand second")
    other = (own + random.integers(1, len(identities), len(first))) % len(identities)
    return ordered[starts[other] + random.integers(0, counts[other])]


def _sides(count: int, masks: Masks, random: np.random.Generator) -> tuple[Flags, Flags]:
    """Which first and which second faces get a drawn mask."""
    coin, other = random.random((2, count)) < 0.5
    match masks:
        case "one":
            return coin, ~coin
        case "both":
            return np.ones(count, np.bool_), np.ones(count, np.bool_)
        case "mixed":
            return coin, other
    return np.zeros(count, np.bool_), np.zeros(count, np.bool_)
