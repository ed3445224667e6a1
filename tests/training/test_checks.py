"""Settings may be anything."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silverprint.errors import ConfigError
from silverprint.training.checks import check_fields, is_kind


@dataclass(frozen=True)
class Made:
    word: str = "a"
    flag: bool = False
    whole: int = 3
    number: float = 0.5
    perhaps: float | None = None
    way: str = "he"
    sizes: tuple[int, ...] = ()
    own: object = None

    def __post_init__(self) -> None:
        ranges = {
            "whole": (int, 1, 9, "1..9"), "perhaps": (float, 0, 1, "0..1"),
            "sizes": (int, 1, 99, "1..99"),
        }  # fmt: skip
        check_fields(self, {"way": ("he", "xavier")}, ranges, free=("own",))


def test_what_fits_is_taken() -> None:
    Made()
    Made(word="b", flag=True, whole=1, number=2, perhaps=1, way="xavier", sizes=(1, 2), own=[])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"word": 5}, "word must be a word; got 5"),
        ({"flag": "yes"}, "flag must be true or false; got 'yes'"),
        ({"flag": 1}, "flag must be true or false; got 1"),
        ({"whole": True}, r"whole must lie within 1\.\.9; got True"),
        ({"whole": 2.0}, r"whole must lie within 1\.\.9; got 2\.0"),
        ({"whole": None}, r"whole must lie within 1\.\.9; got None"),
        ({"number": "x"}, "number must be a number; got 'x'"),
        ({"number": None}, "number must be a number; got None"),
        ({"perhaps": (0.1, 0.2)}, r"perhaps must lie within 0\.\.1; got \(0\.1, 0\.2\)"),
        ({"perhaps": float("nan")}, r"perhaps must lie within 0\.\.1; got nan"),
        ({"way": "xaver"}, r"way must be one of he, xavier; got 'xaver'\. Did you mean 'xavier'\?"),
        ({"sizes": (1, 0)}, r"sizes must lie within 1\.\.99; got 0"),
    ],
)
def test_what_does_not_is_named(given, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Made(**given)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()),
    st.tuples(st.integers(), st.text()), st.dictionaries(st.text(), st.integers()),
)  # fmt: skip


@given(st.sampled_from(["word", "flag", "whole", "number", "perhaps", "way"]), anything)
def test_nothing_else_than_an_error_of_ours_comes_of_it(name, value) -> None:
    try:
        made = Made(**{name: value})
    except ConfigError:
        return
    kinds = {"word": str, "flag": bool, "whole": int, "number": float, "perhaps": float, "way": str}
    assert value is None or is_kind(getattr(made, name), kinds[name])
