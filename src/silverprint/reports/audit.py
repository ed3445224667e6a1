"""What an audit found, as one HTML file with the pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from silverprint.data.audit.findings import KINDS, Kind
from silverprint.data.conventions import counted
from silverprint.reports import background
from silverprint.reports.markup import (
    Markup,
    Section,
    bar,
    element,
    join,
    lines,
    named,
    shorten,
    table,
)
from silverprint.reports.page import opening, page, write_page
from silverprint.reports.pictures import mounted

# Of each kind: its name, in the singular and the plural; the chapter's title; how to read it.
WORDS: dict[Kind, tuple[str, str, str, str]] = {
    "unreadable": (
        "unreadable file", "unreadable files", "Files that cannot be read",
        "Training leaves these out. Convert them, get them again, or delete them.",
    ),
    "leak": (
        "leak between splits", "leaks between splits", "Leaks between splits",
        "One picture on both sides: the model is examined on what it learned by heart. "
        "The plan drops the one that teaches.",
    ),
    "contradiction": (
        "contradiction", "contradictions", "One picture, two labels",
        "Copies of one picture that are labelled differently. One of the labels is wrong.",
    ),
    "label": (
        "doubtful label", "doubtful labels", "Doubtful labels",
        "A model that had not seen the picture, nor a copy of it, is as sure of another class as "
        "it is of that class's own pictures. Those whose label it believes least come first; many "
        "are merely hard to tell. How likely it holds each class is in brackets.",
    ),
    "exact_duplicate": (
        "set of exact duplicates", "sets of exact duplicates", "The same file twice",
        "Files with the same bytes.",
    ),
    "near_duplicate": (
        "set of near duplicates", "sets of near duplicates", "Nearly the same picture",
        "Re-encoded, resized, cropped or mirrored copies, and frames taken moments apart. Keep "
        "each set in one split.",
    ),
    "outlier": (
        "outlier", "outliers", "Unlike all others",
        "Nothing else in this dataset resembles these. Some belong elsewhere; some are the rare "
        "pictures from which most is learned.",
    ),
    "quality": (
        "poor picture", "poor pictures", "Poor pictures",
        "Tiny, dark, blank, blurred, odd-shaped or misnamed, and unusual in that here.",
    ),
    "imbalance": (
        "imbalance of classes", "imbalances of classes", "Unequal classes",
        "Pictures by class, in the split that teaches.",
    ),
    "shortcut": (
        "shortcut", "shortcuts", "Shortcuts",
        "What tells classes apart without looking at what the pictures show.",
    ),
}  # fmt: skip
GROUPS: tuple[Kind, ...] = ("leak", "contradiction", "exact_duplicate", "near_duplicate")
LETTERS = 34
ROWS = 12  # of a table that are unfolded


@dataclass(frozen=True)
class Shown:
    """A picture on the page.

    Attributes:
        image: (height, width, 3) uint8; a large one is reduced.
        name: of the file.
        words: its split and label.
    """

    image: NDArray[np.uint8]
    name: str
    words: str


@dataclass(frozen=True)
class Exhibit:
    """A finding on the page.

    Attributes:
        detail: what was found.
        score: its score.
        pictures: those that are shown.
        names: of all of its files.
    """

    detail: str
    score: float
    pictures: Sequence[Shown]
    names: Sequence[str]


@dataclass(frozen=True)
class AuditReport:
    """Everything the page tells.

    Attributes:
        title: the dataset's name.
        pictures: how many files were looked at.
        totals: findings of each kind, and how many files they are about.
        exhibits: those of each kind that are shown.
        class_counts: pictures of each class.
        notices: as of `Report`.
        seconds: as of `Report`.
        provenance: as of `Report`.
    """

    title: str
    pictures: int
    totals: Mapping[Kind, tuple[int, int]]
    exhibits: Mapping[Kind, Sequence[Exhibit]]
    class_counts: Mapping[str, int]
    notices: Sequence[str]
    seconds: Mapping[str, float]
    provenance: Mapping[str, str]


def write_audit_page(report: AuditReport, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_page(render(report), path)


def render(report: AuditReport) -> str:
    """Return the whole page as text."""
    chapters = [_chapter(report, kind) for kind in KINDS if report.exhibits.get(kind)]
    chapters += [
        background.reading(report.notices),
        background.timings(report.seconds),
        background.provenance(report.provenance),
    ]
    top = opening("Silverprint audit", report.title, summary(report), _headline(report))
    return page(f"{report.title} – Silverprint audit", top, chapters)


def summary(report: AuditReport) -> str:
    """Say in a sentence what matters most."""
    looked = f"{counted(report.pictures, 'picture')} looked at"
    grave = [told(report, kind) for kind in KINDS[:4] if kind in report.totals]
    if not report.totals:
        return f"{looked}; nothing is wrong with them that could be found."
    if not grave:
        return f"{looked}; nothing grave, and a few things worth a look."
    return f"{looked}. What matters most: {', '.join(grave)}."


def told(report: AuditReport, kind: Kind) -> str:
    """Return "3 leaks between splits"."""
    return counted(report.totals[kind][0], *WORDS[kind][:2])


def _headline(report: AuditReport) -> Markup:
    found = sum(count for count, _ in report.totals.values())
    lines = [
        element("li", element("a", told(report, kind), href=f"#{_anchor(kind)}"))
        for kind in KINDS
        if kind in report.totals
    ]
    words = element("ul", *lines, class_="kinds") if lines else element("p", "Nothing found.")
    number = element("p", f"{found:,}", class_="number", aria_label=counted(found, "finding"))
    return element("div", number, words, class_="headline")


def _chapter(report: AuditReport, kind: Kind) -> Section:
    exhibits, (count, files) = report.exhibits[kind], report.totals[kind]
    _, _, title, words = WORDS[kind]
    parts = [element("p", words)]
    if kind == "unreadable":
        parts.append(_reasons(exhibits[:ROWS], counted(count, "file")))
        if exhibits[ROWS:]:
            others = element("summary", f"The other {len(exhibits) - ROWS:,}")
            parts.append(element("details", others, _reasons(exhibits[ROWS:], "Continued")))
    elif kind == "imbalance":
        parts += [_class_sizes(report.class_counts), _list(exhibits)]
    elif kind == "shortcut":
        parts.append(_list(exhibits))
    else:
        show = _group if kind in GROUPS else _card
        cards = map(show, exhibits)
        parts.append(element("div", *cards, class_="groups" if kind in GROUPS else "gallery"))
    if count > len(exhibits):
        rest = f"{count - len(exhibits):,} more"
        parts.append(
            element("p", f"{rest}, about {counted(files, 'file')} in all; --json names every one.",
                    class_="key")
        )  # fmt: skip
    return Section(_anchor(kind), title, join(parts))


def _reasons(exhibits: Sequence[Exhibit], caption: str) -> Markup:
    rows = [[named(exhibit.names[0]), exhibit.detail] for exhibit in exhibits]
    return table(["File", "Reason"], rows, caption, "reasons")


def _anchor(kind: Kind) -> str:
    return kind.replace("_", "-")


def _list(exhibits: Sequence[Exhibit]) -> Markup:
    return lines(exhibit.detail for exhibit in exhibits)


def _class_sizes(counts: Mapping[str, int]) -> Markup:
    most = max(counts.values(), default=0) or 1
    rows = [
        [named(name), join((element("span", f"{count:,}", class_="value"), bar(count / most)))]
        for name, count in sorted(counts.items(), key=lambda pair: -pair[1])
    ]
    return table(["Class", "Pictures"], rows, "Pictures by class", "figures sizes untitled")


def _card(exhibit: Exhibit) -> Markup:
    """Return one picture on its mount, with what is said of it below."""
    lines = [element("p", part, class_="found") for part in exhibit.detail.split("; ")]
    lines.append(_file(exhibit.names[0]))
    photos = [mounted(shown.image, f"{shown.name}: {exhibit.detail}") for shown in exhibit.pictures]
    return element("figure", *photos, element("figcaption", *lines))


def _group(exhibit: Exhibit) -> Markup:
    """Return copies of one picture side by side."""
    photos = [
        element(
            "div",
            mounted(shown.image, f"{shown.name}: {exhibit.detail}"),
            element("p", named(shown.words), class_="words"),
            _file(shown.name),
        )
        for shown in exhibit.pictures
    ]
    more = len(exhibit.names) - len(exhibit.pictures)
    words = f"{exhibit.detail[:1].upper()}{exhibit.detail[1:]}."
    words += f" {more:,} more of this set." if more else ""
    size = "large" if len(photos) > 2 else None
    caption = element("figcaption", words)
    return element("figure", element("div", *photos, class_="copies"), caption, class_=size)


def _file(name: str) -> Markup:
    return element("p", named(shorten(name, LETTERS)), class_="file", title=name)
