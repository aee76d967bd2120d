"""Names and options of recipes, known and unknown."""

import pytest

from face_recognition_ros.training.registry import build


def make_box(side: int, colour: str = "red", lid: bool = False) -> str:
    return f"{colour} box of {side}" + (" with lid" if lid else "")


BOXES = {"box": make_box, "bag": lambda side: f"bag of {side}"}


def test_a_known_name_is_built_with_its_options() -> None:
    assert build("container", BOXES, "box", 3, lid=True) == "red box of 3 with lid"
    assert build("container", BOXES, "bag", 2) == "bag of 2"


def test_unknown_names_and_options_are_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="there is no container 'tin'; choose one of bag, box"):
        build("container", BOXES, "tin", 3)
    with pytest.raises(ValueError, match="container box has no option 'shape'; it has colour, lid"):
        build("container", BOXES, "box", 3, shape="round")
    with pytest.raises(ValueError, match="container bag has no option 'lid'; it has none"):
        build("container", BOXES, "bag", 3, lid=True)
