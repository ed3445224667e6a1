"""The audit's page: every kind of finding has its chapter, and names do no harm."""

import re

import numpy as np
import pytest

from silverprint.data.audit.findings import KINDS
from silverprint.reports.audit import (
    GROUPS,
    WORDS,
    AuditReport,
    Exhibit,
    Shown,
    render,
    summary,
    write_audit_page,
)

EVIL = "<script>alert('x')</script>.jpg"


def report(kinds, shown: int = 2, count: int = 2, name: str = "train/cat/1.jpg") -> AuditReport:
    image = np.zeros((30, 40, 3), np.uint8)
    exhibits = {}
    for kind in kinds:
        number = 3 if kind in GROUPS else int(kind not in ("imbalance", "shortcut"))
        pictures = [] if kind == "unreadable" else [Shown(image, name, "train, cat")] * number
        exhibit = Exhibit(f"what is wrong: {name}", 0.5, pictures, [name] * number)
        exhibits[kind] = [exhibit] * shown
    return AuditReport(
        title="photos",
        pictures=3068,
        totals=dict.fromkeys(kinds, (count, 5)),
        exhibits=exhibits,
        class_counts={"cat": 30, "dog": 10},
        notices=["a notice"],
        seconds={"look": 1.0},
        provenance={"command": "silverprint audit photos"},
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_a_chapter_with_its_findings(kind) -> None:
    text = render(report([kind]))
    assert WORDS[kind][2] in text
    assert f'href="#{kind.replace("_", "-")}"' in text
    assert "what is wrong: train/cat/1.jpg" in text
    pictures = {"unreadable": 0, "imbalance": 0, "shortcut": 0}.get(
        kind, 6 if kind in GROUPS else 2
    )
    assert text.count("<img") == pictures


def test_the_page_loads_nothing_and_escapes_names() -> None:
    text = render(report(KINDS, name=EVIL))
    assert "<script" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_more_than_is_shown_is_said() -> None:
    assert "5 more, about 5 files in all; --json names every one." in render(
        report(["outlier"], shown=2, count=7)
    )
    assert "more, about" not in render(report(["outlier"]))


def test_the_summary_says_what_matters_most() -> None:
    assert summary(report([])) == (
        "3,068 pictures looked at; nothing is wrong with them that could be found."
    )
    assert summary(report(["quality"])).endswith("nothing grave, and a few things worth a look.")
    assert summary(report(["leak", "label", "quality"])).endswith(
        "What matters most: 2 leaks between splits, 2 doubtful labels."
    )


def test_it_is_written_whole(tmp_path) -> None:
    write_audit_page(report(["leak"]), tmp_path / "audit.html")
    assert [path.name for path in tmp_path.iterdir()] == ["audit.html"]
