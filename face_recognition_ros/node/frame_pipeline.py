"""One image message from conversion to publishing; a message that cannot be used stops nothing."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock
from std_msgs.msg import Header

from face_recognition_ros.errors import BackendError, ImageError
from face_recognition_ros.node.depth import DepthBuffer
from face_recognition_ros.node.diagnostics import StreamStatistics
from face_recognition_ros.node.image_conversion import message_to_bgr
from face_recognition_ros.node.messages import Locate, nowhere, seconds
from face_recognition_ros.node.publishers import Publish
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.types import ByteArray

MOST_KINDS = 30
"""Of faults that are told: a sender that puts ever new words into its images is not to fill the log."""

OnResult = Callable[[FrameResult, float], None]
"""Called with what a frame showed, and the seconds of its stamp."""


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """An image on its way to its answer."""

    header: Header
    picture: ByteArray
    """(H, W, 3) uint8 BGR."""
    stamp: float
    """Seconds; of the arrival where the camera does not stamp its images."""
    is_stamped: bool
    started: float
    converted: float
    """Seconds of time.perf_counter."""


class FramePipeline:
    """Answers the image messages of one stream, one after the other, in the inference thread.

    For each: `begin`, `receive`, and, after the picture was looked at, `answer`.
    """

    def __init__(
        self,
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

    def begin(self) -> None:
        """From now on there is a frame in work."""
        with self._handing_over:
            self._claimed = False

    def receive(self, message: Any) -> Received | None:
        """Takes a sensor_msgs/Image or CompressedImage; counts and reports one that cannot be used."""
        try:
            started = time.perf_counter()
            picture = message_to_bgr(message, self._topic)
            converted = time.perf_counter()
            # A camera that does not stamp its images would let no track ever end; the time of arrival serves as well.
            stamped = seconds(message.header.stamp)
            return Received(message.header, picture, stamped or self._now(), stamped != 0, started, converted)
        except Exception as error:
            self._fail(error)
            return None

    def answer(self, image: Received, result: FrameResult | Exception) -> None:
        """Publishes what the picture showed; counts and reports what went wrong with it."""
        if isinstance(result, Exception):
            self._fail(result)
            return
        try:
            self._answer(image, result)
        except Exception as error:  # whatever one frame meets, the next one deserves its chance
            self._fail(error)

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

    def _answer(self, image: Received, result: FrameResult) -> None:
        recognized = time.perf_counter()
        if not self._claim():
            return
        height, width = image.picture.shape[:2]
        locate = self._locate(image.stamp, width, height) if result.faces else nowhere
        self._publish(image.header, image.picture, result, locate)
        published = time.perf_counter()
        timings = {
            "conversion": image.converted - image.started,
            **result.timings,
            "publishing": published - recognized,
            "processing": published - image.started,
        }
        if image.is_stamped:
            timings["stamp to answer"] = self._now() - image.stamp
        self._on_result(result, image.stamp)
        self._statistics.image_answered(time.monotonic(), timings)

    def _fail(self, error: Exception) -> None:
        """Counts and reports what the frame in work has met."""
        if not self._claim():
            return
        if isinstance(error, ImageError):
            self._statistics.image_malformed(time.monotonic(), str(error))
            self._report(f"Images are refused. {error}")
            return
        sentence = f"{type(error).__name__}: {error}"
        self._statistics.image_failed(time.monotonic(), sentence)
        self._report(f"An image could not be processed. {sentence}")
        if isinstance(error, BackendError):
            self._on_backend_error()

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
