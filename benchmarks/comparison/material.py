"""Which frames are shown: those that are timed, those on which recall is counted, and the film for the video mode."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from comparison.accuracy import BINS
from comparison.frames import (
    Face,
    Frame,
    Photograph,
    background_photographs,
    compose,
    in_poor_light,
    largest_size,
    moving,
)
from comparison.photographs import large_enough

SIZES = {"640x480": (640, 480), "1280x720": (1280, 720)}
FACES = (0, 1, 2, 4, 8)
TIMED_SIZES = (56.0, 160.0)
"""Pixels of the faces in frames that are timed: every contender should see them all, so that all do the same work."""
RECALL_FACES = {"640x480": 4, "1280x720": 8}
LARGEST_FACE = 160.0
FILM_FACES = (1, 4)
FILM_FACE = 80.0


@dataclass(frozen=True)
class Shown:
    """A frame in a file, and its truth."""

    path: Path
    faces: tuple[Face, ...]


class Material:
    """Composes frames and puts them into files; always the same ones for the same photographs."""

    def __init__(self, photographs: Sequence[Photograph], folder: Path) -> None:
        self._photographs = photographs
        self._folder = folder
        self._backgrounds = background_photographs()

    def timed(self, size: str, faces: int, count: int) -> list[Shown]:
        """So many different frames with so many faces."""
        rng = np.random.default_rng([1, *SIZES[size], faces])
        high = min(TIMED_SIZES[1], largest_size(SIZES[size], faces))
        sizes = np.exp(rng.uniform(np.log(TIMED_SIZES[0]), np.log(high), (count, faces)))
        return self._write(f"timed-{size}-{faces}", size, sizes, rng, len(self._backgrounds) - 1)

    def recall(self, size: str, count: int) -> list[Shown]:
        """So many frames whose faces have sizes of all bins, equally often, as far as they fit; half in poor light."""
        faces = RECALL_FACES[size]
        rng = np.random.default_rng([2, *SIZES[size]])
        high = min(LARGEST_FACE, largest_size(SIZES[size], faces))
        ranges = [(low, min(end, high)) for low, end in itertools.pairwise(BINS) if low < high]
        sizes = np.array([rng.uniform(*ranges[index % len(ranges)]) for index in range(count * faces)])
        return self._write(
            f"recall-{size}", size, sizes.reshape(count, faces), rng, len(self._backgrounds), poor_light=True
        )

    def film(self, size: str, faces: int, count: int) -> list[Shown]:
        """So many frames in which the same faces move."""
        rng = np.random.default_rng([3, *SIZES[size], faces])
        chosen = self._choose(np.full(faces, FILM_FACE), rng)
        frames = moving(chosen, self._backgrounds[0], SIZES[size], FILM_FACE, count, rng)
        return [self._save(f"film-{size}-{faces}-{index}", frame) for index, frame in enumerate(frames)]

    def _write(
        self,
        name: str,
        size: str,
        sizes: np.ndarray,
        rng: np.random.Generator,
        backgrounds: int,
        poor_light: bool = False,
    ) -> list[Shown]:
        shown = []
        for index, row in enumerate(sizes):
            background = self._backgrounds[index % backgrounds]
            frame = compose(self._choose(row, rng), background, SIZES[size], row.tolist(), rng)
            if poor_light and index % 2:
                frame = in_poor_light(frame, rng)
            shown.append(self._save(f"{name}-{index}", frame))
        return shown

    def _choose(self, sizes: np.ndarray, rng: np.random.Generator) -> list[Photograph]:
        """A photograph for each size, none twice in a frame if there are enough."""
        chosen: list[Photograph] = []
        for size in sizes:
            able = large_enough(self._photographs, size)
            fresh = [one for one in able if all(one is not other for other in chosen)] or able
            chosen.append(fresh[rng.integers(len(fresh))])
        return chosen

    def _save(self, name: str, frame: Frame) -> Shown:
        path = self._folder / f"{name}.npy"
        np.save(path, frame.picture)
        return Shown(path, frame.faces)
