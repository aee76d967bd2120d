"""The newest images of several cameras together, from messages to answers, in the inference thread."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from face_recognition_ros.node.frame_pipeline import FramePipeline, Received
from face_recognition_ros.recognizer import FrameResult

Recognize = Callable[[Mapping[int, Received]], Mapping[int, FrameResult | Exception]]
"""What the images show, or the exception that each met, by the number of their stream; see process_together."""


class Rounds:
    """Answers one round after the other: an image of each stream that has one. What one meets costs no other."""

    def __init__(self, pipelines: Sequence[FramePipeline], recognize: Recognize) -> None:
        """pipelines: of all streams, by their number."""
        self._pipelines = pipelines
        self._recognize = recognize

    def process(self, messages: Mapping[int, Any]) -> None:
        """Answers the messages, by the number of their stream, or counts and reports why not; never raises."""
        for stream in messages:
            self._pipelines[stream].begin()
        received = {stream: self._pipelines[stream].receive(message) for stream, message in messages.items()}
        images = {stream: image for stream, image in received.items() if image is not None}
        results: Mapping[int, FrameResult | Exception]
        try:
            results = self._recognize(images) if images else {}
        except Exception as error:
            results = dict.fromkeys(images, error)
        for stream, image in images.items():
            self._pipelines[stream].answer(image, results[stream])

    def give_up(self, reason: str) -> None:
        """As FramePipeline.give_up, for all streams."""
        for pipeline in self._pipelines:
            pipeline.give_up(reason)
