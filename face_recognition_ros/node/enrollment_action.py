"""The action ~/enroll: learns a person live from the frames that are processed, or from the pictures in the goal."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from face_recognition_msgs.action import Enroll
from rclpy.action.server import ActionServer, CancelResponse, ServerGoalHandle
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.task import Future

from face_recognition_ros.assembly import Assembly
from face_recognition_ros.errors import EnrollmentError, FaceRecognitionError
from face_recognition_ros.gallery.enrollment import EnrollmentResult, EnrollmentSession, enroll_looks
from face_recognition_ros.gallery.names import clean_name, name_key
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.node.gallery_services import Submit
from face_recognition_ros.node.image_conversion import image_to_bgr
from face_recognition_ros.recognizer import FaceView, FrameResult
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import Identity, RecognizedFace

STEP_INTO_VIEW = "Step in front of the camera, please."

RESULT_TIMEOUT = 30
"""Seconds for which a goal that has ended is kept, with its pictures, for whoever asks late for its result."""


@dataclass(slots=True)
class _LiveEnrollment:
    """An enrolment that waits for looks; used in the executor's thread only."""

    goal: ServerGoalHandle
    session: EnrollmentSession
    track_id: int
    """Of the face that is learned; 0 or less as long as there was none."""
    ended: Future
    """Done when there is nothing to wait for any more; its result says why, and is empty when all looks are there."""

    def end(self, reason: str = "") -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


