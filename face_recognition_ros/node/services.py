"""How every service of the node answers: with success or a sentence that says what was wrong, and the revision."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.gallery.store import GalleryStore

Handler = Callable[[Any, Any], Awaitable[str]]
"""Fills the response and returns its message, or raises FaceRecognitionError."""


class ServiceGroup:
    """Offers services whose handlers may await; no request raises, and while one waits the executor goes on."""

    def __init__(self, node: Node, store: GalleryStore, handlers: Mapping[str, tuple[Any, Handler]]) -> None:
        """handlers: the type of each service and what answers it, by the service's name."""
        self._node = node
        self._store = store
        self._unanswered = 0
        # The node's own group would hold everything else back until an awaited job is done.
        group = ReentrantCallbackGroup()
        self._services = [
            node.create_service(kind, f"~/{name}", self._answering(name, handler), callback_group=group)
            for name, (kind, handler) in handlers.items()
        ]

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return self._unanswered > 0

    def destroy(self) -> None:
        for service in self._services:
            self._node.destroy_service(service)

    def _answering(self, name: str, handler: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, response: Any) -> Any:
            self._unanswered += 1
            try:
                response.message = await handler(request, response)
                response.success = True
            except FaceRecognitionError as error:
                response.message = str(error)
            except Exception as error:  # a service that raises would leave its client waiting for ever
                self._node.get_logger().error(f"{name} failed: {error!r}")
                response.message = f"The request failed for a reason that nobody expected: {error!r}."
            if not response.gallery_revision:
                response.gallery_revision = self._revision()
            self._unanswered -= 1
            return response

        return answer

    def _revision(self) -> int:
        try:
            return self._store.revision
        except FaceRecognitionError:  # the gallery was closed while the request waited
            return 0
