"""What is told of a picture that was painted: its strip of stages, its record and its page."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from silverprint.data.conventions import counted
from silverprint.recipes.style_settings import StyleSettings
from silverprint.reports.stylize import Shown, StyleReport

if TYPE_CHECKING:
    from silverprint.recipes.style_transfer import Transferred

STAGES, STRIP_HEIGHT, GAP = 6, 240, 6
FLAT = 1.5  # of 255: a picture whose colours are spread no more is of one colour
LIBRARIES = ("silverprint", "torch", "torchvision", "timm", "numpy", "pillow")

Pixels = NDArray[np.uint8]  # (h, w, 3)


@dataclass(frozen=True)
class Given:
    """A picture that was read.

    Attributes:
        file: its path as it was given.
        digest: sha256 of its bytes.
        size: (height, width) in the file, upright.
        pixels: as they were used, perhaps reduced.
    """

    file: str
    digest: str
    size: tuple[int, int]
    pixels: Pixels


@dataclass(frozen=True)
class Painted:
    """All that decided a picture, and what came.

    Attributes:
        given: the content, and the styles.
        network: the name of the network that judged.
        digest: sha256 of its weights.
        weights: their file, if one was given.
        options: of the network.
        settings: with the layers that were used.
        result: of the transfer.
        command: what was typed; empty from Python.
    """

    given: Sequence[Given]
    network: str
    digest: str
    weights: Path | None
    options: Mapping[str, str]
    settings: StyleSettings
    result: "Transferred"
    command: str

    @property
    def shares(self) -> list[float]:
        """How much each style counts, in all 1."""
        styles = len(self.given) - 1
        blend = self.settings.blend or (1.0,) * styles
        return [weight / sum(blend) for weight in blend]


def record_of(painted: Painted) -> dict[str, Any]:
    """Return all that decided the picture, and what came of it, as plain JSON types."""
    result, settings = painted.result, painted.settings
    height, width = result.picture.shape[:2]
    content, *styles = [
        {"file": one.file, "sha256": one.digest, "width": one.size[1], "height": one.size[0]}
        for one in painted.given
    ]
    return {
        "width": width,
        "height": height,
        "content": content,
        "styles": [
            {**one, "share": share} for one, share in zip(styles, painted.shares, strict=True)
        ],
        "network": {
            "name": painted.network,
            "sha256": painted.digest,
            "file": None if painted.weights is None else str(painted.weights),
            "options": dict(painted.options),
        },
        "settings": asdict(settings),
        "scales": [list(size) for size in result.scales],
        "steps": result.steps,
        "stopped": result.stopped,
        "losses": {
            "content": result.losses.content,
            "style": result.losses.style,
            "total_variation": result.losses.variation,
        },
        "notices": notices_of(painted),
        "seconds": round(result.seconds, 3),
        "seconds_per_step": round(result.seconds / max(1, result.steps), 4),
        "command": painted.command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def notices_of(painted: Painted) -> list[str]:
    """Return what may surprise: a stop, scales left out, pictures too small or of one colour."""
    result, settings, told = painted.result, painted.settings, []
    found = len(result.scales)
    if result.stopped:
        call, scale = "command" if painted.command else "call", result.finished + 1
        told.append(
            f"Stopped after step {result.steps} of {settings.steps}: this is the best picture so "
            f"far. The same {call} goes on from the start of scale {scale} of {found}."
        )
    if found < settings.scales:
        told.append(
            f"{counted(found, 'scale')} instead of {settings.scales}: at "
            f"{settings.size / 2**found:g} pixels the picture would be too coarse to begin with."
        )
    height, width = painted.given[0].size
    if max(height, width) < settings.size:
        told.append(
            f"{painted.given[0].file} is {width} x {height} pixels and was enlarged: size "
            f"{settings.size} asks for more than it has."
        )
    for place, one in enumerate(painted.given):
        if one.pixels.std(axis=(0, 1)).max() < FLAT:
            lacks = "strokes to give" if place else "contents to keep"
            told.append(f"{one.file} is of one colour: it has no {lacks}.")
    return told


def page_of(
    painted: Painted, record: Mapping[str, Any], out: Path, seconds: Mapping[str, float]
) -> StyleReport:
    """Return what the page tells."""
    result, (content, *styles) = painted.result, painted.given
    height, width = result.picture.shape[:2]
    return StyleReport(
        result=Shown(out.name, f"{width} x {height} pixels", result.picture),
        content=_shown(content, "the content"),
        styles=[
            _shown(one, "the style" if len(styles) == 1 else f"a style, {100 * share:.0f} %")
            for one, share in zip(styles, painted.shares, strict=True)
        ],
        strip=strip_of(result),
        steps=[result.stages[i][0] for i in chosen_stages(result)],
        summary=_summary(painted),
        losses={
            name: [getattr(one, name) for one in result.curve]
            for name in ("content", "style", "variation")
        },
        final=asdict(result.losses),
        notices=record["notices"],
        seconds=seconds,
        provenance=_provenance(painted, record),
    )


def chosen_stages(result: "Transferred") -> list[int]:
    """Return which of the stages before the result are shown, evenly from the first on."""
    finest = {steps: place for place, (steps, _) in enumerate(result.stages)}  # a scale ends there
    before = [place for steps, place in finest.items() if steps < result.steps]
    even = np.linspace(0, len(before) - 1, STAGES - 1).round().astype(int)
    return list(dict.fromkeys(before[i] for i in even))


def strip_of(result: "Transferred") -> Pixels:
    """Return stages from the first picture to the last, side by side on white."""
    height, width = result.picture.shape[:2]
    pictures = [result.stages[i][1] for i in chosen_stages(result)]
    tall = min(STRIP_HEIGHT, height)
    wide = max(1, round(width * tall / height))
    tiles = [
        np.asarray(Image.fromarray(picture).resize((wide, tall), Image.Resampling.LANCZOS))
        for picture in (*pictures, result.picture)
    ]
    gap: Pixels = np.full((tall, GAP, 3), 255, dtype=np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)][1:]
    return np.concatenate(parts, axis=1)


def _shown(one: Given, words: str) -> Shown:
    height, width = one.size
    return Shown(Path(one.file).name, f"{words}, {width} x {height} pixels", one.pixels)


def _summary(painted: Painted) -> str:
    result, (content, *styles) = painted.result, painted.given
    names = " and ".join(Path(one.file).name for one in styles)
    words = (
        f"{Path(content.file).name} in the style of {names}: {counted(result.steps, 'step')} at "
        f"{counted(len(result.scales), 'scale')}, judged by {painted.network}."
    )
    return words if not result.stopped else f"{words} Stopped before its end."


def _provenance(painted: Painted, record: Mapping[str, Any]) -> dict[str, str]:
    network = record["network"]
    files = {one["file"]: one["sha256"] for one in (record["content"], *record["styles"])}
    settings = {
        name: ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in record["settings"].items()
    }
    return {
        **({"command": painted.command} if painted.command else {}),
        "date": record["date"],
        "network": network["name"],
        **({"its weights": network["file"]} if network["file"] else {}),
        "sha256 of its weights": network["sha256"],
        **({"its options": str(network["options"])} if network["options"] else {}),
        **{f"sha256 of {file}": digest for file, digest in files.items()},
        **settings,
        **record["libraries"],
    }
