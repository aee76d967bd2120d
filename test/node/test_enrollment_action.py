"""The action ~/enroll between a client and an inference thread that does its jobs when the test says so."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs.action import Enroll
from rclpy.action import ActionClient
from rclpy.action.server import CancelResponse, GoalEvent
from rclpy.task import Future
from std_msgs.msg import Header

from face_recognition_ros.errors import BackendError, EnrollmentFailure, FaceRecognitionError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.matcher import Matcher
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.node.enrollment_action import EnrollmentAction
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.recognizer import FaceView, FrameResult
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import (
    AlignedFace,
    Decision,
    Detection,
    FloatArray,
    IdentityStatus,
    Quality,
    QualityMeasure,
    RecognizedFace,
)

SIZE = 64
ON_SECOND_STREAM = 11
"""Id of a track; all others are on the first."""
STATUS_ABORTED, STATUS_CANCELED = GoalStatus.STATUS_ABORTED, GoalStatus.STATUS_CANCELED
GOOD = Quality(0.9, True, True)
POOR = Quality(0.4, True, False, (QualityMeasure("size", 30, 0.4, "the face is 30 px wide; come closer"),))
DETECTION = Detection(np.array([10, 10, 50, 50], np.float32), np.zeros((5, 2), np.float32), 1.0)
PICTURE = bgr_message(Header(), np.zeros((4, 4, 3), np.uint8))
ALIGNED = AlignedFace(np.full((112, 112, 3), 90, np.uint8), np.eye(2, 3))
RANDOM = np.random.default_rng(3)
ANNA, BERT = (vector / np.linalg.norm(vector) for vector in RANDOM.normal(size=(2, SIZE)).astype(np.float32))


def look(person: FloatArray) -> FloatArray:
    """(64,) that resembles the person: the cosine is about 0.9."""
    vector = person + 0.06 * RANDOM.normal(size=SIZE).astype(np.float32)
    return vector / np.linalg.norm(vector)


class Bench:
    """The action, a client, and the jobs that wait; no job is done before `do_jobs`."""

    def __init__(self, ros: Any) -> None:
        self._ros = ros
        scores = np.random.default_rng(1)
        calibration = Calibration.from_scores(
            scores.normal(0.75, 0.08, 5000).clip(-1, 1), scores.normal(0.0, 0.125, 500_000).clip(-1, 1)
        )
        self.store = GalleryStore.open(None, "net", SIZE)
        self.views: Callable[[], list[FaceView]] = lambda: [FaceView(DETECTION, ALIGNED, GOOD, look(ANNA))]
        """What the next picture shows."""
        self.assembly = SimpleNamespace(
            settings=Settings(),
            store=self.store,
            calibration=calibration,
            matcher=Matcher(self.store, calibration),
            recognizer=SimpleNamespace(view=lambda picture: self.views()),
            stream_of=lambda track_id: 1 if track_id == ON_SECOND_STREAM else 0,
        )
        self.jobs: list[tuple[Callable[[], Any], Future]] = []
        self.active = True
        self.writes: list[tuple[Callable[[], Any], Future]] = []
        self.disk_is_slow = False
        self.action = EnrollmentAction(
            ros.node,
            self.assembly,
            self._submit,
            self._write,
            Settings,
            lambda: None,  # type: ignore[arg-type]
        )
        self.client = ActionClient(ros.robot, Enroll, "face_recognition/enroll")
        self.feedback: list[Enroll.Feedback] = []
        self._stamp = 0.0

    def _submit(self, job: Callable[[], Any]) -> Future:
        if not self.active:
            raise FaceRecognitionError("The node is not active.")
        self.jobs.append((job, Future()))
        return self.jobs[-1][1]

    def _write(self, job: Callable[[], Any]) -> Future:
        self.writes.append((job, Future()))
        future = self.writes[-1][1]
        if not self.disk_is_slow:
            self.write()
        return future

    def write(self) -> None:
        """Does what waits for the disk."""
        writes, self.writes = self.writes, []
        for job, future in writes:
            try:
                future.set_result(job())
            except Exception as error:
                future.set_exception(error)

    def close(self) -> None:
        self.client.destroy()
        self.action.destroy()
        self.store.close()

    def send(self, **fields: Any) -> Any:
        """The client's handle of an enrolment of Anna."""
        self._ros.wait_until(self.client.server_is_ready, "the action")
        take = lambda message: self.feedback.append(message.feedback)  # noqa: E731
        sent = self.client.send_goal_async(Enroll.Goal(**{"name": "Anna", **fields}), take)
        self._ros.wait_until(sent.done, "an answer to the goal")
        return sent.result()

    def send_goal(self, **fields: Any) -> Any:
        """The same, once its first job waits."""
        handle = self.send(**fields)
        self.wait_for_job()
        return handle

    def wait_for_job(self) -> None:
        self._ros.wait_until(lambda: self.jobs, "a job of the goal")

    def cancel(self, handle: Any) -> None:
        cancelled = handle.cancel_goal_async()
        self._ros.wait_until(cancelled.done, "an answer to the cancelling")

    def do_jobs(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job, future in jobs:
            future.set_result(job())

    def start(self, **fields: Any) -> Any:
        """The handle of a live enrolment that looks at frames."""
        handle = self.send_goal(**fields)
        self.do_jobs()
        self.wait_for_feedback()
        return handle

    def wait_for_feedback(self) -> None:
        self._ros.wait_until(lambda: self.feedback, "the first feedback")

    def show(
        self,
        *faces: tuple[int, FloatArray],
        after: float = 2.0,
        quality: Quality = GOOD,
        larger: int = 0,
        stream: int = 0,
    ) -> None:
        """The next frame of a stream, so many seconds after the last one, with these tracks and embeddings."""
        self._stamp += after
        big = replace(DETECTION, box=2 * DETECTION.box)
        unknown = Decision(IdentityStatus.UNKNOWN)
        seen = tuple(
            RecognizedFace(track, big if track == larger else DETECTION, quality, unknown, embedding, ALIGNED.crop)
            for track, embedding in faces
        )
        self.action.add_frame(FrameResult(seen, 0), self._stamp, stream)

    @property
    def reasons(self) -> list[str]:
        """Why looks were rejected, of all feedback that has arrived."""
        return [reason for feedback in self.feedback for reason in feedback.rejection_reasons]

    def result(self, handle: Any) -> tuple[int, Enroll.Result]:
        result = handle.get_result_async()
        self._ros.wait_until(result.done, "the result")
        return result.result().status, result.result().result

    def failure(self, handle: Any) -> tuple[EnrollmentFailure, str]:
        """Kind and sentence of an enrolment that must have failed without a trace."""
        status, result = self.result(handle)
        assert (result.success, result.identity_id, result.looks_kept) == (False, "", 0)
        assert status == (STATUS_CANCELED if result.failure == Enroll.Result.CANCELED else STATUS_ABORTED)
        assert result.gallery_revision == self.store.revision
        return EnrollmentFailure(result.failure), result.message

    @property
    def stored(self) -> list[FloatArray]:
        """Anna's templates."""
        (anna,) = self.store.list_identities()
        return [template.embedding for template in self.store.identity_templates(anna.identity_id)]


@pytest.fixture
def bench(ros: Any) -> Iterator[Bench]:
    bench = Bench(ros)
    yield bench
    bench.close()


ENDINGS = [
    (lambda bench: bench.action.forget("anna"), "somebody asked to forget"),
    (lambda bench: bench.action.stop("It was given up."), "It was given up."),
]


def test_the_kinds_of_failure_have_the_numbers_of_the_message() -> None:
    assert {kind.name: kind.value for kind in EnrollmentFailure} == {
        kind.name: getattr(Enroll.Result, kind.name) for kind in EnrollmentFailure
    }


@pytest.mark.parametrize("images", [[], [PICTURE]], ids=["live", "images"])
@pytest.mark.parametrize(("end", "reason"), ENDINGS, ids=["forget", "stop"])
def test_an_enrolment_that_is_ended_while_a_job_waits_stores_nothing(
    bench: Bench, images: list[Any], end: Callable[[Bench], None], reason: str
) -> None:
    handle = bench.send_goal(images=images)
    end(bench)
    bench.do_jobs()
    failure, message = bench.failure(handle)
    assert failure is EnrollmentFailure.REFUSED
    assert reason in message
    assert bench.store.revision == 0


def cancel_at_the_first_job(bench: Bench, images: list[Any]) -> Any:
    handle = bench.send_goal(images=images)
    bench.cancel(handle)
    bench.do_jobs()
    return handle


def cancel_before_the_last_look(bench: Bench, images: list[Any]) -> Any:
    handle = bench.send_goal(images=images, looks_wanted=2)
    bench.do_jobs()
    bench.wait_for_feedback()
    if not images:
        bench.show((4, look(ANNA)))
    bench.cancel(handle)
    bench.do_jobs()
    return handle


def cancel_while_the_face_is_away(bench: Bench, images: list[Any]) -> Any:
    handle = bench.start(looks_wanted=2)
    bench.show((4, look(ANNA)))
    bench.show()
    bench.cancel(handle)
    return handle


def cancel_with_the_last_look(bench: Bench, images: list[Any]) -> Any:
    """All looks are there, but the goal has not been woken when the executor hears of the cancelling."""
    handle = bench.send_goal(images=images[:1], looks_wanted=1)
    (goal,) = bench.action._server._goal_handles.values()
    if not images:
        bench.do_jobs()
        bench.wait_for_feedback()
        bench.show((4, look(ANNA)))
    bench.do_jobs()
    assert bench.action._cancel(goal) is CancelResponse.ACCEPT
    goal._update_state(GoalEvent.CANCEL_GOAL)
    return handle


@pytest.mark.parametrize(
    ("cancel", "images"),
    [
        (cancel_at_the_first_job, []),
        (cancel_at_the_first_job, [PICTURE]),
        (cancel_before_the_last_look, []),
        (cancel_before_the_last_look, [PICTURE, PICTURE]),
        (cancel_while_the_face_is_away, []),
        (cancel_with_the_last_look, []),
        (cancel_with_the_last_look, [PICTURE]),
    ],
)
def test_an_enrolment_that_is_cancelled_leaves_no_trace_whenever_it_is(
    bench: Bench, cancel: Callable[[Bench, list[Any]], Any], images: list[Any]
) -> None:
    failure, message = bench.failure(cancel(bench, images))
    assert (failure, message) == (
        EnrollmentFailure.CANCELED,
        "The enrolment of 'Anna' was cancelled; nothing was stored.",
    )
    assert (bench.store.revision, bench.store.list_identities()) == (0, [])
    assert not bench.action.busy
    assert not bench.action.wants_frames(0)


@pytest.mark.parametrize(("track_id", "stream"), [(0, 0), (4, 0), (ON_SECOND_STREAM, 1)])
def test_a_person_is_learned_from_the_camera_that_shows_the_track(bench: Bench, track_id: int, stream: int) -> None:
    handle = bench.send_goal(track_id=track_id, looks_wanted=2)
    assert not any(bench.action.wants_frames(number) for number in (0, 1)), "it is not known yet"
    bench.do_jobs()
    bench.wait_for_feedback()
    assert [bench.action.wants_frames(number) for number in (0, 1)] == [stream == 0, stream == 1]
    for _ in range(2):
        bench.show((20, look(BERT)), (21, look(BERT)), stream=1 - stream)
        bench.show((track_id or 4, look(ANNA)), stream=stream)
    status, result = bench.result(handle)
    assert (status, result.looks_kept) == (GoalStatus.STATUS_SUCCEEDED, 2)
    assert all(one @ ANNA > 0.7 for one in bench.stored)
    assert bench.reasons == []


def test_looks_that_are_all_there_are_not_stored_of_who_is_forgotten_at_that_moment(bench: Bench) -> None:
    handle = bench.start(looks_wanted=1)
    bench.show((4, look(ANNA)))
    assert bench.action.forget("anna")
    assert "somebody asked to forget" in bench.failure(handle)[1]
    assert not bench.action.forget("anna"), "it has ended"
    assert bench.store.revision == 0


@pytest.mark.parametrize("images", [[], [PICTURE]], ids=["live", "images"])
def test_what_is_being_stored_can_be_cancelled_no_more(ros: Any, bench: Bench, images: list[Any]) -> None:
    bench.disk_is_slow = True
    handle = bench.send_goal(images=images, looks_wanted=1)
    bench.do_jobs()
    if not images:
        bench.wait_for_feedback()
        bench.show((4, look(ANNA)))
    ros.wait_until(lambda: bench.writes, "something to be stored")
    bench.cancel(handle)
    assert bench.store.revision == 0
    bench.write()
    assert bench.result(handle)[1].success, "the cancelling came too late, and the client was told so"
    assert bench.store.revision == 1


def test_who_is_forgotten_before_the_disk_was_ready_is_not_stored(ros: Any, bench: Bench) -> None:
    bench.disk_is_slow = True
    handle = bench.send_goal(images=[PICTURE])
    bench.do_jobs()
    ros.wait_until(lambda: bench.writes, "something to be stored")
    assert bench.action.forget("Anna")
    bench.write()
    assert "somebody asked to forget" in bench.failure(handle)[1]


def test_forgetting_one_person_does_not_end_the_enrolment_of_another(bench: Bench) -> None:
    handle = bench.send_goal(images=[PICTURE])
    assert not bench.action.forget("Bert")
    bench.do_jobs()
    assert bench.result(handle)[1].success


@pytest.mark.parametrize("track_id", [0, -1, 4])
def test_the_face_may_come_back_on_another_track(ros: Any, bench: Bench, track_id: int) -> None:
    handle = bench.start(track_id=track_id, looks_wanted=3)
    bench.show((4, look(ANNA)))
    bench.show((8, BERT), after=1.0)
    ros.wait_until(lambda: bench.reasons, "feedback on the other person")
    assert bench.reasons == ["Track 4 is not in view; there are: 8."]
    bench.show((5, look(ANNA)), (8, BERT))
    bench.show((5, look(ANNA)))
    status, result = bench.result(handle)
    assert (status, result.looks_kept) == (GoalStatus.STATUS_SUCCEEDED, 3), result.message
    assert (result.failure, result.gallery_revision) == (Enroll.Result.NONE, 1)
    assert all(template @ ANNA > 0.7 for template in bench.stored)


def test_a_face_that_stays_away_is_lost(bench: Bench) -> None:
    handle = bench.start(looks_wanted=3)
    bench.show((4, look(ANNA)))
    bench.show(after=3.5)
    assert bench.failure(handle)[0] is EnrollmentFailure.FACE_LOST


def test_of_two_faces_in_view_at_the_beginning_none_is_learned(bench: Bench) -> None:
    handle = bench.start()
    bench.show((4, look(ANNA)), (6, BERT))
    failure, message = bench.failure(handle)
    assert failure is EnrollmentFailure.SEVERAL_FACES
    assert "in view: 4, 6" in message


def test_of_two_faces_the_largest_is_learned_when_asked_for(bench: Bench) -> None:
    handle = bench.start(largest=True, looks_wanted=1)
    bench.show((4, BERT), (6, look(ANNA)), larger=6)
    assert bench.result(handle)[1].success
    assert bench.stored[0] @ ANNA > 0.7


def test_a_chosen_track_that_is_not_in_view_gets_feedback_and_no_other_is_learned(ros: Any, bench: Bench) -> None:
    handle = bench.start(track_id=7, looks_wanted=1)
    bench.show((3, BERT), (4, BERT))
    bench.show()
    ros.wait_until(lambda: len(bench.reasons) == 2, "feedback on both frames")
    assert bench.reasons == ["Track 7 is not in view; there are: 3, 4.", "Track 7 is not in view; nobody is."]
    bench.show((7, look(ANNA)), (3, BERT))
    assert bench.result(handle)[1].success
    assert bench.stored[0] @ ANNA > 0.7


TIME_OUTS = [
    ([], EnrollmentFailure.NO_FACE, "no image was processed"),
    ([([], GOOD)], EnrollmentFailure.NO_FACE, "nobody was in view"),
    ([([(4, ANNA)], GOOD)], EnrollmentFailure.TIMEOUT, "1 of 5 good looks after 30 s"),
    ([([(4, ANNA)], POOR)] * 2, EnrollmentFailure.QUALITY, "the face is 30 px wide; come closer (2x)"),
]


@pytest.mark.parametrize(("frames", "failure", "sentence"), TIME_OUTS, ids=["no image", "nobody", "slow", "poor"])
def test_when_the_time_is_over_the_failure_says_what_was_missing(
    ros: Any, bench: Bench, frames: list[Any], failure: EnrollmentFailure, sentence: str
) -> None:
    handle = bench.start(timeout=30.0)
    for faces, quality in frames:
        bench.show(*faces, quality=quality)
    (timer,) = ros.node.timers
    timer.callback()
    kind, message = bench.failure(handle)
    assert kind is failure
    assert sentence in message
    assert list(ros.node.timers) == []


def test_a_face_that_is_known_by_another_name_is_stored_by_force_only(bench: Bench) -> None:
    bench.store.enroll("Hanna", [Template(look(ANNA), 0.9) for _ in range(3)])
    handle = bench.send_goal(images=[PICTURE])
    bench.do_jobs()
    failure, message = bench.failure(handle)
    assert failure is EnrollmentFailure.ALREADY_KNOWN
    assert "already known as 'Hanna'" in message
    assert bench.result(handle)[1].already_known_as == "Hanna"
    assert bench.store.revision == 1
    handle = bench.send_goal(images=[PICTURE], force=True)
    bench.do_jobs()
    assert bench.result(handle)[1].success
    assert {person.name for person in bench.store.list_identities()} == {"Anna", "Hanna"}


def test_a_name_that_belongs_to_somebody_else_is_a_disagreement(bench: Bench) -> None:
    bench.store.enroll("Anna", [Template(BERT, 0.9)])
    handle = bench.send_goal(images=[PICTURE])
    bench.do_jobs()
    assert bench.failure(handle)[0] is EnrollmentFailure.DISAGREEMENT


def test_a_remembered_stranger_gets_the_name(bench: Bench) -> None:
    stranger = bench.store.remember([Template(look(ANNA), 0.9) for _ in range(3)], time.time() + 1000)
    handle = bench.send_goal(images=[PICTURE])
    bench.do_jobs()
    result = bench.result(handle)[1]
    assert (result.success, result.identity_id, result.already_known_as) == (True, stranger.identity_id, "")
    assert [person.name for person in bench.store.list_identities()] == ["Anna"]


VIEW = FaceView(DETECTION, ALIGNED, GOOD, ANNA)
UNUSABLE = [
    ([], EnrollmentFailure.NO_FACE, "the picture shows no face; it must show exactly one"),
    ([VIEW, VIEW], EnrollmentFailure.SEVERAL_FACES, "the picture shows 2 faces; it must show exactly one"),
    ([replace(VIEW, quality=POOR)], EnrollmentFailure.QUALITY, "the face is 30 px wide; come closer"),
    (BackendError("it broke"), EnrollmentFailure.REFUSED, "it broke"),
]


@pytest.mark.parametrize(("views", "failure", "reason"), UNUSABLE, ids=["no face", "several", "poor", "error"])
def test_images_of_which_none_can_be_used_are_named_with_the_reason(
    bench: Bench, views: Any, failure: EnrollmentFailure, reason: str
) -> None:
    def view() -> list[FaceView]:
        if isinstance(views, Exception):
            raise views
        return views

    bench.views = view
    handle = bench.send_goal(images=[PICTURE])
    bench.do_jobs()
    assert bench.failure(handle) == (failure, f"'Anna' was not enrolled: no image could be used; image 1: {reason}.")
    assert bench.reasons == [f"image 1: {reason}"]


@pytest.mark.parametrize("store_crops", [False, True])
@pytest.mark.parametrize("images", [[], [PICTURE]], ids=["live", "images"])
def test_crops_are_stored_where_the_settings_say_so(bench: Bench, images: list[Any], store_crops: bool) -> None:
    bench.assembly.settings = Settings(store_crops=store_crops)
    handle = bench.send_goal(images=images, looks_wanted=1)
    bench.do_jobs()
    if not images:
        bench.wait_for_feedback()
        bench.show((4, look(ANNA)))
    identity_id = bench.result(handle)[1].identity_id
    with bench.store._transaction("read") as rows:
        crops = list(rows.crops(identity_id).values())
    assert len(crops) == store_crops
    for crop in crops:
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR), ALIGNED.crop)


