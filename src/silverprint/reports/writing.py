"""The page about a character model: how it learned, and what it writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from silverprint.reports import background
from silverprint.reports.contents import Curve
from silverprint.reports.figures import line_chart
from silverprint.reports.markup import Markup, Section, element, join
from silverprint.reports.page import headline, opening, page


@dataclass(frozen=True)
class Passage:
    """Something that the model wrote.

    Attributes:
        how: the temperature and what else decided it.
        prime: what it was given to begin with.
        text: what it wrote on.
    """

    how: str
    prime: str
    text: str


@dataclass(frozen=True)
class Writing:
    """Everything the page tells.

    Attributes:
        title: the text's name.
        summary: one sentence that says the result in words.
        nats: a character, on what was held out.
        perplexity: the same as a number of characters.
        curves: by epoch; those whose name ends in "loss" are drawn.
        passages: what it writes.
        notices: what the user should know, a line each.
        seconds: by stage.
        provenance: what is needed to do it again, in order.
    """

    title: str
    summary: str
    nats: float
    perplexity: float
    curves: Mapping[str, Sequence[float]]
    passages: Sequence[Passage]
    notices: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def writing_page(writing: Writing) -> str:
    """Return the page as text."""
    eyebrow = "Silverprint character model"
    chapters = [
        _learning(writing),
        _passages(writing),
        background.notes(writing.notices),
        background.timings(writing.seconds),
        background.provenance(writing.provenance),
    ]
    top = opening(eyebrow, writing.title, writing.summary, _headline(writing))
    return page(f"{writing.title} – {eyebrow}", top, chapters)


def _headline(writing: Writing) -> Markup:
    return headline(
        f"{writing.nats:.3f}",
        sentence="nats a character on the end of the text, which it never learned from.",
        aside=f"As unsure as if {writing.perplexity:.2f} characters were equally likely each time.",
    )


def _learning(writing: Writing) -> Section:
    losses = [
        Curve(name, tuple(values))
        for name, values in writing.curves.items()
        if name.endswith("loss")
    ]
    chart = line_chart(losses, "Loss by epoch, in nats a character") if losses else Markup("")
    words = element(
        "p",
        "Nats a character after each epoch, without dropout, on the part that judges and on as "
        "long a part of what it learned from. Where the two part, it learns by heart.",
        class_="aside",
    )
    body = element("div", element("figure", chart), words, class_="pair")
    return Section("learning", "How it learned", body)


def _passages(writing: Writing) -> Section:
    parts = [
        element(
            "figure",
            element("figcaption", passage.how),
            element(
                "blockquote",
                element("p", element("strong", passage.prime), passage.text,
                        style="white-space: pre-wrap", dir="auto"),
            ),
        )
        for passage in writing.passages
    ]  # fmt: skip
    return Section("writing", "What it writes", join(parts))
