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
from face_recognition_ros.errors import EnrollmentError, EnrollmentFailure, FaceRecognitionError
from face_recognition_ros.folder_enrollment import template_from
from face_recognition_ros.gallery.enrollment import EnrollmentResult, EnrollmentSession, EnrollmentTerms, enroll_looks
from face_recognition_ros.gallery.names import clean_name, name_key
from face_recognition_ros.gallery.store import Template
from face_recognition_ros.live_enrollment import LiveEnrollment
from face_recognition_ros.node.gallery_services import moment_after
from face_recognition_ros.node.image_conversion import image_to_bgr
from face_recognition_ros.node.inference import Submit
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.settings import Settings

PATIENCE = 2.0
"""Seconds for which a look is awaited that differs; less where half of the time would not be enough for all looks."""

RESULT_TIMEOUT = 30
"""Seconds for which a goal that has ended is kept, with its pictures, for whoever asks late for its result."""


@dataclass(slots=True)
class _LiveGoal:
    """A goal that waits for looks; used in the executor's thread only."""

    goal: ServerGoalHandle
    enrollment: LiveEnrollment
    ended: Future
    """Done when there is nothing to wait for any more; its result says why, and is None when all looks are there."""
    stream: int | None = None
    """Number of the stream that shows the person, once that is known."""

    def end(self, reason: EnrollmentError | None = None) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


