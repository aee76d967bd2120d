"""One node in its own process answers real messages: images, services, parameters and enrolments."""

import array
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from face_recognition_msgs import srv
from face_recognition_msgs.action import Enroll
from face_recognition_msgs.msg import FaceIdentity
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from face_recognition_ros.node.messages import bgr_message
from face_recognition_ros.types import ByteArray

EILEEN = "Eileen Collins"


@pytest.fixture(scope="module")
def node(domain: int, robot: Any, tmp_path_factory: pytest.TempPathFactory, start_node: Callable[..., Any]) -> Any:
    """An active node with an empty gallery, for all tests of this file; each leaves the gallery as it found it."""
    process = start_node(gallery=tmp_path_factory.mktemp("gallery") / "gallery.sqlite3")
    robot.wait_for_state("active")
    return process


@pytest.fixture
def enrolled(robot: Any, node: Any, astronaut_bgr: ByteArray) -> Iterator[str]:
    """Eileen Collins is in the gallery; her identity id."""
    status, result = robot.send_goal(name=EILEEN, images=[picture(astronaut_bgr)]).result()
    assert (status, result.success, result.looks_kept) == (GoalStatus.STATUS_SUCCEEDED, True, 1), result.message
    yield result.identity_id
    robot.call(srv.Forget, "forget", identity=result.identity_id)


def picture(bgr: ByteArray) -> Image:
    return bgr_message(Header(), bgr)


