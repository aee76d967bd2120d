import base64
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.sealing import AesGcmSeal, PlainSeal, create_key, load_key, open_seal, place

KEY = bytes(range(32))
SEAL = AesGcmSeal(KEY)
HERE = place("identities", "p-0123456789ab", "name")
repeatable = settings(derandomize=True, database=None, deadline=None)


@repeatable
@given(plain=st.binary(max_size=200), context=st.text(max_size=20))
def test_what_is_sealed_is_unsealed_and_unreadable(plain: bytes, context: str) -> None:
    sealed = SEAL.seal(plain, context)
    assert SEAL.unseal(sealed, context) == plain
    assert len(plain) < 4 or plain not in sealed


def test_any_altered_bit_and_any_cut_is_noticed() -> None:
    sealed = SEAL.seal(b"Anna", HERE)
    altered = [bytes(b ^ (1 << bit if i == at else 0) for i, b in enumerate(sealed)) for at in range(len(sealed))
               for bit in range(8)]  # fmt: skip
    for wrong in (*altered, *(sealed[:size] for size in range(len(sealed))), sealed + b"\0", b"Anna"):
        with pytest.raises(GalleryError, match=f"The value of {HERE} cannot be decrypted"):
            SEAL.unseal(wrong, HERE)


@pytest.mark.parametrize("elsewhere", [
    place("identities", "p-ba9876543210", "name"), place("identities", "p-0123456789ab", "consent"),
    place("templates", "p-0123456789ab", "name"),
])  # fmt: skip
def test_a_value_can_be_unsealed_in_its_own_place_only(elsewhere: str) -> None:
    with pytest.raises(GalleryError, match="altered or moved"):
        SEAL.unseal(SEAL.seal(b"Anna", HERE), elsewhere)


def test_another_key_opens_nothing_and_digests_otherwise() -> None:
    other = AesGcmSeal(bytes(32))
    with pytest.raises(GalleryError, match="sealed with another key"):
        other.unseal(SEAL.seal(b"Anna", HERE), HERE)
    assert other.digest("anna") != SEAL.digest("anna")


def test_equal_values_look_different_and_short_names_equally_long() -> None:
    sealed = [SEAL.seal(name, HERE) for name in (b"Anna", b"Anna", b"Bo", b"Maximiliane")]
    assert len(set(sealed)) == 4
    assert len({len(value) for value in sealed}) == 1


def test_digests_are_equal_for_equal_texts_only_and_do_not_tell_them() -> None:
    assert SEAL.digest("anna") == AesGcmSeal(KEY).digest("anna") != SEAL.digest("anne")
    assert "anna" not in SEAL.digest("anna")


def test_a_plain_seal_does_nothing() -> None:
    seal = PlainSeal()
    assert seal.seal(b"Anna", HERE) == b"Anna" == seal.unseal(b"Anna", "elsewhere")
    assert seal.digest("anna") == "anna"


def test_a_new_key_is_private_random_and_never_replaces_another(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = create_key(tmp_path / "keys" / "one.key")
    finally:
        os.umask(before)
    path = tmp_path / "keys" / "one.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path) == first != create_key(tmp_path / "two.key")
    assert len(first) == 32
    with pytest.raises(FileExistsError):
        create_key(path)
    assert load_key(path) == first
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", [base64.b64encode(KEY), KEY.hex().encode(), KEY.hex().upper().encode() + b"\n"])
def test_a_key_is_one_line_of_base64_or_hexadecimal(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "gallery.key"
    path.write_bytes(text)
    path.chmod(0o600)
    assert load_key(path) == KEY


@pytest.mark.parametrize("text", [b"", b"secret", KEY, KEY.hex().encode()[:-2], b"\xff" * 44, b"A" * 1000, b"!" * 44])
def test_a_malformed_key_file_is_explained(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "gallery.key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(GalleryError, match=r"holds no key: it must be one line of 32 bytes in base64"):
        load_key(path)


def test_a_key_that_others_can_read_is_refused_and_so_is_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "gallery.key"
    with pytest.raises(GalleryError, match="There is no key file"):
        load_key(path)
    create_key(path)
    path.chmod(0o640)
    with pytest.raises(GalleryError, match="chmod 600"):
        load_key(path)
    with pytest.raises(GalleryError, match=r"key file .* cannot be read: Is a directory"):
        load_key(tmp_path)


def test_open_seal_makes_a_missing_key_only_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "gallery.key"
    assert not open_seal(None).encrypts
    with pytest.raises(GalleryError, match="There is no key file"):
        open_seal(path)
    sealed = open_seal(path, create=True).seal(b"Anna", HERE)
    assert open_seal(path, create=True).unseal(sealed, HERE) == open_seal(path).unseal(sealed, HERE) == b"Anna"


def test_without_the_package_an_encrypted_gallery_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(GalleryError, match="pip install cryptography, or apt install python3-cryptography"):
        AesGcmSeal(KEY)
    with pytest.raises(GalleryError, match="has 32 bytes; this one has 16"):
        AesGcmSeal(KEY[:16])
