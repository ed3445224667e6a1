"""Autoencoders against PCA, the denoiser's gain, and the checkerboard of transposed convolutions.

    SILVERPRINT_DATA=... python benchmarks/autoencoders.py
    python benchmarks/autoencoders.py --parts checkerboard --figure docs/autoencoders.png

MNIST: 55,000 digits teach, 5,000 drawn by the seed choose the epoch, the 10,000 of the test split
are measured, through the files that ship. PCA is scikit-learn's, fitted to the same digits, and cut
to 0..1 as the network's pictures are; a linear network is compared before the cut. Of the
checkerboard: clothing photos at 64 pixels, the same code size, weights, data, seed and steps.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from common import PROGRAM, spread, table, timed

LINEAR_SIZES = (2, 8, 32)
SHOWN = 6  # pictures of the figure
CROP, ENLARGED = 24, 8  # pixels of the crop, and how large each becomes


def main() -> None:
    """Measure the parts asked for, and print a section."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("SILVERPRINT_DATA", ""))
    parser.add_argument("--mnist", default=str(data / "mnist"))
    parser.add_argument("--photos", default=str(data / "clothing"))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--linear-epochs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3, help="of convolutional ones")
    parser.add_argument("--early", type=int, default=2, help="epochs of the checkerboard's figure")
    parser.add_argument("--late", type=int, default=12, help="epochs of its second row")
    parser.add_argument("--figure", type=Path, help="write the checkerboard's figure here")
    options = parser.parse_args()
    print(f"## Autoencoders\n\n{__doc__.split(chr(10) * 2)[2].strip()}")
    for part in options.parts.split(","):
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n{PARTS[part](options, Path(folder))}", flush=True)


def trained(data: str, folder: Path, *options: object) -> tuple[float, dict]:
    """Train one as a person would; return the whole process's seconds and what it told."""
    command = [PROGRAM, "generate", "autoencoder", data, "--out", folder / "bundle", "--json",
               "--quiet", *options]  # fmt: skip
    seconds, output, _ = timed([str(part) for part in command], folder / "cache")
    return seconds, json.loads(output)


def over_seeds(options: argparse.Namespace, folder: Path, *given: object) -> tuple[list, list]:
    """Return seconds and test figures of one setting by seed."""
    runs = [trained(options.mnist, folder, *given, "--seed", seed) for seed in range(options.seeds)]
    return [seconds for seconds, _ in runs], [told["metrics"]["test"] for _, told in runs]


def linear(options: argparse.Namespace, folder: Path) -> str:
    """A linear autoencoder by Adam against PCA in closed form."""
    rows = []
    for k in LINEAR_SIZES:
        seconds, found = over_seeds(options, folder, "--kind", "linear", "--code-size", k,
                                    "--epochs", options.linear_epochs)  # fmt: skip
        errors = [one["error_uncut"] for one in found]
        ratios = [one["error_uncut"] / one["pca_error_uncut"] for one in found]
        pca = found[0]["pca_error_uncut"]
        rows.append([k, f"{pca:.5f}", spread(errors, 5), spread(ratios, 4), spread(seconds, 0)])
    head = ["k", "PCA's error", "linear autoencoder's", "times PCA's", "seconds, whole process"]
    told = f"Linear, {options.linear_epochs} epochs, {options.seeds} seeds, mean squared error:"
    return f"{told}\n\n{table(head, rows)}"


def convolutional(options: argparse.Namespace, folder: Path) -> str:
    """Convolutional autoencoders against PCA with as many numbers."""
    rows = []
    for kind in ("transposed", "upsampling"):
        for k in (8, 32):
            seconds, found = over_seeds(options, folder, "--kind", kind, "--code-size", k,
                                        "--epochs", options.epochs)  # fmt: skip
            rows.append([
                kind, k, spread([one["error"] for one in found], 5),
                f"{found[0]['pca_error']:.5f}",
                spread([one["pca_error"] / one["error"] for one in found], 2),
                spread([one["psnr"] for one in found], 2), f"{found[0]['pca_psnr']:.2f}",
                spread(seconds, 0),
            ])  # fmt: skip
    head = ["kind", "k", "error", "PCA's", "PCA's over it", "PSNR in dB", "PCA's",
            "seconds, whole process"]  # fmt: skip
    told = f"Convolutional, {options.epochs} epochs, {options.seeds} seeds:"
    return f"{told}\n\n{table(head, rows)}"


def denoiser(options: argparse.Namespace, folder: Path) -> str:
    """The dB gained over pictures under noise that is cut to 0..1."""
    seconds, found = over_seeds(
        options, folder, "--noise", "gaussian", "--strength", 0.5, "--code-size", 64, "--epochs",
        options.epochs,
    )  # fmt: skip
    names = ("noisy_psnr", "psnr", "psnr_gained", "pca_psnr")
    rows = [[*(spread([one[name] for one in found], 2) for name in names), spread(seconds, 0)]]
    head = ["noisy", "made again", "gained", "PCA on the same", "seconds, whole process"]
    told = (
        f"Denoiser, Gaussian of deviation 0.5 cut to 0..1, k = 64, {options.epochs} epochs, "
        f"{options.seeds} seeds, mean PSNR of 10,000 digits in dB:"
    )
    return f"{told}\n\n{table(head, rows)}"