def jpeg(bgr: ByteArray) -> CompressedImage:
    data = array.array("B", cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    return CompressedImage(format="jpeg", data=data)


def side_by_side(left: ByteArray, right: ByteArray) -> ByteArray:
    height = min(len(left), len(right))
    return np.hstack([left[:height], right[:height]])


def test_the_enrolled_person_is_named_and_the_stranger_is_not(
    robot: Any, enrolled: str, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    (known,) = robot.show(astronaut_bgr, 3).faces
    (stranger,) = robot.show(grace_hopper_bgr, 3).faces
    assert (known.status, known.name, known.identity_id) == (FaceIdentity.KNOWN, EILEEN, enrolled)
    assert (stranger.status, stranger.name, stranger.identity_id) == (FaceIdentity.UNKNOWN, "", "")
    assert known.track_id != stranger.track_id
    assert known.box.x < known.landmarks.left_eye.x < known.landmarks.right_eye.x < known.box.x + known.box.width


def test_both_are_told_apart_in_one_picture(
    robot: Any, enrolled: str, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    faces = robot.show(side_by_side(astronaut_bgr, grace_hopper_bgr), 3).faces
    assert [face.name for face in sorted(faces, key=lambda face: face.box.x)] == [EILEEN, ""]


def test_the_header_is_the_images_and_the_revision_the_gallerys(
    robot: Any, node: Any, astronaut_bgr: ByteArray
) -> None:
    message = picture(astronaut_bgr)
    answer = robot.show(message)
    assert answer.header == message.header
    revision = robot.call(srv.ListIdentities, "list_identities").gallery_revision
    assert answer.gallery_revision == revision


def test_an_empty_frame_is_answered_with_no_faces(robot: Any, node: Any) -> None:
    assert robot.show(np.full((240, 320, 3), 90, np.uint8)).faces == []


def test_bad_images_are_reported_once_counted_and_survived(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    def bad(**fields: Any) -> Image:
        message = picture(astronaut_bgr[:32, :32])
        message.header = robot.next_header()
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    for message, sentence in (
        (bad(step=10), "has a step of 10 bytes; its rows need 96"),
        (bad(data=bytes(100)), "is cut short: 100 bytes, where step and height make 3072"),
        (bad(encoding="bgr9"), "the encoding 'bgr9' is not supported"),
        (bad(width=0), "an image of 0x32 pixels"),
    ):
        publish_until(robot, message, lambda: sentence in node.output, f"{sentence!r} in the log")  # noqa: B023
    values = publish_until(
        robot, bad(step=11), lambda: diagnosed(robot, "images malformed", 6), "the malformed images in /diagnostics"
    )
    assert float(values["images received"]) >= float(values["images malformed"])
    assert "bgr8 image of 32x32" in values["last malformed image"] or "0x32" in values["last malformed image"]
    assert node.output.count("bytes; its rows need") == 1
    assert robot.show(astronaut_bgr).faces


def publish_until(robot: Any, message: Image, condition: Callable[[], Any], what: str) -> Any:
    """Publishes again and again: best effort, and the newest of two, may leave out one."""

    def published() -> Any:
        robot.publish(message)
        return condition()

    return robot.wait_until(published, what)


def diagnosed(robot: Any, key: str, at_least: float) -> dict[str, str] | None:
    """The values of the latest diagnostics, once the one of that key is large enough."""
    if robot.diagnostics is None:
        return None
    values = {entry.key: entry.value for entry in robot.diagnostics.status[0].values}
    return values if float(values.get(key, "-1")) >= at_least else None


def test_diagnostics_name_rates_backend_and_gallery(robot: Any, enrolled: str, astronaut_bgr: ByteArray) -> None:
    robot.show(astronaut_bgr)
    values = robot.wait_until(lambda: diagnosed(robot, "gallery people", 1), "one person in /diagnostics")
    assert (values["state"], values["backend"], values["backend asked for"]) == ("active", "onnxruntime", "auto")
    assert values["runtime"]
    assert float(values["output rate (Hz)"]) > 0
    assert 0 < float(values["detection p50 (ms)"]) <= float(values["processing p95 (ms)"])


def test_the_debug_image_comes_to_a_subscriber(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    drawn: list[Image] = []
    subscription = robot.subscribe(Image, "debug_image", drawn.append, qos_profile_sensor_data)

    def shown() -> Any:
        robot.show(astronaut_bgr)
        return drawn

    robot.wait_until(shown, "a debug image")
    robot.node.destroy_subscription(subscription)
    pixels = np.frombuffer(drawn[0].data, np.uint8).reshape(astronaut_bgr.shape)
    changed = np.any(pixels != astronaut_bgr, axis=2)
    assert 0 < changed.mean() < 0.2


def test_depth_gives_a_position(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    height, width = astronaut_bgr.shape[:2]
    depth = robot.node.create_publisher(Image, "depth", qos_profile_sensor_data)
    camera_info = robot.node.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
    k = [500.0, 0.0, width / 2, 0.0, 500.0, height / 2, 0.0, 0.0, 1.0]
    for publisher in (depth, camera_info):
        robot.wait_until(lambda: publisher.get_subscription_count() > 0, "the depth subscriptions")  # noqa: B023

    def located() -> Any:
        camera_info.publish(CameraInfo(width=width, height=height, k=k))
        flat = Image(height=height, width=width, encoding="16UC1", step=2 * width, header=robot.next_header())
        flat.data = array.array("B", np.full((height, width), 1500, "<u2").tobytes())
        depth.publish(flat)
        robot.turn_back(1)  # the colour image has the same stamp
        (face,) = robot.show(astronaut_bgr).faces
        return face if face.has_position else None

    face = robot.wait_until(located, "a face with a position")
    robot.node.destroy_publisher(depth)
    robot.node.destroy_publisher(camera_info)
    assert face.position.z == pytest.approx(1.5)
    assert face.position.x == pytest.approx((face.box.x + face.box.width / 2 - width / 2) / 500 * 1.5, abs=1e-3)


def test_recognize_answers_for_pictures_of_both_kinds(
    robot: Any, enrolled: str, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    both = side_by_side(astronaut_bgr, grace_hopper_bgr)
    for request in ({"image": picture(both)}, {"compressed": jpeg(both)}):
        response = robot.call(srv.Recognize, "recognize", **request)
        assert response.success, response.message
        assert [(face.track_id, face.name) for face in response.faces] == [(-1, ""), (-1, EILEEN)]  # largest first
        assert EILEEN in response.message


def test_pictures_that_cannot_be_used_are_answered_with_a_sentence(robot: Any, node: Any) -> None:
    nothing = robot.call(srv.Recognize, "recognize")
    assert not nothing.success
    assert nothing.message == "The request has no picture: fill image or compressed."
    broken = robot.call(srv.Recognize, "recognize", compressed=CompressedImage(format="jpeg", data=b"no picture"))
    assert not broken.success
    assert "cannot be decoded" in broken.message
    empty = robot.call(srv.Recognize, "recognize", image=picture(np.zeros((120, 160, 3), np.uint8)))
    assert empty.success
    assert empty.faces == []


def test_verify_compares_with_a_picture_and_with_a_person(
    robot: Any, enrolled: str, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    eileen, grace = picture(astronaut_bgr), picture(grace_hopper_bgr)
    mirrored = picture(np.ascontiguousarray(astronaut_bgr[:, ::-1]))
    same = robot.call(srv.Verify, "verify", image_a=eileen, image_b=mirrored)
    other = robot.call(srv.Verify, "verify", image_a=eileen, image_b=grace)
    person = robot.call(srv.Verify, "verify", image_a=mirrored, identity=EILEEN)
    stranger = robot.call(srv.Verify, "verify", image_a=grace, identity=EILEEN)
    answers = (same, other, person, stranger)
    assert all(answer.success for answer in answers), [answer.message for answer in answers]
    assert [answer.same_person for answer in answers] == [True, False, True, False]
    assert all((answer.similarity >= answer.threshold) == answer.same_person for answer in answers)
    nobody = robot.call(srv.Verify, "verify", image_a=eileen, identity="Eileen Colins")
    assert not nobody.success
    assert "Did you mean 'Eileen Collins'?" in nobody.message


def test_the_gallery_is_changed_by_services_and_each_change_is_published(robot: Any, enrolled: str) -> None:
    renamed = robot.call(srv.Rename, "rename", identity=EILEEN, new_name="Commander Collins")
    assert renamed.success, renamed.message
    state = robot.wait_until(
        lambda: robot.gallery if robot.gallery and robot.gallery.revision == renamed.gallery_revision else None,
        "the new revision on the topic gallery",
    )
    assert [(person.name, person.identity_id) for person in state.identities] == [("Commander Collins", enrolled)]
    undone = robot.call(srv.Undo, "undo")
    assert undone.success
    assert EILEEN in undone.undone
    listed = robot.call(srv.ListIdentities, "list_identities")
    assert [person.name for person in listed.identities] == [EILEEN]
    assert listed.gallery_revision == undone.gallery_revision > renamed.gallery_revision


def test_merge_and_forget(robot: Any, enrolled: str, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray) -> None:
    status, grace = robot.send_goal(name="Grace Hopper", images=[picture(grace_hopper_bgr)]).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    merged = robot.call(srv.Merge, "merge", keep=EILEEN, absorb="Grace Hopper")
    assert merged.success, merged.message
    assert [p.templates for p in robot.call(srv.ListIdentities, "list_identities").identities] == [2]
    assert robot.call(srv.Undo, "undo").success
    forgotten = robot.call(srv.Forget, "forget", identity=grace.identity_id)
    assert (forgotten.success, forgotten.forgotten) == (True, 1)
    assert [face.name for face in robot.show(grace_hopper_bgr, 3).faces] == [""]


@pytest.mark.parametrize(
    ("kind", "name", "request_fields"),
    [
        (srv.Rename, "rename", {"identity": "Nobody", "new_name": "Somebody"}),
        (srv.Rename, "rename", {"identity": EILEEN, "new_name": " "}),
        (srv.Merge, "merge", {"keep": EILEEN, "absorb": EILEEN}),
        (srv.Forget, "forget", {"identity": "Nobody"}),
    ],
)
def test_a_change_that_cannot_be_made_is_answered_with_a_sentence(
    robot: Any, enrolled: str, kind: Any, name: str, request_fields: dict[str, str]
) -> None:
    before = robot.call(srv.ListIdentities, "list_identities").gallery_revision
    response = robot.call(kind, name, **request_fields)
    assert not response.success
    assert response.message.endswith((".", "?"))
    assert response.gallery_revision == before


def test_live_parameters_take_effect_and_others_are_refused(
    robot: Any, enrolled: str, astronaut_bgr: ByteArray
) -> None:
    assert robot.show(astronaut_bgr, 3).faces[0].status == FaceIdentity.KNOWN
    assert robot.set_parameter("min_looks", 50) == (True, "")
    assert robot.show(astronaut_bgr).faces[0].status == FaceIdentity.TENTATIVE
    assert robot.set_parameter("min_looks", 3) == (True, "")
    for name, value, part in (
        ("min_looks", 0, "Min: 1, Max: 50"),
        ("min_looks", "many", "Wrong parameter type"),
        ("min_face_size", 60.0, "min_face_size is read when the node is configured"),
        ("image_transport", "raw", "image_transport is read when the node is configured"),
    ):
        done, reason = robot.set_parameter(name, value)
        assert not done
        assert part in reason


def test_a_person_is_enrolled_live_and_known_at_once(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    goal = robot.send_goal(name=EILEEN, track_id=-1, looks_wanted=2)
    second = robot.send_goal(name="Somebody", track_id=-1)
    assert second.result()[0] == GoalStatus.STATUS_ABORTED
    assert "Another enrolment is going on" in second.result()[1].message
    while not goal.is_done:
        robot.show(astronaut_bgr)
    status, result = goal.result()
    assert (status, result.success, result.looks_kept) == (GoalStatus.STATUS_SUCCEEDED, True, 2), result.message
    assert [feedback.looks_kept for feedback in goal.feedback][-1] == 2
    assert any(feedback.instruction for feedback in goal.feedback)
    answer = robot.show(astronaut_bgr)
    assert answer.faces[0].identity_id == result.identity_id
    assert answer.gallery_revision == result.gallery_revision

    again = robot.send_goal(name="Another Name", images=[picture(astronaut_bgr)])
    status, known = again.result()
    assert (status, known.success, known.already_known_as) == (GoalStatus.STATUS_ABORTED, False, EILEEN)
    assert known.failure == Enroll.Result.ALREADY_KNOWN
    robot.call(srv.Forget, "forget", identity=result.identity_id)


def test_an_enrolment_that_does_not_end_well_leaves_no_trace(
    robot: Any, node: Any, astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    before = robot.call(srv.ListIdentities, "list_identities").gallery_revision

    cancelled = robot.send_goal(name=EILEEN, track_id=-1)
    robot.wait_until(lambda: cancelled.feedback, "an enrolment that has begun")  # an image before that is not for it
    robot.show(astronaut_bgr)
    robot.wait_until(lambda: cancelled.feedback and cancelled.feedback[-1].looks_kept, "a look that is kept")
    cancelled.cancel()
    status, result = cancelled.result()
    assert (status, result.success, result.failure) == (GoalStatus.STATUS_CANCELED, False, Enroll.Result.CANCELED)

    two_faces = robot.send_goal(name=EILEEN)
    while not two_faces.is_done:
        robot.show(side_by_side(astronaut_bgr, grace_hopper_bgr))
    result = two_faces.result()[1]
    assert result.failure == Enroll.Result.SEVERAL_FACES
    assert "2 faces are in view" in result.message

    too_late = robot.send_goal(name=EILEEN, track_id=-1, timeout=0.5)
    status, result = too_late.result()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.failure == Enroll.Result.NO_FACE
    assert "no image was processed" in result.message

    nothing = robot.send_goal(name=EILEEN, images=[picture(np.zeros((100, 100, 3), np.uint8))]).result()[1]
    assert nothing.failure == Enroll.Result.NO_FACE
    assert "image 1: the picture shows no face" in nothing.message
    nameless = robot.send_goal(name="", images=[picture(astronaut_bgr)]).result()[1]
    assert nameless.failure == Enroll.Result.REFUSED
    assert "must not be empty" in nameless.message

    listed = robot.call(srv.ListIdentities, "list_identities")
    assert (listed.identities, listed.gallery_revision) == ([], before)


def test_a_clock_that_goes_back_starts_new_tracks(robot: Any, node: Any, astronaut_bgr: ByteArray) -> None:
    (before,) = robot.show(astronaut_bgr, 2).faces
    robot.turn_back(500)
    (after,) = robot.show(astronaut_bgr).faces
    robot.turn_back(-500)
    assert after.track_id != before.track_id
    assert after.status == FaceIdentity.TENTATIVE


def test_deactivated_it_answers_no_images_and_activated_again_it_does(
    robot: Any, enrolled: str, node: Any, astronaut_bgr: ByteArray
) -> None:
    abandoned = robot.send_goal(name="Somebody", track_id=-1)
    assert robot.change_state("deactivate")
    assert "he node was deactivated" in abandoned.result()[1].message
    assert robot.state() == "inactive"
    assert not robot.change_state("configure"), "the state does not allow this"
    refused = robot.call(srv.Recognize, "recognize", image=picture(astronaut_bgr))
    assert not refused.success
    assert "not active" in refused.message
    assert robot.call(srv.ListIdentities, "list_identities").success
    robot.wait_until(
        lambda: "inactive" in robot.diagnostics.status[0].message, "diagnostics that say that it is inactive"
    )
    robot.wait_until(lambda: robot.node.count_subscribers("image") == 0, "the end of the subscription")
    assert robot.change_state("activate")
    assert robot.show(astronaut_bgr, 3).faces[0].name == EILEEN
    assert "Traceback" not in node.output
