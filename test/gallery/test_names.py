import pytest

from face_recognition_ros.errors import GalleryError
from face_recognition_ros.gallery.names import clean_name, name_key, nobody_called


@pytest.mark.parametrize(
    "name", ["", "  \t ", "\u200b\u00a0", "a" * 101, "An\nna", "An\x00na", "An\u2028na", "p-0123456789ab"]
)
def test_a_bad_name_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(GalleryError, match=r"name .*\.$"):
        clean_name(name)


def test_blanks_around_go_and_unicode_is_composed() -> None:
    assert clean_name("  Zoe\u0308 ") == "Zoë"
    assert clean_name("a" * 100) == "a" * 100


def test_case_and_width_of_blanks_do_not_make_another_person() -> None:
    assert name_key("Anna  MARIA") == name_key("anna maria")
    assert name_key("Straße") == name_key("STRASSE")
    assert name_key("Anna") != name_key("Hanna")


def test_near_names_are_offered() -> None:
    assert "'Hanna'" in nobody_called("Hana", ["Hanna", "Bob"])
    assert "empty" in nobody_called("Hana", [])
    assert "List" in nobody_called("Xy", ["Hanna", "Bob"])
