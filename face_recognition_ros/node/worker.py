"""A thread for what waits for the disk, so that neither the executor nor the frames wait with it."""

from collections.abc import Callable
from concurrent import futures
from typing import Any

from rclpy.task import Future

from face_recognition_ros.errors import FaceRecognitionError


class Worker:
    """Does jobs one after the other in a thread of its own."""

    def __init__(self, name: str, wake: Callable[[], None]) -> None:
        """wake: has the executor look again at the coroutine that awaits the job; called from the worker's thread."""
        self._wake = wake
        self._pool = futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(self, job: Callable[[], Any]) -> Future:
        """Has the job done; the future gets its result or its exception."""
        future = Future()

        def hand_over(done: futures.Future[Any]) -> None:
            if done.cancelled():
                future.set_exception(FaceRecognitionError("The node was cleaned up before it got to this request."))
            elif (error := done.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(done.result())
            self._wake()

        try:
            self._pool.submit(job).add_done_callback(hand_over)
        except RuntimeError:  # it was stopped
            future.set_exception(FaceRecognitionError("The node has been cleaned up; configure it first."))
        return future

    def stop(self) -> None:
        """Finishes the job that is being done, and gives up those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)