def checkerboard(options: argparse.Namespace, folder: Path) -> str:
    """Energy at the stride's frequency, after few epochs and after more."""
    from silverprint.data.read import read
    from silverprint.runtime.generative import read_generative
    from silverprint.runtime.sheets import to_bytes

    rows, figure = [], []
    photos = read(options.photos)
    chosen = [photos.sources[row] for row in photos.rows("test")]
    for epochs in (options.early, options.late):
        made = {}
        for kind in ("transposed", "upsampling"):
            trained(options.photos, folder, "--kind", kind, "--code-size", 64, "--size", 64,
                    "--widths", "16,32,64,128", "--epochs", epochs)  # fmt: skip
            bundle = read_generative(folder / "bundle")
            originals = np.stack([bundle.read(source) for source in chosen])
            made[kind] = bundle.decode(bundle.encode(originals))
        base = at_the_stride(originals)[0]
        for name, pictures in {"originals": originals, **made}.items():
            energy, peak = at_the_stride(pictures)
            rows.append([epochs, name, f"{energy / base:.3f}", f"{peak:.2f}"])
        shown = np.linspace(0, len(chosen) - 1, SHOWN).round().astype(int)
        figure.append([to_bytes(some[shown]) for some in (originals, *made.values())])
    if options.figure:
        draw(figure, (options.early, options.late), rows, options.figure)
    head = ["epochs", "pictures", "energy at period 2, over the originals'", "over that nearby"]
    told = f"Checkerboard, {len(chosen)} clothing test photos at 64 px, k = 64, one seed:"
    return f"{told}\n\n{table(head, rows)}"


def at_the_stride(pictures: np.ndarray) -> tuple[float, float]:
    """Return the mean energy at period 2, the stride, and its ratio to that of near frequencies.

    A Hann window keeps what a picture's edges would add; near are the four next lower frequencies.

    Args:
        pictures: (n, C, S, S) float32 in 0..1, S even.
    """
    side = pictures.shape[-1]
    window = np.hanning(side)[:, None] * np.hanning(side)
    centred = pictures - pictures.mean(axis=(2, 3), keepdims=True)
    power = (np.abs(np.fft.rfft2(centred * window)) ** 2).mean(axis=(0, 1))
    half = side // 2  # of the rows of frequencies, and the last column

    def band(distance: int) -> np.ndarray:
        row, column = half - distance, half - distance
        return np.concatenate([power[row, : column + 1], power[: row + 1, column]])

    energy = band(0).mean()
    # The window spreads a line over its two neighbours, so near begins at the third.
    near = np.mean([band(distance).mean() for distance in range(3, 7)])
    return float(energy), float(energy / near)


def draw(
    figure: list[list[np.ndarray]], epochs: tuple[int, int], rows: list[list], path: Path
) -> None:
    """Write the figure: photos and crops of them eight times as large, each row named."""
    from PIL import ImageDraw, ImageFont

    side, gap, left, small = CROP * ENLARGED, 8, 250, 64 * 3
    line = max(side, small) + gap
    across = left + 2 * (small + gap) + 4 * (side + gap)
    lines = [(number, at) for number in range(len(figure)) for at in range(3) if number == 0 or at]
    sheet = Image.new("RGB", (across, len(lines) * line + gap), "white")
    pen = ImageDraw.Draw(sheet)
    names = ("originals", "transposed", "upsampling")
    for place, (number, at) in enumerate(lines):
        top = gap + place * line
        pictures = figure[number][at]
        told = names[at] if at == 0 else f"{names[at]}, {epochs[number]} epochs"
        _, _, over, near = rows[3 * number + at]
        words = f"{told}\nenergy at period 2:\n{over} times the originals'\n{near} times nearby"
        pen.text((gap, top + 20), words, "black", ImageFont.load_default(19), spacing=8)
        for column in range(2):
            whole = Image.fromarray(pictures[column]).resize(
                (small, small), Image.Resampling.NEAREST
            )
            sheet.paste(whole, (left + column * (small + gap), top))
        for column in range(4):
            start = (64 - CROP) // 2
            crop = pictures[column][start : start + CROP, start : start + CROP]
            large = Image.fromarray(crop).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(large, (left + 2 * (small + gap) + column * (side + gap), top))
    sheet.save(path)


PARTS = {
    "linear": linear,
    "convolutional": convolutional,
    "denoiser": denoiser,
    "checkerboard": checkerboard,
}

if __name__ == "__main__":
    main()
