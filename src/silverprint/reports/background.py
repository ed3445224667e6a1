"""The chapters about how it came to be: training, settings, data, time, provenance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from silverprint.reports.contents import Curve
from silverprint.reports.drawing import WIDTH, Scale, nice_scale
from silverprint.reports.figures import dot_rows, line_chart
from silverprint.reports.markup import (
    NOTHING,
    Markup,
    Section,
    bar,
    decimal,
    element,
    join,
    lines,
    named,
    percent,
    table,
)
from silverprint.reports.overfitting import overfitting

ROWS_SHOWN = 12
VALUES_DRAWN = 8  # a setting with more distinct values gets no row of dots for each
_ACCURACY, _LOSS = "validation_accuracy", "validation_loss"
_RESULTS = (_ACCURACY, _LOSS, "chosen")


def training(curves: Sequence[Curve]) -> Section:
    """Return the training curves: losses in one chart, everything else in another."""
    curves = [curve for curve in curves if any(map(math.isfinite, curve.values))]
    losses = [curve for curve in curves if "loss" in curve.name.lower()]
    others = [curve for curve in curves if curve not in losses]
    charts = [
        element("div", element("h3", title), line_chart(group, f"{title} by epoch", best))
        for group, title, best in ((losses, "Loss", "low"), (others, "Accuracy", "high"))
        if group
    ]
    words = overfitting({curve.name: curve.values for curve in curves})
    told = element("p", words) if words else Markup("")
    body = join((told, element("div", *charts, class_="pair"))) if charts else Markup("")
    return Section("training", "Training", body)


def configurations(candidates: Sequence[Mapping[str, Any]]) -> Section:
    """Return every configuration tried: what each setting does to the result, and a table."""
    title = "Configurations compared"
    if not candidates:
        return Section("configurations", title, Markup(""))
    tried = sorted(candidates, key=_worst_last)
    settings = list(dict.fromkeys(key for row in tried for key in row if key not in _RESULTS))
    values = {key: list(dict.fromkeys(_written(row.get(key)) for row in tried)) for key in settings}
    varied = [key for key in settings if len(values[key]) > 1]
    fixed = [f"{key.replace('_', ' ')} {values[key][0]}" for key in settings if key not in varied]
    words = f"{len(tried):,} tried" if len(tried) > 1 else "One tried"
    words += f"; the same in all: {', '.join(fixed)}." if fixed and varied else "."
    parts = [element("p", words), _dot_charts(tried, varied)]
    parts.append(_candidate_table(tried, varied or settings))
    return Section("configurations", title, join(parts))


def reading(notices: Sequence[str], refused: Sequence[tuple[str, str]] = ()) -> Section:
    """Return what was read, and every file that was refused with the reason."""
    parts = [lines(notices)] if notices else []
    if refused:
        rows = [[named(file), reason] for file, reason in refused]
        caption = f"Refused: {len(rows):,} {'file' if len(rows) == 1 else 'files'}"
        parts.append(_unfolding(["File", "Reason"], rows, caption, "reasons"))
    elif parts:
        parts.append(element("p", "No file was refused."))
    return Section("data", "What was read", join(parts))


def notes(notices: Sequence[str]) -> Section:
    """Return what the user should know, a line each."""
    return Section("notes", "Notes", lines(notices))


def timings(seconds: Mapping[str, float] | None) -> Section:
    """Return how long each stage took."""
    seconds = seconds or {}
    total = sum(seconds.values())
    rows: list[Sequence[str]] = [
        [
            _words(stage),
            join((element("span", _duration(value), class_="value"), bar(value / (total or 1)))),
        ]
        for stage, value in seconds.items()
    ]
    rows.append(["In all", element("span", _duration(total), class_="value")])
    body = table(["Stage", "Time"], rows, "Time by stage", "figures times untitled")
    return Section("time", "Time", body if seconds else Markup(""))


def provenance(entries: Mapping[str, str] | None) -> Section:
    """Return what is needed to do the same again."""
    told = join(
        join((element("dt", _words(key)), element("dd", named(value))))
        for key, value in (entries or {}).items()
    )
    return Section("provenance", "Provenance", element("dl", told) if told else Markup(""))


def _result(candidate: Mapping[str, Any], key: str) -> float | None:
    """Return a result; None if it is missing or, where training diverged, not finite."""
    value = candidate.get(key)
    return float(value) if value is not None and math.isfinite(value) else None


def _worst_last(candidate: Mapping[str, Any]) -> tuple[float, float]:
    accuracy, loss = _result(candidate, _ACCURACY), _result(candidate, _LOSS)
    return -(accuracy if accuracy is not None else -1.0), loss if loss is not None else math.inf


def _dot_charts(tried: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> Markup:
    """Return, for each setting, the results by its value: at a glance, which setting matters."""
    known = [row for row in tried if _result(row, _ACCURACY) is not None]
    drawn = [key for key in varied if len({_written(row.get(key)) for row in known}) > 1]
    drawn = [k for k in drawn if len({_written(row.get(k)) for row in known}) <= VALUES_DRAWN]
    if len(known) < 3 or not drawn:
        return Markup("")
    scale = nice_scale([row[_ACCURACY] for row in known], 94, WIDTH - 20)
    charts = [_dot_chart(known, key, scale) for key in drawn]
    caption = element(
        "figcaption",
        "Validation accuracy of every configuration, by the value of one setting at a time. The "
        "ring is the chosen one. A setting whose rows look alike does not matter here.",
    )
    return element("figure", element("div", *charts, class_="pair"), caption)


def _dot_chart(known: Sequence[Mapping[str, Any]], key: str, scale: Scale) -> Markup:
    rows: dict[str, list[tuple[float, bool]]] = {}
    for row in sorted(known, key=lambda row: _order(row.get(key))):
        result = (row[_ACCURACY], bool(row.get("chosen")))
        rows.setdefault(_written(row.get(key)), []).append(result)
    label = f"Validation accuracy by {_words(key)}"
    chart = dot_rows(list(rows.items()), scale, label)
    return element("div", element("h3", _words(key)), chart)


def _candidate_table(tried: Sequence[Mapping[str, Any]], settings: Sequence[str]) -> Markup:
    rows = [
        [
            f"{rank}",
            *(_written(row.get(key)) for key in settings),
            percent(_result(row, _ACCURACY)),
            decimal(_result(row, _LOSS)),
            element("b", "✓ chosen") if row.get("chosen") else "",
        ]
        for rank, row in enumerate(tried, start=1)
    ]
    head = ["Rank", *map(_words, settings), "Accuracy", "Loss", "Choice"]
    # The chosen one is always in sight, even if it is not the most accurate.
    first, rest = rows[:ROWS_SHOWN], rows[ROWS_SHOWN:]
    first += [row for row in rest if row[-1]]
    rest = [row for row in rest if not row[-1]]
    shown = table(head, first, "Configurations by validation accuracy", "figures")
    if not rest:
        return shown
    hidden = table(head, rest, "The other configurations", "figures")
    return join((shown, _details(f"The other {len(rest):,}", hidden)))


def _unfolding(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, class_: str
) -> Markup:
    """Return a table of which only the first rows are unfolded."""
    shown = table(head, rows[:ROWS_SHOWN], caption, class_)
    if len(rows) <= ROWS_SHOWN:
        return shown
    rest = table(head, rows[ROWS_SHOWN:], f"{caption}, continued", class_)
    return join((shown, _details(f"The other {len(rows) - ROWS_SHOWN:,}", rest)))


def _details(summary: str, content: Markup) -> Markup:
    return element("details", element("summary", summary), content)


def _words(key: str) -> str:
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def _written(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _order(value: object) -> tuple[int, float, str]:
    """Return a sorting key for settings of any type: nothing, then numbers, then words."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
