"""`augment`: a sheet that shows what a policy does to real pictures."""

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from silverprint.backbones.reading import PictureReader
from silverprint.data.policies import Policy, find_policy, suggest_policy
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, DataError, ImageError
from silverprint.runtime.images import decode
from silverprint.runtime.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
SMALLEST, LARGEST = 16, 512  # pixels; sides of a picture on a sheet
OWN, USUAL = 96, 128  # pictures of up to OWN pixels are shown at their own size, others at USUAL
MOST_PIXELS = 64_000_000  # of a sheet
MOST_SIDE = 16_000  # of a sheet; WebP has 14 bits for it
GAP, CAPTION = 6, 16  # pixels between pictures, and for the words below one
PAPER, INK, PALE = (255, 255, 255), (30, 30, 30), (120, 120, 120)


@dataclass(frozen=True)
class Sheet:
    """A sheet that was written.

    Attributes:
        path: where it is.
        policy: the policy's name.
        reason: why this policy; empty where it was asked for.
        size: side in pixels at which the network would see these pictures.
        pictures: file and class of each picture, from the top.
        views: how many varied views of each.
        refused: file and reason of each picture that was passed over.
    """

    path: Path
    policy: str
    reason: str
    size: int
    pictures: tuple[tuple[str, str], ...]
    views: int
    refused: tuple[tuple[str, str], ...]


def augmentation_sheet(
    dataset: Dataset,
    out: str | os.PathLike[str],
    *,
    policy: str | None = None,
    pictures: int = 8,
    views: int = 8,
    size: int | None = None,
    seed: int = 0,
) -> Sheet:
    """Draw some pictures, each beside varied views of it, as a network would be given them.

    Args:
        dataset: its training pictures are shown, all where none is for training.
        out: the sheet's file; its ending says which kind.
        policy: a policy's name; None takes what the classes' names suggest.
        pictures: how many rows, of as many different classes as there are.
        views: how many columns beside the originals.
        size: side in pixels to which pictures are resized before anything else; None keeps small
            ones as they are.
        seed: another seed shows other pictures and views.

    Raises:
        ConfigError: an argument is outside its range, or the file cannot be written.
        DataError: no picture can be read.
    """
    path, kind = _place(out)
    for name, value in (("pictures", pictures), ("views", views)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1; got {value}.")
    if size is not None and not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"size must lie within {SMALLEST}..{LARGEST} pixels; got {size}.")
    if policy is not None:
        find_policy(policy)
    side = size or _own_size(dataset)
    _check_extent(pictures, views, side)
    chosen, reason = (policy, "") if policy else suggest_policy(dataset.classes, side)
    rows, pixels, refused = _choose(dataset, pictures, side, seed)
    columns = _vary(pixels, find_policy(chosen), views, seed)
    sheet = _draw(pixels, columns, [_label(dataset, row) for row in rows])
    _write(sheet, path, kind)
    shown = tuple((dataset.names[row], _label(dataset, row)) for row in rows)
    return Sheet(path, chosen, reason, side, shown, views, tuple(refused))


