"""What the layers of a network hold while they see one picture, as a figure and as files."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from silverprint.data.table import Dataset
from silverprint.export.network import BundleNetwork, normalise, preprocessing_of
from silverprint.inspection.activations import (
    DROPOUTS,
    NORMS,
    Passed,
    as_maps,
    channel_statistics,
    dropout_runs,
    dropped,
    filters_as_pictures,
    first_filters,
    names_of,
    record,
    strongest_channels,
)
from silverprint.inspection.attribution import log_odds_of
from silverprint.inspection.figure import MUTED, picture, png, words, write_bytes
from silverprint.inspection.heat import Array, Pixels, grid, tiles
from silverprint.inspection.panels import (
    Chapter,
    maps_body,
    norm_body,
    spread_body,
    stacked_figure,
)
from silverprint.reports.markup import Markup, join
from silverprint.runtime.bundle import Bundle
from silverprint.runtime.predictor import Prediction
from silverprint.training.pixels import load_pixels

WIDTH = 904  # pixels for a row of maps
MOST = 64  # maps of a layer
POOLED, NORMED = 2, 3  # layers of a kind that are shown
CHANNELS = 6  # of a pool
SAMPLE = 64  # training pictures whose statistics a norm is shown on
RUNS = 100  # of dropout
UNITS = 256  # of a vector that dropout is shown on


def write_inside(
    bundle: Bundle, network: BundleNetwork, pixels: Tensor, out: Path, layers: Sequence[str],
    last: str | None, pictures: Dataset | None, answer: Prediction, *, everything: bool,
) -> dict[str, str]:  # fmt: skip
    """Draw what the layers hold; return the files that were written.

    Args:
        bundle: the model.
        network: its network.
        pixels: (1, 3, S, S), normalised.
        out: folder for the figure and its parts.
        layers: whose activations to show; empty for the first and the last feature map.
        last: the layer of the last feature map.
        pictures: training pictures, a sample of which shows what a norm does.
        answer: of the bundle.
        everything: filters, pooling, norms and dropout too, not only activations.
    """
    from silverprint.workflows.explain import write_both

    files: dict[str, str] = {}
    chapters: list[Chapter] = []
    size = preprocessing_of(bundle).size
    if everything:
        chapters += _filters(network, size, out, files)
    first = first_filters(network, size)
    names = list(layers) or list(dict.fromkeys(n for n in (first and first[0], last) if n))
    chapters += _activations(network, pixels, names, out, files)
    if everything:
        sample = _sample(bundle, pictures, pixels)
        chapters += _pools(network, pixels, out, files)
        chapters += _norms(network, sample)
        chapters += _dropout(bundle, network, pixels, answer, out, files)
    if chapters:
        title = f"Inside {bundle.manifest['name']}"
        figure = stacked_figure(title, f"While it sees {Path(answer.file).name}", chapters)
        write_both(out / "inside", figure, files)
    return files


def _keep(path: Path, pixels: Pixels) -> str:
    write_bytes(png(pixels), path)
    return str(path)


def _plain(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def _enlargement(side: int, columns: int) -> int:
    """Return how many times maps are enlarged so that so many of them fill the figure."""
    return max(1, int((WIDTH / columns - 2) / side))


def _filters(
    network: BundleNetwork, size: int, out: Path, files: dict[str, str]
) -> Iterator[Chapter]:
    found = first_filters(network, size)
    if found is None:
        return
    name, weights = found
    count, channels, side = weights.shape[0], weights.shape[1], weights.shape[-1]
    columns = 22 if side <= 7 else 16
    shown = filters_as_pictures(weights[:MOST])
    sheet = tiles(shown, columns, 6, _enlargement(side, columns + 3))
    files["filters"] = _keep(out / "filters.png", sheet)
    more = f"; the first {MOST} are shown" if count > MOST else ""
    colour = "their colours are those they look for" if channels == 3 else "white adds, black takes"
    said = (
        f"Layer {name}: {count} filters of {side} × {side}{more}. Mid-grey is 0, and {colour}; "
        "each is scaled by its own largest weight."
    )
    body, height = maps_body(sheet)
    yield Chapter("What the first layer looks for", said, body, height)


def _activations(
    network: BundleNetwork, pixels: Tensor, names: Sequence[str], out: Path, files: dict[str, str]
) -> Iterator[Chapter]:
    for passed in record(network, pixels, names):
        values = passed.outputs[0]
        maps = as_maps(values, MOST)
        side = max(maps.shape[1:])
        columns = 1 if len(maps) == 1 else min(16, max(4, len(maps)))
        enlarge = 6 if columns == 1 and side * 6 < WIDTH else _enlargement(side, columns)
        sheet = grid(maps, columns, 2, enlarge)
        files[f"layer {passed.name}"] = _keep(out / f"layer-{_plain(passed.name)}.png", sheet)
        shape = " × ".join(map(str, values.shape))
        count = f"{len(maps)} of its {len(values)} channels" if values.ndim == 3 else "its values"
        silent = int((values.reshape(len(values), -1).max(axis=1) <= 0).sum())
        quiet = f" {silent} channels are nowhere above 0." if values.ndim == 3 and silent else ""
        said = (
            f"It gives {shape}; {count} are shown, each from 0 or its least (dark) to its "
            f"largest.{quiet}"
        )
        body, height = maps_body(sheet)
        yield Chapter(f"Activations of {passed.name}", said, body, height)


def _pools(
    network: BundleNetwork, pixels: Tensor, out: Path, files: dict[str, str]
) -> Iterator[Chapter]:
    for passed in record(network, pixels, names_of(network, (nn.MaxPool2d,)))[:POOLED]:
        before, after = passed.inputs[0], passed.outputs[0]
        chosen = strongest_channels(before, CHANNELS)
        low, high = before[chosen].min((1, 2)), before[chosen].max((1, 2))
        scaled = [
            (maps[chosen] - low[:, None, None]) / (high - low).clip(1e-12)[:, None, None]
            for maps in (before, after)
        ]
        tile = _enlargement(before.shape[-1], CHANNELS + 1) * before.shape[-1]
        parts: list[Markup] = []
        for row, (maps, title) in enumerate(zip(scaled, ("before", "after"), strict=True)):
            sheet = grid(maps, CHANNELS, 0)
            files[f"pool {passed.name} {title}"] = _keep(
                out / f"pool-{_plain(passed.name)}-{title}.png", grid(maps, CHANNELS, 1, 4)
            )
            y = row * (tile + 8)
            side = maps.shape[-1]
            parts.append(words(0, y + tile / 2, title, 11, bold=True))
            parts.append(words(0, y + tile / 2 + 15, f"{side} × {side}", 10, fill=MUTED))
            for i in range(CHANNELS):
                part = sheet[:, i * side : (i + 1) * side]
                parts.append(picture(part, 70 + i * (tile + 6), y, tile, tile, sharp=True))
        kept = float(after.size / before.size)
        said = (
            f"Layer {passed.name} keeps the largest of each window, {100 * kept:.0f} % of the "
            f"values: the {CHANNELS} channels that vary most, each on one scale before and after."
        )
        yield Chapter("Max pooling, before and after", said, join(parts), 2 * tile + 8)


def _sample(bundle: Bundle, pictures: Dataset | None, pixels: Tensor) -> Tensor:
    """Return training pictures (n, 3, S, S), normalised; the explained one where there are none."""
    if pictures is None or not len(pictures.rows("train")):
        return pixels
    rows = pictures.rows("train")
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)]
    preprocessing = preprocessing_of(bundle)
    values = load_pixels(pictures, preprocessing, rows).values
    return normalise(torch.from_numpy(values), preprocessing) if len(values) else pixels


def _norms(network: BundleNetwork, sample: Tensor) -> Iterator[Chapter]:
    known = names_of(network, NORMS)
    chosen = (
        [known[i] for i in dict.fromkeys(np.linspace(0, len(known) - 1, NORMED).astype(int))]
        if known
        else []
    )
    for passed in record(network, sample, chosen):
        before, after = channel_statistics(passed.inputs), channel_statistics(passed.outputs)
        body, height = norm_body([("before", *before), ("after", *after)])
        count = len(sample)
        of = f"{count} training pictures" if count > 1 else "this picture alone"
        said = (
            f"Each channel of {passed.name} on {of}: its mean (dot) and one standard deviation "
            f"either way. Means span {_span(before[0])} before and {_span(after[0])} after; "
            f"deviations {_span(before[1])} and {_span(after[1])}."
        )
        yield Chapter("Batch norm, before and after", said, body, height)


def _span(values: Array) -> str:
    return f"{values.min():.2g} to {values.max():.2g}".replace("-", "−")


def _dropout(
    bundle: Bundle, network: BundleNetwork, pixels: Tensor, answer: Prediction,
    out: Path, files: dict[str, str],
) -> Iterator[Chapter]:  # fmt: skip
    known = names_of(network, DROPOUTS)
    if not known:
        return
    from silverprint.workflows.explain import link_of, temperature_of

    name = known[-1]
    drawn = [dropped(network, pixels, name, seed) for seed in (1, 2)]
    rate = float(network.get_submodule(name).p)  # type: ignore[arg-type]
    kept = [one for one in drawn if one is not None]
    if kept:
        yield _dropped_chapter(name, rate, kept, out, files)
    log_odds = log_odds_of(link_of(bundle), temperature_of(bundle))
    odds = dropout_runs(network, pixels, log_odds, RUNS)
    labels = [label for label, _ in answer.top]
    numbers = [bundle.classes.index(label) for label in labels]
    runs = 1 / (1 + np.exp(-odds[:, numbers].astype(np.float64)))
    body, height = spread_body(labels, runs.astype(np.float32), [share for _, share in answer.top])
    same = float((odds.argmax(1) == bundle.classes.index(labels[0])).mean())
    said = (
        f"{RUNS} answers with dropout on, as in training (dots), and the one that ships, without "
        f"(line). {100 * same:.0f} % name {labels[0]} first: an answer that depends on few "
        "features would scatter."
    )
    yield Chapter("What dropout does to the answer", said, body, height)


def _dropped_chapter(
    name: str, rate: float, drawn: Sequence[Passed], out: Path, files: dict[str, str]
) -> Chapter:
    """Show a layer's values before dropout, and twice after, on one scale."""
    rows = [drawn[0].inputs[0], *(one.outputs[0] for one in drawn)]
    flat = [row.reshape(len(row), -1).mean(axis=1)[:UNITS] for row in rows]
    top = max(float(np.abs(row).max()) for row in flat) or 1.0
    columns = min(len(flat[0]), 64)
    tall = -(-len(flat[0]) // columns)
    parts: list[Markup] = []
    tile = (WIDTH - 90) / columns
    for i, (row, title) in enumerate(zip(flat, ("before", "after", "and again"), strict=True)):
        padded = np.zeros(columns * tall, dtype=np.float32)
        padded[: len(row)] = np.abs(row) / top
        sheet = grid(padded.reshape(1, tall, columns), 1)
        files[f"dropout {title}"] = _keep(out / f"dropout-{_plain(title)}.png", sheet)
        y = i * (tall * tile + 10)
        parts.append(words(0, y + tall * tile / 2 + 4, title, 11, bold=True))
        parts.append(picture(sheet, 90, y, WIDTH - 90, tall * tile, sharp=True))
    silent = float((flat[1] == 0).mean() - (flat[0] == 0).mean())
    what = "channels" if drawn[0].inputs.ndim == 4 else "units"
    said = (
        f"Layer {name} silences each of its {what} with probability {rate:g} while training "
        f"({100 * silent:.0f} % more are 0 here) and multiplies the others by "
        f"{1 / (1 - rate):.3g}; in use it does nothing. {len(flat[0])} {what} are shown, bright "
        "for large."
    )
    return Chapter("Dropout, before and after", said, join(parts), 3 * (tall * tile + 10))
