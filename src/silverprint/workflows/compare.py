"""`compare`: four classic ways to use a pretrained network, on the same pictures."""

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from silverprint import __version__
from silverprint.backbones.cache import trim
from silverprint.backbones.look import look
from silverprint.backbones.reading import View
from silverprint.data.augmentation import view as varied
from silverprint.data.policies import find_policy, suggest_policy
from silverprint.data.table import Dataset, Split
from silverprint.errors import ConfigError, DataError
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import HeadData, fit_heads
from silverprint.reports.page import make_folder, write_page
from silverprint.runtime.paths import cache_folder
from silverprint.training.metrics import evaluate
from silverprint.training.pixels import load_pixels
from silverprint.training.progress import Progress
from silverprint.workflows.networks import read_large, run_folder, train_pretrained
from silverprint.workflows.run import Training
from silverprint.workflows.run_folders import leave
from silverprint.workflows.settings import TrainSettings
from silverprint.workflows.sweeps import Config, head_lists, one_process_only
from silverprint.workflows.train import look_at

RESULTS = "compare.json"
TOGETHER = 64  # pictures of a forward pass
MEASURES = ("accuracy", "macro_precision", "macro_recall")
HELD_OUT: tuple[Split, ...] = ("validation", "test")


@dataclass(frozen=True)
class Preset:
    """One way to use a pretrained network.

    Attributes:
        name: short, for charts.
        words: what it is.
        head: what is fitted on the frozen network's features.
        views: whether the head also sees varied views of the training pictures.
        finetune: whether everything is trained after that.
    """

    name: str
    words: str
    head: HeadConfig
    views: bool = False
    finetune: bool = False


_DENSE = HeadConfig(hidden_size=256, learning_rate=1e-3)
PRESETS: dict[int, Preset] = {
    1: Preset("1 frozen", "frozen convolutions, 256 ReLU units, softmax", _DENSE),
    2: Preset("2 varied", "the same, with augmentation", _DENSE, views=True),
    3: Preset(
        "3 regular",
        "the same, with augmentation, batch norm and dropout 0.5",
        replace(_DENSE, dropout=0.5, batch_norm=True),
        views=True,
    ),
    4: Preset("4 tuned", "everything trainable, after the head of 1", _DENSE, finetune=True),
}


@dataclass
class Compared:
    """What came of one preset on one network.

    Attributes:
        backbone: the network.
        preset: its number.
        words: what was done.
        metrics: split -> accuracy, accuracy_interval, macro_precision, macro_recall, n.
        epochs: passes up to the best one.
        curves: by epoch, "validation accuracy" and others.
        seconds: it took, without the first look, which all share.
        right: split -> for each picture whether it was named right.
    """

    backbone: str
    preset: int
    words: str
    metrics: dict[str, dict[str, Any]]
    epochs: int
    curves: dict[str, list[float]] = field(repr=False)
    seconds: float
    right: dict[str, list[bool]] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return what a person wants to know, as plain JSON types."""
        plain = {key: value for key, value in asdict(self).items() if key != "right"}
        return {**plain, "seconds": round(self.seconds, 3)}


@dataclass
class Comparison:
    """All of them.

    Attributes:
        results: in the order asked for.
        split: what they are judged on: test, or validation where there is no test split.
        seconds: all took together.
        title: the dataset's name.
        notices: what the user should know.
    """

    results: list[Compared]
    split: str
    seconds: float
    title: str
    notices: list[str]

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.results)}: {self.verdict}>"

    @property
    def ranked(self) -> list[Compared]:
        """The results, best accuracy first."""
        return sorted(self.results, key=lambda one: -one.metrics[self.split]["accuracy"])

    @property
    def verdict(self) -> str:
        """Say which won, and whether that may be chance."""
        best, *others = self.ranked
        named = _named(best, self.results).capitalize()
        found = best.metrics[self.split]
        low, high = (f"{100 * bound:.1f}" for bound in found["accuracy_interval"])
        said = (
            f"{named} is right on {100 * found['accuracy']:.1f} % of {found['n']:,} {self.split} "
            f"pictures (95 % interval {low} to {high} %)"
        )
        if not others:
            return f"{said}."
        second = others[0]
        behind = second.metrics[self.split]["accuracy"]
        if behind == found["accuracy"]:
            return f"{said}, and so is {_named(second, self.results)}: on these, neither is better."
        where = "within" if behind >= found["accuracy_interval"][0] else "outside"
        mine, theirs = only_right(best.right[self.split], second.right[self.split])
        chance = sign_test(mine, theirs)
        judged = "may be chance" if chance > 0.05 else "is hardly chance"
        return (
            f"{said}, {100 * (found['accuracy'] - behind):.1f} points more than "
            f"{_named(second, self.results)}, which lies {where} that interval. Picture by "
            f"picture, {mine} were right only with the first and {theirs} only with the second "
            f"(McNemar's exact test: p = {chance:.2g}), so the difference {judged}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return {"results": [...], "best": one of them, "verdict": ..., "seconds": number}."""
        return {
            "results": [one.to_json() for one in self.results],
            "best": self.ranked[0].to_json(),
            "judged_on": self.split,
            "verdict": self.verdict,
            "notices": self.notices,
            "seconds": round(self.seconds, 3),
        }


