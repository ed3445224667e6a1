"""`tune`: try many settings, say which are best, and draw what each of them does."""

import dataclasses
import datetime
import hashlib
import json
import math
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from silverprint import __version__
from silverprint.backbones.cache import trim
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import FittedHead
from silverprint.reports.page import make_folder, write_page
from silverprint.reports.sweep import Line, SweepReport, write_sweep, written
from silverprint.runtime.paths import cache_folder
from silverprint.training.checks import is_kind
from silverprint.training.progress import Progress
from silverprint.workflows.run import Training
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.study import open_database, quiet_optuna, run_study
from silverprint.workflows.sweeps import (
    DEFAULTS,
    METRICS,
    Config,
    Tried,
    TuneResult,
    check_sweeps,
    configurations,
    head_lists,
    kind_of,
    one_process_only,
    rank,
)
from silverprint.workflows.train import fit_all, look_at, provenance
from silverprint.workflows.trials import Trials

BEST, REPORT = "best.json", "report.html"
COLUMNS = 2**15  # hidden units that are trained together; more would need many GB


def tune(
    dataset: Dataset, sweeps: Mapping[str, Sequence[Any]], given: Config,
    progress: Progress, *, out: Path, metric: str = "accuracy", study: str | None = None,
    trials: int | None = None, command: str = "",
) -> TuneResult:  # fmt: skip
    """Try every combination, and write a report, its charts and the best settings.

    Args:
        dataset: labelled pictures.
        sweeps: setting -> values to try; none for a usual choice.
        given: what is the same in all, as keywords of `TrainSettings.of`; `from_scratch` or
            `finetune` among them decide what is trained.
        progress: shows stages, and keeps their times.
        out: folder for report.html, best.json and a drawing for each setting.
        metric: "accuracy" or "loss": what makes a configuration the best.
        study: database of the trials of a network, instead of a SQLite file in `out`.
        trials: how many configurations of a network to try at most; None tries all.
        command: how this was called, for the report.

    Raises:
        SilverprintError: a setting or a value is not possible, or the pictures are not.
    """
    one_process_only("tune", "share a study with --study instead")
    if metric not in METRICS:
        raise ConfigError(f"metric must be {' or '.join(METRICS)}; got {metric!r}.")
    if trials is not None and not (is_kind(trials, int) and trials >= 1):
        raise ConfigError(f"trials must be a whole number from 1 on; got {trials!r}.")
    began = time.perf_counter()
    fields = check_sweeps(sweeps or DEFAULTS[kind_of(given)], given)
    unequal = sorted({"label_smoothing", "class_weights"} & set(fields))
    if metric == "loss" and kind_of(given) == "scratch" and unequal:
        raise ConfigError(
            f"losses of different {unequal[0]} cannot be compared, since it is part of them; "
            "tune by accuracy."
        )
    make_folder(out)
    if kind_of(given) == "heads":
        if study is not None or trials is not None:
            raise ConfigError(
                "--study and --trials are for --from-scratch and --finetune; heads are all fitted "
                "at once, in seconds."
            )
        results, run = tune_heads(dataset, fields, given, progress)
    else:
        results, run = tune_networks(dataset, fields, given, progress, out, study, trials)
    result = TuneResult(fields, rank(results, metric), metric, _judged_by(run))
    result.notices = [*run.dataset.notices, *run.notices]
    missing = math.prod(map(len, fields.values())) - len(results)
    if missing > 0 and kind_of(given) != "heads":
        result.unfinished = missing
        result.notices.append(
            f"{missing} configurations are not tried, or still being tried by other processes; the "
            "same command takes them up."
        )
    if result.best.accuracy is None:
        raise ConfigError(
            "nothing learned anything: every loss is infinite or not a number; sweep smaller "
            "learning rates."
        )
    result.seconds = time.perf_counter() - began
    with progress.stage("report"):
        write_best(result, out)
        write_sweep(sweep_report(result, run, progress.seconds, command), out / REPORT)
    trim(cache_folder(), run.settings.cache_limit)
    return result


# --- heads: one look, and all of them as one problem ---------------------------------------------


def tune_heads(
    dataset: Dataset, fields: Mapping[str, Sequence[Any]], given: Mapping[str, Any],
    progress: Progress,
) -> tuple[list[Tried], Training]:  # fmt: skip
    """Fit every head; what decides how pictures are seen, or how all train, makes rounds."""
    together = {name: values for name, values in fields.items() if name in head_lists()}
    rounds = {name: values for name, values in fields.items() if name not in together}
    results: list[Tried] = []
    for config in configurations(rounds, given):
        settings = TrainSettings.of(**{**config, **together})
        run = look_at(dataset, settings, progress)
        heads = settings.heads()
        total = settings.epochs * len(list(_parts(heads)))
        text = f"fitting {len(heads):,} heads"
        with progress.stage("heads", total, text) as advance:
            for part in _parts(heads):

                def tell(active: int, epoch: int) -> None:  # noqa: ARG001
                    advance(1, f"{active:,} fits still learn")

                results += [_tried(config, one, together) for one in fit_all(run, part, tell)]
    return list({json.dumps(one.config, default=str): one for one in results}.values()), run