@pytest.mark.parametrize("images", [[], [PICTURE]], ids=["live", "images"])
def test_consent_and_expiry_are_stored_with_the_person(bench: Bench, images: list[Any]) -> None:
    before = time.time()
    handle = bench.send_goal(images=images, looks_wanted=1, consent=" for today ", expires_after=3600.0)
    bench.do_jobs()
    if not images:
        bench.wait_for_feedback()
        bench.show((4, look(ANNA)))
    assert bench.result(handle)[1].success
    (anna,) = bench.store.list_identities()
    assert anna.consent == "for today"
    assert before + 3600 <= anna.expires <= time.time() + 3600


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": " "}, "must not be empty"),
        ({"expires_after": -1.0}, "expires_after must be a number of seconds"),
        ({"timeout": -1.0}, "timeout must be a number of seconds"),
        ({"timeout": float("inf")}, "timeout must be a number of seconds"),
    ],
    ids=str,
)
def test_a_goal_that_cannot_be_is_refused(bench: Bench, fields: dict[str, Any], sentence: str) -> None:
    failure, message = bench.failure(bench.send(**fields))
    assert failure is EnrollmentFailure.REFUSED
    assert sentence in message
    assert not bench.action.busy


def test_a_second_enrolment_is_refused_and_does_not_disturb_the_first(bench: Bench) -> None:
    first = bench.start(looks_wanted=1)
    failure, message = bench.failure(bench.send(name="Bert"))
    assert failure is EnrollmentFailure.REFUSED
    assert "Another enrolment is going on" in message
    assert bench.action.forget("Bert") is False, "whoever was refused"
    bench.show((4, look(ANNA)))
    assert bench.result(first)[1].success


def test_a_node_that_is_not_active_enrolls_nobody_live(bench: Bench) -> None:
    bench.active = False
    failure, message = bench.failure(bench.send())
    assert failure is EnrollmentFailure.REFUSED
    assert "not active" in message
    assert not bench.action.wants_frames(0)
    assert not bench.action.busy


def test_whatever_goes_wrong_the_goal_comes_to_its_end(bench: Bench) -> None:
    handle = bench.send_goal(images=[PICTURE])
    for _, future in bench.jobs:
        future.set_exception(RuntimeError("a bug"))
    failure, message = bench.failure(handle)
    assert failure is EnrollmentFailure.REFUSED
    assert "a bug" in message
