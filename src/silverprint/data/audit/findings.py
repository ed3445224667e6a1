"""What an audit finds, and what it proposes to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "unreadable", "leak", "contradiction", "label", "exact_duplicate", "near_duplicate",
    "outlier", "quality", "imbalance", "shortcut",
]  # fmt: skip
# The gravest first: what breaks a run or its figures, then what misleads it, then what to look at.
KINDS: tuple[Kind, ...] = (
    "unreadable", "leak", "contradiction", "label", "exact_duplicate", "near_duplicate",
    "outlier", "quality", "imbalance", "shortcut",
)  # fmt: skip

Action = Literal["keep", "relabel", "drop"]
ACTIONS: tuple[Action, ...] = ("keep", "relabel", "drop")  # of several, the last one counts


@dataclass(frozen=True)
class Proposal:
    """What to do with one picture.

    Attributes:
        action: keep, relabel, or drop.
        label: the new label, several joined by "|"; where the action is keep, a suggestion.
    """

    action: Action = "keep"
    label: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that is, or may be, wrong.

    Attributes:
        kind: what sort of thing.
        rows: the pictures it is about, as rows of the dataset; none where it is about classes.
        detail: what is wrong, for a person.
        score: how sure or how grave; see docs/audit.md for each kind's scale.
        proposals: row -> what to do with it; a row that is missing here is kept.
    """

    kind: Kind
    rows: tuple[int, ...]
    detail: str
    score: float
    proposals: Mapping[int, Proposal] = field(default_factory=dict)

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the finding as plain JSON types, its pictures by name."""
        return {
            "kind": self.kind,
            "files": [names[row] for row in self.rows],
            "detail": self.detail,
            "score": round(float(self.score), 4),
        }


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings by kind, and within a kind the highest score first."""
    return sorted(findings, key=lambda found: (KINDS.index(found.kind), -found.score, found.rows))
