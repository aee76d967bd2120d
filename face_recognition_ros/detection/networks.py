"""MTCNN's networks: how one is loaded, and how it is asked about parts of a frame."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from face_recognition_ros.detection.boxes import pixel_ranges
from face_recognition_ros.detection.detector import DetectorOptions
from face_recognition_ros.detection.sampling import CropSource
from face_recognition_ros.errors import ModelError
from face_recognition_ros.models import ModelFile, find_model, load_model_file
from face_recognition_ros.runtime import FALLBACK, BackendChoice, InferenceSession, create_session
from face_recognition_ros.types import FloatArray

PNET, RNET, ONET = NETWORKS = ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet")
RNET_SIDE, ONET_SIDE = 24, 48
"""Of the crops that they take, in pixels."""
PIXELS_PER_CALL = 18_432
"""32 crops for R-Net, 8 for O-Net: what they make of more does not fit a processor's cache, and takes longer."""


def load_network(name: str, folder: str, options: DetectorOptions) -> tuple[InferenceSession, BackendChoice]:
    """One of NETWORKS: from that folder, or for none the installed one.

    Raises ModelError where it is missing, damaged or of another kind, BackendError as create_session does.
    """
    path = network_file(name, folder).path
    session, choice = create_session(path, options.backend, options.strict_backend, options.threads)
    if tuple(session.outputs) != ("answers",):
        raise ModelError(
            f"{name}.onnx gives {', '.join(session.outputs)}, where this release wants answers; "
            "write the three networks anew with python3 -m face_recognition_ros.models.mtcnn_export"
        )
    return session, choice


def network_file(name: str, folder: str) -> ModelFile:
    """One of NETWORKS: from that folder, or for none the installed one. Raises ModelError as load_model_file does."""
    return load_model_file(Path(folder) / f"{name}.onnx") if folder else find_model(name)


def speaks_for(choices: Sequence[BackendChoice]) -> BackendChoice:
    """Of the networks of a detector, the first that is not run as it was asked for, else the first."""
    return next((choice for choice in choices if choice.used == FALLBACK), choices[0])


def logit(probability: float) -> float:
    """What the networks answer for it."""
    return math.log(probability / (1 - probability))


def ask(
    network: InferenceSession, frame: CropSource, boxes: FloatArray, side: int
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Which of the boxes (N, 4) show some of the frame, (M,), and the network's answers (M, ...) to their crops."""
    ranges = pixel_ranges(boxes, frame.width, frame.height)
    inside = np.flatnonzero((ranges[:, 2:] > ranges[:, :2]).all(axis=1))
    inside = inside[np.argsort(ranges[inside, 0], kind="stable")]  # neighbours find what they share in the cache
    ranges = ranges[inside]
    step = PIXELS_PER_CALL // side**2
    answers = [
        network.run({"image": frame.crops(ranges[start : start + step], side)})[0]
        for start in range(0, max(len(ranges), 1), step)
    ]
    return inside, np.concatenate(answers)
