"""The `face-recognition` command. Its subcommands only parse and call; what they need is imported when they run."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from face_recognition_ros import __version__, gallery_commands
from face_recognition_ros.cli_arguments import add_settings, settings_of
from face_recognition_ros.errors import FaceRecognitionError, SettingsError
from face_recognition_ros.evaluation import command as evaluation_command
from face_recognition_ros.gallery_commands import add_gallery, require_gallery
from face_recognition_ros.replay import command as replay_command

WRONG_USAGE = 2
"""Exit code of argparse for wrong arguments."""
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + signal.SIGPIPE
"""Exit codes of a program that was ended by these signals, as shells give them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 done, 1 not (all) done, 2 wrong usage, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        code = run(arguments)
        sys.stdout.flush()
        return code
    except SettingsError as error:  # only --set sets anything
        complain(str(error))
        return WRONG_USAGE
    except FaceRecognitionError as error:
        complain(str(error))
        return 1
    except BrokenPipeError:
        # The reader has left; nothing may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:  # a folder or file that may not be read or written
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """All commands and their arguments; each sets `run` to the function that carries it out."""
    parser = argparse.ArgumentParser(
        prog="face-recognition", description="Learns and recognises people in pictures; no ROS needs to be running."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    enroll = commands.add_parser("enroll", help="learn the people whose pictures lie in a folder")
    enroll.add_argument("folder", type=Path, help="holds one picture NAME.jpg or one folder NAME/ for each person")
    enroll.add_argument("--force", action="store_true", help="enrol also who seems to be known under another name")
    add_gallery(enroll)
    add_settings(enroll)
    enroll.set_defaults(run=run_enroll)

    recognize = commands.add_parser("recognize", help="say who is in pictures")
    recognize.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    add_gallery(recognize)
    add_settings(recognize)
    recognize.add_argument("--json", action="store_true", help='a JSON list of {"image": PATH, "faces": [...]}')
    recognize.set_defaults(run=run_recognize)

    gallery_commands.add_commands(commands)
    evaluation_command.add_arguments(
        commands.add_parser("evaluate", help="measure how well the whole pipeline recognises")
    )

    replay_command.add_arguments(
        commands.add_parser("replay", help="say who is in a bag, a video or a folder, the same way every time")
    )

    engines = commands.add_parser(
        "build-engines", help="build the TensorRT engines of all networks ahead; what is built stays if it is stopped"
    )
    add_settings(engines)
    engines.set_defaults(run=run_build_engines)

    demo = commands.add_parser("demo", help="start node and camera and watch them recognise people")
    demo.add_argument("--images", type=Path, metavar="FOLDER", help="your own pictures, as for enroll")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), metavar="FOLDER", help="default: demo-output")
    demo.add_argument("--seconds", type=seconds, metavar="N", help="length, 5 to 600; default: by the number of people")
    demo.set_defaults(run=run_demo)
    return parser


def seconds(text: str) -> float:
    """The length of a demo; argparse puts what it raises into a sentence."""
    value = float(text)
    if not 5 <= value <= 600:
        raise argparse.ArgumentTypeError(f"must lie between 5 and 600, not {text}")
    return value


def run_enroll(arguments: argparse.Namespace) -> int:
    """A line per person on stdout, what was not kept and who was not enrolled on stderr."""
    from tqdm import tqdm

    from face_recognition_ros.assembly import assemble
    from face_recognition_ros.folder_enrollment import enroll_people
    from face_recognition_ros.pictures import people_in

    people = people_in(arguments.folder)
    missing = 0
    with assemble(settings_of(arguments)) as assembly:
        reports = enroll_people(assembly, people, arguments.force)
        for report in tqdm(reports, total=len(people), desc="enrol", unit="person", file=sys.stderr, disable=None):
            for rejection in report.rejections:
                tqdm.write(f"{rejection.path}: not kept: {rejection.reason}", file=sys.stderr)
            counts = f"{report.looks_kept} looks kept, {len(report.rejections)} rejected"
            if report.enrolled:
                tqdm.write(f"{report.name}: {counts}")
            else:
                tqdm.write(f"{report.name}: not enrolled: {report.failure}", file=sys.stderr)
            missing += not report.enrolled
    return 1 if missing else 0


def run_recognize(arguments: argparse.Namespace) -> int:
    """A line per face, or JSON. A picture that cannot be read is reported on stderr, the others go on."""
    from face_recognition_ros.assembly import assemble
    from face_recognition_ros.pictures import read_picture
    from face_recognition_ros.records import face_line, face_record, json_text

    require_gallery(arguments.gallery)
    records: list[dict[str, Any]] = []
    failed = False
    with assemble(settings_of(arguments)) as assembly:
        for path in arguments.images:
            try:
                faces = assembly.recognizer.recognize(read_picture(path)).faces
            except FaceRecognitionError as error:
                complain(str(error))
                failed = True
                continue
            records.append({"image": str(path), "faces": [face_record(face) for face in faces]})
            if not arguments.json:
                for line in map(face_line, faces) if faces else ["nobody"]:
                    print(f"{path}: {line}")
    if arguments.json:
        print(json_text(records))
    return 1 if failed else 0


def run_build_engines(arguments: argparse.Namespace) -> int:
    """A line per network on stdout, progress on stderr."""
    from face_recognition_ros.engine_building import build_engines

    return build_engines(settings_of(arguments))


def run_demo(arguments: argparse.Namespace) -> int:
    """Needs ROS, unlike all the others."""
    from face_recognition_ros.demo.runner import run

    return run(arguments.images, arguments.output, arguments.seconds)


def complain(sentence: str) -> None:
    """To stderr, as stdout is for data."""
    print(f"face-recognition: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
