"""`generate vae`: train one, measure its bound, write it with a report."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from silverprint.data.conventions import counted
from silverprint.data.table import Dataset, Split
from silverprint.errors import ConfigError
from silverprint.export.bundle import check_output
from silverprint.export.generative import export_part
from silverprint.models.vae import DecoderPart, EncoderPart, Vae
from silverprint.recipes.vae import TrainedVae, drawn, shape_of, train_vae
from silverprint.recipes.vae_settings import Measuring, VaeSettings
from silverprint.reports.vae import render
from silverprint.runtime.generative import DECODER, ENCODER
from silverprint.runtime.preprocessing import Fit
from silverprint.training.importance import active_units, importance_bounds
from silverprint.training.pixels import PixelData
from silverprint.training.progress import Advance, Progress
from silverprint.workflows.generative import Material, count_earlier, read_material, ship
from silverprint.workflows.processes import lost_processes_told, main_process
from silverprint.workflows.vae_page import page_of

MEASURED = 10_000  # pictures whose bound is taken with one code each
PARITY_ROWS = 8


@dataclass(frozen=True)
class Made:
    """A trained variational autoencoder and what is known of it.

    Attributes:
        material: what it learned from.
        settings: how.
        trained: the network and its curves.
        split: what it was measured on: "test", or "validation" where there is no test.
        measures: of that split; plain JSON types.
    """

    material: Material
    settings: VaeSettings
    trained: TrainedVae
    split: Split
    measures: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes it is told, if it is."""
        return self.material.dataset.classes if self.settings.conditional else ()

    def lines(self) -> list[str]:
        """Say the result in words."""
        found = self.measures
        return [
            f"{self.split}: -log p at most {found['nll']:.2f} ± {found['nll_error']:.2f} nats "
            f"({counted(found['nll_pictures'], 'picture')}, {counted(found['samples'], 'code')} "
            f"each); bound with one code {found['negative_elbo']:.2f} = "
            f"{found['reconstruction']:.2f} reconstruction + {found['divergence']:.2f} divergence",
            f"{found['active_units']} of {found['units']} numbers of a code are in use",
        ]


def make_vae(
    dataset: Dataset, out: Path, settings: VaeSettings, progress: Progress, *,
    measuring: Measuring | None = None, size: int | None = None, fit: Fit = "crop",
    fresh: bool = False, command: str = "",
) -> Made:  # fmt: skip
    """Train a variational autoencoder and write its bundle and report.

    Args:
        dataset: pictures; labels are looked at where settings.conditional.
        out: the bundle's folder.
        settings: how to train.
        progress: shows how far it is.
        measuring: how the likelihood is estimated.
        size: side in pixels; None for the pictures' own, at most 64.
        fit: how a picture becomes square.
        fresh: forget a stopped run of the same command instead of going on.
        command: what was typed, for the report.

    Returns:
        The finished run. Of several processes under torchrun only the first writes.

    Raises:
        SilverprintError: pictures, settings or the output's place will not do.
    """
    check_output(out)
    if settings.conditional and len(dataset.classes) < 2:
        raise ConfigError(
            f"{dataset.name} has no classes to be told apart; leave --conditional out."
        )
    material = read_material(
        dataset, progress, size=size, fit=fit, seed=settings.seed, labelled=settings.conditional
    )
    classes = len(material.dataset.classes)
    shape_of(material.train, settings, classes).check()
    material.tell_few_steps(settings)
    folder = material.run_folder(settings, fresh=fresh)
    total = settings.epochs * len(material.train)
    with lost_processes_told(), progress.stage("train", total, "training") as advance:
        trained = train_vae(
            material.train, material.validation, settings, folder, classes=classes, advance=advance
        )
    count_earlier(progress, folder, trained.resumed, material.notices)
    made = measure(material, settings, trained, measuring or Measuring(), progress)
    if main_process():
        write_vae(made, out, folder, progress, command)
    return made


def measure(
    material: Material, settings: VaeSettings, trained: TrainedVae, measuring: Measuring,
    progress: Progress,
) -> Made:  # fmt: skip
    """Estimate the likelihood of test pictures, or of validation pictures where there are none."""
    split: Split = "test" if len(material.test) else "validation"
    data = material.test if split == "test" else material.validation
    count = min(measuring.pictures, len(data))
    total = min(len(data), MEASURED) + count * measuring.samples
    with progress.stage("measure", total, "measuring") as advance:
        measures = measures_of(trained.network, data, measuring, advance)
    return Made(material, settings, trained, split, measures)


def measures_of(
    vae: Vae, data: PixelData, measuring: Measuring, advance: Advance
) -> dict[str, Any]:
    """Return the bound of pictures and its terms, tight for some of them; nats a picture.

    Grey pictures under a Bernoulli likelihood are drawn black and white once, by the seed.
    """
    order = np.random.default_rng(measuring.seed).permutation(len(data))[:MEASURED]
    pictures, labels = drawn(vae, data, measuring.seed)
    whole, some = torch.from_numpy(order), torch.from_numpy(order[: measuring.pictures])
    told = labels if vae.shape.classes else None

    def bounds(rows: Tensor, samples: int) -> Any:
        own = None if told is None else told[rows]
        return importance_bounds(
            vae, pictures[rows], own, (samples,), seed=measuring.seed, advance=advance
        )

    loose, tight = bounds(whole, 1), bounds(some, measuring.samples)
    nll = tight.by_samples[measuring.samples]
    units, _ = active_units(vae, pictures[whole], None if told is None else told[whole])
    return {
        "pictures": len(whole),
        "negative_elbo": float((loose.reconstruction + loose.divergence).mean()),
        "reconstruction": float(loose.reconstruction.mean()),
        "divergence": float(loose.divergence.mean()),
        "nll": float(nll.mean()),
        "nll_error": float(nll.std(ddof=1) / len(nll) ** 0.5) if len(nll) > 1 else 0.0,
        "nll_pictures": len(nll),
        "samples": measuring.samples,
        "seed": measuring.seed,
        "active_units": units,
        "units": vae.shape.latent,
    }


def write_parts(vae: Vae, folder: Path) -> float:
    """Write encoder.onnx and decoder.onnx; return their largest difference from the network."""
    chance, shape = torch.Generator().manual_seed(0), vae.shape
    pictures = torch.rand(PARITY_ROWS, shape.channels, shape.side, shape.side, generator=chance)
    codes = torch.randn(PARITY_ROWS, shape.latent, generator=chance)
    told = {}
    if shape.classes:
        told = {"labels": torch.randint(shape.classes, (PARITY_ROWS,), generator=chance)}
    encoder, decoder = EncoderPart(vae), DecoderPart(vae)
    return max(
        export_part(encoder, {"pictures": pictures, **told}, ("codes",), folder / ENCODER),
        export_part(decoder, {"codes": codes, **told}, ("pictures",), folder / DECODER),
    )


def write_vae(made: Made, out: Path, folder: Path, progress: Progress, command: str) -> None:
    """Write the bundle and its report."""
    facts = {
        **made.material.facts(made.settings),
        "classes": list(made.classes),
        "network": asdict(made.trained.network.shape),
        "epoch": made.trained.best_epoch,
        "epochs": made.trained.epochs,
        "metrics": {made.split: made.measures},
    }
    with progress.stage("export"):
        facts["agreement"] = write_parts(made.trained.network, folder)
    ship(
        out, folder, "vae", made.trained.network.state_dict(),
        render(page_of(made, folder, progress, command)), facts,
        preprocessing=made.material.preprocessing,
    )  # fmt: skip
