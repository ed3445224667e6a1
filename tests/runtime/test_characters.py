import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.errors import ConfigError
from silverprint.runtime.characters import decode, describe, encode, one_line_end

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(TEXT)
def test_there_and_back(text) -> None:
    characters = "".join(sorted(set(text)))
    assert decode(encode(text, characters), characters) == text


@given(TEXT, TEXT)
def test_unknown_characters_are_named(text, known) -> None:
    characters = "".join(sorted(set(known)))
    strange = list(dict.fromkeys(letter for letter in text if letter not in known))
    if not strange:
        assert decode(encode(text, characters), characters) == text
        return
    with pytest.raises(ConfigError, match="the model never saw") as caught:
        encode(text, characters)
    for letter in strange[:5]:
        assert describe(letter) in str(caught.value)
    assert ("more" in str(caught.value).split(": its text")[0]) >= (len(strange) > 5)


def test_how_they_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        encode("naïve 😀 x", " aenvx")
    assert str(caught.value) == (
        "the model never saw 'ï' (U+00EF, LATIN SMALL LETTER I WITH DIAERESIS), '😀' (U+1F600, "
        "GRINNING FACE): its text had 6 different characters; write the prime without."
    )
    assert describe("\x07") == r"'\x07' (U+0007)"
    with pytest.raises(ConfigError, match=r"\(U\+0062, .*\) and 20 more: its"):
        encode("abcdefghijklmnopqrstuvwxyz", "a")
    with pytest.raises(ConfigError, match=r"'\\ud800' \(U\+D800\)"):
        encode("\ud800", "a")


def test_no_characters_are_no_places() -> None:
    assert encode("", "ab").tolist() == []
    assert one_line_end("a\r\n\r\rb\n") == "a\n\n\nb\n"
