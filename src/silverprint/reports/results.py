"""The chapters about the result: headline, measures, confusions, classes, calibration."""

from collections.abc import Mapping
from typing import Any

from silverprint.reports.contents import Report
from silverprint.reports.figures import (
    NUMBERED_CLASSES,
    heat_map,
    interval_ruler,
    reliability_diagram,
)
from silverprint.reports.markup import (
    NARROW_SPACE,
    NOTHING,
    Markup,
    Section,
    bar,
    decimal,
    element,
    join,
    named,
    percent,
    scrolling,
    table,
)
from silverprint.reports.page import headline

CONFUSIONS_SHOWN = 10
_PERCENTAGES = {
    "accuracy": "Accuracy",
    "top_3": "Right among the first 3",
    "top_5": "Right among the first 5",
    "macro_precision": "Precision, mean over classes",
    "macro_recall": "Recall, mean over classes",
    "macro_f1": "F1, mean over classes",
    "micro_f1": "F1 over all labels",
    "mean_average_precision": "Average precision, mean over classes",
    "hamming_loss": "Labels that are wrong",
}


def overall(report: Report) -> Markup:
    """Return the one number to remember, how sure it is, and what it was measured on."""
    split = report.judged_on
    if split is None:
        words = "No pictures were held out, so nothing was measured. Keep some back for a test."
        return element("p", words, class_="unmeasured")
    metrics = report.metrics[split]
    accuracy, n, (low, high) = metrics["accuracy"], metrics["n"], metrics["accuracy_interval"]
    got = "got every label right" if report.task == "multi-label" else "were named right"
    sentence = f"{round(accuracy * n):,} of {n:,} {split} pictures {got}."
    sure = f"95{NARROW_SPACE}% interval: {100 * low:.1f} to {percent(high)} (Wilson)."
    ruler = interval_ruler(accuracy, low, high, f"{percent(accuracy)}; {sure}")
    number = f"{100 * accuracy:.1f}"
    return headline(
        number, "%", sentence=sentence, ruler=ruler, aside=f"{sure} {_caution(split, metrics)}"
    )


def _caution(split: str, metrics: Mapping[str, Any]) -> str:
    """Say why a figure flatters; nothing of a test split, which chooses nothing."""
    if split == "test":
        return ""
    folds = metrics.get("cross_validated")
    how = f"Each was held out once, in one of {folds} folds. " if folds else ""
    return (
        f"There was no test split. {how}Settings were chosen on these same pictures, so expect "
        "somewhat less on new ones."
    )


def measures(report: Report) -> Section:
    """Return every overall measure, one column a split."""
    splits = list(report.metrics)
    keys = [key for key in _PERCENTAGES if any(key in report.metrics[s] for s in splits)]
    rows = [
        [_measure_name(report, key), *(percent(report.metrics[s].get(key)) for s in splits)]
        for key in keys
    ]
    rows.insert(
        1,
        [
            f"{_measure_name(report, 'accuracy')}, 95{NARROW_SPACE}% interval",
            *(_interval(report.metrics[s]) for s in splits),
        ],
    )
    rows.append(["Log-loss, nats", *(decimal(report.metrics[s]["log_loss"]) for s in splits)])
    errors = (report.metrics[split]["calibration"]["error"] for split in splits)
    rows.append(["Expected calibration error", *map(percent, errors)])
    before = [report.metrics[split]["calibration"].get("before") for split in splits]
    if any(before):
        shown = (percent(found["error"] if found else None) for found in before)
        rows.append(["The same before calibration", *shown])
    rows.append(["Pictures", *(f"{report.metrics[split]['n']:,}" for split in splits)])
    head = ["Measure", *(split.capitalize() for split in splits)]
    body = table(head, rows, "Overall measures", "figures untitled")
    return Section("measures", "Measures", body if splits else Markup(""))


def confusions(report: Report) -> Section:
    """Return which class is taken for which: a heat map, and the largest confusions in words."""
    split = report.judged_on
    matrix = report.metrics[split].get("confusion") if split else None
    if not matrix:
        return Section("confusions", "What is taken for what", Markup(""))
    count = len(report.classes)
    label = f"Confusion matrix of {count} classes, {split} pictures"
    hint = "" if count <= NUMBERED_CLASSES else " Point at a cell for its numbers."
    caption = element(
        "figcaption",
        f"Rows are the truth, columns the prediction ({split}). Each cell is shaded by its share "
        "of its row; the diagonal holds the right answers. Grey is a mistake, its shade raised so "
        f"that single pictures can be seen.{hint}",
    )
    heat = scrolling(heat_map(matrix, report.classes, label), label)
    figure = element("figure", heat, caption, class_="matrix" if not hint else "matrix wide")
    return Section("confusions", "What is taken for what", join((figure, _largest(report, matrix))))


