"""What the package promises of its speed, and where a measurement does not keep it."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from comparison.entries import EIGHT_BITS
from comparison.numbers import OURS
from comparison.report import added_by_ros

SIZE = "640x480"
WHOLE_FRAME = {"facenet_pytorch_min40": {"1": 0.12, "4": 0.12}, "insightface_320": {"1": 0.75, "4": 0.75}}
"""Peer, faces: most that our time may be of the peer's, by medians, with ONNX Runtime or OpenVINO; 640x480, 2 cores,
32-bit floats."""
VIDEO = {"insightface_320": {"1": 0.40, "4": 0.45}}
"""The same of the video mode's mean."""
NODE_MIB = 350.0
"""Peak memory of the node with ONNX Runtime at 640x480."""
TRANSPORT_MS = 3.0
"""What ROS adds between picture and answer at 640x480, p50."""


def missed(results: dict[str, Any]) -> Iterator[str]:
    """A sentence for each that was measured and is not kept."""
    whole = {OURS: results["whole_frame_ratio"], **results["whole_frame_ratio_of"]}
    whole.pop(EIGHT_BITS, None)
    yield from too_slow("whole frame", WHOLE_FRAME, list(whole.values()))
    yield from too_slow("video mode", VIDEO, list(results["video_ratio"].values()))
    recall = {name: of["recall_40_and_more"] for name, of in results["accuracy"].get(SIZE, {}).items()}
    for ours, peer in product(whole, WHOLE_FRAME):
        if ours in recall and peer in recall and recall[ours] < recall[peer]:
            yield (
                f"Recall of faces of 40 pixels and more at {SIZE}: "
                f"{ours} {recall[ours]:.3f}, {peer} {recall[peer]:.3f}."
            )
    node = results.get("node")
    if node:
        alone = [row for row in node["rows"] if row["size"] == SIZE and "cameras" not in row["mode"]]
        memory = max(row["peak_memory_mib"] for row in alone)
        if memory >= NODE_MIB:
            yield f"The node takes {memory:.0f} MiB at {SIZE}; it must stay under {NODE_MIB:.0f}."
        added = max(added_by_ros(row) for row in alone if row["mode"] == "video mode")
        if added >= TRANSPORT_MS:
            yield f"ROS adds {added:.1f} ms at {SIZE}; it must stay under {TRANSPORT_MS:g}."


def too_slow(what: str, targets: dict[str, dict[str, float]], measured: list[dict[str, Any]]) -> Iterator[str]:
    """The best of ours must keep each target whose peer was measured."""
    for peer, limits in targets.items():
        for faces, limit in limits.items():
            ratios = [of[peer][SIZE][faces] for of in measured if faces in of.get(peer, {}).get(SIZE, {})]
            if ratios and min(ratios) > limit:
                yield f"{what}, {SIZE}, {faces} face(s): {min(ratios):.3f} of {peer}; at most {limit} is promised."
