"""`generate sample` and `generate walk`: pictures out of codes, by ONNX Runtime alone."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.data.conventions import counted
from silverprint.errors import ConfigError, closest
from silverprint.export.output import check_place as check_new
from silverprint.inspection.figure import PIXEL_KINDS, encoded, write_bytes
from silverprint.reports.page import make_folder
from silverprint.runtime.disk import writing_to
from silverprint.runtime.generative import (
    TOGETHER,
    GenerativeBundle,
    Labels,
    Pictures,
    read_generative,
)
from silverprint.runtime.sheets import in_rows, sheet, to_bytes
from silverprint.training.checks import check_within
from silverprint.training.choices import RANGES

Way = Literal["spherical", "linear"]
MOST_ON_A_SHEET, MOST = 4096, 1_000_000
COLUMNS = 16
EDGE = 0.02  # of the normal distribution, left out at either end of a grid
Codes = NDArray[np.float32]


@dataclass(frozen=True)
class Sampled:
    """What was made.

    Attributes:
        out: the sheet, or the folder of single files.
        count: how many pictures.
        classes: of each, where the network is told the class.
    """

    out: Path
    count: int
    classes: tuple[str, ...]


def sample(
    model: str | PathLike[str], out: str | PathLike[str], *, count: int = 64,
    class_name: str | None = None, seed: int = 0, temperature: float = 1.0,
) -> Sampled:  # fmt: skip
    """Make pictures out of random codes of N(0, I).

    Args:
        model: bundle of a vae or gan.
        out: a sheet, by its ending; a name without one is a new folder for single files.
        count: how many.
        class_name: what to make, of a network that is told; None makes all classes in turn.
        seed: of the codes: the first pictures are the same however many are made.
        temperature: codes are multiplied by it; under 1 they keep to what is usual.

    Raises:
        SilverprintError: the bundle, a setting or the place of the pictures will not do.
    """
    out = Path(out)
    one_sheet = check_place(out)
    most = MOST_ON_A_SHEET if one_sheet else MOST
    words = f"1..{most} for a sheet, and 1..{MOST} for a folder" if one_sheet else f"1..{most}"
    check_within("--n", count, (int, 1, most, words))
    check_within("--temperature", temperature, (float, 0, 10, "0..10"))
    check_within("--seed", seed, RANGES["seed"])
    bundle = read_generative(model, ("vae", "gan"))
    labels = labels_of(bundle, class_name, count)
    codes = np.float32(temperature) * random_codes(bundle, count, seed)
    if one_sheet:
        across = len(bundle.classes) if labels is not None and class_name is None else 0
        columns = across if 0 < across <= 2 * COLUMNS else _columns(count)
        write_sheet(in_rows(bundle.decode(codes, labels), columns), out, columns)
    else:
        _write_files(bundle, codes, labels, out)
    told = () if labels is None else tuple(bundle.classes[label] for label in labels)
    return Sampled(out, count, told)


def walk(
    model: str | PathLike[str], out: str | PathLike[str], *,
    between: tuple[str | PathLike[str], str | PathLike[str]] | None = None, grid: bool = False,
    steps: int = 12, walks: int = 6, way: Way | None = None, class_name: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Walk from code to code and make a picture at every step.

    Args:
        model: bundle of a vae or gan; of an autoencoder between two pictures.
        out: the sheet.
        between: two pictures to begin and end at, in place of random codes.
        grid: cover the whole plane of a network with two numbers a code.
        steps: pictures of a walk, both ends included; of a grid's side.
        walks: how many, between random codes.
        way: "spherical" keeps to lengths that codes of N(0, I) have; "linear" goes straight; None
            takes the former, but for an autoencoder, whose codes have no such lengths.
        class_name: what to make, of a network that is told; None makes all classes in turn, a walk
            each, and of a grid the first. Between two pictures it is theirs, and needed.
        seed: of the random codes.

    Returns:
        What was done, as plain JSON types.

    Raises:
        SilverprintError: the bundle, a setting, a picture or the sheet's place will not do.
    """
    out = Path(out)
    check_sheet(out)
    if between is not None and grid:
        raise ConfigError("--between walks from picture to picture and --grid over all; give one.")
    if between is not None and len(between) != 2:
        raise ConfigError(f"--between takes two pictures; got {len(between)}.")
    check_within("--steps", steps, (int, 2, 64, "2..64"))
    check_within("--walks", walks, (int, 1, 64, "1..64"))
    check_within("--seed", seed, RANGES["seed"])
    if way is not None and way not in get_args(Way):
        near = closest(way, get_args(Way))
        raise ConfigError(f"--way must be one of spherical, linear; got {way!r}.{near}")
    bundle = read_generative(model, ("vae", "autoencoder") if between else ("vae", "gan"))
    way = way or ("linear" if bundle.task == "autoencoder" else "spherical")
    if grid:
        codes, told = _plane(bundle, steps), "grid"
        labels = labels_of(bundle, class_name, 1)
    elif between is not None:
        labels = class_of(bundle, class_name, 1, "--class")
        ends = bundle.encode(np.stack([bundle.read(file) for file in between]), each(labels, 2))
        codes, told = interpolate(ends[:1], ends[1:], steps, way), f"{way} between two pictures"
    else:
        ends = random_codes(bundle, 2 * walks, seed)
        codes = interpolate(ends[::2], ends[1::2], steps, way)
        told = f"{way} between random codes"
        labels = labels_of(bundle, class_name, walks)
    pictures = bundle.decode(codes, each(labels, len(codes)))
    write_sheet(in_rows(pictures, steps), out, steps, gap=0 if grid else 2)
    return {"sheet": str(out), "walk": told, "pictures": len(pictures)}


