"""Who takes part: the one list of contenders."""

import sys
from pathlib import Path
from typing import Any

from comparison.processes import Entry

CONTENDERS = Path(__file__).resolve().parent.parent / "contenders"

EVERY_FRAME: dict[str, Any] = {"detection_interval": 1, "embedding_interval": 0.0}
"""Settings of ours for detection and embedding in every frame; by default it remembers, which is the video mode."""

EIGHT_BITS = "ours_int8"
"""The one of ours whose embedding network does not compute in 32-bit floats, as all others do."""


def entries(peers: Path, models: Path | None, yunet: Path | None, threads: int, templates: int) -> list[Entry]:
    """All of them, ours first.

    peers: the Python of the peers' environment. models: folder of the user's model files, by the names that their
    makers gave them. yunet: YuNet's file, where it is not in that folder.
    """
    common: dict[str, Any] = {"threads": threads, "templates": templates}
    files = common | {"models": str(models or ""), "yunet": str(yunet or "")}

    def program(name: str, python: str = sys.executable) -> tuple[str, ...]:
        return (python, str(CONTENDERS / name))

    def ours(name: str, title: str, kind: str = "whole", **settings: Any) -> Entry:
        chosen = {"threads": threads, "backend": "onnxruntime", "strict_backend": True} | settings
        return Entry(name, title, program("ours.py"), common | {"settings": chosen}, kind)

    found = [
        ours("ours", "ours, ONNX Runtime", **EVERY_FRAME),
        ours("ours_mtcnn", "ours, mtcnn detector, ONNX Runtime", **EVERY_FRAME, detector="mtcnn"),
        ours(EIGHT_BITS, "ours, in 8 bits, ONNX Runtime", **EVERY_FRAME, embedding_model="face_embedding_int8"),
        ours("ours_openvino", "ours, OpenVINO", **EVERY_FRAME, backend="openvino"),
        ours("ours_video", "ours in video mode, ONNX Runtime", "video"),
        ours("ours_video_openvino", "ours in video mode, OpenVINO", "video", backend="openvino"),
    ]
    if yunet is not None:
        detector = {"detector": "yunet", "detector_model": str(yunet)}
        found.append(ours("ours_yunet", "ours, YuNet detector, ONNX Runtime", **EVERY_FRAME, **detector))
        found.append(ours("ours_video_yunet", "ours in video mode, YuNet detector, ONNX Runtime", "video", **detector))
    for smallest in (40, 20):
        options = common | {"min_face_size": smallest}
        title = f"facenet-pytorch, min face {smallest}"
        found.append(Entry(f"facenet_pytorch_min{smallest}", title, program("facenet.py", str(peers)), options))
    dlib = program("dlib_face_recognition.py", str(peers))
    found.append(Entry("face_recognition", "face_recognition (dlib)", dlib, common))
    insightface = program("insightface_models.py")
    for size in (320, 640):
        title = f"insightface SCRFD-500m {size}"
        found.append(Entry(f"insightface_{size}", title, insightface, files | {"size": size}))
    tuned = files | {"size": 320, "one_pool": True}
    found.append(Entry("insightface_320_one_pool", "insightface SCRFD-500m 320, one pool", insightface, tuned))
    opencv = program("opencv_zoo.py")
    found.append(Entry("opencv_yunet_sface", "OpenCV YuNet + SFace", opencv, files))
    only = files | {"detection_only": True}
    found.append(Entry("opencv_yunet", "OpenCV YuNet, detection only", opencv, only, "detection"))
    return found
