"""What the report of a variational autoencoder shows."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from silverprint.recipes.vae import drawn
from silverprint.reports.sheet import Row
from silverprint.reports.vae import VaeReport
from silverprint.runtime.generative import GenerativeBundle
from silverprint.training.importance import active_units
from silverprint.training.progress import Progress
from silverprint.workflows.generative import provenance
from silverprint.workflows.latent import interpolate, labels_of, plane, random_codes

if TYPE_CHECKING:
    from silverprint.workflows.vae import Made

SAMPLES, RECONSTRUCTIONS, WALKS, STEPS, SIDE, POINTS = 64, 24, 6, 12, 15, 1500


def page_of(made: "Made", folder: Path, progress: Progress, command: str) -> VaeReport:
    """Return what the page tells; its pictures are made by the files that ship.

    Args:
        made: the run.
        folder: where encoder.onnx and decoder.onnx lie.
        progress: has the times.
        command: what was typed.
    """
    material, shape = made.material, made.trained.network.shape
    bundle = GenerativeBundle(folder, {"classes": list(made.classes)})
    data = material.test if made.split == "test" else material.validation
    chance = np.random.default_rng(made.settings.seed)
    rows = chance.permutation(len(data))
    pictures, labels = drawn(made.trained.network, data, made.measures["seed"])
    told = labels.numpy() if bundle.conditional else None
    few = rows[:RECONSTRUCTIONS]
    originals = pictures.numpy()[few]
    codes = bundle.encode(originals, None if told is None else told[few])
    again = bundle.decode(codes, None if told is None else told[few])
    columns = len(made.classes) if 2 <= len(made.classes) <= 16 else 16
    count = SAMPLES - SAMPLES % columns  # whole rows
    kinds = labels_of(bundle, None, count)
    samples = bundle.decode(random_codes(bundle, count, made.settings.seed), kinds)
    half = max(1, min(WALKS, len(few) // 2))
    path = interpolate(codes[:half], codes[-half:], STEPS, "spherical")
    along = None if told is None else told[few[:half]].repeat(STEPS)
    grid = None
    if shape.latent == 2:
        first = None if told is None else np.zeros(SIDE**2, np.int64)
        grid = bundle.decode(plane(SIDE), first), SIDE
    some = torch.from_numpy(rows[:POINTS])
    _, means = active_units(
        made.trained.network, pictures[some], labels[some] if told is not None else None
    )
    points, axes = _flat(means.numpy())
    reconstructions = [Row("originals", originals), Row("made again", again)]
    if shape.likelihood == "bernoulli":
        reconstructions[0] = Row("originals (each pixel drawn black or white)", originals)
    return VaeReport(
        title=material.dataset.name, summary=_summary(made), split=made.split,
        measures=made.measures, unit=_unit(made), collapse=_collapse(made),
        reconstructions=reconstructions, samples=samples,
        columns=columns,
        walks=bundle.decode(path, along), steps=STEPS, grid=grid,
        points=points, axes=axes, labels=labels[some].numpy(), classes=material.dataset.classes,
        told=made.classes,
        curves=made.trained.curves, notices=material.told,
        refused=material.refused, seconds=dict(progress.seconds),
        provenance=provenance(command, made.settings, {"weights": made.trained.network}),
    )  # fmt: skip


def _flat(means: NDArray[np.float32]) -> tuple[NDArray[np.float32], str]:
    """Return (n, 2), and what the two directions are."""
    if means.shape[1] == 1:
        return np.hstack([means, np.zeros_like(means)]), "codes of one number, along a line"
    if means.shape[1] == 2:
        return means, "the two numbers of their codes"
    centred = means - means.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    share = float((lengths[:2] ** 2).sum() / (lengths**2).sum().clip(1e-12))
    told = f"the two principal components of their codes, {100 * share:.0f} % of all that varies"
    flat = np.zeros((len(means), 2), np.float32)  # a single picture has one direction only
    flat[:, : len(axes[:2])] = centred @ axes[:2].T
    return flat, told


def _summary(made: "Made") -> str:
    shape = made.material.shape
    return (
        f"Pictures of {shape[1]} by {shape[2]} pixels from {made.settings.latent} numbers; epoch "
        f"{made.trained.best_epoch} of {made.trained.epochs} ships."
    )


def _unit(made: "Made") -> str:
    if made.trained.network.shape.likelihood == "bernoulli":
        return (
            "Of pictures whose pixels were drawn black or white once, with probability equal to "
            "their grey. Lower is better; comparable with figures for pictures drawn alike."
        )
    return (
        "Of pixel values in 0..1 as a density, which may be negative; comparable with other "
        "Gaussian models of the same pictures only."
    )


def _collapse(made: "Made") -> str:
    active, units = made.measures["active_units"], made.measures["units"]
    told = f"{active} of {units} numbers of a code tell pictures apart"
    if active == units:
        return (
            f"All {units} numbers of a code tell pictures apart; none has collapsed to the prior. "
            "A longer code might say more."
        )
    if active == 0:
        return (
            f"{told}: every one has collapsed to the prior, and all pictures come back alike. Try "
            "--set beta_warm_up=0.2, --set free_bits=0.1, or a smaller --beta."
        )
    return (
        f"{told}; the other {units - active} have collapsed to the prior, which costs nothing: the "
        "bound found no use for them. If more than half have, a smaller --latent does the same; if "
        "pictures come back too vague, try --set beta_warm_up=0.2 or --set free_bits=0.1."
    )