def per_class(report: Report) -> Section:
    """Return precision, recall and F1 of every class, after a sentence about the weakest."""
    split = report.judged_on
    if split is None:
        return Section("classes", "Class by class", Markup(""))
    values = report.metrics[split]["per_class"]
    multi = report.task == "multi-label"
    counted = [name for name in ("train", "validation", "test") if name in report.class_counts]
    fields = ["precision", "recall", "f1", *(["average_precision"] if multi else [])]
    titles = {"f1": "F1", "average_precision": "Average precision"}
    rows = [
        [
            named(name),
            *(f"{report.class_counts[part].get(name, 0):,}" for part in counted),
            *(_barred(values[name].get(field)) for field in fields),
        ]
        for name in report.classes
    ]
    head = ["Class", *(part.capitalize() for part in counted)]
    head += [titles.get(field, field.capitalize()) for field in fields]
    caption = f"Pictures of each class, and how it fares on {split}"
    parts = (_weakest(values), table(head, rows, caption, "figures classes"))
    return Section("classes", "Class by class", join(parts))


def reliability(report: Report) -> Section:
    """Return whether a stated 90 % is right nine times in ten."""
    split = report.judged_on
    if split is None:
        return Section("calibration", "Can its confidence be trusted?", Markup(""))
    found = report.metrics[split]["calibration"]
    filled = [row for row in found["bins"] if row["count"]]
    stated = sum(row["count"] * row["confidence"] for row in filled)
    seen = sum(row["count"] * row["observed"] for row in filled)
    tilt = "too sure of itself" if stated > seen else "more careful than it need be"
    noun = "labels" if report.task == "multi-label" else "pictures"
    before = found.get("before")
    plain = before["bins"] if before else ()
    diagram = reliability_diagram(found["bins"], f"Reliability diagram, {split}", noun, plain)
    caption = element(
        "p",
        "Each dot is a group of similar stated probabilities, its size the number in it. On the "
        "dashed line, what is said is what happens; below it, the model claims too much.",
        " The pale line with rings is the model before calibration." if before else "",
        class_="aside",
    )
    words = element(
        "div",
        element(
            "p",
            "Stated and observed frequency differ by ",
            element("strong", percent(found["error"])),
            f" on average (expected calibration error, 15 bins). Where they differ, the model is "
            f"on the whole {tilt}.",
        ),
        _before(before["error"], found["error"]) if before else "",
        caption,
    )
    body = element("div", element("figure", diagram), words, class_="pair")
    return Section("calibration", "Can its confidence be trusted?", body)


def _before(plain: float, error: float) -> Markup:
    """Say what calibration did to the error; on new pictures it may also raise it a little."""
    change = "lowered this error from" if error < plain else "raised this error from"
    return element(
        "p",
        f"Calibration {change if error != plain else 'left this error at'} ",
        element("strong", percent(plain)),
        ": all logits are divided by one number, the temperature, found on held-out pictures. "
        "No label changes by it.",
    )


def _measure_name(report: Report, key: str) -> str:
    exact = key == "accuracy" and report.task == "multi-label"
    return "Every label right" if exact else _PERCENTAGES[key]


def _interval(metrics: Mapping[str, Any]) -> str:
    low, high = metrics["accuracy_interval"]
    return f"{100 * low:.1f}–{percent(high)}"


def _largest(report: Report, matrix: list[list[int]]) -> Markup:
    found = [
        (value, sum(values), row, column)
        for row, values in enumerate(matrix)
        for column, value in enumerate(values)
        if value and row != column
    ]
    if not found:
        return element("p", "Nothing was taken for anything else.")
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    rows = [
        [
            join((named(report.classes[row]), " → ", named(report.classes[column]))),
            f"{value:,} of {total:,}",
            _barred(value / total),
        ]
        for value, total, row, column in found[:CONFUSIONS_SHOWN]
    ]
    head = ["Truth → prediction", "Pictures", "Share of the class"]
    return table(head, rows, "The largest confusions", "figures")


def _weakest(values: Mapping[str, Mapping[str, Any]]) -> Markup:
    scored = [
        (row["f1"], name) for name, row in values.items() if row["f1"] is not None and row["f1"] < 1
    ]
    unseen = sum(row["f1"] is None for row in values.values())
    pieces: list[str] = []
    if scored and len(values) > 3:
        pieces.append("Weakest: ")
        for place, (score, name) in enumerate(sorted(scored)[:3]):
            pieces += [", " if place else "", named(name), f" (F1 {percent(score)})"]
        pieces.append(". ")
    if unseen:
        verb = "class has" if unseen == 1 else "classes have"
        pieces.append(f"{unseen} {verb} no pictures to be judged by ({NOTHING}).")
    return element("p", *pieces) if pieces else Markup("")


def _barred(value: float | None) -> Markup:
    return join((element("span", percent(value), class_="value"), bar(value)))
