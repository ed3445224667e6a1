"""`stylize`: a picture in the style of others, and a strip of how it came to be."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from silverprint import __version__
from silverprint.backbones.loss_network import LossNetwork, load_loss_network
from silverprint.backbones.registry import DEFAULT_BACKBONE
from silverprint.errors import ConfigError
from silverprint.inspection.figure import write_bytes
from silverprint.inspection.view import reduced
from silverprint.recipes.style_pictures import Pixels
from silverprint.recipes.style_transfer import StyleSettings, Transferred, transfer_style
from silverprint.reports.page import make_folder
from silverprint.runtime.images import decode
from silverprint.training.progress import Progress
from silverprint.workflows.run_folders import forget_old_runs, hold_run, leave

KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
READ_SIDE = 2048  # pixels to which larger pictures are reduced when they are read
STAGES, STRIP_HEIGHT, GAP = 6, 240, 6


@dataclass(frozen=True)
class Stylized:
    """What was made.

    Attributes:
        picture: the file.
        strip: the file of intermediate pictures, where it was asked for.
        network: the name of the network that judged.
        settings: with the layers that were used.
        result: of the transfer.
    """

    picture: Path
    strip: Path | None
    network: str
    settings: StyleSettings
    result: Transferred

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        result, settings = self.result, self.settings
        height, width = result.picture.shape[:2]
        return {
            "picture": str(self.picture),
            "strip": None if self.strip is None else str(self.strip),
            "width": width,
            "height": height,
            "network": self.network,
            "layers": list(settings.layers),
            "content_layers": list(settings.content_layers),
            "scales": [list(size) for size in result.scales],
            "steps": result.steps,
            "stopped": result.stopped,
            "losses": {
                "content": result.losses.content,
                "style": result.losses.style,
                "total_variation": result.losses.variation,
            },
            "seconds": round(result.seconds, 3),
            "seconds_per_step": round(result.seconds / max(1, result.steps), 4),
        }


def stylize(
    content: str | os.PathLike[str], styles: Sequence[str | os.PathLike[str]], out: Path,
    settings: StyleSettings | None = None, *, strip: Path | None = None,
    backbone: str = DEFAULT_BACKBONE, weights: Path | None = None,
    options: dict[str, str] | None = None, fresh: bool = False, progress: Progress | None = None,
) -> Stylized:  # fmt: skip
    """Paint a picture in the style of others, and write it.

    Args:
        content: the picture whose contents stay.
        styles: pictures whose manner comes, one or more.
        out: the result, .png, .jpg or .webp.
        settings: how.
        strip: a file for the stages from left to right.
        backbone: the network that judges: any backbone, "vgg19-encoder" or "random".
        weights: its file.
        options: as for `train`, such as mean, std, or pad_type.
        fresh: forget a stopped run of the same pictures and settings instead of going on.
        progress: where to show it.

    Raises:
        SilverprintError: a picture, a setting, the network or the place is wrong.
    """
    settings, progress = settings or StyleSettings(), progress or Progress(quiet=True)
    out = check_out(out, "the result")
    strip = None if strip is None else check_out(strip, "the strip")
    if strip is not None and strip.resolve() == out.resolve():
        raise ConfigError(f"the result and the strip are both {str(out)!r}; name two files.")
    given = {Path(path).expanduser().resolve() for path in (content, *styles)}
    for what, file in (("result", out), ("strip", strip)):
        if file is not None and file.resolve() in given:
            raise ConfigError(
                f"the {what} would replace {str(file)!r}, which is to be read; name another file."
            )
    if not styles:
        raise ConfigError("give at least one style picture.")
    if settings.blend and len(settings.blend) != len(styles):
        raise ConfigError(
            f"--blend has {len(settings.blend)} weights for {len(styles)} style pictures; give "
            "one each."
        )
    with progress.stage("read"):
        pictures = [reduced(decode(path), READ_SIDE) for path in (content, *styles)]
        network = load_loss_network(backbone, weights, options, settings.seed)
        settings = with_layers(settings, network)
    told = [__version__, repr(settings), network.name, [picture.shape for picture in pictures]]
    data = [picture.tobytes() for picture in pictures]
    weighed = [value.numpy().tobytes() for value in network.state_dict().values()]
    folder = hold_run(told, [*data, *weighed], fresh=fresh)
    with progress.stage("paint", settings.steps, "painting") as advance:
        result = transfer_style(
            pictures[0], pictures[1:], network, settings, folder=folder, advance=advance
        )
    write_bytes(encoded(result.picture, out), out)
    if not result.stopped:
        leave(folder)
        forget_old_runs()
    if strip is not None:
        write_bytes(encoded(strip_of(result), strip), strip)
    return Stylized(out, strip, backbone, settings, result)


def with_layers(settings: StyleSettings, network: LossNetwork) -> StyleSettings:
    """Return the settings with the layers that the network itself chooses, where none are named.

    Raises:
        ConfigError: a layer is unknown, or none serves.
    """
    network.check_layers((*settings.layers, *settings.content_layers))
    return replace(
        settings,
        layers=settings.layers or network.choose_layers(),
        content_layers=settings.content_layers or (network.choose_content_layer(),),
    )


def check_out(path: Path, what: str) -> Path:
    """Make sure, before any work is done, that a picture may be written there; return its path.

    Raises:
        ConfigError: its ending is another, or its folder cannot be made or written into.
    """
    path = path.expanduser()
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"{what} must end with {', '.join(KINDS)}; got {str(path)!r}.")
    if path.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder; name a file in it.")
    make_folder(path.parent)
    return path


def strip_of(result: Transferred) -> Pixels:
    """Return stages from the first picture to the last, side by side on white."""
    height, width = result.picture.shape[:2]
    chosen = np.linspace(0, len(result.stages) - 1, STAGES - 1).round().astype(int)
    pictures = [result.stages[i][1] for i in dict.fromkeys(chosen.tolist())]
    tall = min(STRIP_HEIGHT, height)
    wide = max(1, round(width * tall / height))
    tiles = [
        np.asarray(Image.fromarray(picture).resize((wide, tall), Image.Resampling.LANCZOS))
        for picture in (*pictures, result.picture)
    ]
    gap: Pixels = np.full((tall, GAP, 3), 255, dtype=np.uint8)
    parts = [part for tile in tiles for part in (gap, tile)][1:]
    return np.concatenate(parts, axis=1)


def encoded(pixels: Pixels, path: Path) -> bytes:
    """Return the bytes of the file that the path's ending names."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, KINDS[path.suffix.lower()], quality=92)
    return stream.getvalue()
