"""The subcommands of `face-recognition` that look after a gallery: list it, change it, keep it safe."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from face_recognition_ros.cli_arguments import add_settings, settings_of
from face_recognition_ros.errors import GalleryError

if TYPE_CHECKING:
    from face_recognition_ros.gallery.store import GalleryStore


def add_commands(commands: Any) -> None:
    """Adds them to what `ArgumentParser.add_subparsers` has returned."""

    def add(name: str, run: Callable[[argparse.Namespace], int], explanation: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = commands.add_parser(name, help=explanation)
        add_gallery(parser)
        add_settings(parser)
        parser.set_defaults(run=run)
        return parser

    identities = add("identities", run_identities, "list the people of a gallery")
    identities.add_argument("--json", action="store_true", help="a JSON list, one object per person")

    rename = add("rename", run_rename, "give a person another name, or a remembered stranger a first one")
    rename.add_argument("identity", help="id or name")
    rename.add_argument("new_name")

    merge = add("merge", run_merge, "make one person of two")
    merge.add_argument("keep", help="id or name of the person who stays")
    merge.add_argument("absorb", help="id or name of the one whose templates go over")

    consent = add("consent", run_consent, "note what a person agreed to, and for how long")
    consent.add_argument("identity", help="id or name")
    consent.add_argument("consent", metavar="TEXT", help="what the person agreed to; '' for nothing")
    consent.add_argument(
        "--days", type=positive, metavar="N", help="so many days from now the person is forgotten; default: never"
    )

    forget = add("forget", run_forget, "delete a person for good")
    who = forget.add_mutually_exclusive_group(required=True)
    who.add_argument("identity", nargs="?", help="id or name")
    who.add_argument("--all-unknown", action="store_true", help="all remembered strangers")

    purge = add("purge-observed", run_purge_observed, "remove what was learned in passing, keep what was enrolled")
    purge.add_argument("identity", nargs="?", help="id or name; default: of everybody")

    add("undo", run_undo, "take back the latest enrolment, rename, merge, import or consent")

    export = add("export", run_export, "write everybody into a gallery file of its own")
    export.add_argument("file", type=Path, help="must not exist yet")

    import_ = add("import", run_import, "take over the people of another gallery file, all or none")
    import_.add_argument(
        "file", type=Path, help="made by the same network, and encrypted with the same key or not at all"
    )
    import_.add_argument("--merge-names", action="store_true", help="people of the same name are one person")

    restore = add("restore", run_restore, "bring back the last good state of a gallery that was damaged")
    restore.add_argument("--empty", action="store_true", help="start with an empty gallery instead")

    reembed = add("reembed", run_reembed, "write a gallery anew for the network in use, from its stored crops")
    reembed.add_argument("file", type=Path, help="the new gallery; must not exist yet")

    key = commands.add_parser("create-key", help="make the key file of an encrypted gallery")
    key.add_argument("file", type=Path, help="must not exist yet")
    key.set_defaults(run=run_create_key)


def add_gallery(parser: argparse.ArgumentParser) -> None:
    """The argument --gallery FILE."""
    parser.add_argument("--gallery", type=Path, required=True, metavar="FILE", help="the gallery's file")


def positive(text: str) -> float:
    """A number over 0; argparse puts what it raises into a sentence."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number over 0, not {text}")
    return value


def run_identities(arguments: argparse.Namespace) -> int:
    """A table, or JSON."""
    from face_recognition_ros.records import identity_record, identity_table, json_text

    with existing_gallery(arguments) as store:
        identities = store.list_identities()
    if arguments.json:
        print(json_text([identity_record(identity) for identity in identities]))
    else:
        print("\n".join(identity_table(identities)))
    return 0


def run_rename(arguments: argparse.Namespace) -> int:
    """Says the old and the new name."""
    with existing_gallery(arguments) as store:
        before = store.resolve(arguments.identity)
        after = store.rename(before.identity_id, arguments.new_name)
    print(f"{before.name} is now called {after.name}")
    return 0


def run_merge(arguments: argparse.Namespace) -> int:
    """Says who is left."""
    with existing_gallery(arguments) as store:
        absorbed = store.resolve(arguments.absorb)
        kept = store.merge(arguments.keep, absorbed.identity_id)
    print(f"{absorbed.name} is merged into {kept.name}, who has {kept.templates} templates now")
    return 0


def run_consent(arguments: argparse.Namespace) -> int:
    """Says what is noted."""
    from face_recognition_ros.records import iso_time

    expires = None if arguments.days is None else time.time() + 86400.0 * arguments.days
    with existing_gallery(arguments) as store:
        person = store.set_consent(arguments.identity, arguments.consent.strip(), expires)
    agreed = repr(person.consent) if person.consent else "nothing that is noted"
    until = "for good" if expires is None else f"until {iso_time(expires)}"
    print(f"{person.name} agreed to {agreed}, and is remembered {until}")
    return 0


