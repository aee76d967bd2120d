"""Augmentation: nothing when off, each effect on its share of the faces, repeatable, in range."""

from dataclasses import fields, replace

import pytest

REASON = "torch is not part of the node's environment; `make test-training` runs these in .venv-training"
torch = pytest.importorskip("torch", reason=REASON)

from face_recognition_ros.training import augmentation  # noqa: E402
from face_recognition_ros.training.augmentation import MASKS, Augmentation, mask_bank, with_mask  # noqa: E402

Tensor = torch.Tensor
PLAIN = Augmentation.none()
SHARES = ("mask", "mirror", "occlusion", "blur", "motion", "low_light", "low_resolution", "jpeg")
STRENGTHS = ("shift", "scale", "rotation", "brightness", "contrast", "colour")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stored_faces(count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, 128, 128, 3), dtype=torch.uint8, generator=seeded(seed))


def centre(faces: Tensor) -> Tensor:
    return faces.permute(0, 3, 1, 2)[:, :, 8:-8, 8:-8].float()


def changed(faces: Tensor, crops: Tensor) -> Tensor:
    return (crops - centre(faces)).abs().amax(dim=(1, 2, 3)) > 0.01


def test_the_settings_are_shares_and_strengths() -> None:
    assert {field.name for field in fields(Augmentation)} == {*SHARES, *STRENGTHS}


def test_all_zeros_give_the_centre_crop() -> None:
    faces = stored_faces(4)
    crops = PLAIN(faces, seeded())
    assert crops.shape == (4, 3, 112, 112)
    assert crops.dtype == torch.float32
    assert torch.allclose(crops, centre(faces), atol=0.01)


def test_half_of_the_faces_are_mirrored() -> None:
    faces = stored_faces(64)
    crops = replace(PLAIN, mirror=0.5)(faces, seeded())
    mirrored = changed(faces, crops)
    assert torch.allclose(crops[mirrored], centre(faces)[mirrored].flip(3), atol=0.01)
    assert 20 <= int(mirrored.sum()) <= 44, "32 expected, three standard deviations are 12"


@pytest.mark.parametrize("name", SHARES)
def test_each_effect_alone_changes_its_share_of_the_faces(name: str) -> None:
    faces = stored_faces(100)
    none, some, every = (
        int(changed(faces, replace(PLAIN, **{name: share})(faces, seeded())).sum()) for share in (0.0, 0.3, 1.0)
    )
    assert none == 0
    assert 16 <= some <= 44, "30 expected, three standard deviations are 14"
    assert every == 100


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_strength_alone_changes_every_face(name: str) -> None:
    faces = stored_faces(16)
    strength = getattr(Augmentation(), name)
    assert changed(faces, replace(PLAIN, **{name: strength})(faces, seeded())).all()


