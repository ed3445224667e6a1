"""HTML that cannot be forgotten to escape: plain text turns into Markup only here."""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_VOID = {"br", "img", "link", "meta"}
# Control characters and lone surrogates (file names that are not UTF-8) have no place in HTML.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
NARROW_SPACE = "\u202f"
NOTHING = "–"


class Markup(str):
    """A piece of finished HTML. Any other string is text and gets escaped when it is placed."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """One chapter of the page; an empty body leaves it out."""

    anchor: str
    title: str
    body: Markup


def escape(text: str) -> Markup:
    """Return text as HTML that shows exactly it, also inside a quoted attribute."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNPRINTABLE.sub("\ufffd", text)))


def join(pieces: Iterable[str]) -> Markup:
    """Return the pieces behind one another."""
    return Markup("".join(escape(piece) for piece in pieces))


def element(tag: str, /, *children: str, **attributes: object) -> Markup:
    """Return <tag attributes>children</tag>.

    `class_` is written class, `stroke_width` stroke-width; None leaves an attribute out, and
    floats are rounded to what a screen can show.
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{pairs}>")
    return Markup(f"<{tag}{pairs}>{join(children)}</{tag}>")


def lines(texts: Iterable[str]) -> Markup:
    """Return a list of a line each; nothing for none."""
    told = [element("li", text) for text in texts]
    return element("ul", *told, class_="notices") if told else Markup("")


def named(text: str) -> Markup:
    """Return a class's or file's name, whose writing direction stays its own."""
    return element("bdi", text)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, class_: str | None = None
) -> Markup:
    """Return a table whose first column names the rows; it scrolls by itself if it is too wide."""
    headings = join(element("th", cell, scope="col") for cell in head)
    body = join(
        element(
            "tr",
            element("th", first, scope="row"),
            join(element("td", cell) for cell in cells),
        )
        for first, *cells in rows
    )
    content = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", headings)),
        element("tbody", body),
        class_=class_,
    )
    return scrolling(content, caption)


def scrolling(content: Markup, label: str) -> Markup:
    """Return wide content in a box that a narrow screen, or the keyboard, can scroll."""
    return element(
        "div", content, class_="scroll", tabindex=0, role="region", aria_label=str(label)
    )


def bar(share: float | None) -> Markup:
    """Return a small horizontal bar, 0 to 1, for the eye only: the number stands beside it."""
    if share is None:
        return Markup("")
    width = 100 * min(max(share, 0.0), 1.0)
    fill = element("i", style=f"width:{width:.1f}%")
    return element("span", fill, class_="bar", aria_hidden="true")


def percent(value: float | None) -> str:
    """Return 0.8663 as "86.6 %", and nothing as a dash."""
    return NOTHING if value is None else f"{100 * value:.1f}{NARROW_SPACE}%"


def decimal(value: float | None) -> str:
    """Return 0.4123 as "0.412", and nothing as a dash."""
    return NOTHING if value is None else f"{value:.3f}"


def shorten(text: str, limit: int) -> str:
    """Return the text, its middle left out if it is wider than so many Latin letters.

    Names that differ at the end (photo_0001, photo_0002) stay different.
    """
    if letters(text) <= limit:
        return text
    front, back = "", ""
    for size in range(1, len(text)):
        front, before = text[: (size + 1) // 2], front
        back, after = text[len(text) - size // 2 :], back
        if letters(front) + letters(back) > limit - 1:
            return f"{before}…{after}"
    return text


def letters(text: str) -> int:
    """Return how wide a text is, in Latin letters; Chinese and emoji count double."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def _attribute(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(str(value))
