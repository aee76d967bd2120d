"""Which shapes an engine is built for."""

import pytest

from face_recognition_ros.errors import BackendError
from face_recognition_ros.runtime.profiles import Profile, profile_of


def test_pictures_of_any_size_come_one_by_one() -> None:
    profile = profile_of({"image": (None, None, None, 4)})
    assert (profile.minimum, profile.maximum) == ((1, 12, 12, 4), (1, 1600, 1300, 4))
    assert profile.holds((1, 1600, 12, 4))
    assert profile.holds((3, 100, 100, 4)), "put into three calls"
    for shape in ((0, 100, 100, 4), (1, 11, 100, 4), (1, 100, 1301, 4), (1, 100, 100, 3), (1, 100, 100)):
        assert not profile.holds(shape)


@pytest.mark.parametrize(("side", "most"), [(24, 256), (48, 256), (112, 32)])
def test_crops_come_in_batches_the_smaller_the_larger(side: int, most: int) -> None:
    profile = profile_of({"faces": (None, side, side, 3)})
    assert (profile.name, profile.most) == ("faces", most)
    assert all(
        low <= best <= high for low, best, high in zip(profile.minimum, profile.optimum, profile.maximum, strict=True)
    )


def test_a_fixed_batch_stays() -> None:
    assert profile_of({"faces": (4, 112, 112, 3)}) == Profile("faces", *[(4, 112, 112, 3)] * 3)


@pytest.mark.parametrize(
    "inputs", [{"a": (None, 8, 8, 3), "b": (None, 1)}, {"x": (None, 2)}, {"x": (None, 8, 8, None)}]
)
def test_other_networks_are_refused(inputs: dict[str, tuple[int | None, ...]]) -> None:
    with pytest.raises(BackendError, match=r"not one \(batch, height, width, channels\) input"):
        profile_of(inputs)
