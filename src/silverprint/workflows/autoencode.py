"""`generate autoencoder`: train one, measure the files that ship, and write them with a report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from silverprint.data.table import Dataset, Split
from silverprint.export.bundle import check_output
from silverprint.export.generative import export_part
from silverprint.models.autoencoders import (
    Autoencoder,
    Decoder,
    Encoder,
    check_picture,
)
from silverprint.models.shapes import check_side
from silverprint.recipes.autoencoder import (
    AutoencoderSettings,
    FittedAutoencoder,
    train_autoencoder,
)
from silverprint.reports.autoencoder import AutoencoderReport, render
from silverprint.reports.contents import Curve
from silverprint.reports.sheet import Row
from silverprint.runtime.generative import DECODER, ENCODER, GenerativeBundle
from silverprint.runtime.noise import psnr, spoil_arrays
from silverprint.runtime.preprocessing import Fit
from silverprint.training.progress import Progress
from silverprint.workflows.generative import (
    Material,
    count_earlier,
    provenance,
    read_material,
    ship,
)
from silverprint.workflows.principal import Principal, fit_principal, mean_square

SHOWN = 16  # pictures in a row of the report
COMPARED = 4  # times the code's size: up to so many axes PCA is compared
PARITY_PICTURES = 8
MEASURED_NUMBERS = 1 << 27  # of a split's pictures: half a gigabyte, three times


@dataclass(frozen=True)
class Measured:
    """What the shipped files do with the pictures of a split.

    Attributes:
        rows: (n,) which of the split's pictures: all, or of very many some, evenly drawn.
        clean: (n, C, S, S) float32 in 0..1.
        seen: what was encoded: the same, or under noise.
        made: what came out.
        quality: (n,) PSNR of `made` in dB.
        measures: the figures, plain.
        pca: numbers a picture -> mean squared error of PCA with so many, cut to 0..1.
        same_k: how many numbers PCA needs to come as close; None for more than were tried, and
            under noise, where more numbers are not always better.
    """

    rows: NDArray[np.int64]
    clean: NDArray[np.float32]
    seen: NDArray[np.float32]
    made: NDArray[np.float32]
    quality: NDArray[np.float64]
    measures: dict[str, float]
    pca: dict[int, float]
    same_k: int | None


@dataclass(frozen=True)
class Autoencoded:
    """A trained autoencoder and what is to be told of it.

    Attributes:
        material: what it learned from.
        settings: how.
        fitted: the network and its training.
        split: which pictures judge it: "test", or "validation" where there are none.
        measured: of that split.
        metrics: split -> figures.
        worst: file and PSNR of those that came out worst, the worst first.
    """

    material: Material
    settings: AutoencoderSettings
    fitted: FittedAutoencoder
    split: Split
    measured: Measured
    metrics: dict[str, dict[str, float]]
    worst: list[tuple[str, float]]

    def summary(self) -> str:
        """Say the result in a sentence."""
        settings, figures = self.settings, self.measured.measures
        numbers = int(np.prod(self.material.shape))
        if settings.noise != "none":
            return (
                f"Pictures under {settings.noise} noise of strength {settings.strength:g} come out "
                f"at {figures['psnr']:.1f} dB instead of {figures['noisy_psnr']:.1f} dB."
            )
        most, same = max(self.measured.pca), self.measured.same_k
        needs = f"more than {most:,}" if same is None else f"{same:,}"
        return (
            f"{numbers:,} values become {settings.code_size:,} numbers and come back with a mean "
            f"squared error of {figures['error']:.4f}; PCA needs {needs} for that."
        )


def autoencode(
    dataset: Dataset, out: Path, settings: AutoencoderSettings, progress: Progress, *,
    size: int | None = None, fit: Fit = "crop", fresh: bool = False, command: str = "",
) -> Autoencoded:  # fmt: skip
    """Train an autoencoder, measure what ships, and write bundle and report.

    Args:
        dataset: pictures; labels are not looked at.
        out: the bundle's folder.
        settings: how to train.
        progress: shows how far it is.
        size: side in pixels; None for the pictures' own, at most 64.
        fit: how a picture becomes square.
        fresh: forget a stopped run of the same command instead of going on.
        command: what was typed, for the report.

    Raises:
        SilverprintError: pictures, settings or the output's place will not do.
    """
    check_output(out)
    if size is not None:
        check_side("an autoencoder takes", size)
    material = read_material(
        dataset, progress, size=size, fit=fit, seed=settings.seed, labelled=False
    )
    check_picture(settings.kind, material.shape, settings.code_size, settings.widths)
    material.tell_few_steps(settings)
    folder = material.run_folder(settings, fresh=fresh)
    train = material.train.pixels
    with progress.stage("train", settings.epochs * len(train), "training") as advance:
        fitted = train_autoencoder(
            train, material.validation.pixels, settings, folder, advance=advance
        )
    count_earlier(progress, folder, fitted.resumed, material.notices)
    with progress.stage("export"):
        agreement = write_parts(fitted.network, folder)
    with progress.stage("measure"):
        result = examine(material, settings, fitted, GenerativeBundle(folder, {}))
    ship(
        out, folder, "autoencoder", fitted.network.state_dict(),
        render(_report(result, progress, command)), _facts(result, agreement),
        preprocessing=material.preprocessing,
    )  # fmt: skip
    return result


def write_parts(network: Autoencoder, folder: Path) -> float:
    """Write encoder.onnx and decoder.onnx; return their largest difference from the network."""
    chance = torch.Generator().manual_seed(0)
    pictures = torch.rand(PARITY_PICTURES, *network.shape, generator=chance)
    with torch.no_grad():
        codes = network.encode(pictures)
    return max(
        export_part(Encoder(network), {"pictures": pictures}, ("codes",), folder / ENCODER),
        export_part(Decoder(network), {"codes": codes}, ("pictures",), folder / DECODER),
    )


def examine(
    material: Material, settings: AutoencoderSettings, fitted: FittedAutoencoder,
    bundle: GenerativeBundle,
) -> Autoencoded:  # fmt: skip
    """Measure the files on validation and test, against PCA on the same pictures."""
    most = max(COMPARED * settings.code_size, 64)
    principal = fit_principal(material.train.pixels, most, settings.seed)
    parts = {"validation": material.validation.pixels, "test": material.test.pixels}
    measured = {
        split: measure(pixels, settings, bundle, principal, fitted.network)
        for split, pixels in parts.items()
        if len(pixels)
    }
    split: Split = "test" if "test" in measured else "validation"
    shown = measured[split]
    rows = material.dataset.rows(split)[shown.rows]
    worst = np.argsort(shown.quality, kind="stable")[:SHOWN]
    return Autoencoded(
        material, settings, fitted, split, shown,
        {split: one.measures for split, one in measured.items()},
        [(material.dataset.names[rows[i]], round(float(shown.quality[i]), 2)) for i in worst],
    )  # fmt: skip


def measure(
    pixels: NDArray[np.uint8], settings: AutoencoderSettings, bundle: GenerativeBundle,
    principal: Principal, network: Autoencoder,
) -> Measured:  # fmt: skip
    """Run pictures (n, C, S, S) through the files, and compare what comes out."""
    clear = settings.noise == "none"
    rows = np.arange(0, len(pixels), -(-pixels.size // MEASURED_NUMBERS))
    clean = pixels[rows].astype(np.float32) / np.float32(255)
    seen = spoil_arrays(clean, settings.noise, settings.strength, settings.seed)
    made = bundle.decode(bundle.encode(seen))
    quality = psnr(made, clean)
    flat_clean, flat_seen = (some.reshape(len(some), -1) for some in (clean, seen))
    most = len(principal.axes)
    k = min(settings.code_size, most)
    by_pca = principal.again(flat_seen, k)
    measures = {
        "pictures": len(clean),
        "error": mean_square(made, clean),
        "psnr": float(quality.mean()),
        "pca_error": mean_square(by_pca.clip(0, 1), flat_clean),
        "pca_psnr": float(psnr(by_pca.clip(0, 1).reshape(clean.shape), clean).mean()),
    }
    if not clear:
        measures["noisy_psnr"] = float(psnr(seen, clean).mean())
        measures["psnr_gained"] = measures["psnr"] - measures["noisy_psnr"]
    if settings.kind == "linear":
        measures["error_uncut"] = mean_square(_uncut(network, seen), clean)
        measures["pca_error_uncut"] = mean_square(by_pca, flat_clean)
    counts = sorted({k, most, *(2**n for n in range(most.bit_length()))})
    return Measured(
        rows, clean, seen, made, quality, measures,
        {count: principal.error(flat_clean, flat_seen, count) for count in counts},
        principal.enough(flat_clean, measures["error"]) if clear else None,
    )  # fmt: skip


@torch.no_grad()
def _uncut(network: Autoencoder, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a linear network makes, as it is compared with PCA: the file cuts it to 0..1."""
    made: NDArray[np.float32] = network.decode(network.encode(torch.from_numpy(pictures))).numpy()
    return made