def test_repeatable_in_range_and_the_faces_are_left_as_they_are() -> None:
    faces = stored_faces(64)
    before = faces.clone()
    everything = Augmentation(**dict.fromkeys(SHARES, 0.5))
    first, again, other = (everything(faces, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(faces, before)
    assert first.min() >= 0
    assert first.max() <= 255


def test_light_keeps_what_is_grey_grey_but_for_the_colour_cast() -> None:
    faces = torch.full((8, 128, 128, 3), 100, dtype=torch.uint8)
    brighter = replace(PLAIN, brightness=0.3)(faces, seeded())
    assert torch.allclose(brighter, brighter[:, :1, :1, :1].expand_as(brighter), atol=0.01)
    assert brighter.min() >= 100 * 0.7 - 0.1
    assert brighter.max() <= 100 * 1.3 + 0.1
    contrasted = replace(PLAIN, contrast=0.3)(faces, seeded())
    assert torch.allclose(contrasted, torch.full_like(contrasted, 100.0), atol=0.01), "contrast turns about the mean"
    cast = replace(PLAIN, colour=0.1)(faces, seeded())
    assert (cast[:, 0] - cast[:, 1]).abs().max() > 1


def test_blur_keeps_a_plain_face_and_spreads_a_point() -> None:
    crops = torch.full((4, 3, 112, 112), 80.0)
    assert torch.allclose(augmentation.blurred(crops, seeded()), crops, atol=0.01)
    point = torch.zeros(4, 3, 112, 112)
    point[:, :, 56, 56] = 100
    for effect in (augmentation.blurred, augmentation.moved):
        spread = effect(point, seeded())
        assert torch.allclose(spread.sum(dim=(2, 3)), torch.full((4, 3), 100.0), atol=0.01)
        assert (spread[:, :, 56, 56] < 60).all()
    wide, narrow = spread_along_axes(augmentation.moved(point, seeded()))
    assert (wide > 4 * narrow).all(), "motion spreads along one direction"
    wide, narrow = spread_along_axes(augmentation.blurred(point, seeded()))
    assert torch.allclose(wide, narrow, rtol=0.01), "defocus spreads alike in all"


def spread_along_axes(crops: Tensor) -> tuple[Tensor, Tensor]:
    """Variances of a spread point along its longest and its shortest axis, (N,) each."""
    weight = crops[:, 0] / crops[:, 0].sum(dim=(1, 2), keepdim=True)
    steps = torch.arange(112.0) - 56
    across, down = weight.sum(dim=1) @ steps**2, weight.sum(dim=2) @ steps**2
    both = (weight * steps[:, None] * steps).sum(dim=(1, 2))
    variances = torch.linalg.eigvalsh(torch.stack([across, both, both, down], dim=1).unflatten(1, (2, 2)))
    return variances[:, 1], variances[:, 0]


def test_low_resolution_and_jpeg_remove_detail() -> None:
    crops = centre(stored_faces(8))
    for effect in (augmentation.coarsened, augmentation.compressed):
        poor = effect(crops, seeded())
        difference = (poor[:, :, :, 1:] - poor[:, :, :, :-1]).abs().mean(dim=(1, 2, 3))
        assert (difference < 0.9 * (crops[:, :, :, 1:] - crops[:, :, :, :-1]).abs().mean(dim=(1, 2, 3))).all()


def test_compression_does_not_mix_up_the_colours() -> None:
    crops = torch.tensor([200.0, 120.0, 40.0])[None, :, None, None].expand(2, 3, 112, 112)
    assert torch.allclose(augmentation.compressed(crops, seeded()), crops, atol=8)


def test_low_light_is_darker_and_noisy() -> None:
    crops = torch.full((8, 3, 112, 112), 128.0)
    dark = augmentation.darkened(crops, seeded())
    assert (dark.mean(dim=(1, 2, 3)) < 100).all()
    assert (dark.std(dim=(1, 2, 3)) > 1).all()


def test_an_occlusion_is_one_rectangle() -> None:
    crops = torch.full((32, 3, 112, 112), -1.0)
    for crop in augmentation.occluded(crops, seeded()):
        hidden = crop[0] >= 0
        rows, columns = hidden.any(dim=1), hidden.any(dim=0)
        assert torch.equal(hidden, rows[:, None] & columns[None, :])
        assert rows.sum() <= 0.45 * 112 + 1
        assert columns.sum() <= 0.45 * 112 + 1


def test_a_mask_hides_the_mouth_of_every_face_and_no_eye() -> None:
    faces = stored_faces(24)
    masked = with_mask(faces, seeded())
    assert masked.dtype == torch.uint8
    difference = (masked.int() - faces.int()).abs().sum(dim=3)
    assert (difference[:, 98:104, 55:75].float().mean(dim=(1, 2)) > 20).all()
    assert not difference[:, 54:62, 40:52].any()
    assert not difference[:, 54:62, 76:88].any()
    assert torch.equal(masked, with_mask(faces, seeded()))
    assert not torch.equal(masked, with_mask(faces, seeded(1)))


def test_the_bank_of_masks_is_the_same_each_time_and_varied() -> None:
    bank = mask_bank()
    mask_bank.cache_clear()
    assert torch.equal(bank, mask_bank())
    assert bank.shape == (MASKS, 128, 128, 4)
    assert len({bytes(mask.numpy()) for mask in bank}) == MASKS


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("blur", 1.2, "the augmentation's blur is 1.2; it must be a share of faces, 0 to 1"),
        ("mask", -0.1, "0 to 1"),
        ("shift", -1.0, "the augmentation's shift is -1.0; it must be 0 or more"),
        ("jpeg", float("nan"), "0 to 1"),
    ],
)
def test_bad_settings_get_a_sentence(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**{name: value})
