"""What a person may be called, and when two spellings mean the same person."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

from face_recognition_ros.errors import GalleryError

MAX_NAME_LENGTH = 100
IDENTITY_ID = re.compile(r"p-[0-9a-f]{12}")
"""What an identity id looks like; no name does."""
_GENERATED = re.compile(r"stranger ([1-9][0-9]{0,17})")


def clean_name(name: str) -> str:
    """The name as it is stored: Unicode NFC, no blanks around it.

    Raises GalleryError where nothing of it can be seen, it is too long, holds control characters, or could be taken for
    an identity id or a generated name.
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    if all(unicodedata.category(character) in ("Cf", "Zs") for character in cleaned):
        raise GalleryError("A person's name must not be empty.")
    if len(cleaned) > MAX_NAME_LENGTH:
        raise GalleryError(f"A person's name may have up to {MAX_NAME_LENGTH} characters; this one has {len(cleaned)}.")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in cleaned):
        raise GalleryError(f"The name {cleaned!r} holds control characters; use letters, digits and punctuation.")
    if IDENTITY_ID.fullmatch(name_key(cleaned)):
        raise GalleryError(f"The name {cleaned!r} reads like an identity id; choose another one.")
    if generated_number(cleaned) is not None:
        raise GalleryError(f"The name {cleaned!r} is of those that remembered strangers are given; choose another one.")
    return cleaned


def name_key(name: str) -> str:
    """What two spellings of one name have in common: case and the width of blanks do not make another person."""
    return unicodedata.normalize("NFC", " ".join(unicodedata.normalize("NFC", name).casefold().split()))


def generated_name(number: int) -> str:
    """What a stranger is called whom the gallery remembers; number: 1 or more."""
    return f"stranger {number}"


def generated_number(name: str) -> int | None:
    """The number in a generated name, None where it is none."""
    found = _GENERATED.fullmatch(name_key(name))
    return None if found is None else int(found[1])


def nobody_called(wanted: str, names: Iterable[str]) -> str:
    """The sentence for a name that is not there, with those that come near."""
    by_key = {name_key(name): name for name in names}
    near = [by_key[key] for key in difflib.get_close_matches(name_key(wanted), by_key, n=3)]
    if not by_key:
        return f"Nobody of the id or name {wanted!r} is in the gallery: it is empty."
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "List the identities to see who is there."
    return f"Nobody of the id or name {wanted!r} is in the gallery. {hint}"
