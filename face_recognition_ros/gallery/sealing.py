"""Seals what the gallery stores of people: encrypted with a key file, or left as it is where there is none."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import tempfile
from pathlib import Path
from typing import Protocol

from face_recognition_ros.errors import GalleryError

KEY_SIZE = 32
"""Bytes of a key: AES-256."""
_NONCE_SIZE = 12
"""Bytes. Drawn at random, which NIST SP 800-38D allows for 2^32 values under one key."""
_FORMAT = b"\x01"
_BLOCK = 32
"""Plain values are filled up to a multiple of so many bytes, so that the length of a name does not tell whose it is."""


class Seal(Protocol):
    """Turns values into what is stored of them, and back."""

    @property
    def encrypts(self) -> bool:
        """Whether nobody without the key can read what it seals."""

    def seal(self, plain: bytes, context: str) -> bytes:
        """What is stored of a value. `context` says where (see `place`): only there can it be unsealed."""

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """The value again; raises GalleryError where it was altered or moved, or sealed with another key."""

    def digest(self, text: str) -> str:
        """The same for the same text, different for different ones: for unique columns and look-ups."""


class PlainSeal:
    """Stores everything as it is."""

    encrypts = False

    def seal(self, plain: bytes, context: str) -> bytes:
        return plain

    def unseal(self, sealed: bytes, context: str) -> bytes:
        return sealed

    def digest(self, text: str) -> str:
        return text


class AesGcmSeal:
    """Encrypts and authenticates with AES-256-GCM (NIST SP 800-38D), each value with a random nonce of its own.

    The keys for values and for digests (HMAC-SHA256) are derived from the given one by HKDF (RFC 5869). The number of
    values, and their lengths to the next 32 bytes, stay visible; so do an older value put back in its own place, and
    rows that were removed.
    """

    encrypts = True

    def __init__(self, key: bytes) -> None:
        """Raises GalleryError where the key has not 32 bytes, or the package `cryptography` is missing."""
        if len(key) != KEY_SIZE:
            raise GalleryError(f"The key of an encrypted gallery has {KEY_SIZE} bytes; this one has {len(key)}.")
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError as error:
            raise GalleryError(
                f"An encrypted gallery needs the Python package cryptography ({error}): "
                "pip install cryptography, or apt install python3-cryptography."
            ) from error

        def derived(purpose: bytes) -> bytes:
            return HKDF(SHA256(), KEY_SIZE, salt=None, info=b"face_recognition_ros gallery: " + purpose).derive(key)

        self._cipher = AESGCM(derived(b"values"))
        self._digest_key = derived(b"digests")
        self._invalid: type[Exception] = InvalidTag

    def seal(self, plain: bytes, context: str) -> bytes:
        nonce = os.urandom(_NONCE_SIZE)
        filled = plain + b"\x80" + bytes(-(len(plain) + 1) % _BLOCK)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, filled, context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        start = len(_FORMAT) + _NONCE_SIZE
        try:
            if sealed[: len(_FORMAT)] != _FORMAT:
                raise ValueError("not a sealed value of this format")
            filled = self._cipher.decrypt(sealed[len(_FORMAT) : start], sealed[start:], context.encode())
        except (self._invalid, ValueError) as error:
            raise GalleryError(
                f"The value of {context} cannot be decrypted: it was altered or moved, or sealed with another key."
            ) from error
        return filled[: filled.rindex(b"\x80")]

    def digest(self, text: str) -> str:
        return hmac.new(self._digest_key, text.encode(), hashlib.sha256).hexdigest()


def place(table: str, row: str | int, column: str) -> str:
    """The context of a value: where in the database it stands."""
    return f"{table}/{row}/{column}"


def open_seal(key_file: Path | None, create: bool = False) -> Seal:
    """The seal of that key file, or a plain one for None; with `create` a missing key is made first.

    Raises GalleryError as `load_key`, `create_key` and AesGcmSeal do.
    """
    if key_file is None:
        return PlainSeal()
    if create:
        with contextlib.suppress(FileExistsError):
            return AesGcmSeal(create_key(key_file))
    return AesGcmSeal(load_key(key_file))


def load_key(path: Path) -> bytes:
    """The 32 bytes in a key file: one line of base64 (44 characters) or hexadecimal digits (64).

    Raises GalleryError where it is missing, cannot be read or holds something else, or where others can read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()[:1000].strip()
    except FileNotFoundError:
        raise GalleryError(
            f"There is no key file {path}. Give the file the gallery was made with: without it, nobody can read it."
        ) from None
    except OSError as error:
        raise GalleryError(f"The key file {path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise GalleryError(f"Others may read or change the key file {path}; make it private: chmod 600 {path}")
    with contextlib.suppress(binascii.Error):
        key = binascii.unhexlify(text) if len(text) == 2 * KEY_SIZE else base64.b64decode(text, validate=True)
        if len(key) == KEY_SIZE:
            return key
    raise GalleryError(
        f"The key file {path} holds no key: it must be one line of {KEY_SIZE} bytes in base64 (44 characters) or "
        f"hexadecimal ({2 * KEY_SIZE} digits). Give the file that the gallery was made with, or a copy of it."
    )


def create_key(path: Path) -> bytes:
    """Draws a key and stores it in a new file of mode 0600; it is on disk when this returns.

    Raises FileExistsError where there is a file already, which is left as it is, and GalleryError where none can be
    written. Whoever loses the file loses the gallery.
    """
    key = os.urandom(KEY_SIZE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(key) + b"\n")
                file.flush()
                os.fsync(descriptor)
            os.link(draft, path)  # exclusively, and never seen half written
        finally:
            Path(draft).unlink()
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise GalleryError(f"The key file {path} cannot be written: {error.strerror}.") from error
    return key


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to disk: a new or moved file survives a power cut only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