class EnrollmentAction:
    """Serves one enrolment at a time, as a coroutine in the executor's thread: it awaits looks and blocks nothing.

    Nothing is stored before all looks are there; a goal that is cancelled, fails or times out leaves no trace, and one
    that succeeds is on disk. Nothing is awaited between the last question whether it is cancelled and the storing.
    """

    def __init__(
        self,
        node: Node,
        assembly: Assembly,
        submit: Submit,
        store: Submit,
        settings: Callable[[], Settings],
        on_change: Callable[[], None],
    ) -> None:
        """submit: for what needs the networks. store: for what waits for the disk, in one order with other changes.

        settings: those in force. on_change: called when somebody was stored; must not raise.
        """
        self._node = node
        self._assembly = assembly
        self._submit = submit
        self._store = store
        self._settings = settings
        self._on_change = on_change
        self._busy = False
        self._name = ""
        self._abandoned = ""
        self._storing = False
        self._live: _LiveGoal | None = None
        self._server = ActionServer(
            node, Enroll, "~/enroll", self._execute, cancel_callback=self._cancel, result_timeout=RESULT_TIMEOUT
        )

    @property
    def busy(self) -> bool:
        """Whether an enrolment is going on."""
        return self._busy

    def wants_frames(self, stream: int) -> bool:
        """Whether somebody is being enrolled live from that stream; may be asked by any thread."""
        live = self._live
        return live is not None and live.stream == stream

    def add_frame(self, result: FrameResult, stamp: float, stream: int = 0) -> None:
        """Shows the live enrolment from that stream, if any, a frame of it; to be called in the executor's thread."""
        live = self._live
        if live is None or live.stream != stream or live.ended.done():
            return
        try:
            reasons = live.enrollment.see(result.faces, stamp)
        except EnrollmentError as error:
            live.end(error)
            return
        _give_feedback(live, reasons)
        if live.enrollment.session.is_complete:
            live.end()

    def stop(self, reason: str) -> None:
        """Ends the enrolment, if there is one, without storing anything."""
        self._abandoned = reason
        if self._live is not None:
            self._live.end()

    def forget(self, name: str) -> bool:
        """Ends the enrolment under that name, if it is the one going on; returns whether it was."""
        concerned = self._busy and name_key(self._name) == name_key(name)
        if concerned:
            self.stop(f"{self._name!r} was not enrolled: somebody asked to forget this person meanwhile.")
        return concerned

    def destroy(self) -> None:
        self._server.destroy()

    def _cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if self._storing:  # too late: whoever hears that it was cancelled must be able to trust that nothing is stored
            return CancelResponse.REJECT
        if self._live is not None and self._live.goal is goal:
            self._live.end()
        return CancelResponse.ACCEPT

    async def _execute(self, goal: ServerGoalHandle) -> Enroll.Result:
        result = Enroll.Result()
        if self._busy:
            result.failure = int(EnrollmentFailure.REFUSED)
            result.message = "Another enrolment is going on; wait for its end, or cancel it."
            result.gallery_revision = self._revision()
            goal.abort()
            return result
        self._busy, self._abandoned = True, ""
        try:
            self._name = clean_name(goal.request.name)
            terms = _terms(goal.request)
            learn = self._from_images if goal.request.images else self._from_camera
            stored, looks = await learn(goal, terms)
            _fill(result, stored, looks)
        except EnrollmentError as error:
            result.message, result.failure = str(error), int(error.failure)
        except FaceRecognitionError as error:
            result.message, result.failure = str(error), int(EnrollmentFailure.REFUSED)
        except Exception as error:  # the goal must come to its end whatever happens
            self._node.get_logger().error(f"enroll failed: {error!r}")
            result.message = f"The enrolment failed for a reason that nobody expected: {error!r}."
            result.failure = int(EnrollmentFailure.REFUSED)
        finally:
            self._busy, self._name = False, ""
        if result.success:
            self._on_change()
            goal.succeed()
        elif goal.is_cancel_requested:
            result.failure = int(EnrollmentFailure.CANCELED)
            goal.canceled()
        elif goal.is_active:
            goal.abort()
        result.gallery_revision = self._revision()
        return result

    async def _from_camera(self, goal: ServerGoalHandle, terms: EnrollmentTerms) -> tuple[EnrollmentResult, int]:
        """What came of it, and the number of looks."""
        settings, request, assembly = self._settings(), goal.request, self._assembly
        looks_wanted = request.looks_wanted or settings.enrollment_looks
        timeout = request.timeout or settings.enrollment_timeout
        if not 0 < timeout < float("inf"):
            raise EnrollmentError(f"timeout must be a number of seconds, or 0 for the node's own, not {timeout:g}.")
        patience = min(PATIENCE, timeout / 2 / looks_wanted)
        session = EnrollmentSession(request.name, assembly.calibration, looks_wanted, patience, source="live")
        enrollment = LiveEnrollment(session, request.track_id, request.largest, assembly.settings.store_crops)
        live = _LiveGoal(goal, enrollment, Future())
        # Real seconds, also when the clock is simulated: somebody is standing there.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self._node.create_timer(timeout, lambda: live.end(enrollment.timed_out(timeout)), clock=steady)
        self._live = live
        try:
            self._require_going_on(goal)
            live.stream = await self._submit(partial(assembly.stream_of, request.track_id))  # raises where inactive
            _give_feedback(live, ())
            reason = await live.ended
        finally:
            self._live = None
            self._node.destroy_timer(timer)
        self._require_going_on(goal)
        if reason is not None:
            raise reason
        finish = partial(session.finish, assembly.store, assembly.matcher, terms)
        return await self._stored(goal, finish), session.looks_kept

    async def _from_images(self, goal: ServerGoalHandle, terms: EnrollmentTerms) -> tuple[EnrollmentResult, int]:
        """What came of it, and the number of looks."""
        images, assembly = goal.request.images, self._assembly
        looks: list[Template] = []
        failures: Counter[EnrollmentFailure] = Counter()
        reasons: list[str] = []
        for number, image in enumerate(images, start=1):
            learned = await self._submit(partial(self._template, image, f"image {number}"))
            self._require_going_on(goal)
            if isinstance(learned, Template):
                looks.append(learned)
            else:
                failures[getattr(learned, "failure", EnrollmentFailure.REFUSED)] += 1
                reasons.append(f"image {number}: {learned}")
            goal.publish_feedback(
                Enroll.Feedback(
                    looks_kept=len(looks),
                    looks_wanted=len(images),
                    looks_rejected=len(reasons),
                    rejection_reasons=[] if isinstance(learned, Template) else reasons[-1:],
                )
            )
        if not looks:
            sentence = f"{self._name!r} was not enrolled: no image could be used; {'; '.join(reasons)}."
            raise EnrollmentError(sentence, failures.most_common(1)[0][0])
        store = partial(enroll_looks, assembly.store, assembly.matcher, self._name, looks, terms)
        return await self._stored(goal, store), len(looks)

    async def _stored(self, goal: ServerGoalHandle, store: Callable[[], EnrollmentResult]) -> EnrollmentResult:
        """Has everything stored while frames go on; from here on the goal can be cancelled no more."""
        self._require_going_on(goal)

        def unless_abandoned() -> EnrollmentResult:
            if self._abandoned:  # what was asked to be forgotten before is forgotten first, and may not come back
                raise EnrollmentError(self._abandoned)
            return store()

        self._storing = True
        try:
            result: EnrollmentResult = await self._store(unless_abandoned)
        finally:
            self._storing = False
        return result

    def _template(self, image: Any, source: str) -> Template | FaceRecognitionError:
        """What one picture teaches, or why it teaches nothing; runs in the inference thread."""
        try:
            picture = image_to_bgr(image, "images")
            return template_from(self._assembly.recognizer, picture, source, self._assembly.settings.store_crops)
        except FaceRecognitionError as error:
            return error

    def _require_going_on(self, goal: ServerGoalHandle) -> None:
        """Raises EnrollmentError once the goal is to be cancelled, or the enrolment was stopped."""
        if goal.is_cancel_requested:
            raise EnrollmentError(
                f"The enrolment of {self._name!r} was cancelled; nothing was stored.", EnrollmentFailure.CANCELED
            )
        if self._abandoned:
            raise EnrollmentError(self._abandoned)

    def _revision(self) -> int:
        try:
            return self._assembly.store.revision
        except FaceRecognitionError:  # the gallery was closed while the goal waited
            return 0


def _terms(request: Enroll.Goal) -> EnrollmentTerms:
    """Raises GalleryError for a time that is none."""
    return EnrollmentTerms(request.force, request.consent.strip() or None, moment_after(request.expires_after))


def _give_feedback(live: _LiveGoal, reasons: Sequence[str]) -> None:
    session = live.enrollment.session
    live.goal.publish_feedback(
        Enroll.Feedback(
            looks_kept=session.looks_kept,
            looks_wanted=session.looks_wanted,
            looks_rejected=session.looks_rejected,
            rejection_reasons=list(reasons),
            instruction=live.enrollment.instruction,
        )
    )


def _fill(result: Enroll.Result, stored: EnrollmentResult, looks: int) -> None:
    result.message = stored.message
    if stored.already_known_as is not None:
        result.already_known_as = stored.already_known_as.name
        result.failure = int(EnrollmentFailure.ALREADY_KNOWN)
    if stored.identity is not None:
        result.success = True
        result.identity_id = stored.identity.identity_id
        result.looks_kept = looks
