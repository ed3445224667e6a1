"""`generate gan`: train one, judge the file that ships, and write it with a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from silverprint.data.table import Dataset
from silverprint.errors import ConfigError
from silverprint.export.bundle import check_output
from silverprint.export.generative import export_part
from silverprint.models.gan import Generator
from silverprint.models.shapes import check_side
from silverprint.recipes.gan import Gan, Pair, train_gan
from silverprint.recipes.gan_settings import GanSettings
from silverprint.reports.balance import balance, troubles
from silverprint.reports.contents import Curve
from silverprint.reports.gan import GanReport, render
from silverprint.runtime.generative import DECODER, GenerativeBundle
from silverprint.runtime.preprocessing import Fit
from silverprint.training.progress import Progress
from silverprint.workflows.generative import (
    Material,
    count_earlier,
    provenance,
    read_material,
    ship,
)
from silverprint.workflows.judge import Judge, Reference, Verdict, judge_bundle

ACROSS, DOWN = 10, 8  # of the sheet of made pictures
NEAREST = 20  # made pictures whose nearest training picture is shown
MEASURED = 200  # pictures whose nearest training picture is looked for
PARITY = 8
PATIENCE = 3  # epochs: at first every generator makes much the same
AT_ONCE = 1 << 26  # numbers of the training pictures that are compared at a time

Pictures = NDArray[np.float32]  # (n, C, S, S), 0..1


@dataclass(frozen=True)
class Likeness:
    """How near made pictures are to those that were learned from.

    Attributes:
        made: (NEAREST, C, S, S) made pictures.
        nearest: the training picture most like each.
        share: the median distance of a made picture to it, as a share of the same for pictures that
            were not learned from: far below 1 says that training pictures are copied.
    """

    made: Pictures
    nearest: Pictures
    share: float


@dataclass(frozen=True)
class Trained:
    """A trained gan and what is to be told of it.

    Attributes:
        material: what it learned from.
        settings: how.
        gan: the networks and their training.
        classes: that it is told; empty if it is not.
        sheet: (ACROSS * DOWN, C, S, S) pictures it made; of each class in turn.
        likeness: to the training pictures.
        verdict: of the judge; None without one.
        words: how both got along.
    """

    material: Material
    settings: GanSettings
    gan: Gan
    classes: tuple[str, ...]
    sheet: Pictures
    likeness: Likeness
    verdict: Verdict | None
    words: str

    def measures(self) -> dict[str, Any]:
        """Return the figures, plain."""
        last = {name: round(values[-1], 4) for name, values in self.gan.curves.items()}
        judged = {} if self.verdict is None else {"judge": self.verdict.to_json()}
        return {**last, "distance to training pictures": round(self.likeness.share, 4), **judged}

    def summary(self) -> str:
        """Say the result in a sentence."""
        if self.verdict is not None:
            return self.verdict.words()
        return (
            f"Two made pictures differ by {100 * self.gan.curves['spread'][-1]:.0f} % of what two "
            "real ones do; --judge with a classifier's bundle measures how real they look."
        )


def generate_gan(
    dataset: Dataset, out: Path, settings: GanSettings, progress: Progress, *,
    judge: str | None = None, size: int | None = None, fit: Fit = "crop", fresh: bool = False,
    command: str = "",
) -> Trained:  # fmt: skip
    """Train a gan, judge what ships, and write bundle and report.

    Args:
        dataset: pictures, labelled or not.
        out: the bundle's folder.
        settings: how to train.
        progress: shows how far it is, and says when the two lose their balance.
        judge: folder of a classifier's bundle, for the Frechet distance; None for none.
        size: side in pixels; None for the pictures' own, at most 64.
        fit: how a picture becomes square.
        fresh: forget a stopped run of the same command instead of going on.
        command: what was typed, for the report.

    Raises:
        SilverprintError: pictures, settings, the judge or the output's place will not do.
    """
    check_output(out)
    if size is not None:
        check_side("a gan makes", size)
    judging = None if judge is None else Judge(judge)
    _told_classes(dataset, settings)  # what is wrong with them is said before all is read
    material = read_material(
        dataset, progress, size=size, fit=fit, seed=settings.seed,
        labelled=settings.conditional is True,
    )  # fmt: skip
    classes = _told_classes(material.dataset, settings)
    material.tell_few_steps(settings)
    folder = material.run_folder(settings, fresh=fresh)
    reference = None
    if judging is not None:
        with progress.stage("judge"):  # what it cannot judge is told before hours of training
            reference = Reference.of(judging, material)
    with progress.stage("train", settings.epochs * len(material.train), "training") as advance:
        gan = train_gan(
            material.train, material.validation, len(classes), settings, folder,
            advance=advance, after_epoch=_warner(progress),
        )  # fmt: skip
    count_earlier(progress, folder, gan.resumed, material.notices)
    with progress.stage("export"):
        agreement = write_decoder(gan.generator, folder)
    bundle = GenerativeBundle(folder, {"task": "gan", "classes": list(classes)})
    with progress.stage("measure"):
        verdict = None if reference is None else judge_bundle(bundle, reference)
        sheet = make_some(bundle, ACROSS * DOWN, settings.seed)
        found = Trained(
            material, settings, gan, classes, sheet, likeness(bundle, material, settings.seed),
            verdict, balance(gan.curves),
        )  # fmt: skip
    ship(
        out, folder, "gan", Pair(gan.generator, gan.discriminator).state_dict(),
        render(_report(found, progress, command)), _facts(found, agreement),
    )  # fmt: skip
    return found


def write_decoder(generator: Generator, folder: Path) -> float:
    """Write decoder.onnx; return its largest difference from the network."""
    chance = torch.Generator().manual_seed(0)
    given = {"codes": torch.randn(PARITY, generator.code_size, generator=chance)}
    if generator.classes:
        given["labels"] = torch.arange(PARITY) % generator.classes
    return export_part(generator, given, ("pictures",), folder / DECODER)


def make_some(bundle: GenerativeBundle, count: int, seed: int) -> Pictures:
    """Make pictures, of each class in turn."""
    codes = np.random.default_rng(seed).standard_normal((count, bundle.code_size), np.float32)
    labels = np.arange(count, dtype=np.int64) % len(bundle.classes) if bundle.classes else None
    return bundle.decode(codes, labels)


def likeness(bundle: GenerativeBundle, material: Material, seed: int) -> Likeness:
    """Look for the training pictures most like made ones, and like held-out ones."""
    held = material.validation.pixels[:MEASURED].astype(np.float32) / np.float32(255)
    made = make_some(bundle, len(held), seed + 1)
    train = material.train.pixels
    rows, distances = nearest(made, train)
    _, usual = nearest(held, train)
    shown = train[rows[:NEAREST]].astype(np.float32) / np.float32(255)
    share = float(np.median(distances)) / max(float(np.median(usual)), 1e-12)
    return Likeness(made[:NEAREST], shown, share)


def nearest(
    pictures: Pictures, train: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each picture the row of the nearest training picture, and its distance."""
    queries = torch.from_numpy(pictures).flatten(1)
    best = torch.full((len(queries),), torch.inf)
    rows = torch.zeros(len(queries), dtype=torch.int64)
    step = max(1, AT_ONCE // train[0].size)
    for start in range(0, len(train), step):
        part = torch.from_numpy(train[start : start + step]).flatten(1).float() / 255
        closest = torch.cdist(queries, part).min(dim=1)
        better = closest.values < best
        best = torch.where(better, closest.values, best)
        rows = torch.where(better, closest.indices + start, rows)
    return rows.numpy(), best.numpy()


def _told_classes(dataset: Dataset, settings: GanSettings) -> tuple[str, ...]:
    if settings.conditional and len(dataset.classes) < 2:
        raise ConfigError(
            f"{dataset.name} has no classes to tell the networks; leave --conditional out."
        )
    told = settings.conditional is not False and len(dataset.classes) > 1
    return dataset.classes if told else ()


def _warner(progress: Progress) -> Callable[[Mapping[str, list[float]]], None]:
    """Return what says, once each, that something goes wrong for PATIENCE epochs."""
    said: set[str] = set()

    def kinds(curves: Mapping[str, list[float]]) -> dict[str, str]:
        return {words.split(":")[0]: words for words in troubles(curves)}

    def say(curves: Mapping[str, list[float]]) -> None:
        epochs = len(curves["spread"])
        if epochs < PATIENCE:
            return
        before = [
            kinds({name: values[: epochs - back] for name, values in curves.items()})
            for back in range(1, PATIENCE)
        ]
        for kind, words in kinds(curves).items():
            if kind not in said and all(kind in earlier for earlier in before):
                said.add(kind)
                progress.say(f"epoch {epochs}: {words}")

    return say


def _facts(found: Trained, agreement: float) -> dict[str, Any]:
    return {
        **found.material.facts(found.settings),
        "classes": list(found.classes),
        "metrics": found.measures(),
        "balance": found.words,
        "agreement": agreement,
    }


def _report(found: Trained, progress: Progress, command: str) -> GanReport:
    material = found.material
    return GanReport(
        title=material.dataset.name,
        summary=found.summary(),
        classes=found.classes,
        sheet=found.sheet,
        followed=found.gan.followed.astype(np.float32) / np.float32(255),
        made=found.likeness.made,
        nearest=found.likeness.nearest,
        share=found.likeness.share,
        verdict=None if found.verdict is None else found.verdict.to_json(),
        words=found.words,
        curves=[Curve(name, tuple(values)) for name, values in found.gan.curves.items()],
        notices=material.told,
        refused=material.refused,
        seconds=dict(progress.seconds),
        provenance=provenance(
            command,
            found.settings,
            {
                "weights of the generator": found.gan.generator,
                "weights of the discriminator": found.gan.discriminator,
            },
        ),
    )
