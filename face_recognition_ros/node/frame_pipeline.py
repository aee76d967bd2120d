"""One image message through conversion, recognition and publishing; a message that cannot be used stops nothing."""

import re
import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock

from face_recognition_ros.errors import BackendError, ImageError
from face_recognition_ros.node.depth import DepthBuffer
from face_recognition_ros.node.diagnostics import StreamStatistics
from face_recognition_ros.node.image_conversion import message_to_bgr
from face_recognition_ros.node.messages import Locate, nowhere, seconds
from face_recognition_ros.node.publishers import Publish
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.types import ByteArray

Recognize = Callable[[ByteArray, float], FrameResult]
"""What a frame shows that was taken at those seconds; see Recognizer.process."""

MOST_KINDS = 30
"""Of faults that are told: a sender that puts ever new words into its images is not to fill the log."""

OnResult = Callable[[FrameResult, float], None]
"""Called with what a frame showed, and the seconds of its stamp."""


class FramePipeline:
    """Answers image messages, one after the other, in the inference thread."""

    def __init__(
        self,
        recognize: Recognize,
        publish: Publish,
        statistics: StreamStatistics,
        depth: DepthBuffer,
        clock: Clock,
        logger: Any,
        topic: str,
        on_result: OnResult,
        on_backend_error: Callable[[], None],
    ) -> None:
        """topic: the images', for error messages. on_result: called after each answer, in the inference thread.

        on_backend_error: called there after each frame that a network refused.
        """
        self._recognize = recognize
        self._publish = publish
        self._statistics = statistics
        self._depth = depth
        self._clock = clock
        self._logger = logger
        self._topic = topic
        self._on_result = on_result
        self._on_backend_error = on_backend_error
        self._reported: set[str] = set()
        self._handing_over = threading.Lock()
        self._claimed = True
        self._given_up = False

    def process(self, message: Any) -> None:
        """Answers a sensor_msgs/Image or CompressedImage; counts and reports one that cannot be answered."""
        with self._handing_over:
            self._claimed = False
        try:
            self._answer(message)
        except ImageError as error:
            if self._claim():
                self._statistics.image_malformed(time.monotonic(), str(error))
                self._report(f"Images are refused. {error}")
        except Exception as error:  # whatever one frame meets, the next one deserves its chance
            if self._claim():
                sentence = f"{type(error).__name__}: {error}"
                self._statistics.image_failed(time.monotonic(), sentence)
                self._report(f"An image could not be processed. {sentence}")
                if isinstance(error, BackendError):
                    self._on_backend_error()

    def give_up(self, reason: str) -> None:
        """Counts the frame that is in work as failed, as its thread hangs; nothing that comes of it is published.

        A frame that is being published already is answered. May be called by any thread.
        """
        with self._handing_over:
            self._given_up = True
            lost = not self._claimed
        if lost:
            self._statistics.image_failed(time.monotonic(), reason)

    def _claim(self) -> bool:
        """Whether what came of the frame in work counts; from then on it is not given up any more."""
        with self._handing_over:
            self._claimed = self._claimed or not self._given_up
            return self._claimed

    def _answer(self, message: Any) -> None:
        started = time.perf_counter()
        frame = message_to_bgr(message, self._topic)
        converted = time.perf_counter()
        # A camera that does not stamp its images would let no track ever end; the time of arrival serves as well.
        stamped = seconds(message.header.stamp)
        stamp = stamped or self._now()
        result = self._recognize(frame, stamp)
        recognized = time.perf_counter()
        if not self._claim():
            return
        locate = self._locate(stamp, frame.shape[1], frame.shape[0]) if result.faces else nowhere
        self._publish(message.header, frame, result, locate)
        published = time.perf_counter()
        timings = {
            "conversion": converted - started,
            **result.timings,
            "publishing": published - recognized,
            "processing": published - started,
        }
        if stamped:
            timings["stamp to answer"] = self._now() - stamped
        self._on_result(result, stamp)
        self._statistics.image_answered(time.monotonic(), timings)

    def _locate(self, stamp: float, width: int, height: int) -> Locate:
        try:
            return self._depth.locator(stamp, width, height)
        except ImageError as error:  # who is there can be said without saying where
            self._report(f"Depth images are refused. {error}", "Faces get no position from such images.")
            return nowhere

    def _now(self) -> float:
        return float(self._clock.now().nanoseconds) * 1e-9

    def _report(self, sentence: str, remark: str = "Further ones of this kind are counted in /diagnostics.") -> None:
        """Logs a sentence once, whatever numbers are in it."""
        kind = re.sub(r"\d+", "", sentence)
        if kind not in self._reported and len(self._reported) < MOST_KINDS:
            self._reported.add(kind)
            self._logger.error(f"{sentence} {remark}")