def _parts(heads: Sequence[HeadConfig]) -> Iterator[list[HeadConfig]]:
    """Split the heads, so that no more than COLUMNS units train at once."""
    part: list[HeadConfig] = []
    for head in heads:
        if part and sum(max(1, one.hidden_size) for one in [*part, head]) > COLUMNS:
            yield part
            part = []
        part.append(head)
    if part:
        yield part


def _tried(given: Config, fitted: FittedHead, swept: Container[str]) -> Tried:
    """Write down a head with all its settings, so that `train` fits the same one."""
    own = dataclasses.asdict(fitted.config)
    for name, default in (("l1", 0.0), ("initialisation", "he"), ("learning_rate", None)):
        if own[name] == default and name not in swept:
            del own[name]
    finite = math.isfinite(fitted.loss)
    return Tried(
        {**given, **own},
        fitted.accuracy if finite else None,
        fitted.loss if finite else None,
        fitted.epochs,
        fitted.curves,
    )


def _judged_by(run: Training) -> int:
    """Return how many pictures judged."""
    return len(run.dataset.rows("train" if run.cross_validated else "validation"))


# --- networks: one trial after the other, by any number of processes ------------------------------


def tune_networks(
    dataset: Dataset, fields: Mapping[str, Sequence[Any]], given: Config, progress: Progress,
    out: Path, url: str | None, trials: int | None,
) -> tuple[list[Tried], Training]:  # fmt: skip
    """Train a network for each configuration that no process has tried yet."""
    storage = open_database(out, url)  # before the pictures are read
    with quiet_optuna(), Trials(dataset, progress) as bench:
        run = bench.prepare(configurations(fields, given)[0])
        results = run_study(
            fields, given, _identity(dataset, run), bench.run_one,
            storage=storage, most=trials, seed=run.settings.seed, say=progress.say,
        )  # fmt: skip
    return results, run


def _identity(dataset: Dataset, run: Training) -> str:
    """Return a digest of the pictures and their labels, by which results are found again."""
    digest = hashlib.sha256(__version__.encode())
    for part in (*run.seen.digests, dataset.labels.tobytes(), dataset.splits.tobytes()):
        digest.update(part)
    if dataset.groups is not None:
        digest.update(dataset.groups.tobytes())
    digest.update(json.dumps(dataset.classes).encode())
    return f"{dataset.name} {digest.hexdigest()[:16]}"


# --- what is written ------------------------------------------------------------------------------


def write_best(result: TuneResult, out: Path) -> Path:
    """Write the best settings for `train --config`."""
    path = out / BEST
    text = json.dumps(result.best.config, indent=2, ensure_ascii=False, default=str)
    write_page(f"{text}\n", path)
    return path


def sweep_report(
    result: TuneResult, run: Training, seconds: Mapping[str, float], command: str
) -> SweepReport:
    """Return the page's content."""
    assert result.best.accuracy is not None
    chosen = ", ".join(
        f"{name.replace('_', ' ')} {_said(name, result.best.config.get(name))}"
        for name in result.fields
    )
    charts = {}
    for name in result.fields:
        lines = [_line(name, value, tried, tried is result.best)
                 for value, tried in result.along(name)]  # fmt: skip
        if len(lines) > 1:
            charts[name] = lines
    return SweepReport(
        title=run.dataset.name,
        summary=f"Of {len(result.results):,} configurations the best has {chosen}.",
        accuracy=result.best.accuracy,
        interval=result.interval,
        count=result.count,
        tried=len(result.results),
        alike=result.alike,
        charts=charts,
        candidates=[_candidate(tried, tried is result.best) for tried in result.results],
        notices=result.notices,
        seconds=dict(seconds),
        provenance=_provenance(run, command),
    )


def _provenance(run: Training, command: str) -> dict[str, str]:
    if run.network_files is not None:
        return provenance(run, command)
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    libraries = {name: version(name) for name in ("silverprint", "torch", "numpy")}
    return {"seed": str(run.settings.seed), "command": command, "date": when, **libraries}


def _line(name: str, value: Any, tried: Tried, best: bool) -> Line:
    curve = tried.curves.get("validation accuracy", [])
    return Line(_said(name, value), tuple(curve), tried.accuracy, best, tried.epochs)


def _said(name: str, value: Any) -> str:
    """Return a value in words; a head without a learning rate is solved exactly."""
    return "none" if value is None and name != "learning_rate" else written(value)


def _candidate(tried: Tried, chosen: bool) -> dict[str, Any]:
    settings = {name: written(value) if isinstance(value, list | tuple) else value
                for name, value in tried.config.items()}  # fmt: skip
    return {
        **settings,
        "validation_accuracy": tried.accuracy,
        "validation_loss": tried.loss,
        "chosen": chosen,
    }
