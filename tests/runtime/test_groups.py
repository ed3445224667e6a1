"""Answering in groups of classes."""

import numpy as np
import pytest

from silverprint.errors import ConfigError, ImageError
from silverprint.runtime.groups import Group, answer_in_groups, parse_groups

CLASSES = ("cat", "dog", "emu", "fox", "gnu", "hen", "x-ray")
PETS = (Group("pet", (0, 1)), Group("bird", (2, 5)))


def probabilities(**given: float) -> np.ndarray:
    row = np.zeros(len(CLASSES), np.float32)
    for name, value in given.items():
        row[CLASSES.index(name)] = value
    return row


# ---- Parsing ----


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("g=0", (0,)),
        ("g=1-3", (1, 2, 3)),
        ("g=6", (6,)),
        ("g=0-6", tuple(range(7))),
        ("g=dog", (1,)),
        (" g = dog , cat ", (0, 1)),
        ("g=3,1-2,fox,3", (1, 2, 3)),
        ("g=x-ray", (6,)),
        ("g=2-2", (2,)),
    ],
)
def test_numbers_ranges_and_names(text, members) -> None:
    assert parse_groups([text], CLASSES) == (Group("g", members),)


@pytest.mark.parametrize("text", ["dog", "=1", "g=", "", " =1", "g= "])
def test_a_malformed_group(text) -> None:
    with pytest.raises(ConfigError, match="a group is written NAME=CLASSES, as in dog="):
        parse_groups([text], CLASSES)


@pytest.mark.parametrize("part", ["7", "0-7", "3-1", "99-100"])
def test_a_range_outside_the_classes(part) -> None:
    with pytest.raises(ConfigError, match=rf"{part} is not a range within 0\.\.6"):
        parse_groups([f"g={part}"], CLASSES)


@pytest.mark.parametrize("part", ["dig", "-3", "1-", "1-2-3", "²", "", "1.5"])
def test_what_is_no_class(part) -> None:
    with pytest.raises(ConfigError, match="is not a class"):
        parse_groups([f"g=cat,{part}"], CLASSES)


def test_the_nearest_class_is_suggested() -> None:
    with pytest.raises(ConfigError, match=r"'x-rai' is not a class. Did you mean 'x-ray'\?"):
        parse_groups(["g=x-rai"], CLASSES)


def test_groups_that_overlap() -> None:
    with pytest.raises(ConfigError, match=r"'a' and 'b' both hold class 2 \(emu\)"):
        parse_groups(["a=0-2", "b=emu"], CLASSES)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a group's name must be new.*got 'a=1'.*commas"):
        parse_groups(["a=0", "a=1"], CLASSES)


@pytest.mark.parametrize("name", ["none", "neither"])
def test_the_words_for_otherwise_are_no_names(name) -> None:
    with pytest.raises(ConfigError, match="must be new and not neither or none"):
        parse_groups([f"{name}=0"], CLASSES)


def test_no_groups() -> None:
    assert parse_groups([], CLASSES) == ()


# ---- Answering ----


def test_the_members_of_a_group_are_added() -> None:
    row = probabilities(cat=0.35, dog=0.3, emu=0.2, fox=0.15)
    answer = answer_in_groups("a.jpg", row, PETS)
    assert (answer.file, answer.label) == ("a.jpg", "pet")
    assert answer.probability == pytest.approx(0.65)
    assert [name for name, _ in answer.top] == ["pet", "bird", "neither"]
    assert [value for _, value in answer.top] == pytest.approx([0.65, 0.2, 0.15])


def test_neither_of_two_and_none_of_any_other_number() -> None:
    row = probabilities(fox=0.9, dog=0.1)
    assert answer_in_groups("a", row, PETS).label == "neither"
    assert answer_in_groups("a", row, PETS[:1]).label == "none"
    assert answer_in_groups("a", row, (*PETS, Group("hoof", (4,)))).label == "none"


def test_the_likeliest_group_answers_only_with_half_of_the_probability() -> None:
    row = probabilities(dog=0.4, hen=0.3, fox=0.3)
    answer = answer_in_groups("a", row, PETS)
    assert answer.label == "neither"
    assert answer.probability == pytest.approx(0.3)
    assert answer_in_groups("a", probabilities(dog=0.5, fox=0.5), PETS).label == "pet"


def test_rounding_never_gives_less_than_nothing() -> None:
    answer = answer_in_groups("a", probabilities(cat=0.6000001, dog=0.4), PETS)
    assert dict(answer.top)["neither"] == 0


def test_an_unreadable_picture_answers_so() -> None:
    answer = answer_in_groups("a", ImageError("a", "is truncated"), PETS)
    assert answer.to_json() == {"file": "a", "error": "is truncated"}
