"""Which frames of a stream are searched in full: often enough for newcomers, at once where the scene has changed."""

import numpy as np
import pytest

from face_recognition_ros.errors import SettingsError
from face_recognition_ros.types import ByteArray
from face_recognition_ros.video import MAX_BLIND, MAX_GAP, SearchSchedule, VideoOptions, alike, face_pattern

RATE = 1 / 30
STILL = np.full((480, 640, 3), 90, np.uint8)


def searched(schedule: SearchSchedule, frames: int, faces: int = 1, behind: bool = False, start: int = 0) -> list[int]:
    """Numbers of the frames that are searched, of a camera that sees nothing new."""
    return [n for n in range(start, start + frames) if schedule.is_due(STILL, n * RATE, faces, behind)]


def gaps(numbers: list[int]) -> list[int]:
    return np.diff(numbers).tolist()


def test_every_frame_is_searched_with_an_interval_of_one() -> None:
    assert searched(SearchSchedule(1), 10) == list(range(10))


@pytest.mark.parametrize(("faces", "interval"), [(0, 3), (1, 3), (2, 4), (4, 6), (9, 6)])
def test_the_more_faces_the_rarer_but_never_rarer_than_asked_for(faces: int, interval: int) -> None:
    assert gaps(searched(SearchSchedule(6), 40, faces)) == [interval] * ((40 - 1) // interval)


def test_while_frames_are_lost_it_is_searched_less_and_afterwards_as_before() -> None:
    schedule = SearchSchedule(8)
    assert set(gaps(searched(schedule, 60, behind=True))[2:]) == {8}
    assert gaps(searched(schedule, 60, start=60))[-5:] == [4] * 5


def test_a_pause_a_step_back_and_a_long_wait_are_followed_by_a_search() -> None:
    schedule = SearchSchedule(60)
    assert schedule.is_due(STILL, 0.0, 1, False)
    assert not schedule.is_due(STILL, RATE, 1, False)
    assert schedule.is_due(STILL, RATE + 1.01 * MAX_GAP, 1, False)
    assert not schedule.is_due(STILL, 2 * RATE + 1.01 * MAX_GAP, 1, False)
    assert schedule.is_due(STILL, RATE, 1, False), "the clock was set back"
    slow = SearchSchedule(60)
    stamps = np.arange(0, 3, 0.2)
    due = [float(stamp) for stamp in stamps if slow.is_due(STILL, float(stamp), 1, False)]
    assert max(np.diff(due)) <= MAX_BLIND + 0.2 + 1e-9


@pytest.mark.parametrize("change", ["cut", "lights", "turn", "size"])
def test_another_scene_is_searched_at_once(change: str) -> None:
    rows, columns = np.mgrid[:480, :640]
    room = np.repeat((127 + 90 * np.sin(rows / 40) * np.cos(columns / 55)).astype(np.uint8)[..., None], 3, axis=2)
    other: dict[str, ByteArray] = {
        "cut": np.random.default_rng(0).integers(0, 255, room.shape, np.uint8),
        "lights": (room // 2).astype(np.uint8),
        "turn": np.roll(room, 60, axis=1),
        "size": room[:, :500],
    }
    schedule = SearchSchedule(60)
    assert schedule.is_due(room, 0.0, 1, False)
    assert not schedule.is_due(np.clip(room.astype(int) + 3, 0, 255).astype(np.uint8), RATE, 1, False)
    assert schedule.is_due(other[change], 2 * RATE, 1, False)


def test_somebody_who_walks_through_makes_no_other_scene() -> None:
    schedule = SearchSchedule(60)
    assert schedule.is_due(STILL, 0.0, 1, False)
    walking = STILL.copy()
    walking[100:, 200:290] = 200
    assert not schedule.is_due(walking, RATE, 1, False)


def test_slow_change_adds_up() -> None:
    schedule = SearchSchedule(1000)
    due = [n for n in range(12) if schedule.is_due(np.full((48, 64, 3), 100 + 3 * n, np.uint8), n * 0.04, 1, False)]
    assert due == [0, 6], "18 grey values after the search"


def test_a_frame_that_was_searched_anyway_counts() -> None:
    schedule = SearchSchedule(6)
    searched(schedule, 2)
    schedule.searched()
    assert searched(schedule, 4, start=2) == [4]


def test_another_scene_is_another_than_that_of_the_latest_search() -> None:
    schedule = SearchSchedule(1000)
    due = []
    for number in range(12):
        if schedule.is_due(np.full((48, 64, 3), 100 + 3 * number, np.uint8), number * 0.04, 1, False):
            due.append(number)
        elif number == 3:
            schedule.searched()  # as a face was lost
    assert due == [0, 9], "18 grey values after frame 3"


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 700, 3), (33, 3, 3)])
def test_odd_sizes(shape: tuple[int, int, int]) -> None:
    schedule = SearchSchedule(6)
    frame = np.zeros(shape, np.uint8)
    assert schedule.is_due(frame, 0.0, 0, False)
    assert not schedule.is_due(frame, RATE, 0, False)


def test_options_out_of_range() -> None:
    with pytest.raises(SettingsError, match="detection_interval must be 1 frame or more, not 0"):
        VideoOptions(detection_interval=0)
    with pytest.raises(SettingsError, match="embedding_interval must be 0 seconds or more, not -1"):
        VideoOptions(embedding_interval=-1.0)


def test_a_face_looks_as_it_did_until_somebody_else_is_there(
    astronaut_bgr: ByteArray, grace_hopper_bgr: ByteArray
) -> None:
    box, other_box = np.array([177, 68, 277, 210], np.float32), np.array([206, 93, 350, 285], np.float32)
    pattern = face_pattern(astronaut_bgr, box)
    assert pattern.shape == (64,)
    assert np.linalg.norm(pattern) == pytest.approx(1, abs=1e-5)
    for jitter in ([3, 0, 3, 0], [-2, -2, 2, 2], [0, 4, 0, 4]):
        assert alike(face_pattern(astronaut_bgr, box + np.array(jitter, np.float32)), pattern)
    assert alike(face_pattern((astronaut_bgr * 0.7).astype(np.uint8), box), pattern), "less light"
    assert not alike(face_pattern(grace_hopper_bgr, other_box), pattern)
    assert not alike(pattern, None)


@pytest.mark.parametrize("box", [(-50, -50, -10, -10), (700, 10, 760, 90), (10, 10, 10, 10), (20, 20, 80, 80)])
def test_nothing_is_like_nothing(box: tuple[int, ...]) -> None:
    pattern = face_pattern(STILL, np.array(box, np.float32))
    assert not pattern.any()
    assert not alike(pattern, pattern)
