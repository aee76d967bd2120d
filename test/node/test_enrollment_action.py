"""The action ~/enroll between a client and an inference thread that does its jobs when the test says so."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs.action import Enroll
from rclpy.action import ActionClient
from rclpy.task import Future
from std_msgs.msg import Header

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.matcher import Matcher
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.node.enrollment_action import EnrollmentAction
from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.recognizer import FaceView, FrameResult
from face_recognition_ros.settings import Settings
from face_recognition_ros.types import (
    Decision,
    Detection,
    FloatArray,
    Identity,
    IdentityStatus,
    Quality,
    RecognizedFace,
)

SIZE = 64
GOOD = Quality(0.9, True, True)
DETECTION = Detection(np.array([10, 10, 50, 50], np.float32), np.zeros((5, 2), np.float32), 1.0)
PICTURE = bgr_message(Header(), np.zeros((4, 4, 3), np.uint8))
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
        recognizer = SimpleNamespace(view=lambda picture: [FaceView(DETECTION, None, GOOD, look(ANNA))])
        assembly = SimpleNamespace(
            store=self.store, calibration=calibration, matcher=Matcher(self.store, calibration), recognizer=recognizer
        )
        self.jobs: list[tuple[Callable[[], Any], Future]] = []
        self.active = True
        self.action = EnrollmentAction(ros.node, assembly, self._submit, Settings, lambda: None)  # type: ignore[arg-type]
        self.client = ActionClient(ros.robot, Enroll, "face_recognition/enroll")
        self.feedback: list[Enroll.Feedback] = []
        self._stamp = 0.0

    def _submit(self, job: Callable[[], Any]) -> Future:
        if not self.active:
            raise FaceRecognitionError("The node is not active.")
        self.jobs.append((job, Future()))
        return self.jobs[-1][1]

    def close(self) -> None:
        self.client.destroy()
        self.action.destroy()
        self.store.close()

    def send_goal(self, **fields: Any) -> Any:
        """The client's handle of an enrolment of Anna whose first job waits."""
        self._ros.wait_until(self.client.server_is_ready, "the action")
        take = lambda message: self.feedback.append(message.feedback)  # noqa: E731
        sent = self.client.send_goal_async(Enroll.Goal(name="Anna", **fields), take)
        self._ros.wait_until(lambda: sent.done() and self.jobs, "the first job of the goal")
        return sent.result()

    def do_jobs(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job, future in jobs:
            future.set_result(job())

    def start(self, **fields: Any) -> Any:
        """The handle of a live enrolment that looks at frames."""
        handle = self.send_goal(**fields)
        self.do_jobs()
        self._ros.wait_until(lambda: self.feedback, "the first feedback")
        return handle

    def show(self, *faces: tuple[int, FloatArray]) -> None:
        """The next frame, with these tracks and embeddings."""
        self._stamp += 2.0
        unknown = Decision(IdentityStatus.UNKNOWN)
        seen = tuple(RecognizedFace(track, DETECTION, GOOD, unknown, embedding) for track, embedding in faces)
        self.action.add_frame(FrameResult(seen, 0), self._stamp)

    @property
    def reasons(self) -> list[str]:
        """Why looks were rejected, of all feedback that has arrived."""
        return [reason for feedback in self.feedback for reason in feedback.rejection_reasons]

    def result(self, handle: Any) -> tuple[int, Enroll.Result]:
        result = handle.get_result_async()
        self._ros.wait_until(result.done, "the result")
        return result.result().status, result.result().result


@pytest.fixture
def bench(ros: Any) -> Iterator[Bench]:
    bench = Bench(ros)
    yield bench
    bench.close()


PERSON = Identity("p-1", "Anna", 1, 0.0, 0.0)
ENDINGS = [
    (lambda bench: bench.action.forget(PERSON), "somebody asked to forget"),
    (lambda bench: bench.action.stop("It was given up."), "It was given up."),
]


@pytest.mark.parametrize("images", [[], [PICTURE]], ids=["live", "images"])
@pytest.mark.parametrize(("end", "reason"), ENDINGS, ids=["forget", "stop"])
def test_an_enrolment_that_is_ended_while_a_job_waits_stores_nothing(
    bench: Bench, images: list[Any], end: Callable[[Bench], None], reason: str
) -> None:
    handle = bench.send_goal(images=images)
    end(bench)
    bench.do_jobs()
    status, result = bench.result(handle)
    assert (status, result.success) == (GoalStatus.STATUS_ABORTED, False)
    assert reason in result.message
    assert bench.store.revision == 0


@pytest.mark.parametrize("images", [[], [PICTURE]], ids=["live", "images"])
def test_an_enrolment_that_is_cancelled_while_a_job_waits_stores_nothing(
    ros: Any, bench: Bench, images: list[Any]
) -> None:
    handle = bench.send_goal(images=images)
    cancelled = handle.cancel_goal_async()
    ros.wait_until(cancelled.done, "an answer to the cancelling")
    bench.do_jobs()
    status, result = bench.result(handle)
    assert (status, result.success) == (GoalStatus.STATUS_CANCELED, False)
    assert bench.store.revision == 0


def test_looks_that_are_all_there_are_not_stored_of_who_is_forgotten_at_that_moment(bench: Bench) -> None:
    handle = bench.start(looks_wanted=1)
    bench.show((4, look(ANNA)))
    bench.action.forget(PERSON)
    assert "somebody asked to forget" in bench.result(handle)[1].message
    assert bench.store.revision == 0


def test_forgetting_one_person_does_not_end_the_enrolment_of_another(bench: Bench) -> None:
    handle = bench.send_goal(images=[PICTURE])
    bench.action.forget(Identity("p-2", "Bert", 1, 0.0, 0.0))
    bench.do_jobs()
    assert bench.result(handle)[1].success


@pytest.mark.parametrize("track_id", [0, -1])
def test_the_only_face_may_come_back_on_another_track(ros: Any, bench: Bench, track_id: int) -> None:
    handle = bench.start(track_id=track_id, looks_wanted=3)
    bench.show((4, look(ANNA)))
    bench.show()
    bench.show((5, look(ANNA)), (6, BERT))  # who of them?
    bench.show((5, look(ANNA)))
    bench.show((8, BERT))
    ros.wait_until(lambda: bench.reasons, "feedback on the other person")
    assert bench.reasons == ["The look does not agree with the other looks."]
    bench.show((9, look(ANNA)))
    status, result = bench.result(handle)
    assert (status, result.looks_kept) == (GoalStatus.STATUS_SUCCEEDED, 3), result.message
    stored = bench.store.templates().embeddings
    assert (stored @ ANNA > 0.7).all()


def test_of_two_faces_in_view_at_the_beginning_none_is_learned(bench: Bench) -> None:
    handle = bench.start()
    bench.show((4, look(ANNA)), (6, BERT))
    assert "in view: 4, 6" in bench.result(handle)[1].message


def test_a_chosen_track_that_is_not_in_view_gets_feedback_and_no_other_is_learned(ros: Any, bench: Bench) -> None:
    handle = bench.start(track_id=7, looks_wanted=1)
    bench.show((3, BERT), (4, BERT))
    bench.show()
    ros.wait_until(lambda: len(bench.reasons) == 2, "feedback on both frames")
    assert bench.reasons == ["Track 7 is not in view; there are: 3, 4.", "Track 7 is not in view; nobody is."]
    bench.show((7, look(ANNA)), (3, BERT))
    assert bench.result(handle)[1].success
    assert (bench.store.templates().embeddings @ ANNA > 0.7).all()


def test_a_node_that_is_not_active_enrolls_nobody_live(ros: Any, bench: Bench) -> None:
    bench.active = False
    ros.wait_until(bench.client.server_is_ready, "the action")
    sent = bench.client.send_goal_async(Enroll.Goal(name="Anna"))
    ros.wait_until(sent.done, "an answer to the goal")
    assert "not active" in bench.result(sent.result())[1].message
    assert not bench.action.wants_frames
    assert not bench.action.busy
