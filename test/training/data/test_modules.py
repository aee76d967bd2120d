"""Data modules: who is in which part, what is in a batch, and the same batches again after a stop."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("lightning", reason=REASON)

from lightning import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: E402
from pytorch_metric_learning.utils import common_functions  # noqa: E402

from face_recognition_ros.training.data.batches import FacePart, IdentitySampler  # noqa: E402
from face_recognition_ros.training.data.modules import FaceSource, IdentityData, PairData  # noqa: E402

PEOPLE, IMAGES = 20, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 people with six pictures each; red says who, green which."""
    root = tmp_path_factory.mktemp("faces")
    for person in range(PEOPLE):
        (root / f"n{person:02d}").mkdir()
        for image in range(IMAGES):
            colour = np.full((128, 128, 3), (0, 10 * image, 10 * person), np.uint8)
            assert cv2.imwrite(str(root / f"n{person:02d}" / f"{image}.png"), colour)
    return root


def people(faces: Any) -> list[int]:
    return (faces[:, 0, 0, 0] // 10).tolist()


def images(faces: Any) -> list[int]:
    return (faces[:, 0, 0, 1] // 10).tolist()


def batches(data: Any, epoch: int = 0) -> list[Any]:
    data.prepare_data()
    data.setup("fit")
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def rows_by_part(data: IdentityData) -> list[set[int]]:
    return [set(part.rows.tolist()) for part in data.parts]


def test_identities_are_held_out_and_training_labels_have_no_gap(folder: Path) -> None:
    data = IdentityData(FaceSource(folder), batch=8, validation=0.3, test=0.2, workers=0)
    shown = [
        {person for faces, _ in loader for person in people(faces)}
        for loader in (batches(data), data.val_dataloader(), data.test_dataloader())
    ]
    assert all(shown)
    assert not shown[0] & shown[1]
    assert not (shown[0] | shown[1]) & shown[2]
    assert shown[1] | shown[2] | {data.source.open().labels[row] for row in data.parts[0].rows} == set(range(PEOPLE))
    training = data.parts[0]
    assert data.num_identities == len(training) / IMAGES
    assert sorted(set(training.labels.tolist())) == list(range(data.num_identities))
    faces, labels = batches(data)[0]
    assert (faces.shape, faces.dtype, labels.dtype) == ((8, 128, 128, 3), torch.uint8, torch.int64)
    assert len(set(zip(people(faces), labels.tolist(), strict=True))) == len(set(labels.tolist()))


def test_images_are_held_out_of_the_same_identities(folder: Path) -> None:
    data = IdentityData(FaceSource(folder), batch=8, hold_out="images", validation=0.3, workers=0)
    data.setup()
    assert data.num_identities == PEOPLE
    training, validation, test = rows_by_part(data)
    assert training | validation == set(range(PEOPLE * IMAGES))
    assert not training & validation
    assert not test
    assert data.test_dataloader() == []
    for faces, labels in data.val_dataloader():
        assert people(faces) == labels.tolist(), "the classifier's own labels"


def test_plain_batches_hold_each_face_once_in_an_order_by_seed_and_epoch(folder: Path) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        data = IdentityData(FaceSource(folder), batch=8, validation=0.0, seed=seed, workers=0)
        return [
            IMAGES * p + i
            for faces, _ in batches(data, epoch)
            for p, i in zip(people(faces), images(faces), strict=True)
        ]

    assert sorted(order(0, 0)) == list(range(PEOPLE * IMAGES))
    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_p_by_k_batches_hold_m_images_of_each_identity(folder: Path) -> None:
    data = IdentityData(FaceSource(folder), batch=12, images_per_identity=4, validation=0.0, workers=0)
    epoch = batches(data)
    assert len(epoch) == PEOPLE * IMAGES // 12
    for faces, labels in epoch:
        assert sorted(np.unique(labels.numpy(), return_counts=True)[1].tolist()) == [4, 4, 4]
        assert people(faces) == labels.tolist()
        assert len(set(zip(people(faces), images(faces), strict=True))) == 12, "enough images: none twice"


def test_p_by_k_batches_repeat_after_a_stop_and_leave_the_library_as_it_was(folder: Path) -> None:
    def labels(data: IdentityData, epoch: int) -> list[list[int]]:
        return [labels.tolist() for _, labels in batches(data, epoch)]

    whole, resumed = (
        IdentityData(FaceSource(folder), batch=12, images_per_identity=4, validation=0.0, workers=0) for _ in range(2)
    )
    first, second = labels(whole, 0), labels(whole, 1)
    assert first != second
    assert labels(resumed, 1) == second
    assert common_functions.NUMPY_RANDOM is np.random


def test_few_images_are_repeated_unless_left_out(folder: Path) -> None:
    repeated = batches(IdentityData(FaceSource(folder), batch=20, images_per_identity=10, validation=0.0, workers=0))
    assert all(np.bincount(labels).max() == 10 for _, labels in repeated)
    data = IdentityData(FaceSource(folder, min_images=10), batch=20, images_per_identity=10, workers=0)
    with pytest.raises(ValueError, match="10 or more faces"):
        data.setup()


def test_several_devices_share_an_epoch_and_keep_m(folder: Path) -> None:
    part = FacePart(FaceSource(folder).open(), np.arange(120), np.repeat(np.arange(PEOPLE), IMAGES))
    orders = [list(IdentitySampler(part, 6, 3, devices=2, device=device, seed=0)) for device in range(2)]
    assert len(orders[0]) == len(orders[1]) == 60
    for start in range(0, 60, 6):
        first, second = (part.labels[order[start : start + 6]] for order in orders)
        assert sorted(first.tolist()) == sorted(second.tolist())
        assert np.unique(first, return_counts=True)[1].tolist() == [3, 3]
        assert not set(orders[0][start : start + 6]) & set(orders[1][start : start + 6]), "six images: no face on both"


def test_shards_work_as_folders_do(shards: Path, tmp_path: Path) -> None:
    source = FaceSource(shards, "shards", tmp_path / "work")
    data = IdentityData(source, batch=5, hold_out="images", validation=0.2, workers=1)
    assert data.num_identities == 5
    assert not (tmp_path / "work").exists(), "who is there is known without decoding a face"
    epoch = batches(data)
    assert (tmp_path / "work/faces.npy").exists()
    stored = source.open()
    for faces, labels in epoch:
        assert faces.shape == (5, 128, 128, 3)
        for face, label in zip(faces.numpy(), labels.tolist(), strict=True):
            same = (stored.read(np.arange(len(stored))) == face).all(axis=(1, 2, 3))
            assert stored.labels[same].tolist() == [label]


def test_pairs_show_what_their_label_says_and_parts_share_nobody(folder: Path) -> None:
    data = PairData(FaceSource(folder), batch=8, per_identity=5, validation=0.4, test=0.2, workers=0)
    shown = []
    for loader in (batches(data), data.val_dataloader(), data.test_dataloader()):
        shown.append(set())
        for first, second, different in loader:
            assert first.shape == second.shape == (len(different), 128, 128, 3)
            assert different.dtype == torch.float32
            assert [a != b for a, b in zip(people(first), people(second), strict=True)] == (different == 1).tolist()
            shown[-1] |= {*people(first), *people(second)}
    assert all(shown)
    assert not shown[0] & shown[1]
    assert not (shown[0] | shown[1]) & shown[2]


def test_masks_are_drawn_on_one_side_and_are_the_same_in_every_epoch(folder: Path) -> None:
    def masked(faces: Any) -> Any:
        return (faces != faces[:, :1, :1]).flatten(1).any(dim=1)

    data = PairData(
        FaceSource(folder), batch=16, per_identity=2, masks="one", with_itself=True, validation=0.0, workers=0
    )
    once, again = batches(data), batches(data)
    for (first, second, _), (first_again, second_again, _) in zip(once, again, strict=True):
        assert (masked(first) ^ masked(second)).all()
        assert torch.equal(first, first_again)
        assert torch.equal(second, second_again)
    drawn = torch.cat([torch.cat([f[masked(f)], s[masked(s)]]) for f, s, _ in once])
    assert not (drawn[:, :40] != drawn[:, :1, :1]).any(dim=3).float().mean() > 0.01, "the eyes and above stay bare"
    assert (drawn[:, 95:110, 50:78] != drawn[:, :1, :1]).any(dim=3).float().mean() > 0.9, "the mouth is covered"


def test_real_masks_stand_against_bare_faces(folder: Path, tmp_path: Path) -> None:
    for person in range(10):
        (tmp_path / f"n{person:02d}").mkdir()
        colour = np.full((128, 128, 3), (255, 0, 10 * person), np.uint8)
        assert cv2.imwrite(str(tmp_path / f"n{person:02d}" / "masked.png"), colour)
    data = PairData(FaceSource(folder, masked_folder=tmp_path), batch=8, validation=0.0, workers=0)
    for first, second, different in batches(data):
        assert (first[..., 2] == 255).all()
        assert (second[..., 2] == 0).all()
        assert [a != b for a, b in zip(people(first), people(second), strict=True)] == (different == 1).tolist()


def test_what_cannot_be_trained_on_is_said(folder: Path, shards: Path, tmp_path: Path) -> None:
    def complaint(data: Any) -> str:
        with pytest.raises(ValueError) as error:  # noqa: PT011 - each sentence is looked at below
            batches(data)
        return str(error.value)

    source = FaceSource(folder)
    assert "10 cannot hold 4 images" in complaint(IdentityData(source, batch=10, images_per_identity=4, workers=0))
    assert "at most 40 with the 20 identities" in complaint(
        IdentityData(source, batch=64, images_per_identity=2, validation=0.0, workers=0)
    )
    assert "fill no batch of 128 on 1 device" in complaint(IdentityData(source, validation=0.0, workers=0))
    assert "the validation part is empty" in complaint(IdentityData(source, validation=1e-6, workers=0))
    assert "the training part is empty" in complaint(PairData(source, validation=1.0, workers=0))
    assert "shards do not say" in complaint(
        PairData(FaceSource(shards, "shards", tmp_path, masked_folder=folder), workers=0)
    )


class Counting(LightningModule):
    """Trains nothing and notes which people it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []

    def training_step(self, batch: Any, _: int) -> Any:
        self.seen.append(batch[1].tolist())
        return self.weight * 0

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("images_per_identity", [None, 4])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stop", [2, 3, 5])
def test_lightning_takes_a_new_order_every_epoch_and_goes_on_where_it_stopped(
    folder: Path, tmp_path: Path, images_per_identity: int | None, workers: int, stop: int
) -> None:
    def train(steps: int, checkpoint: Path | None = None) -> list[list[int]]:
        source = FaceSource(folder)
        data = IdentityData(source, 40, images_per_identity, validation=0.0, workers=workers)
        model = Counting()
        checkpoints = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=stop, save_top_k=-1)
        trainer = Trainer(
            max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path, callbacks=[checkpoints],
        )  # fmt: skip
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
        return model.seen

    whole = train(9)
    assert whole[:3] != whole[3:6]
    assert train(9, tmp_path / f"step={stop}.ckpt") == whole[stop:]
