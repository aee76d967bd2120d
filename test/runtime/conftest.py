"""What the tests of all backends share: the installed networks, and pictures with a face for them."""

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from face_recognition_ros.types import ByteArray

NETWORKS = ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet", "face_embedding")


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    """Name of an installed network; the test runs for each."""
    return str(request.param)


@pytest.fixture
def face_inputs(astronaut_bgr: ByteArray) -> Mapping[str, npt.NDArray[np.generic]]:
    """An input for each network: a small frame, 21 and 7 candidates and 6 crops, all with the face or about it."""
    face = astronaut_bgr[40:230, 140:320]
    windows = [face[10 + 2 * i : 120 + 3 * i, 8 + i : 130 + 2 * i] for i in range(21)]

    def crops(count: int, side: int) -> ByteArray:
        return np.stack([cv2.resize(window, (side, side), interpolation=cv2.INTER_AREA) for window in windows[:count]])

    frame = np.zeros((1, 73, 97, 4), np.float32)
    frame[0, :, :, :3] = cv2.resize(astronaut_bgr, (97, 73), interpolation=cv2.INTER_AREA)
    frame[0, :, 85:] = (0, 0, 0, 255)  # the fourth channel says that there is no picture
    return {
        "mtcnn_pnet": frame,
        "mtcnn_rnet": crops(21, 24).astype(np.float32),
        "mtcnn_onet": crops(7, 48).astype(np.float32),
        "face_embedding": crops(6, 112)[..., ::-1].copy(),
    }
