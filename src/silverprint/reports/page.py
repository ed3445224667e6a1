"""The frame of every page: one HTML file that loads nothing and forbids itself to."""

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from importlib import resources
from pathlib import Path

from silverprint.errors import ConfigError
from silverprint.reports.markup import NARROW_SPACE, Markup, Section, element, join, named

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'"


def page(title: str, opening: Markup, chapters: Iterable[Section]) -> str:
    """Return a whole page as text; chapters without a body are left out."""
    told = [chapter for chapter in chapters if chapter.body]
    body = element(
        "body",
        element("main", opening, _contents(told), join(map(_chapter, told))),
        element("footer", element("p", "Made by Silverprint. One file that loads nothing.")),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{_head(title)}\n{body}\n</html>\n'


def opening(eyebrow: str, title: str, summary: str, headline: Markup) -> Markup:
    """Return a page's top: what kind of page, of what, the result in a sentence and as a number."""
    return element(
        "header",
        element("p", eyebrow, class_="eyebrow"),
        element("h1", named(title)),
        element("p", summary, class_="summary"),
        headline,
    )


def headline(
    number: str, unit: str = "", *, sentence: str = "", ruler: str = "", aside: str
) -> Markup:
    """Return the number to remember, and beside it what it is, how sure, and what else to know."""
    small = element("small", f"{NARROW_SPACE}{unit}") if unit else ""
    words = element("p", sentence, class_="sentence") if sentence else ""
    beside = element("div", words, ruler, element("p", aside, class_="aside"))
    return element("div", element("p", number, small, class_="number"), beside, class_="headline")


def write_page(text: str, path: Path) -> None:
    """Write a page or drawing whole or not at all: under another name first, then renamed.

    Raises:
        ConfigError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder that files can be written into.

    Raises:
        ConfigError: it cannot be.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass  # rights alone do not tell: root has them all, also where nobody can write
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> ConfigError:
    """Return the sentence for a place that cannot be written to."""
    reason = (error.strerror or str(error)).lower()
    return ConfigError(f"{str(path)!r} cannot be written: {reason}; name another place.")


def style_sheet() -> Markup:
    """Return the pages' style."""
    return Markup(resources.files("silverprint.reports").joinpath("report.css").read_text("utf-8"))


def _head(title: str) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", style_sheet()),
    )


def _contents(chapters: list[Section]) -> Markup:
    links = join(
        element("li", element("a", chapter.anchor.capitalize(), href=f"#{chapter.anchor}"))
        for chapter in chapters
    )
    return element("nav", element("ul", links), aria_label="Contents")


def _chapter(section: Section) -> Markup:
    heading = element("h2", section.title, id=f"{section.anchor}-title")
    return element(
        "section",
        heading,
        section.body,
        id=section.anchor,
        aria_labelledby=f"{section.anchor}-title",
    )
