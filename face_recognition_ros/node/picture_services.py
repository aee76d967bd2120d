"""The node's services that look at pictures: who is in one, and do two show the same person."""

from typing import Any

from face_recognition_msgs import srv
from rclpy.node import Node

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import FaceRecognitionError, ImageError
from face_recognition_ros.node.image_conversion import message_to_bgr
from face_recognition_ros.node.inference import Submit
from face_recognition_ros.node.messages import face_message
from face_recognition_ros.node.services import ServiceGroup
from face_recognition_ros.recognizer import FaceView, FrameResult
from face_recognition_ros.types import ByteArray, Detection, FloatArray


class PictureServices:
    """Each request awaits a job of the inference thread."""

    def __init__(self, node: Node, assembly: Assembly, submit: Submit) -> None:
        self._assembly = assembly
        self._submit = submit
        handlers = {"recognize": (srv.Recognize, self._recognize), "verify": (srv.Verify, self._verify)}
        self._services = ServiceGroup(node, assembly.store, handlers)

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return self._services.busy

    def destroy(self) -> None:
        self._services.destroy()

    async def _recognize(self, request: srv.Recognize.Request, response: srv.Recognize.Response) -> str:
        def recognize() -> FrameResult:
            picture = requested_picture(request.image, request.compressed, "image")
            return self._assembly.recognizer.recognize(picture)

        result = await self._submit(recognize)
        largest_first = sorted(result.faces, key=lambda face: -area(face.detection))
        response.faces = [face_message(face) for face in largest_first]
        response.gallery_revision = result.gallery_revision
        names = [face.decision.identity.name for face in largest_first if face.decision.identity is not None]
        return f"{len(largest_first)} face(s), {len(names)} known{': ' if names else ''}{', '.join(names)}."

    async def _verify(self, request: srv.Verify.Request, response: srv.Verify.Response) -> str:
        if not request.identity or has_picture(request.image_b, request.compressed_b):
            similarity = await self._submit(lambda: self._compare_pictures(request))
            whom = "the two pictures show"
        else:
            similarity, name = await self._submit(lambda: self._compare_with_person(request))
            whom = f"the picture and {name!r} are"
        calibration, options = self._assembly.calibration, self._assembly.matcher.options
        response.threshold = calibration.accept_similarity(options.target_false_accept_rate, comparisons=1)
        response.similarity = similarity
        response.confidence = calibration.confidence(similarity)
        response.same_person = similarity >= response.threshold
        answer = "Yes" if response.same_person else "No"
        not_ = "" if response.same_person else "not "
        return (
            f"{answer}, {whom} {not_}the same person: the similarity {similarity:.2f} is "
            f"{'at or over' if response.same_person else 'below'} the accept line {response.threshold:.2f}."
        )

    def _compare_pictures(self, request: srv.Verify.Request) -> float:
        """Similarity of the two faces; runs in the inference thread."""
        first = requested_picture(request.image_a, request.compressed_a, "image_a")
        second = requested_picture(request.image_b, request.compressed_b, "image_b")
        return float(self._largest_face(first, "image_a") @ self._largest_face(second, "image_b"))

    def _compare_with_person(self, request: srv.Verify.Request) -> tuple[float, str]:
        """Similarity of the face and the person's templates taken together, and the person's name; likewise."""
        picture = requested_picture(request.image_a, request.compressed_a, "image_a")
        person = self._assembly.store.resolve(request.identity)
        probe = self._largest_face(picture, "image_a")
        similarity = self._assembly.matcher.refresh().similarity(person.identity_id, probe)
        if similarity is None:
            raise FaceRecognitionError(f"{person.name!r} has no template that the picture could be compared with.")
        return similarity, person.name

    def _largest_face(self, picture: ByteArray, where: str) -> FloatArray:
        views = self._assembly.recognizer.view(picture)
        if not views:
            raise ImageError(f"There is no face in {where}.")
        return usable_embedding(max(views, key=lambda view: area(view.detection)), where)


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