def run_forget(arguments: argparse.Namespace) -> int:
    """Says who is forgotten."""
    with existing_gallery(arguments) as store:
        if arguments.all_unknown:
            print(f"{len(store.forget_strangers())} remembered strangers are forgotten")
        else:
            print(f"{store.forget(arguments.identity).name} is forgotten")
    return 0


def run_purge_observed(arguments: argparse.Namespace) -> int:
    """Says how many templates are gone."""
    with existing_gallery(arguments) as store:
        print(f"{store.purge_observed(arguments.identity)} templates that were learned in passing are removed")
    return 0


def run_undo(arguments: argparse.Namespace) -> int:
    """Says what was taken back."""
    with existing_gallery(arguments) as store:
        print(store.undo())
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Says how many people were written."""
    with existing_gallery(arguments) as store:
        print(f"{store.export_to(arguments.file.expanduser())} people are written to {arguments.file}")
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """A line per person."""
    with opened_gallery(arguments) as store:
        report = store.import_from(arguments.file.expanduser(), arguments.merge_names)
    for person in report.added:
        print(f"{person.name}: new, {person.templates} templates")
    for person in report.extended:
        print(f"{person.name}: further templates, {person.templates} now")
    if not (report.added or report.extended):
        print(f"all that {arguments.file} holds is in {arguments.gallery} already")
    return 0


def run_restore(arguments: argparse.Namespace) -> int:
    """Says what the gallery holds now; on stderr, where the damaged files are."""
    from face_recognition_ros.assembly import gallery_seal
    from face_recognition_ros.gallery.recovery import restore, start_empty

    bring_back = start_empty if arguments.empty else restore
    report = bring_back(arguments.gallery.expanduser(), gallery_seal(settings_of(arguments)))
    print(f"{arguments.gallery} has revision {report.revision} and {report.people} people")
    if report.set_aside:
        files = ", ".join(map(str, report.set_aside))
        print(f"nobody is forgotten in what was set aside; delete it when it is not needed: {files}", file=sys.stderr)
    return 0


def run_reembed(arguments: argparse.Namespace) -> int:
    """Says who is in the new gallery, and on stderr who has no crops and must be enrolled anew."""
    from face_recognition_ros.assembly import build_embedder, gallery_seal
    from face_recognition_ros.gallery.reembedding import reembed
    from face_recognition_ros.pictures import decode_picture

    require_gallery(arguments.gallery)
    settings = settings_of(arguments)
    embedder, _ = build_embedder(settings)
    network = embedder.description
    with closing(embedder):
        report = reembed(
            arguments.gallery.expanduser(),
            arguments.file.expanduser(),
            network.model_id,
            network.embedding_size,
            lambda crop: embedder.embed(decode_picture(crop, "a stored crop")[None])[0],
            gallery_seal(settings),
        )
    templates = sum(person.templates for person in report.people)
    print(f"{arguments.file} has {len(report.people)} people, {templates} templates of {network.model_id}")
    for person in report.left_out:
        print(f"{person.name}: left out, without a crop; enrol this person anew", file=sys.stderr)
    if report.templates_left_out:
        print(f"{report.templates_left_out} templates are left out, without a crop", file=sys.stderr)
    return 1 if report.left_out else 0


def run_create_key(arguments: argparse.Namespace) -> int:
    """Says what to do with it."""
    from face_recognition_ros.gallery.sealing import create_key

    path = arguments.file.expanduser()
    try:
        create_key(path)
    except FileExistsError:
        raise GalleryError(f"there is a file {path} already; a key that is in use must not be replaced") from None
    print(f"{path} holds a new key; a gallery encrypted with it cannot be read without it, so keep a copy elsewhere")
    return 0


@contextmanager
def existing_gallery(arguments: argparse.Namespace) -> "Iterator[GalleryStore]":
    """The gallery that --gallery names; raises GalleryError where there is none."""
    require_gallery(arguments.gallery)
    with opened_gallery(arguments) as store:
        yield store


@contextmanager
def opened_gallery(arguments: argparse.Namespace) -> "Iterator[GalleryStore]":
    """The gallery that --gallery names, made where there is none; no network stays loaded."""
    from face_recognition_ros.assembly import build_embedder, open_gallery

    settings = settings_of(arguments)
    embedder, _ = build_embedder(settings)
    network = embedder.description
    embedder.close()
    with open_gallery(settings, network.model_id, network.embedding_size) as store:
        yield store


def require_gallery(path: Path) -> None:
    """Raises GalleryError where there is and was no file: looking into a gallery never makes an empty one."""
    from face_recognition_ros.gallery.last_good import copy_of, gallery_file
    from face_recognition_ros.gallery.recovery import files_set_aside

    file = gallery_file(path.expanduser())
    # What has become of one that was there is told by whoever opens it.
    if not (file.is_file() or copy_of(file).exists() or files_set_aside(file)):
        raise GalleryError(f"there is no gallery {path}; `face-recognition enroll FOLDER --gallery {path}` makes one")
