"""A frame of each of several streams at once: each is searched by itself, all their faces are embedded in one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from face_recognition_ros.recognizer import FrameResult, Glance, Recognizer, embed_together, timed
from face_recognition_ros.stages import Embedder
from face_recognition_ros.types import ByteArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class StreamFrame:
    """The next frame of a stream, with what Recognizer.process is told of it."""

    picture: ByteArray
    """(H, W, 3) uint8 BGR."""
    stamp: float
    """Seconds."""
    in_full: bool = False
    behind: bool = False


def process_together(
    recognizers: Sequence[Recognizer], frames: Mapping[int, StreamFrame]
) -> dict[int, FrameResult | Exception]:
    """What the frames show, by the number of the stream; each is processed as Recognizer.process does it.

    What one frame meets costs the others nothing: where `process` would raise, the exception stands for the result.
    Whoever has left the gallery is forgotten by the tracks of all streams, also of those without a frame.

    Args:
        recognizers: of all streams; they must share embedder and judge.
        frames: of some streams or all.
    """
    glances: dict[int, Glance] = {}
    results: dict[int, FrameResult | Exception] = {}
    for stream, frame in frames.items():
        try:
            glances[stream] = recognizers[stream].glance(frame.picture, frame.stamp, frame.in_full, frame.behind)
        except Exception as error:
            results[stream] = error
    gone: set[str] = set()
    for stream, embeddings in embed_glances(recognizers[0].embedder, glances).items():
        if isinstance(embeddings, Exception):
            results[stream] = embeddings
            continue
        try:
            results[stream] = result = recognizers[stream].conclude(glances[stream], embeddings)
            gone |= result.gone
        except Exception as error:
            results[stream] = error
    for recognizer in recognizers if gone else ():
        recognizer.forget(gone)
    return results


def embed_glances(embedder: Embedder, glances: Mapping[int, Glance]) -> dict[int, Sequence[FloatArray] | Exception]:
    """The embeddings of each glance's crops, made in one call; where that fails, of each by itself, or why not."""
    crops = {stream: glance.crops for stream, glance in glances.items()}
    timings: dict[str, float] = {}
    try:
        with timed(timings, "embedding"):
            vectors = iter(embed_together(embedder, [crop for own in crops.values() for crop in own]))
    except Exception as error:
        if len(glances) == 1:
            return dict.fromkeys(glances, error)
        return {stream: embed_glances(embedder, {stream: glance})[stream] for stream, glance in glances.items()}
    for glance in glances.values():
        glance.timings.update(timings)
    return {stream: list(islice(vectors, len(own))) for stream, own in crops.items()}
