"""A network as a drawing: a slab for each layer or block, to scale, as papers have them.

A slab's height and depth grow with the root of a feature map's side, its thickness with the root of
its channels; a vector is a column whose height grows with the root of its length. With roots, what
goes from 224 pixels to 7 and from 3 channels to 1,280 still fits a page. Norms, activations and
dropout belong to the layer before them.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from silverprint.inspection.architecture import Architecture, Layer
from silverprint.inspection.figure import (
    ACCENT,
    INK,
    MUTED,
    drawing,
    line,
    lines_of,
    paragraph,
    polygon,
    rectangle,
    width_of,
    words,
)
from silverprint.reports.markup import Markup, join

Kind = Literal["input", "convolution", "block", "pooling", "dense", "answer"]
FACES: dict[Kind, str] = {
    "input": "#c9ccd0",
    "convolution": "#3f7cae",
    "block": "#2a9187",
    "pooling": "#c8553d",
    "dense": "#d9a441",
    "answer": "#7a5195",
}
TALL, COLUMN = 168.0, 150.0  # of the input's slab, and of the longest vector
THICK = 0.95  # a slab of one channel; 100 channels are ten times as thick
COLUMN_DEPTH = 5.0
SLANT = 0.27  # of a slab's side: how far its depth goes right and up
GAP, PITCH, MARGIN = 15.0, 62.0, 28.0
NORM = re.compile("(batch|layer|group|rms|sync|frozen)*norm")  # timm's have parts
MOST = 48  # slabs; of more, equal ones that follow each other are drawn as one


@dataclass(frozen=True)
class Slab:
    """What is drawn as one.

    Attributes:
        kind: decides the colour.
        words: what it is, for the label.
        channels: C, or the length of a vector.
        side: S of the feature map; 0 for a vector.
        learns: whether any of its parameters do; None where it has none.
        times: how many equal ones it stands for.
    """

    kind: Kind
    words: str
    channels: int
    side: int
    learns: bool | None
    times: int = 1


def draw(architecture: Architecture) -> Markup:
    """Return the drawing of a network."""
    slabs = _slabs(architecture)
    groups = [list(group) for _, group in groupby(slabs, key=_looks)]
    if len(slabs) > MOST:
        groups = [[replace(group[0], times=len(group))] for group in groups]
    biggest = max(slab.side for slab in slabs)
    longest = max([slab.channels for slab in slabs if not slab.side], default=1)
    centre = 80 + TALL / 2 + SLANT * TALL
    parts: list[Markup] = []
    spans: list[tuple[float, float, bool | None]] = []
    at, end_of_label, end = MARGIN, MARGIN - 6, 0.0
    for group in groups:
        sizes = [_size(slab, biggest, longest) for slab in group]
        width = sum(thick for thick, _ in sizes) + 1.5 * (len(group) - 1)
        label = _label(group)
        reach = max(PITCH, max(width_of(text, 10) for text in label) + 12) / 2
        at = max(at, end_of_label + reach - width / 2)
        if parts and at > end:
            parts.append(line(end, centre, at, centre, MUTED, 0.8))
        middle = at + width / 2
        for slab, (thick, tall) in zip(group, sizes, strict=True):
            parts.append(_solid(at, centre, thick, tall, slab))
            at += thick + 1.5
        depth = SLANT * sizes[-1][1] if group[0].side else COLUMN_DEPTH
        end = at - 1.5 + depth
        foot = centre + TALL / 2 + 20
        parts += [
            words(middle, foot + 14 * i, text, 10, anchor="middle", fill=INK if i == 0 else MUTED)
            for i, text in enumerate(label)
        ]
        end_of_label = middle + reach
        spans.append((middle - reach + 8, middle + reach - 8, group[0].learns))
        at += 0.62 * depth + GAP
    foot = centre + TALL / 2 + 58
    width = max(at, end_of_label) + MARGIN
    parts += [_bracket(*span, foot) for span in _merged(spans)]
    head, least = _heading(architecture)
    width = max(width, least)
    legend = _legend({slab.kind for slab in slabs}, foot + 40)
    said = _scale_in_words(slabs)
    note = paragraph(MARGIN, foot + 62, said, width - 2 * MARGIN, 10)
    height = foot + 70 + 13.2 * len(lines_of(said, width - 2 * MARGIN, 10))
    return drawing(
        width, height, [head, *parts, legend, note], f"The layers of {architecture.title}"
    )


# ---- What is drawn ----


def _slabs(architecture: Architecture) -> list[Slab]:
    """Return what is drawn, first to last, the input in front."""
    slabs = [Slab("input", "input", *_extent(architecture.given), None)]
    blocks = [layer for layer in architecture.blocks if layer.shape]
    for layer in blocks:
        kind = _kind(layer)
        channels, side = _extent(layer.shape)
        if kind is None:  # a norm, an activation, ...: it may still be what flattens
            continue
        learns = None if not layer.parameters else layer.learning > 0
        slabs.append(Slab(kind, _called(layer, kind), channels, side, learns))
    gives, last = architecture.gives, slabs[-1]
    if len(gives) == 3 and gives[0] in (1, 3):  # a picture, instead of the layer that gives it
        if last.kind in ("convolution", "block") and (last.channels, last.side) == _extent(gives):
            slabs.pop()
        slabs.append(Slab("answer", "picture", *_extent(gives), last.learns))
    elif last.kind == "dense":
        slabs[-1] = replace(last, kind="answer", words="answer")
    return slabs


def _kind(layer: Layer) -> Kind | None:
    name = layer.kind.lower()
    if layer.leaf and re.search("conv|transposed|whitening", name):
        return "convolution"
    if layer.leaf and ("linear" in name):
        return "dense"
    if re.search("pool|largest", name):
        return "pooling"
    block = name == "lstm" or (layer.parameters and not layer.leaf and not NORM.match(name))
    return "block" if block else None


def _extent(shape: Sequence[int]) -> tuple[int, int]:
    """Return channels and side of (c, h, w); of (tokens, d), their root; of a vector, side 0.

    Some transformers have (h, w, c), which is told by two equal sides in front.
    """
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        return shape[2], shape[0]
    if len(shape) == 3:
        return (shape[0], shape[1]) if shape[1] > 1 else (shape[0], 0)
    if len(shape) == 2:
        return shape[1], math.isqrt(shape[0]) if shape[0] > 1 else 0
    return (shape[0] if shape else 1), 0


def _called(layer: Layer, kind: Kind) -> str:
    """Return a layer in a word or two: "conv 3×3 /2", "max pool", "InvertedResidual"."""
    if kind == "convolution":
        word = "transposed" if "transpose" in layer.kind.lower() else "conv"
        return f"{word} {layer.detail}".replace(" depthwise", "")
    if kind == "dense":
        return "dense"
    if kind == "pooling":
        return "max pool" if re.search("max|largest", layer.kind, re.I) else "mean pool"
    return layer.kind.lstrip("_")


def _looks(slab: Slab) -> tuple[object, ...]:
    return slab.kind, slab.channels, slab.side, slab.words, slab.learns


def _label(group: Sequence[Slab]) -> list[str]:
    first = group[0]
    count = sum(slab.times for slab in group)
    size = f"{first.channels:,}" + (f" × {first.side}²" if first.side else "")
    return [size, f"{count} × {first.words}" if count > 1 else first.words]


# ---- How it is drawn ----


def _size(slab: Slab, biggest: int, longest: int) -> tuple[float, float]:
    """Return thickness and height."""
    if not slab.side:
        return 9.0, max(10.0, COLUMN * math.sqrt(slab.channels / longest))
    thick = max(2.5, THICK * math.sqrt(slab.channels))
    return thick, max(6.0, TALL * math.sqrt(slab.side / biggest))


def _solid(x: float, centre: float, thick: float, tall: float, slab: Slab) -> Markup:
    """Return a slab from its front, its top and its right side."""
    face, top = FACES[slab.kind], centre - tall / 2
    away = SLANT * tall if slab.side else COLUMN_DEPTH
    edge = {"stroke": "#ffffff", "stroke_width": 0.6, "stroke_linejoin": "round"}
    right = x + thick
    lid = [(x, top), (x + away, top - away), (right + away, top - away), (right, top)]
    side = [(right, top), (right + away, top - away), (right + away, top + tall - away),
            (right, top + tall)]  # fmt: skip
    return join((
        polygon(lid, _shade(face, 0.32), **edge),
        polygon(side, _shade(face, -0.22), **edge),
        rectangle(x, top, thick, tall, face, **edge),
    ))  # fmt: skip


def _shade(colour: str, share: float) -> str:
    """Return a colour mixed with white (share > 0) or with black."""
    towards = 255 if share > 0 else 0
    values = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    mixed = (round(value + (towards - value) * abs(share)) for value in values)
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _merged(
    spans: Sequence[tuple[float, float, bool | None]],
) -> Iterator[tuple[float, float, bool]]:
    """Yield stretches of the drawing that learn, or that do not."""
    told = [(left, right, learns) for left, right, learns in spans if learns is not None]
    for learns, part in groupby(told, key=lambda span: span[2]):
        stretch = list(part)
        yield stretch[0][0], stretch[-1][1], bool(learns)


def _bracket(left: float, right: float, learns: bool, y: float) -> Markup:
    colour = ACCENT if learns else MUTED
    said = "learns" if learns else "frozen"
    return join((
        line(left, y, right, y, colour, 1.2),
        line(left, y - 4, left, y, colour, 1.2),
        line(right, y - 4, right, y, colour, 1.2),
        words((left + right) / 2, y + 14, said, 10, anchor="middle", fill=colour),
    ))  # fmt: skip


def _heading(architecture: Architecture) -> tuple[Markup, float]:
    """Return what stands above the drawing, and how wide the drawing must be for it."""
    given = " × ".join(str(side) for side in architecture.given)
    facts = (
        f"{_large(architecture.parameters)} parameters, {_large(architecture.multiply_adds)} "
        f"multiply-adds for one {architecture.each}; input {given}"
    )
    head = join((
        words(MARGIN, 34, architecture.title, 19, bold=True),
        words(MARGIN, 54, facts, 11.5, fill=MUTED),
    ))  # fmt: skip
    return head, 2 * MARGIN + max(width_of(facts, 11.5), width_of(architecture.title, 19))


def _scale_in_words(slabs: Sequence[Slab]) -> str:
    said = "Height and depth grow with the root of the side, thickness with that of the channels"
    columns = any(not slab.side for slab in slabs)
    return said + ("; of a vector, height with that of its length." if columns else ".")


def _legend(kinds: set[Kind], y: float) -> Markup:
    parts, x = [], MARGIN
    for kind in FACES:
        if kind in kinds:
            parts += [rectangle(x, y - 9, 10, 10, FACES[kind]), words(x + 15, y, kind, 10.5)]
            x += 32 + width_of(kind, 10.5)
    return join(parts)


def _large(number: int) -> str:
    """Return 3413024 as "3.41 million"."""
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return str(number)
