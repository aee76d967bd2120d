"""Parts of a data set that give whole batches at once, the P x K sampler, and the loaders of both."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from face_recognition_ros.training.augmentation import with_mask
from face_recognition_ros.training.data.pairs import Pairs
from face_recognition_ros.training.data.splits import Rows


class LabelledFaces(Protocol):
    """What FaceFolder and ShardFaces have in common."""

    labels: Rows
    names: tuple[str, ...]
    worn: npt.NDArray[np.bool_]

    def __len__(self) -> int: ...

    def read(self, positions: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """The faces (n, 128, 128, 3) uint8 RGB at these positions."""


class FacePart:
    """Some of the faces, with labels of their own; gives whole batches at once."""

    def __init__(self, faces: LabelledFaces, rows: Rows, labels: Rows) -> None:
        self.faces, self.rows, self.labels = faces, rows, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        """(N, 128, 128, 3) uint8 RGB and (N,) int64."""
        return torch.from_numpy(self.faces.read(self.rows[positions])), torch.from_numpy(self.labels[positions])


class PairPart:
    """Pairs of some of the faces; gives whole batches at once."""

    def __init__(self, faces: LabelledFaces, rows: Rows, pairs: Pairs, seed: int) -> None:
        """`pairs` count through `rows`, the positions in `faces`."""
        self.faces, self.rows, self.pairs, self.seed = faces, rows, pairs, seed

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitems__(self, positions: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Twice (N, 128, 128, 3) uint8 RGB, and (N,) float32."""
        pairs = self.pairs
        first = self._side(0, pairs.first, pairs.first_masked, positions)
        second = self._side(1, pairs.second, pairs.second_masked, positions)
        return first, second, torch.from_numpy(pairs.different[positions].astype(np.float32))

    def _side(self, side: int, rows: Rows, masked: npt.NDArray[np.bool_], positions: list[int]) -> Tensor:
        faces = torch.from_numpy(self.faces.read(self.rows[rows[positions]]))
        for place in np.flatnonzero(masked[positions]).tolist():
            # From the pair alone, so that it wears the same mask in every epoch and whichever worker reads it.
            seed = int(np.random.default_rng([self.seed, side, positions[place]]).integers(2**31))
            faces[place] = with_mask(faces[place : place + 1], torch.Generator().manual_seed(seed))[0]
        return faces


class ShuffledSampler(DistributedSampler):  # Lightning leaves alone what is one already, and tells it the epoch
    """All of a part in an order that follows from seed and epoch; may begin in the middle of an epoch."""

    begin = 0
    """How many faces of the next epoch to leave out; back to 0 once it has begun."""

    def __init__(self, part: Any, devices: int, device: int, seed: int) -> None:
        """`part` is shared out among `devices`; this is number `device`."""
        super().__init__(part, num_replicas=devices, rank=device, seed=seed, drop_last=True)

    def __iter__(self) -> Iterator[int]:
        begin, self.begin = self.begin, 0
        return islice(self.order(), begin, None)

    def order(self) -> Iterator[int]:
        """A whole epoch."""
        return iter(super().__iter__())


class IdentitySampler(ShuffledSampler):
    """P x K sampling by pytorch-metric-learning, repeatable by epoch, and whole on each of several devices.

    An epoch has as many faces as the part; each identity is equally likely, however many images it has.
    """

    def __init__(
        self, part: FacePart, batch: int, images_per_identity: int, devices: int, device: int, seed: int
    ) -> None:
        """`batch` faces for each of `devices`, `images_per_identity` of each identity; this is number `device`."""
        super().__init__(part, devices, device, seed)
        # The devices share each identity's images out among them by turns.
        whole = batch * devices
        self.sampler = MPerClassSampler(part.labels, images_per_identity * devices, whole, len(part))

    def __len__(self) -> int:
        return len(self.sampler) // self.num_replicas

    def order(self) -> Iterator[int]:
        self.sampler.labels.sort()  # it shuffles them in place: a resumed run must not depend on the epochs before
        library_random = common_functions.NUMPY_RANDOM
        common_functions.NUMPY_RANDOM = np.random.default_rng([self.seed, self.epoch])
        try:
            rows = list(self.sampler)
        finally:
            common_functions.NUMPY_RANDOM = library_random
        return iter(rows[self.rank :: self.num_replicas])


class TrainingLoader(DataLoader):
    """A DataLoader that goes on in the middle of an epoch: Lightning keeps its `state_dict` in checkpoints."""

    given = 0
    """Batches of this epoch so far."""

    def __iter__(self) -> Iterator[Any]:
        self.given = self.sampler.begin // self.batch_size
        for batch in super().__iter__():
            self.given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.sampler.begin = state["given"] * self.batch_size


def held_out_loader(part: Any, batch: int, workers: int) -> Any:
    """All of a part in order."""
    return DataLoader(part, batch, **_options(workers))


def training_loader(data: Any, part: Any, images_per_identity: int | None = None) -> Any:
    """Full batches in an order that follows from seed and epoch; what fills no batch comes in another epoch.

    `data`: a Lightning data module with `batch`, `workers`, `seed`. Raises ValueError where there is no full batch.
    """
    devices, device, epoch = 1, 0, 0
    if data.trainer is not None:
        devices, device = data.trainer.world_size, data.trainer.global_rank
        epoch = data.trainer.fit_loop.epoch_progress.current.processed
    if len(part) < data.batch * devices:
        raise ValueError(
            f"{len(part)} items for training fill no batch of {data.batch} on {devices} device(s); lower batch"
        )
    if images_per_identity is None:
        sampler = ShuffledSampler(part, devices, device, data.seed)
    else:
        sampler = IdentitySampler(part, data.batch, images_per_identity, devices, device, data.seed)
    # Lightning tells a sampler its epoch as well, but in a resumed run perhaps after the workers have begun to read.
    sampler.set_epoch(epoch)
    return TrainingLoader(part, data.batch, sampler=sampler, drop_last=True, **_options(data.workers))


def _options(workers: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": torch.cuda.is_available(),
        "collate_fn": _as_it_is,
    }


def _as_it_is(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return batch