def compare(
    dataset: Dataset, presets: Sequence[int], backbones: Sequence[str], given: Config,
    progress: Progress, *, out: Path, command: str = "",
) -> Comparison:  # fmt: skip
    """Train every preset on every network, and write a page, the curves and a table.

    What is finished is kept in the folder; the same command, stopped, goes on after it.

    Args:
        dataset: labelled pictures.
        presets: numbers of PRESETS.
        backbones: names of pretrained networks.
        given: what is the same in all, as keywords of `TrainSettings.of` with `finetune`.
        progress: shows stages, and keeps their times.
        out: folder for compare.html, curves.svg and compare.json.
        command: how this was called, for the page.

    Raises:
        SilverprintError: a preset or a setting is not possible, or the pictures are not.
    """
    from silverprint.workflows.comparison_page import write_comparison

    began = time.perf_counter()
    for number in presets:
        if number not in PRESETS:
            raise ConfigError(f"presets are {', '.join(map(str, PRESETS))}; got {number!r}.")
    if not presets or not backbones:
        raise ConfigError("compare needs at least one preset and one backbone; give both.")
    one_process_only("compare", "run it in one")
    if fixed := sorted(set(given) & {*head_lists(), "batch_norm"}):
        raise ConfigError(
            f"{fixed[0]} is for the presets to say, which differ in their heads; leave it out, or "
            "use `silverprint tune`."
        )
    chosen = {**given, "finetune": True}
    every = [TrainSettings.of(**{**chosen, "backbone": name}) for name in dict.fromkeys(backbones)]
    make_folder(out)
    results: list[Compared] = []
    notices: list[str] = []
    for settings in every:
        run = look_at(dataset, settings, progress)
        notices += [*run.dataset.notices, *run.notices]
        results += [_one(run, number, out, progress) for number in dict.fromkeys(presets)]
    notices += [
        f"Preset {one.preset} on {one.backbone}: training everything did not better its head on "
        "the frozen network, so its figures are that head's."
        for one in results
        if PRESETS[one.preset].finetune and one.epochs == 0
    ]
    split = "test" if "test" in results[0].metrics else "validation"
    comparison = Comparison(
        results, split, time.perf_counter() - began, dataset.name, list(dict.fromkeys(notices))
    )
    write_comparison(comparison, out, progress.seconds, command)
    trim(cache_folder(), every[0].cache_limit)
    return comparison


def _one(run: Training, number: int, out: Path, progress: Progress) -> Compared:
    """Return a preset's result, from the folder where it was finished before."""
    key = _identity(run, number)
    finished = _finished(out)
    if key in finished:
        progress.say(f"preset {number} on {run.settings.backbone}: finished before")
        return finished[key]
    progress.say(f"preset {number} on {run.settings.backbone}: {PRESETS[number].words}")
    result = _train(replace(run, folder=None, network=None), number, progress)
    plain = {one: asdict(kept) for one, kept in {**finished, key: result}.items()}
    write_page(json.dumps(plain) + "\n", out / RESULTS)
    return result


def _train(run: Training, number: int, progress: Progress) -> Compared:
    preset, began = PRESETS[number], time.perf_counter()
    _fit(run, preset, progress)
    if not preset.finetune:
        answers: dict[str, NDArray[np.float32]] = {
            split: run.head.logits(run.seen.features(run.dataset.rows(split)))
            for split in HELD_OUT
            if run.dataset.has(split)
        }
        epochs = run.fitted[0].epochs
    else:
        answers, epochs = _finetuned(run, progress)
    metrics: dict[str, dict[str, Any]] = {}
    right: dict[str, list[bool]] = {}
    for split in HELD_OUT:
        if split not in answers:
            continue
        labels, logits = run.dataset.labels[run.dataset.rows(split)], answers[split]
        probabilities = run.probabilities_of(logits)
        found = evaluate(run.dataset.task, probabilities, labels, run.dataset.classes)
        metrics[split] = {name: found[name] for name in (*MEASURES, "accuracy_interval", "n")}
        if run.dataset.task == "single-label":
            right[split] = (probabilities.argmax(1) == labels).tolist()
        else:
            right[split] = ((probabilities >= 0.5) == (labels > 0)).all(1).tolist()
    return Compared(
        run.settings.backbone, number, preset.words, metrics, epochs, run.curves,
        time.perf_counter() - began, right,
    )  # fmt: skip


