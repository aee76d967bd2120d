"""What the node does to its gallery unasked: it learns in passing, forgets who has expired, and tells others."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rclpy.node import Node

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.gallery.learning import Proposal
from face_recognition_ros.node.publishers import GalleryPublisher
from face_recognition_ros.node.worker import Worker
from face_recognition_ros.recognizer import FrameResult

BetweenFrames = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Has a job done while no frame is in work; after it, no frame that was in work before is any more."""


class GalleryKeeper:
    """Lives in the executor's thread, but for `watch`, which runs in the inference thread. No method raises."""

    def __init__(
        self,
        node: Node,
        assembly: Assembly,
        publisher: GalleryPublisher,
        worker: Worker,
        between_frames: BetweenFrames,
    ) -> None:
        """worker: for what waits for the disk."""
        self._node = node
        self._assembly = assembly
        self._publisher = publisher
        self._worker = worker
        self._between_frames = between_frames
        self._expiring = False
        self._stopped = False
        self.complaint = ""
        """Why the gallery could not be read or changed the last time; empty where it could."""

    def tell(self) -> None:
        """Publishes the gallery if it has changed; a failure undoes no change, and the next second tries again."""
        if self._stopped:
            return
        try:
            self._publisher.publish_changes()
        except FaceRecognitionError as error:
            self._complain(str(error))
        else:
            self.complaint = ""

    def stop(self) -> None:
        """Has what is still on its way end in silence, as the gallery is about to be closed."""
        self._stopped = True

    def watch(self, result: FrameResult, stamp: float, stream: int = 0) -> None:
        """Has learned what is to be learned from a stream's frame; to be called after its answer."""
        try:
            proposals = self._assembly.learner.watch(result.faces, stamp, stream)
        except FaceRecognitionError as error:
            self._complain(str(error))
            return
        if proposals and self._node.executor is not None:
            self._node.executor.create_task(self._learn, proposals)

    def look_after(self) -> None:
        """Forgets who has expired and publishes what has changed; to be called every second."""
        if self._expiring:
            return
        try:
            self._assembly.store.check_in_place()
            due = self._assembly.store.next_expiry
        except FaceRecognitionError as error:
            self._complain(str(error))
            return
        if due is None or due > time.time() or self._node.executor is None:
            self.tell()
        else:
            self._expiring = True
            self._node.executor.create_task(self._expire)

    async def forget(self, identity_ids: Sequence[str]) -> None:
        """Returns when nothing of those who were forgotten is used or published any more.

        The frame that is in work may have been compared with them: it is answered first. Then their looks are dropped
        from tracks and from what was about to be learned; later frames are compared with a gallery without them.
        """

        def drop() -> None:
            for recognizer in self._assembly.recognizers:
                recognizer.forget(identity_ids)
            self._assembly.learner.forget(identity_ids)

        await self._between_frames(drop)

    async def _learn(self, proposals: tuple[Proposal, ...]) -> None:
        try:
            await self._worker.submit(lambda: self._assembly.learner.apply(proposals))
        except FaceRecognitionError as error:
            self._complain(str(error))
        except Exception as error:  # it would end the executor, and the node with it
            self._complain(f"Learning in passing failed for a reason that nobody expected: {error!r}.")
        else:
            self.tell()

    async def _expire(self) -> None:
        try:
            expired = await self._worker.submit(self._assembly.store.expire)
            await self.forget([person.identity_id for person in expired])
        except FaceRecognitionError as error:
            self._complain(str(error))
        except Exception as error:  # likewise
            self._complain(f"Forgetting who has expired failed for a reason that nobody expected: {error!r}.")
        else:
            if expired:
                self._node.get_logger().info(f"{len(expired)} of the gallery had expired and are forgotten")
            self.tell()
        finally:
            self._expiring = False

    def _complain(self, sentence: str) -> None:
        """Keeps a sentence for the diagnostics, and logs it unless it was the last one, too."""
        if self._stopped:
            return
        if sentence != self.complaint:
            self._node.get_logger().error(sentence)
        self.complaint = sentence