class EnrollmentAction:
    """Serves one enrolment at a time, as a coroutine in the executor's thread: it awaits looks and blocks nothing.

    Nothing is stored before all looks are there; a goal that is cancelled, fails or times out leaves no trace, and one
    that succeeds is on disk.
    """

    def __init__(
        self,
        node: Node,
        assembly: Assembly,
        submit: Submit,
        settings: Callable[[], Settings],
        on_change: Callable[[], None],
    ) -> None:
        """settings: those in force. on_change: called when somebody was stored; must not raise."""
        self._node = node
        self._assembly = assembly
        self._submit = submit
        self._settings = settings
        self._on_change = on_change
        self._busy = False
        self._name = ""
        self._abandoned = ""
        self._live: _LiveEnrollment | None = None
        self._server = ActionServer(
            node, Enroll, "~/enroll", self._execute, cancel_callback=self._cancel, result_timeout=RESULT_TIMEOUT
        )

    @property
    def busy(self) -> bool:
        """Whether an enrolment is going on."""
        return self._busy

    @property
    def wants_frames(self) -> bool:
        """Whether a live enrolment is going on; may be asked by any thread."""
        return self._live is not None

    def add_frame(self, result: FrameResult, stamp: float) -> None:
        """Shows the live enrolment, if there is one, what a frame showed; to be called in the executor's thread."""
        live = self._live
        if live is None or live.ended.done():
            return
        face = _chosen_face(live, result.faces)
        if face is None:
            return
        outcome = live.session.add(face.embedding, face.quality, stamp)
        _give_feedback(live.goal, live.session, [outcome.reason] if outcome.reason else [])
        if live.session.is_complete:
            live.end()

    def stop(self, reason: str) -> None:
        """Ends the enrolment, if there is one, without storing anything."""
        self._abandoned = reason
        if self._live is not None:
            self._live.end(reason)

    def forget(self, person: Identity) -> None:
        """Ends the enrolment of a person who is to be forgotten, if that is the one going on."""
        if name_key(self._name) == name_key(person.name):
            self.stop(f"{person.name!r} was not enrolled: somebody asked to forget this person meanwhile.")

    def destroy(self) -> None:
        self._server.destroy()

    def _cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if self._live is not None and self._live.goal is goal:
            self._live.end("The enrolment was cancelled.")
        return CancelResponse.ACCEPT

    async def _execute(self, goal: ServerGoalHandle) -> Enroll.Result:
        result = Enroll.Result()
        if self._busy:
            result.message = "Another enrolment is going on; wait for its end, or cancel it."
            goal.abort()
            return result
        self._busy, self._abandoned = True, ""
        try:
            self._name = clean_name(goal.request.name)
            stored, looks = await (self._from_images(goal) if goal.request.images else self._from_camera(goal))
            _fill(result, stored, looks)
        except FaceRecognitionError as error:
            result.message = str(error)
        except Exception as error:  # the goal must come to its end whatever happens
            self._node.get_logger().error(f"enroll failed: {error!r}")
            result.message = f"The enrolment failed for a reason that nobody expected: {error!r}."
        finally:
            self._busy, self._name = False, ""
        if result.success:
            self._on_change()
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        elif goal.is_active:
            goal.abort()
        result.gallery_revision = self._revision()
        return result

    async def _from_camera(self, goal: ServerGoalHandle) -> tuple[EnrollmentResult, int]:
        """What came of it, and the number of looks."""
        settings, request = self._settings(), goal.request
        looks_wanted = request.looks_wanted or settings.enrollment_looks
        timeout = request.timeout if request.timeout > 0 else settings.enrollment_timeout
        session = EnrollmentSession(request.name, self._assembly.calibration, looks_wanted, source="live")
        live = _LiveEnrollment(goal, session, request.track_id, Future())
        # Real seconds, also when the clock is simulated: somebody is standing there.
        timer = self._node.create_timer(timeout, live.end, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._live = live
        try:
            self._require_going_on(goal)
            await self._submit(lambda: None)  # raises where the node is not active
            _give_feedback(goal, session, [], STEP_INTO_VIEW)
            reason = await live.ended
        finally:
            self._live = None
            self._node.destroy_timer(timer)
        self._require_going_on(goal)
        if reason:
            raise EnrollmentError(reason)
        return session.finish(self._assembly.store, self._assembly.matcher, request.force), session.looks_kept

    async def _from_images(self, goal: ServerGoalHandle) -> tuple[EnrollmentResult, int]:
        """What came of it, and the number of looks."""
        images = goal.request.images
        looks: list[Template] = []
        rejected: Counter[str] = Counter()
        for number, image in enumerate(images, start=1):
            views, reason = await self._submit(partial(self._views, image))
            self._require_going_on(goal)
            reason = reason or _objection(views)
            if reason:
                rejected[f"image {number}: {reason}"] += 1
            else:
                looks.append(Template(views[0].embedding, views[0].quality.score, f"image {number}"))
            goal.publish_feedback(
                Enroll.Feedback(
                    looks_kept=len(looks),
                    looks_wanted=len(images),
                    looks_rejected=rejected.total(),
                    rejection_reasons=[reason] if reason else [],
                )
            )
        if not looks:
            raise EnrollmentError(f"{self._name!r} was not enrolled: no image could be used; {'; '.join(rejected)}")
        stored = enroll_looks(self._assembly.store, self._assembly.matcher, self._name, looks, goal.request.force)
        return stored, len(looks)

    def _views(self, image: Any) -> tuple[list[FaceView], str]:
        """The faces of one picture, or why it cannot be used; runs in the inference thread."""
        try:
            return self._assembly.recognizer.view(image_to_bgr(image, "images")), ""
        except FaceRecognitionError as error:
            return [], str(error)

    def _require_going_on(self, goal: ServerGoalHandle) -> None:
        """Raises EnrollmentError once the goal is to be cancelled, or the enrolment was stopped."""
        if goal.is_cancel_requested:
            raise EnrollmentError(f"The enrolment of {self._name!r} was cancelled; nothing was stored.")
        if self._abandoned:
            raise EnrollmentError(self._abandoned)

    def _revision(self) -> int:
        try:
            return self._assembly.store.revision
        except FaceRecognitionError:  # the gallery was closed while the goal waited
            return 0


def _chosen_face(live: _LiveEnrollment, faces: Sequence[RecognizedFace]) -> RecognizedFace | None:
    """The face that is to be learned, if it is in view; where none was chosen and there are several, all ends.

    Who was not chosen by track may come back with another one: the session refuses looks that do not agree.
    """
    chosen = next((face for face in faces if face.track_id == live.track_id), None)
    if chosen is not None:
        return chosen
    tracks = ", ".join(str(face.track_id) for face in faces)
    if live.goal.request.track_id > 0:
        in_view = f"there are: {tracks}" if faces else "nobody is"
        _give_feedback(live.goal, live.session, [f"Track {live.track_id} is not in view; {in_view}."])
    elif len(faces) == 1:
        live.track_id = faces[0].track_id
        return faces[0]
    elif faces and live.track_id < 1:
        live.end(
            f"{live.session.name!r} was not enrolled: {len(faces)} faces are in view. Let only one person "
            f"stand before the camera, or give the track_id of the face meant (in view: {tracks})."
        )
    return None


def _objection(views: Sequence[FaceView]) -> str:
    """Why a picture is no good to learn one person from; empty where it is."""
    if len(views) != 1:
        return f"{len(views)} faces are in it; exactly one is needed."
    if views[0].embedding is None or not views[0].quality.usable_for_enrollment:
        return " ".join(views[0].quality.complaints) or "The face is not good enough to be learned from."
    return ""


def _give_feedback(
    goal: ServerGoalHandle, session: EnrollmentSession, reasons: list[str], instruction: str = ""
) -> None:
    goal.publish_feedback(
        Enroll.Feedback(
            looks_kept=session.looks_kept,
            looks_wanted=session.looks_wanted,
            looks_rejected=session.rejected.total(),
            rejection_reasons=reasons,
            instruction=instruction or session.instruction,
        )
    )


def _fill(result: Enroll.Result, stored: EnrollmentResult, looks: int) -> None:
    result.message = stored.message
    if stored.already_known_as is not None:
        result.already_known_as = stored.already_known_as.name
    if stored.identity is not None:
        result.success = True
        result.identity_id = stored.identity.identity_id
        result.looks_kept = looks