def _facts(result: Autoencoded, agreement: float) -> dict[str, Any]:
    return {
        **result.material.facts(result.settings),
        "classes": list(result.material.dataset.classes),
        "epoch": result.fitted.best_epoch,
        "epochs": result.fitted.epochs,
        "metrics": result.metrics,
        "agreement": agreement,
    }


def _report(result: Autoencoded, progress: Progress, command: str) -> AutoencoderReport:
    shown, material = result.measured, result.material
    order = np.argsort(shown.quality, kind="stable")
    few = np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)
    return AutoencoderReport(
        title=material.dataset.name,
        summary=result.summary(),
        split=result.split,
        measures=shown.measures,
        code_size=result.settings.code_size,
        numbers=int(np.prod(material.shape)),
        noisy=result.settings.noise != "none",
        samples=_rows(result, few),
        worst=_rows(result, order[:SHOWN]),
        best=_rows(result, order[::-1][:SHOWN]),
        pca=shown.pca,
        curves=[Curve(name, tuple(values)) for name, values in result.fitted.curves.items()],
        notices=material.told,
        refused=material.refused,
        seconds=dict(progress.seconds),
        provenance=provenance(command, result.settings, {"weights": result.fitted.network}),
    )


def _rows(result: Autoencoded, chosen: NDArray[np.intp]) -> list[Row]:
    shown = result.measured
    rows = [Row("originals", shown.clean[chosen])]
    if result.settings.noise != "none":
        rows.append(Row("under noise", shown.seen[chosen]))
    return [*rows, Row("made again", shown.made[chosen])]