def _fit(run: Training, preset: Preset, progress: Progress) -> None:
    """Fit the preset's head, on the pictures as they are and, where it wants, on varied views."""
    settings = run.settings.fit_settings()
    rows, held = run.dataset.rows("train"), run.dataset.rows("validation")
    features, labels = run.seen.features(rows), run.dataset.labels[rows]
    if preset.views:
        seen = [features, *_views(run, rows, progress)]
        features, labels = np.concatenate(seen), np.concatenate([labels] * len(seen))
    train = HeadData.of(features, labels, run.outputs, run.link, settings)
    validation = HeadData.of(
        run.seen.features(held), run.dataset.labels[held], run.outputs, run.link, settings, train
    )
    with progress.stage("heads", settings.epochs, "fitting the head") as advance:
        run.fitted = fit_heads([preset.head], train, validation, settings, lambda *_: advance(1))
    run.best = 0
    if not math.isfinite(run.fitted[0].loss):
        raise ConfigError(
            f"the head of preset {preset.name} learned nothing: its loss is no number."
        )


def _views(
    run: Training, rows: NDArray[np.int64], progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Yield what the network sees in each varied view of the training pictures."""
    assert run.settings.finetuning is not None
    wish, count = run.settings.finetuning.augment, run.settings.finetuning.views
    size = run.preprocessing.size
    name = suggest_policy(run.dataset.classes, size)[0] if wish == "auto" else wish
    policy = find_policy(name)
    digest = hashlib.sha256(repr(policy).encode()).hexdigest()[:16]
    for number in range(count):

        def change(
            pixels: NDArray[np.uint8], picture: bytes, seed: bytes = b"%d" % number
        ) -> NDArray[np.uint8]:
            torch.set_num_threads(1)  # of this thread; each picture has one of its own
            changed: NDArray[np.uint8] = varied(
                torch.tensor(pixels), policy, picture + seed
            ).numpy()
            return changed

        text = f"looking at view {number + 1} of {count} ({name})"
        with _threads(), progress.stage("views", len(rows), text) as advance:
            seen = look(
                run.prepared, run.preprocessing, run.dataset.sources, run.dataset.names,
                cache=run.cache, engine=run.seen.engine, rows=rows, advance=advance,
                view=View(f"{name} {digest} {number}", change),
            )  # fmt: skip
        if seen.refused:
            file, reason = seen.refused[0]
            raise DataError(f"{file} changed while it was read: {reason}; run again.")
        yield seen.features()


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    """Give torch its threads back, which `change` takes from threads that begin later."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finetuned(run: Training, progress: Progress) -> tuple[dict[str, NDArray[np.float32]], int]:
    """Train everything; return logits by split, and the best epoch."""
    settings = run.settings.finetuning
    assert settings is not None
    run.folder = run_folder(run, settings)
    train_pretrained(run, read_large(run, run.folder, progress), settings, progress)
    assert run.network is not None
    answers: dict[str, NDArray[np.float32]] = {}
    for split in HELD_OUT:
        rows = run.dataset.rows(split)
        if not len(rows):
            continue
        with progress.stage("judge", len(rows), f"judging by {split}") as advance:
            pixels = load_pixels(run.dataset, run.preprocessing, rows).values
            parts = []
            with torch.inference_mode():
                for part in torch.from_numpy(pixels).split(TOGETHER):
                    parts.append(run.network.network(part).numpy())
                    advance(len(part))
        answers[split] = run.head.logits(np.concatenate(parts))
    leave(run.folder)
    return answers, run.network.best_epoch


def only_right(mine: Sequence[bool], theirs: Sequence[bool]) -> tuple[int, int]:
    """Return how many pictures only the one, and only the other, named right."""
    pairs = list(zip(mine, theirs, strict=True))
    return sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)


def sign_test(mine: int, theirs: int) -> float:
    """Return the chance of so uneven a split, or a more uneven one, of a fair coin (McNemar 1947).

    Two-sided and exact: only the pictures on which both differ say which is better.
    """
    count, fewer = mine + theirs, min(mine, theirs)
    tail = sum(math.comb(count, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**count))


def _named(one: Compared, all_of_them: Sequence[Compared]) -> str:
    several = len({other.backbone for other in all_of_them}) > 1
    return f"preset {one.preset}" + (f" ({one.backbone})" if several else "")


def _identity(run: Training, number: int) -> str:
    """Return a digest of all that decides a preset's result."""
    digest = hashlib.sha256(f"{__version__} {PRESETS[number]} {run.prepared.key}".encode())
    told: list[Mapping[str, Any]] = [run.settings.to_json(), run.preprocessing.to_json()]
    digest.update(json.dumps([*told, run.dataset.classes], sort_keys=True, default=str).encode())
    for part in (*run.seen.digests, run.dataset.labels.tobytes(), run.dataset.splits.tobytes()):
        digest.update(part)
    return digest.hexdigest()


def _finished(out: Path) -> dict[str, Compared]:
    """Return what earlier calls left in the folder; a file that cannot be read counts as none."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        kept = json.loads((out / RESULTS).read_text("utf-8"))
        return {key: Compared(**values) for key, values in kept.items()}
    return {}