def _place(out: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the file and its kind, before any work is done for it."""
    path = Path(out).expanduser()
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"out must end with {', '.join(KINDS)}; got {str(path)!r}.")
    if path.is_dir():
        raise ConfigError(f"out must be a file, but {str(path)!r} is a folder; name a file in it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(
            f"{str(path)!r} cannot be written: its folder is read-only; name another."
        )
    return path, kind


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{str(path)!r} cannot be written ({error.strerror}); name another place.")


def _own_size(dataset: Dataset) -> int:
    """Return the side of the first picture that can be read, if that is small."""
    for source, name in zip(dataset.sources, dataset.names, strict=True):
        try:
            longest = max(decode(source, name=name).shape[:2])
        except ImageError:
            continue
        return max(SMALLEST, longest) if longest <= OWN else USUAL
    return USUAL


def _check_extent(pictures: int, views: int, side: int) -> None:
    tile = side * _enlargement(side)
    width, height = (views + 1) * (tile + GAP), pictures * (tile + GAP + CAPTION)
    if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE:
        raise ConfigError(
            f"a sheet of {pictures} pictures with {views} views of {side} pixels would be "
            f"{width:,} x {height:,} pixels, which is too large; ask for fewer or smaller ones."
        )


def _choose(
    dataset: Dataset, count: int, side: int, seed: int
) -> tuple[list[int], NDArray[np.uint8], list[tuple[str, str]]]:
    """Return up to `count` rows, a class after the other, their pixels, and what was refused."""
    reader = PictureReader(Preprocessing(side), dataset.sources, dataset.names)
    rows: list[int] = []
    pixels: list[NDArray[np.uint8]] = []
    refused: list[tuple[str, str]] = []
    for row in _in_turn(dataset, seed):
        seen = reader.see(row, ())
        if seen.error is not None:
            refused.append((seen.error.file, seen.error.reason))
        elif seen.pixels is not None:
            rows.append(row)
            pixels.append(seen.pixels)
        if len(rows) == count:
            break
    if not rows:
        why = f" The first: {refused[0][0]}: {refused[0][1]}." if refused else ""
        raise DataError(f"{dataset.name}: none of its {len(dataset)} pictures can be read.{why}")
    return rows, np.stack(pixels), refused


def _in_turn(dataset: Dataset, seed: int) -> list[int]:
    """Return all rows to show from, shuffled, the first of every class before any second."""
    rows = dataset.rows("train") if dataset.has("train") else np.arange(len(dataset))
    rows = np.random.default_rng(seed).permutation(rows)
    labels = dataset.labels[rows]
    if dataset.task == "multi-label":
        labels = labels.argmax(1)
    turns = np.empty(len(rows), dtype=np.int64)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        turns[mine] = np.arange(len(mine))
    order = np.lexsort((np.arange(len(rows)), turns))
    return [int(row) for row in rows[order]]


def _label(dataset: Dataset, row: int) -> str:
    label = dataset.labels[row]
    if dataset.task == "multi-label":
        return ", ".join(name for name, is_so in zip(dataset.classes, label, strict=True) if is_so)
    return dataset.classes[int(label)]


# ---- Views ----


def _vary(
    pixels: NDArray[np.uint8], policy: Policy, views: int, seed: int
) -> list[tuple["Tensor", "Tensor"]]:
    """Return the columns: varied pictures (n, 3, S, S), and of which they consist (n, n)."""
    import torch

    from silverprint.data.augmentation import augment, mix

    generator = torch.Generator().manual_seed(seed)
    batch = torch.from_numpy(pixels)
    return [
        mix(augment(batch, policy, generator), torch.eye(len(batch)), policy, generator)
        for _ in range(views)
    ]


def _enlargement(side: int) -> int:
    """Return how many times a small picture is enlarged, so that a person sees something."""
    return math.ceil(OWN / side)


def _draw(
    pixels: NDArray[np.uint8],
    columns: Sequence[tuple["Tensor", "Tensor"]],
    labels: Sequence[str],
) -> Image.Image:
    """Lay the pictures out: a row each, the original first, words below."""
    tile = pixels.shape[2] * _enlargement(pixels.shape[2])
    font = ImageFont.load_default(11)
    step_x, step_y = tile + GAP, tile + GAP + CAPTION
    extent = (GAP + (1 + len(columns)) * step_x + GAP, GAP + len(labels) * step_y)
    sheet = Image.new("RGB", extent, PAPER)
    pen = ImageDraw.Draw(sheet)

    def put(picture: NDArray[np.uint8], words: str, column: int, row: int) -> None:
        left = GAP + column * step_x + GAP * (column > 0)
        top = GAP + row * step_y
        shown = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
        sheet.paste(shown.resize((tile, tile), Image.Resampling.NEAREST), (left, top))
        ink = PALE if column else INK
        pen.text((left, top + tile + 1), _fitting(words, font, tile), fill=ink, font=font)

    for row, label in enumerate(labels):
        put(pixels[row], label, 0, row)
        for column, (varied, shares) in enumerate(columns, start=1):
            picture = varied[row].round().byte().numpy()
            put(picture, _mixture(shares[row].tolist(), row, labels), column, row)
    return sheet


def _mixture(shares: Sequence[float], row: int, labels: Sequence[str]) -> str:
    """Say what else was mixed in, if anything was."""
    others = [i for i, share in enumerate(shares) if i != row and round(100 * share) > 0]
    return ", ".join(f"{100 * shares[i]:.0f} % {labels[i]}" for i in others)


def _fitting(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Shorten words until they fit."""
    if font.getlength(words) <= width:
        return words
    while words and font.getlength(f"{words}…") > width:
        words = words[:-1]
    return f"{words}…"


def _write(sheet: Image.Image, path: Path, kind: str) -> None:
    """Write the file whole or not at all."""
    data = io.BytesIO()
    sheet.save(data, kind, **({} if kind == "PNG" else {"quality": 92}))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(data.getvalue())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise _unwritable(path, error) from None
