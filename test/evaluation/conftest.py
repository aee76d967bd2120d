"""Test sets in the layouts of the protocols, made of two public domain portraits."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_recognition_ros.assembly import Assembly, assemble
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import ByteArray


def varied(picture: ByteArray, number: int) -> ByteArray:
    """The picture a little darker, turned and moved, by its number."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 3.0 * (number % 3) - 3, 1 - 0.02 * number)
    return np.asarray(cv2.warpAffine((picture * (1 - 0.04 * number)).astype(np.uint8), turn, (width, height)), np.uint8)


@pytest.fixture(scope="package")
def portraits(astronaut_path: Path, grace_hopper_path: Path) -> dict[str, ByteArray]:
    """(256, 256, 3) uint8 BGR by name, the face in the middle."""
    astronaut, hopper = cv2.imread(str(astronaut_path)), cv2.imread(str(grace_hopper_path))
    assert astronaut is not None
    assert hopper is not None
    return {
        "Eileen_Collins": np.ascontiguousarray(astronaut[:256, 96:352]).astype(np.uint8),
        "Grace_Hopper": np.ascontiguousarray(hopper[60:316, 120:376]).astype(np.uint8),
    }


@pytest.fixture(scope="package")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory, portraits: dict[str, ByteArray]) -> Path:
    """images/NAME/NAME_0001.jpg to 5, the last without a face; pairs.txt: two folds of four pairs with faces."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, picture in portraits.items():
        (folder / "images" / name).mkdir(parents=True)
        for number in range(1, 5):
            cv2.imwrite(str(folder / "images" / name / f"{name}_{number:04d}.jpg"), varied(picture, number))
        cv2.imwrite(str(folder / "images" / name / f"{name}_0005.jpg"), np.full((256, 256, 3), 90, np.uint8))
    lines = ["2\t2"]
    for first, second in ((1, 2), (3, 4)):
        lines += [f"{name}\t{first}\t{second}" for name in portraits]
        lines += [f"Eileen_Collins\t{number}\tGrace_Hopper\t{number}" for number in (first, second)]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="package")
def videos_folder(tmp_path_factory: pytest.TempPathFactory, portraits: dict[str, ByteArray]) -> Path:
    """NAME/SET_NAME_VF.jpg: two videos of four frames of each of two people; the last frame of one shows nobody."""
    folder = tmp_path_factory.mktemp("videos")
    for name, picture in portraits.items():
        (folder / name).mkdir()
        for video in range(2):
            for frame in range(4):
                path = folder / name / f"test_{name}_{video}{frame}.jpg"
                cv2.imwrite(str(path), varied(picture, frame + video))
    cv2.imwrite(str(folder / "Grace_Hopper" / "test_Grace_Hopper_13.jpg"), np.full((256, 256, 3), 90, np.uint8))
    return folder


@pytest.fixture(scope="package")
def assembly() -> Iterator[Assembly]:
    """The whole pipeline with the released network and an empty gallery; no test changes it."""
    with assemble(Settings()) as built:
        yield built
