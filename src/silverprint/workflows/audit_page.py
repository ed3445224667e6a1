"""Turn an audit into its page."""

import datetime
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from silverprint.data.audit.findings import KINDS, Finding
from silverprint.data.audit.plan import label_of
from silverprint.data.table import SPLITS, Dataset
from silverprint.errors import ImageError
from silverprint.reports.audit import GROUPS, AuditReport, Exhibit, Shown, write_audit_page
from silverprint.runtime.images import decode

if TYPE_CHECKING:
    from silverprint.workflows.audit import Audit

SINGLES = 24  # findings of one picture that are shown of each kind
SETS = 12  # and of several
PICTURES = 4  # of each set
LISTED = 500  # findings without pictures
THUMBNAIL = 160


def write_audit(audit: "Audit", path: Path, seconds: Mapping[str, float], command: str) -> None:
    """Write the page."""
    by_kind = {kind: [found for found in audit.findings if found.kind == kind] for kind in KINDS}
    by_kind = {kind: found for kind, found in by_kind.items() if found}
    with ThreadPoolExecutor() as pool:
        exhibits = {
            kind: list(pool.map(lambda one: _exhibit(audit.dataset, one), found[: _most(found[0])]))
            for kind, found in by_kind.items()
        }
    report = AuditReport(
        title=audit.dataset.name,
        pictures=len(audit.dataset),
        totals={
            kind: (len(found), len({row for one in found for row in one.rows}))
            for kind, found in by_kind.items()
        },
        exhibits=exhibits,
        class_counts=audit.dataset.class_counts("train" if audit.dataset.has("train") else None),
        notices=[*audit.dataset.notices, *audit.notices],
        seconds=dict(seconds),
        provenance={
            "command": command,
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            **{name: version(name) for name in ("silverprint", "torch", "numpy")},
        },
    )
    write_audit_page(report, path)


def _most(found: Finding) -> int:
    if found.kind in GROUPS:
        return SETS
    return SINGLES if found.kind in ("label", "outlier", "quality") else LISTED


def _exhibit(dataset: Dataset, found: Finding) -> Exhibit:
    """Return the finding with its first pictures; those of a leak from each side."""
    rows = sorted(found.rows, key=lambda row: row not in found.proposals)
    if found.kind == "leak":  # what teaches and what measures, by turns
        halves = rows[: len(found.proposals)], rows[len(found.proposals) :]
        rows = [row for pair in zip(*halves, strict=False) for row in pair] or rows
    shown = [] if found.kind == "unreadable" else [_shown(dataset, row) for row in rows[:PICTURES]]
    names = [dataset.names[row] for row in found.rows]
    return Exhibit(found.detail, found.score, [one for one in shown if one is not None], names)


def _shown(dataset: Dataset, row: int) -> Shown | None:
    name = dataset.names[row]
    try:
        image = Image.fromarray(decode(dataset.sources[row], name=name, min_side=THUMBNAIL))
    except ImageError:
        return None  # gone since it was looked at
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    words = f"{SPLITS[dataset.splits[row]]}, {label_of(dataset, row) or 'nothing'}"
    return Shown(np.asarray(image), name, words)
