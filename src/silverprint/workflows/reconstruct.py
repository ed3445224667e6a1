"""`generate reconstruct`: pictures through an autoencoder or vae and back, by ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silverprint.errors import ConfigError, DataError, ImageError
from silverprint.runtime.generative import GenerativeBundle, read_generative
from silverprint.runtime.noise import check_noise, psnr, spoil_arrays, strength_of
from silverprint.training.checks import check_within
from silverprint.training.choices import RANGES
from silverprint.workflows.latent import MOST_ON_A_SHEET, check_sheet, class_of, each, write_sheet
from silverprint.workflows.predict import list_pictures


@dataclass(frozen=True)
class Reconstructed:
    """What came out.

    Attributes:
        out: the sheet.
        names: of the pictures.
        psnr: (n,) of what came out, in dB.
        noisy_psnr: (n,) of what went in, where noise was laid over it.
        refused: file and reason of those that could not be read.
    """

    out: Path
    names: list[str]
    psnr: NDArray[np.float64]
    noisy_psnr: NDArray[np.float64] | None
    refused: list[tuple[str, str]]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        pictures = []
        for i, name in enumerate(self.names):
            row: dict[str, Any] = {"file": name, "psnr": round(float(self.psnr[i]), 3)}
            if self.noisy_psnr is not None:
                row["noisy_psnr"] = round(float(self.noisy_psnr[i]), 3)
            pictures.append(row)
        return {
            "sheet": str(self.out),
            "psnr": round(float(self.psnr.mean()), 3),
            **({} if self.noisy_psnr is None
               else {"noisy_psnr": round(float(self.noisy_psnr.mean()), 3)}),
            "pictures": pictures,
            "refused": [{"file": file, "reason": reason} for file, reason in self.refused],
        }  # fmt: skip


def reconstruct(
    model: str | PathLike[str], files: Sequence[str | PathLike[str]] | str | PathLike[str],
    out: str | PathLike[str], *, noise: str = "none", strength: float | None = None,
    label: str | None = None, columns: int = 16, seed: int = 0,
) -> Reconstructed:  # fmt: skip
    """Encode and decode pictures, and write a sheet: originals, under noise if any, made again.

    Args:
        model: the bundle.
        files: pictures, or folders of them.
        out: the sheet.
        noise: what to lay over the pictures first.
        strength: of it; None for the usual one.
        label: the pictures' class, for a model that is told it.
        columns: most pictures side by side.
        seed: of the noise.

    Raises:
        SilverprintError: the bundle, the pictures or the sheet's place will not do.
    """
    out = Path(out)
    check_sheet(out)
    check_within("--columns", columns, (int, 1, 4096, "1..4096"))
    check_within("--seed", seed, RANGES["seed"])
    strength = strength_of(noise, strength)
    check_noise(noise, strength)
    given = [files] if isinstance(files, str | PathLike) else files
    asked = [fspath(file) for file in given]
    bundle = read_generative(model, ("autoencoder", "vae"))
    told = class_of(bundle, label, 1, "--label")
    found = list_pictures(asked)
    if len(found) > MOST_ON_A_SHEET:
        raise ConfigError(
            f"{', '.join(asked)} has {len(found):,} pictures, and a sheet holds at most "
            f"{MOST_ON_A_SHEET:,}; name fewer."
        )
    names, pictures, refused = read_all(bundle, found)
    if not names:
        first = f": {refused[0][0]}: {refused[0][1]}" if refused else ""
        raise DataError(f"no picture in {', '.join(asked)} can be read{first}.")
    labels = each(told, len(names))
    seen = spoil_arrays(pictures, noise, strength, seed)  # type: ignore[arg-type]
    made = bundle.decode(bundle.encode(seen, labels), labels)
    rows = [pictures, made] if noise == "none" else [pictures, seen, made]
    write_sheet(rows, out, columns)
    noisy = None if noise == "none" else psnr(seen, pictures)
    return Reconstructed(out, names, psnr(made, pictures), noisy, refused)


def read_all(
    bundle: GenerativeBundle, files: Sequence[str]
) -> tuple[list[str], NDArray[np.float32], list[tuple[str, str]]]:
    """Return the names of those that can be read, these (n, C, S, S), and who cannot and why."""
    names, pictures, refused = [], [], []
    for file in files:
        try:
            pictures.append(bundle.read(file))
            names.append(file)
        except ImageError as error:
            refused.append((file, error.reason))
    empty = np.empty((0, 1, 1, 1), np.float32)
    return names, np.stack(pictures) if pictures else empty, refused
