"""The command `face-recognition replay`: its arguments, and the call that carries them out."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from face_recognition_ros.cli_arguments import add_settings, libraries, settings_of
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.gallery_commands import add_gallery, positive, require_gallery

if TYPE_CHECKING:
    from face_recognition_ros.replay.results import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `replay`."""
    parser.add_argument(
        "source", metavar="SOURCE",
        help="a rosbag2 bag (folder, .db3 or .mcap), a video file, a folder of pictures, or topic:/NAME",
    )  # fmt: skip
    add_gallery(parser)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="for the results; replaces those of an earlier replay",
    )
    parser.add_argument("--topic", metavar="NAME", help="which topic of a bag, where several have images")
    parser.add_argument("--expect", type=Path, metavar="FILE", help="an identities.jsonl; exit code 1 if it differs")
    parser.add_argument(
        "--tolerance", type=similarity, default=0.01, metavar="S",
        help="by which a similarity may differ from the expected one; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--write-bag", action="store_true", help="also a bag with /face_identities added; needs ROS")
    parser.add_argument("--no-video", action="store_true", help="leave the annotated video out, which takes a while")
    parser.add_argument("--frames", type=frame_count, metavar="N", help="stop after so many frames")
    parser.add_argument("--seconds", type=positive, metavar="N", help="stop after so many seconds, by the stamps")
    parser.add_argument(
        "--rate", type=positive, default=10.0, metavar="HZ", help="pictures a second, of a folder; default: %(default)s"
    )
    add_settings(parser)
    parser.set_defaults(run=run_replay)


def frame_count(text: str) -> int:
    """A number of frames; argparse puts what it raises into a sentence."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value


def similarity(text: str) -> float:
    """A difference of similarities; argparse puts what it raises into a sentence."""
    value = float(text)
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 2, not {text}")
    return value


def run_replay(arguments: argparse.Namespace) -> int:
    """Tells on stdout whether all is as expected, on stderr what was skipped and where the results are."""
    is_live = arguments.source.startswith("topic:")
    if is_live or arguments.write_bag:
        require_ros("--write-bag" if arguments.write_bag else arguments.source)
    if is_live and arguments.frames is None and arguments.seconds is None:
        raise FaceRecognitionError("a live topic has no end: say --seconds N or --frames N")
    require_gallery(arguments.gallery)
    with replay_libraries():
        from face_recognition_ros.replay.expectation import read_records
        from face_recognition_ros.replay.results import Order, carry_out
        from face_recognition_ros.replay.sources import open_source

    order = Order(
        settings=settings_of(arguments),
        output=arguments.output.expanduser(),
        video=not arguments.no_video,
        bag=arguments.write_bag,
        frames=arguments.frames,
        seconds=arguments.seconds,
        expected=read_records(arguments.expect) if arguments.expect else None,
        tolerance=arguments.tolerance,
    )
    for given in (arguments.expect, Path(arguments.source)):
        if given is not None and given.resolve().is_relative_to(order.output.resolve()):
            raise FaceRecognitionError(f"{given} lies where the results go, and would be replaced; copy it elsewhere")
    with open_source(arguments.source, arguments.topic, arguments.rate) as source:
        outcome = carry_out(source, order, say)
    return conclude(outcome)


def conclude(outcome: "Outcome") -> int:
    """Says how it went; returns the exit code, or raises KeyboardInterrupt where Ctrl-C has stopped it."""
    counts = outcome.counts
    if counts.skipped:
        say(f"{counts.skipped} images were skipped, {counts.frames} answered")
    if counts.stopped:
        say(f"stopped after {counts.frames} frames, which are in {outcome.page.parent}")
        raise KeyboardInterrupt
    print(f"{counts.frames} frames, see {outcome.page}", file=sys.stderr)
    if outcome.comparison is None:
        return 0
    print("\n".join(outcome.comparison.lines()))
    return 0 if outcome.comparison.is_equal else 1


def say(sentence: str) -> None:
    """To stderr, above the bar of progress."""
    from tqdm import tqdm

    tqdm.write(f"face-recognition: {sentence}", file=sys.stderr)


def require_ros(what: str) -> None:
    """Raises FaceRecognitionError where ROS or our messages cannot be imported.

    To be called before anything is done: the ROS wheels restart the program on their import.
    """
    try:
        import rclpy  # noqa: F401
        from face_recognition_msgs import msg  # noqa: F401
    except ImportError as error:
        raise FaceRecognitionError(
            f"{what} needs ROS 2 and face_recognition_msgs ({error}); source your workspace first, for example "
            "`. install/setup.bash`, or leave it out: all else works without ROS"
        ) from error


@contextmanager
def replay_libraries() -> Iterator[None]:
    """Around imports that need them; raises FaceRecognitionError that says how they are installed."""
    with libraries("replay", "rosbags matplotlib jinja2"):
        import jinja2  # noqa: F401
        import matplotlib as mpl  # noqa: F401
        import rosbags.rosbag2  # noqa: F401

        yield
