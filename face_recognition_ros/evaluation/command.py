"""The command `face-recognition evaluate`: its protocols' arguments, and the calls that carry them out."""

import argparse
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from face_recognition_ros.cli_arguments import add_settings, libraries, settings_of

if TYPE_CHECKING:
    from face_recognition_ros.evaluation.report import Report

PAIRS = 600
"""By default, of LFW's thousands, where every picture is embedded once for each change that is made to it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The protocols of `evaluate`."""
    protocols = parser.add_subparsers(title="protocols", required=True, metavar="PROTOCOL")

    verification = protocols.add_parser("verification", help="same person or not, on a pairs file such as LFW's")
    add_pairs(verification)
    verification.add_argument(
        "--reference", type=Path, metavar="FILE", help="a second embedding network, judged on the same faces"
    )
    verification.add_argument(
        "--references", action="store_true", help="also compare with 1 to 32 reference images of each person"
    )
    add_evaluation(verification)
    verification.set_defaults(run=run_verification)

    identification = protocols.add_parser("identification", help="who is it, or a stranger, in videos")
    identification.add_argument(
        "--videos", type=Path, required=True, metavar="DIR",
        help="holds NAME/SET_NAME_VF.jpg (V video, F frame), or NAME/V/ with frames",
    )  # fmt: skip
    identification.add_argument("--seed", type=int, default=0, help="of who is enrolled and who is a stranger")
    add_evaluation(identification)
    identification.set_defaults(run=run_identification)

    learning = protocols.add_parser("learning", help="what learning in passing is worth, and whether it errs")
    learning.add_argument(
        "--videos", type=Path, required=True, metavar="DIR", help="as for identification, three or more of a person"
    )
    learning.add_argument("--seed", type=int, default=0, help="of who is enrolled, and of the order of videos")
    add_evaluation(learning)
    learning.set_defaults(run=run_learning)

    masked = protocols.add_parser("masked", help="what drawn face masks cost, by kind of mask")
    robustness = protocols.add_parser("robustness", help="what light, blur, low resolution and pose cost")
    for protocol, run in ((masked, run_masked), (robustness, run_robustness)):
        add_pairs(protocol)
        protocol.add_argument(
            "--limit", type=count, default=PAIRS, metavar="N", help="pairs used, 0 for all; default: %(default)s"
        )
        protocol.add_argument("--seed", type=int, default=0, help="of the choice of pairs and of what is drawn")
        add_evaluation(protocol)
        protocol.set_defaults(run=run)

    gradcam = protocols.add_parser("gradcam", help="where in bare and masked faces the decision lies; needs torch")
    gradcam.add_argument("--images", type=Path, required=True, metavar="DIR", help="holds NAME/ with pictures")
    gradcam.add_argument("--count", type=count, default=40, metavar="N", help="people, 0 for all; default: %(default)s")
    gradcam.add_argument("--seed", type=int, default=0, help="of who is drawn, and of the masks")
    add_evaluation(gradcam)
    gradcam.set_defaults(run=run_gradcam)


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """The arguments --images DIR and --pairs FILE."""
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="holds NAME/NAME_0001.jpg")
    parser.add_argument("--pairs", type=Path, required=True, metavar="FILE", help="in the format of LFW's pairs.txt")


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """The arguments --json OUT and --set NAME=VALUE."""
    parser.add_argument(
        "--json", type=json_file, metavar="OUT",
        help="write all numbers to this file, such as out.json, and beside it the diagrams and out.html, to be read",
    )  # fmt: skip
    add_settings(parser)


def json_file(text: str) -> Path:
    """Where a report can be written, said before the long work; argparse puts what it raises into a sentence."""
    path = Path(text)
    if path.suffix == ".html":
        raise argparse.ArgumentTypeError(f"{text} is where the report goes; name another file, ending in .json")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it, such as {path / 'out.json'}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent} to write {path.name} into")
    return path


def count(text: str) -> int:
    """A number of things; argparse puts what it raises into a sentence."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text}")
    return value


def run_verification(arguments: argparse.Namespace) -> int:
    """`evaluate verification`: on a pairs file."""
    from face_recognition_ros.assembly import assemble

    with evaluation_libraries():
        from face_recognition_ros.evaluation.faces import load_reference
        from face_recognition_ros.evaluation.verification_report import evaluate_folder

    settings = settings_of(arguments)
    reference = load_reference(arguments.reference, settings.backend, settings.threads) if arguments.reference else None
    with assemble(settings) as assembly:
        numbers, report = evaluate_folder(
            assembly.recognizer, arguments.images, arguments.pairs, reference, arguments.references
        )
    return finish_evaluation(arguments, report, {"model": assembly.model_id} | numbers)


def run_identification(arguments: argparse.Namespace) -> int:
    """`evaluate identification`: on videos."""
    with evaluation_libraries():
        from face_recognition_ros.evaluation.identification_report import evaluate_folder

    numbers, report = evaluate_folder(settings_of(arguments), arguments.videos, arguments.seed)
    return finish_evaluation(arguments, report, numbers)


def run_learning(arguments: argparse.Namespace) -> int:
    """`evaluate learning`: on videos."""
    with evaluation_libraries():
        from face_recognition_ros.evaluation.learning_report import evaluate_folder

    numbers, report = evaluate_folder(settings_of(arguments), arguments.videos, arguments.seed)
    return finish_evaluation(arguments, report, numbers)


def run_masked(arguments: argparse.Namespace) -> int:
    """`evaluate masked`: on a pairs file."""
    with evaluation_libraries():
        from face_recognition_ros.evaluation.masked import evaluate_folder

    return run_on_pairs(arguments, evaluate_folder)


def run_robustness(arguments: argparse.Namespace) -> int:
    """`evaluate robustness`: on a pairs file."""
    with evaluation_libraries():
        from face_recognition_ros.evaluation.robustness import evaluate_folder

    return run_on_pairs(arguments, evaluate_folder)


def run_on_pairs(arguments: argparse.Namespace, evaluate_folder: "Callable[..., tuple[dict[str, Any], Report]]") -> int:
    """A protocol on --limit of the pairs."""
    from face_recognition_ros.assembly import assemble

    with assemble(settings_of(arguments)) as assembly:
        numbers, report = evaluate_folder(
            assembly.recognizer, arguments.images, arguments.pairs, arguments.limit or None, arguments.seed
        )
    return finish_evaluation(arguments, report, {"model": assembly.model_id} | numbers)


def run_gradcam(arguments: argparse.Namespace) -> int:
    """`evaluate gradcam`: on folders of people."""
    from face_recognition_ros.assembly import assemble

    with evaluation_libraries():
        from face_recognition_ros.evaluation.gradcam import evaluate_folder

    with assemble(settings_of(arguments)) as assembly:
        numbers, report = evaluate_folder(assembly, arguments.images, arguments.count or None, arguments.seed)
    return finish_evaluation(arguments, report, numbers)


def finish_evaluation(arguments: argparse.Namespace, report: "Report", numbers: Mapping[str, Any]) -> int:
    """Writes the report where --json says, and prints its summary."""
    from face_recognition_ros.evaluation.report import write

    if arguments.json:
        write(report, numbers, arguments.json)
    print(report.summary)
    return 0


def evaluation_libraries() -> AbstractContextManager[None]:
    """Around imports that need them; raises FaceRecognitionError that says how they are installed."""
    return libraries("evaluation", "scikit-learn matplotlib jinja2")
