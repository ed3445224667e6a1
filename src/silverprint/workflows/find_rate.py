"""`tune --find-lr`: one short run that shows which learning rates are worth trying."""

import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from silverprint.data.table import Dataset
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import HeadData
from silverprint.recipes.range_test import (
    RULE,
    STEPS_A_TEST,
    RangeTest,
    range_of_finetuning,
    range_of_head,
    range_of_scratch,
)
from silverprint.reports.rates import RatesReport, write_rates
from silverprint.training.progress import Progress
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.sweeps import Config, kind_of
from silverprint.workflows.train import look_at
from silverprint.workflows.trials import Trials

PAGE = "learning-rate.html"
SETTING = {
    "heads": "learning_rate",
    "scratch": "learning_rate",
    "finetune": "finetune_learning_rate",
}


def find_learning_rate(
    dataset: Dataset, given: Config, progress: Progress, *, out: Path, command: str = ""
) -> RangeTest:
    """Run a range test and draw it.

    Args:
        dataset: labelled pictures.
        given: keywords of `TrainSettings.of`; `from_scratch` or `finetune` among them decide what
            is trained, else it is a head with a hidden layer.
        progress: shows stages, and keeps their times.
        out: folder for learning-rate.html and learning-rate.svg.
        command: how this was called, for the page.

    Raises:
        SilverprintError: a setting is not possible, or the pictures are not.
    """
    kind = kind_of(given)
    if kind == "heads":
        found, what = _of_head(dataset, given, progress)
    else:
        found, what = _of_network(dataset, given, progress)
    out.mkdir(parents=True, exist_ok=True)
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    libraries = {name: version(name) for name in ("silverprint", "torch")}
    provenance = {"command": command, "date": when, **libraries}
    report = RatesReport(
        dataset.name, what, found.rates, found.losses, found.smoothed, found.suggestion, RULE,
        provenance,
    )  # fmt: skip
    write_rates(report, out / PAGE)
    return found


def to_json(found: RangeTest, kind: str) -> dict[str, Any]:
    """Return the curve and the suggestion as plain JSON types."""
    return {
        "suggestion": found.suggestion,
        "setting": SETTING[kind],
        "rule": RULE,
        "rates": found.rates,
        "losses": found.losses,
        "smoothed": found.smoothed,
    }


def _of_head(dataset: Dataset, given: Config, progress: Progress) -> tuple[RangeTest, str]:
    settings = TrainSettings.of(**given)
    # The default head with a hidden layer, where no other is asked for.
    wanted: HeadConfig = max(settings.heads(), key=lambda head: head.hidden_size)
    run = look_at(dataset, settings, progress)
    rows = run.dataset.rows("train")
    shared = settings.fit_settings()
    data = HeadData.of(
        run.seen.features(rows), run.dataset.labels[rows], run.outputs, run.link, shared
    )
    with progress.stage("range test", STEPS_A_TEST, "growing the learning rate") as advance:
        found = range_of_head(wanted, data, shared, advance)
    return found, f"a head with {wanted.hidden_size} hidden units"


def _of_network(dataset: Dataset, given: Config, progress: Progress) -> tuple[RangeTest, str]:
    with Trials(dataset, progress) as bench:
        run = bench.prepare(given)
        classes, scratch = run.dataset.classes, run.settings.scratch
        steps = STEPS_A_TEST if scratch is not None else STEPS_A_TEST // 2
        with progress.stage("range test", steps, "growing the learning rate") as advance:
            if scratch is not None:
                found = range_of_scratch(
                    bench.parts["train"], run.outputs, run.link, scratch, classes, advance
                )
                return found, f"{scratch.model} from scratch"
            assert run.settings.finetuning is not None
            found = range_of_finetuning(
                run.prepared, run.head, bench.parts["train"], run.outputs, run.link,
                run.settings.finetuning, classes, advance,
            )  # fmt: skip
            return found, f"fine-tuning {run.settings.backbone}"
