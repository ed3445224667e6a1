"""Characters and their numbers.

A character is one Unicode code point. An accent that is written as a mark of its own is a character
of its own, an emoji beyond the 16-bit range is one, and nothing is normalised. Only the ends of
lines are: CRLF and CR become LF, or a book from Windows could not be told from one from Linux.
"""

import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ConfigError

NAMED = 5  # unknown characters, of which an error shows each


def one_line_end(text: str) -> str:
    """Return the text with LF at the end of each line."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encode(text: str, characters: str) -> NDArray[np.int64]:
    """Return each character's place among `characters`, which are sorted by code point.

    Raises:
        ConfigError: some are not among them; it names them.
    """
    points, known = code_points(text), code_points(characters)
    places = np.minimum(np.searchsorted(known, points), len(known) - 1)
    strange = points[known[places] != points]
    if strange.size:
        raise ConfigError(_unknown(dict.fromkeys(map(chr, strange)), len(known)))
    return places


def decode(places: Iterable[int], characters: str) -> str:
    """Return the text of these places."""
    return "".join(characters[place] for place in places)


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code point of each character, (n,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def describe(character: str) -> str:
    """Return a character as a message can show it: 'é' (U+00E9, LATIN SMALL LETTER E ...)."""
    point, name = f"U+{ord(character):04X}", unicodedata.name(character, "")
    return f"{character!r} ({point}{', ' if name else ''}{name})"


def _unknown(strange: Iterable[str], known: int) -> str:
    found = list(strange)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (
        f"the model never saw {', '.join(map(describe, found[:NAMED]))}{more}: its text had "
        f"{known} different characters; write the prime without."
    )
