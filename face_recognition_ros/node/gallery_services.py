"""The node's services: who is in a picture, are two the same, and everything that changes the gallery."""

from collections.abc import Awaitable, Callable
from typing import Any

from face_recognition_msgs import srv
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import FaceRecognitionError, ImageError
from face_recognition_ros.node.image_conversion import message_to_bgr
from face_recognition_ros.node.messages import face_message, identity_message
from face_recognition_ros.recognizer import FaceView
from face_recognition_ros.types import ByteArray, Detection, FloatArray, Identity

Submit = Callable[[Callable[[], Any]], Future]
"""Has a job done by the inference thread, the only one to run networks; raises FaceRecognitionError when inactive."""

Handler = Callable[[Any, Any], Awaitable[str]]
"""Fills the response and returns its message, or raises FaceRecognitionError."""


class GalleryServices:
    """Answers every request with success or a sentence that says what was wrong; no request raises.

    Those with pictures await a job of the inference thread, so that the executor goes on meanwhile. All others are
    short transactions of the store.
    """

    def __init__(
        self,
        node: Node,
        assembly: Assembly,
        submit: Submit,
        on_change: Callable[[], None],
        on_forget: Callable[[Identity], None],
    ) -> None:
        """on_change: called after each change of the gallery. on_forget: called with each person before the removal.

        Neither may raise.
        """
        self._node = node
        self._assembly = assembly
        self._store = assembly.store
        self._submit = submit
        self._on_change = on_change
        self._on_forget = on_forget
        # The node's own group would hold everything else back until an awaited job is done.
        group = ReentrantCallbackGroup()
        self._services = [
            node.create_service(kind, f"~/{name}", self._answering(name, handler), callback_group=group)
            for name, kind, handler in (
                ("recognize", srv.Recognize, self._recognize),
                ("verify", srv.Verify, self._verify),
                ("list_identities", srv.ListIdentities, self._list_identities),
                ("rename", srv.Rename, self._rename),
                ("merge", srv.Merge, self._merge),
                ("forget", srv.Forget, self._forget),
                ("undo", srv.Undo, self._undo),
            )
        ]

    def destroy(self) -> None:
        for service in self._services:
            self._node.destroy_service(service)

    def _answering(self, name: str, handler: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, response: Any) -> Any:
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
            return response

        return answer

    def _revision(self) -> int:
        try:
            return self._store.revision
        except FaceRecognitionError:  # the gallery was closed while the request waited
            return 0

    async def _recognize(self, request: srv.Recognize.Request, response: srv.Recognize.Response) -> str:
        recognize = self._assembly.recognizer.recognize
        result = await self._submit(lambda: recognize(requested_picture(request.image, request.compressed, "image")))
        largest_first = sorted(result.faces, key=lambda face: -area(face.detection))
        response.faces = [face_message(face) for face in largest_first]
        response.gallery_revision = result.gallery_revision
        names = [face.decision.identity.name for face in largest_first if face.decision.identity is not None]
        return f"{len(largest_first)} face(s), {len(names)} known{': ' if names else ''}{', '.join(names)}."

    async def _verify(self, request: srv.Verify.Request, response: srv.Verify.Response) -> str:
        if not request.identity or has_picture(request.image_b, request.compressed_b):
            similarity, comparisons = await self._submit(lambda: self._compare_pictures(request))
            whom = "the two pictures show"
        else:
            similarity, comparisons, name = await self._submit(lambda: self._compare_with_person(request))
            whom = f"the picture and {name!r} are"
        calibration, options = self._assembly.calibration, self._assembly.matcher.options
        response.threshold = calibration.accept_similarity(options.target_false_accept_rate, comparisons)
        response.similarity = similarity
        response.confidence = calibration.confidence(similarity)
        response.same_person = similarity >= response.threshold
        answer = "Yes" if response.same_person else "No"
        not_ = "" if response.same_person else "not "
        return (
            f"{answer}, {whom} {not_}the same person: the similarity {similarity:.2f} is "
            f"{'at or over' if response.same_person else 'below'} the accept line {response.threshold:.2f}."
        )

    def _compare_pictures(self, request: srv.Verify.Request) -> tuple[float, int]:
        """Similarity and the number of comparisons behind it; runs in the inference thread."""
        first = requested_picture(request.image_a, request.compressed_a, "image_a")
        second = requested_picture(request.image_b, request.compressed_b, "image_b")
        return float(self._largest_face(first, "image_a") @ self._largest_face(second, "image_b")), 1

    def _compare_with_person(self, request: srv.Verify.Request) -> tuple[float, int, str]:
        """Similarity to the person's best template, how many templates there are, and the name; likewise."""
        picture = requested_picture(request.image_a, request.compressed_a, "image_a")
        person = self._store.resolve(request.identity)
        index = self._assembly.matcher.refresh()
        similarities = index.similarities(self._largest_face(picture, "image_a"))
        for identity, similarity in zip(index.identities, similarities, strict=True):
            if identity.identity_id == person.identity_id:
                return float(similarity), identity.templates, identity.name
        raise FaceRecognitionError(f"{person.name!r} has no template that the picture could be compared with.")

    def _largest_face(self, picture: ByteArray, where: str) -> FloatArray:
        views = self._assembly.recognizer.view(picture)
        if not views:
            raise ImageError(f"There is no face in {where}.")
        return usable_embedding(max(views, key=lambda view: area(view.detection)), where)

    async def _list_identities(self, request: Any, response: srv.ListIdentities.Response) -> str:
        response.gallery_revision, identities = self._store.snapshot()
        response.identities = [identity_message(identity) for identity in identities]
        return f"{len(identities)} people are in the gallery."

    async def _rename(self, request: srv.Rename.Request, response: srv.Rename.Response) -> str:
        before = self._store.resolve(request.identity)
        after = self._store.rename(before.identity_id, request.new_name)
        self._on_change()
        return f"{before.name!r} is called {after.name!r} now."

    async def _merge(self, request: srv.Merge.Request, response: srv.Merge.Response) -> str:
        absorbed = self._store.resolve(request.absorb)
        kept = self._store.merge(request.keep, absorbed.identity_id)
        self._on_change()
        return f"{absorbed.name!r} is merged into {kept.name!r}, who has {kept.templates} templates now."

    async def _forget(self, request: srv.Forget.Request, response: srv.Forget.Response) -> str:
        if request.all_unknown:
            # This release gives nobody a generated name, so there are no strangers to be forgotten.
            return "There is no remembered stranger in the gallery."
        person = self._store.resolve(request.identity)
        self._on_forget(person)
        try:
            self._store.forget(person.identity_id)
        finally:
            self._on_change()
        response.forgotten = 1
        return f"{person.name!r} and {person.templates} templates are forgotten."

    async def _undo(self, request: Any, response: srv.Undo.Response) -> str:
        response.undone = self._store.undo()
        self._on_change()
        return str(response.undone)


def has_picture(image: Any, compressed: Any) -> bool:
    """Whether either of a request's two fields for one picture is filled."""
    return len(image.data) > 0 or len(compressed.data) > 0


def requested_picture(image: Any, compressed: Any, field: str) -> ByteArray:
    """The picture of a request, (H, W, 3) uint8 BGR; raises ImageError where there is none or it cannot be used."""
    if not has_picture(image, compressed):
        raise ImageError(f"The request has no picture: fill {field} or {field.replace('image', 'compressed')}.")
    return message_to_bgr(image if len(image.data) else compressed, field)


def usable_embedding(view: FaceView, where: str) -> FloatArray:
    """(D,) of a face that is fit to be matched; raises ImageError that says why one is not."""
    if view.embedding is None or not view.quality.usable_for_matching:
        complaints = " ".join(view.quality.complaints) or "Its landmarks make no face."
        raise ImageError(f"The face in {where} is not good enough to be compared. {complaints}")
    return view.embedding


def area(detection: Detection) -> float:
    """Of the box, in square pixels."""
    return detection.width * detection.height