def interpolate(begin: Codes, end: Codes, steps: int, way: Way) -> Codes:
    """Return (n * steps, k) codes from each of `begin` (n, k) to that of `end`, walk by walk.

    Codes of N(0, I) all have about the same length, and the straight way passes below it. The
    spherical one turns the direction evenly and changes the length evenly.
    """
    share = np.linspace(0, 1, steps, dtype=np.float64)[None, :, None]
    first, last = begin[:, None].astype(np.float64), end[:, None].astype(np.float64)
    path: NDArray[np.float64] = (1 - share) * first + share * last
    if way == "linear":
        return path.reshape(-1, begin.shape[1]).astype(np.float32)
    lengths = [_length(one) for one in (first, last)]
    ways = first / lengths[0], last / lengths[1]
    angle = np.arccos((ways[0] * ways[1]).sum(-1, keepdims=True).clip(-1, 1)).clip(1e-6, None)
    turned = np.sin((1 - share) * angle) * ways[0] + np.sin(share * angle) * ways[1]
    path = turned / _length(turned) * ((1 - share) * lengths[0] + share * lengths[1])
    return path.reshape(-1, begin.shape[1]).astype(np.float32)


def _length(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    length: NDArray[np.float64] = np.sqrt((codes**2).sum(-1, keepdims=True) + 1e-24)
    return length


def plane(side: int) -> Codes:
    """Return (side * side, 2) codes that share N(0, I) evenly, the first number growing rightward.

    The second number grows upward, as in a chart.
    """
    marks = [NormalDist().inv_cdf(p) for p in np.linspace(EDGE, 1 - EDGE, side)]
    across, up = np.meshgrid(marks, marks[::-1])
    return np.stack([across.ravel(), up.ravel()], axis=1).astype(np.float32)


def random_codes(bundle: GenerativeBundle, count: int, seed: int) -> Codes:
    """Return codes (n, k) of N(0, I)."""
    chance = np.random.default_rng(seed)
    return chance.standard_normal((count, bundle.code_size)).astype(np.float32)


def labels_of(bundle: GenerativeBundle, class_name: str | None, count: int) -> Labels:
    """Return the class of each picture to be made, as of `class_of`; without a name all in turn."""
    if bundle.conditional and class_name is None:
        return np.arange(count, dtype=np.int64) % len(bundle.classes)
    return class_of(bundle, class_name, count, "--class")


def class_of(bundle: GenerativeBundle, class_name: str | None, count: int, option: str) -> Labels:
    """Return the class of each picture for a network that is told it, else nothing.

    Raises:
        ConfigError: the class is missing or unknown, or the network is told none.
    """
    if not bundle.conditional:
        if class_name is not None:
            raise ConfigError(
                f"{bundle.path} was not told classes when it learned, so {option} {class_name} "
                "cannot be asked of it; leave it out, or train with --conditional."
            )
        return None
    name = str(class_name)  # of digits, people give a number
    if name not in bundle.classes:
        given = "none was given" if class_name is None else f"got {name!r}"
        raise ConfigError(
            f"{bundle.path} is told the class: {option} must be one of "
            f"{', '.join(bundle.classes)}; {given}."
            f"{closest(name, bundle.classes)}"
        )
    return np.full(count, bundle.classes.index(name), np.int64)


def each(labels: Labels, count: int) -> Labels:
    """Return so many labels, each repeated as often as the others."""
    return None if labels is None else labels.repeat(count // len(labels))


def check_place(out: Path) -> bool:
    """Say whether a sheet is asked for; else a folder of single files.

    Raises:
        ConfigError: it can be neither.
    """
    if not out.suffix or out.is_dir():
        check_new(out)
        return False
    if out.suffix.lower() not in PIXEL_KINDS:
        raise ConfigError(
            f"--out {out}: name a sheet that ends with {', '.join(PIXEL_KINDS)}, or a folder."
        )
    check_sheet(out)
    return True


def check_sheet(out: Path) -> None:
    """Refuse a place where no sheet can be.

    Raises:
        ConfigError: its ending is another, or it has no folder.
    """
    if out.suffix.lower() not in PIXEL_KINDS or out.is_dir():
        raise ConfigError(f"--out {out}: name a sheet that ends with {', '.join(PIXEL_KINDS)}.")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: there is no such folder; make it, or name another place.")


def write_sheet(rows: Sequence[Pictures], out: Path, columns: int, gap: int = 2) -> None:
    """Write rows of pictures as one, as `runtime.sheets.sheet` lays them; whole or not at all.

    Raises:
        ConfigError: it cannot be written, or is too large for the kind of file.
    """
    pixels = sheet(rows, columns=columns, gap=gap)
    try:
        data = encoded(pixels, out)
    except (OSError, ValueError):
        height, width = pixels.shape[:2]
        kind = PIXEL_KINDS[out.suffix.lower()]
        raise ConfigError(
            f"--out {out}: {width:,} x {height:,} pixels are more than {kind} files hold; name a "
            ".png file, or ask for fewer pictures."
        ) from None
    write_bytes(data, out)


def _write_files(bundle: GenerativeBundle, codes: Codes, labels: Labels, folder: Path) -> None:
    """Write what the codes make as single files, some at a time, as they may be a million.

    They come in when all are made, so that a call that was stopped can be made again.
    """
    digits = max(4, len(str(len(codes))))
    make_folder(folder)
    hidden = tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder)
    with writing_to(f"--out {folder}"), hidden as unfinished:
        for start in range(0, len(codes), TOGETHER):
            part = slice(start, start + TOGETHER)
            pictures = bundle.decode(codes[part], None if labels is None else labels[part])
            for number, pixels in enumerate(to_bytes(pictures), start):
                Image.fromarray(pixels).save(f"{unfinished}/{number:0{digits}}.png")
        for file in Path(unfinished).iterdir():
            file.rename(folder / file.name)


def _columns(count: int) -> int:
    return max(1, min(2 * COLUMNS, round(math.sqrt(count))))


def _plane(bundle: GenerativeBundle, side: int) -> Codes:
    if bundle.code_size != 2:
        option = "--latent" if bundle.task == "vae" else "--code-size"
        raise ConfigError(
            f"--grid covers a plane, and codes of {bundle.path} have "
            f"{counted(bundle.code_size, 'number')}, not 2; train with {option} 2, or leave --grid "
            "out."
        )
    return plane(side)
