"""`stylize`: a picture in the style of others, a page of how it came to be, and its settings."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silverprint import __version__
from silverprint.backbones.registry import DEFAULT_BACKBONE
from silverprint.data.conventions import counted
from silverprint.errors import ConfigError, ImageError, MissingExtraError, RefusedError
from silverprint.inspection.figure import PIXEL_KINDS, encoded, write_bytes
from silverprint.inspection.view import reduced
from silverprint.recipes.style_settings import SMALLEST, StyleSettings
from silverprint.reports.page import make_folder, unwritable, write_page
from silverprint.reports.stylize import render
from silverprint.runtime.images import decode, read_file
from silverprint.training.progress import Progress
from silverprint.workflows.run_folders import forget_old_runs, hold_run, leave
from silverprint.workflows.style_page import Given, Painted, Pixels, page_of, record_of, strip_of

if TYPE_CHECKING:
    from silverprint.backbones.loss_network import LossNetwork
    from silverprint.recipes.style_transfer import Transferred

READ_SIDE = 2048  # pixels to which larger pictures are reduced when they are read


@dataclass(frozen=True)
class Stylized:
    """What was made.

    Attributes:
        picture: the file.
        strip: the file of intermediate pictures, where it was asked for.
        report: the page of how it came to be; the record lies beside it, as JSON.
        record: all that decided the picture, and what came of it; plain JSON types.
        settings: with the layers that were used.
        result: of the transfer.
    """

    picture: Path
    strip: Path | None
    report: Path
    record: dict[str, Any]
    settings: StyleSettings
    result: "Transferred"

    def __repr__(self) -> str:
        height, width = self.result.picture.shape[:2]
        return f"<Stylized {str(self.picture)!r}, {width} x {height} pixels: {self.result.losses}>"

    def _repr_png_(self) -> bytes:
        """Return the picture, which a notebook then shows."""
        return encoded(self.result.picture, self.picture.with_suffix(".png"))

    def to_json(self) -> dict[str, Any]:
        """Return the record, and where everything lies."""
        return {
            "picture": str(self.picture),
            "strip": None if self.strip is None else str(self.strip),
            "report": str(self.report),
            **self.record,
        }


def stylize(
    content: str | os.PathLike[str], styles: Sequence[str | os.PathLike[str]], out: Path,
    settings: StyleSettings | None = None, *, strip: Path | None = None,
    backbone: str = DEFAULT_BACKBONE, weights: Path | None = None,
    options: dict[str, str] | None = None, fresh: bool = False, progress: Progress | None = None,
    command: str = "",
) -> Stylized:  # fmt: skip
    """Paint a picture in the style of others; write it, and beside it its page and its record.

    Args:
        content: the picture whose contents stay.
        styles: pictures whose manner comes, one or more.
        out: the result, .png, .jpg or .webp; result.png gets result.report.html and
            result.report.json.
        settings: how.
        strip: a file for the stages from left to right.
        backbone: the network that judges: any backbone, "vgg19-encoder" or "random".
        weights: its file.
        options: as for `train`, such as mean, std, or pad_type.
        fresh: forget a stopped run of the same pictures and settings instead of going on.
        progress: where to show it.
        command: what was typed, for the page and the record.

    Raises:
        SilverprintError: a picture, a setting, the network or the place is wrong.
    """
    settings, progress = settings or StyleSettings(), progress or Progress(quiet=True)
    out, strip, report = check_places((content, *styles), out, strip)
    if not styles:
        raise ConfigError("give at least one style picture.")
    if settings.blend and len(settings.blend) != len(styles):
        raise ConfigError(
            f"--blend has {counted(len(settings.blend), 'weight')} for "
            f"{counted(len(styles), 'style picture')}; give one each."
        )
    with progress.stage("read"):
        given = [read_given(path) for path in (content, *styles)]
        check_styles(given[1:])
    with progress.stage("import"):
        network = load_judge(backbone, weights, options, settings)
        settings = with_layers(settings, network)
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.numpy().tobytes())
    told = [__version__, repr(settings), backbone, [one.pixels.shape for one in given]]
    data = [digest.digest(), *(one.pixels.tobytes() for one in given)]
    folder = hold_run(told, data, fresh=fresh)
    result = paint([one.pixels for one in given], network, settings, folder, progress)
    write_bytes(encoded(result.picture, out), out)
    if strip is not None:
        write_bytes(encoded(strip_of(result), strip), strip)
    painted = Painted(
        given, backbone, digest.hexdigest(), weights, options or {}, settings, result, command
    )
    record = record_of(painted)
    write_page(render(page_of(painted, record, out, progress.seconds)), report)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    write_page(f"{text}\n", report.with_suffix(".json"))
    if not result.stopped:
        leave(folder)
        forget_old_runs()
    return Stylized(out, strip, report, record, settings, result)


def paint(
    pictures: Sequence[Pixels], network: "LossNetwork", settings: StyleSettings, folder: Path,
    progress: Progress,
) -> "Transferred":  # fmt: skip
    """Paint the first of the pictures in the style of the others; Ctrl-C gives the best so far."""
    from silverprint.recipes.style_transfer import transfer_style

    result = None
    try:
        with progress.stage("paint", settings.steps, "painting") as advance:
            result = transfer_style(
                pictures[0], pictures[1:], network, settings, folder=folder, advance=advance
            )
            if result.stopped:
                raise KeyboardInterrupt  # so that the bar stays where the work does
    except KeyboardInterrupt:
        if result is None:
            raise
    progress.seconds["paint"] = result.seconds  # of earlier, stopped runs too
    return result


def load_judge(
    backbone: str, weights: Path | None, options: dict[str, str] | None, settings: StyleSettings
) -> "LossNetwork":
    """Load the network that judges.

    Raises:
        SilverprintError: it is unknown, cannot be had, or what it needs is not installed.
    """
    try:
        from silverprint.backbones.loss_network import load_loss_network
    except ImportError as error:
        raise MissingExtraError("stylize", "train") from error
    return load_loss_network(backbone, weights, options, settings.seed)


def with_layers(settings: StyleSettings, network: "LossNetwork") -> StyleSettings:
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


def read_given(path: str | os.PathLike[str]) -> Given:
    """Read a picture.

    Raises:
        ImageError: it cannot be decoded.
    """
    name = os.fspath(path)
    try:
        data = read_file(path)
    except RefusedError as refused:
        raise ImageError(name, str(refused)) from None
    pixels = decode(data, name=name)
    digest = hashlib.sha256(data).hexdigest()
    return Given(name, digest, pixels.shape[:2], reduced(pixels, READ_SIDE))


def check_styles(styles: Sequence[Given]) -> None:
    """Refuse a style in which a stroke has no room.

    Raises:
        ConfigError: it is too small, or too narrow once it is reduced.
    """
    for one in styles:
        height, width = one.size
        if min(one.pixels.shape[:2]) < SMALLEST:
            raise ConfigError(
                f"style {one.file} is {width} x {height} pixels: a stroke needs {SMALLEST} on both "
                f"sides, once the longer is at most {READ_SIDE:,}; crop it, or name another."
            )


def check_places(
    given: Sequence[str | os.PathLike[str]], out: Path, strip: Path | None
) -> tuple[Path, Path | None, Path]:
    """Make sure, before any work is done, that everything may be written.

    Returns:
        The places of the result, of the strip, and of the page.

    Raises:
        ConfigError: an ending is another, a folder cannot be made or written into, or a file would
            replace one that is read, or another one that is written.
    """
    out = check_out(out, "the result")
    strip = None if strip is None else check_out(strip, "the strip")
    if strip is not None and strip.resolve() == out.resolve():
        raise ConfigError(f"the result and the strip are both {str(out)!r}; name two files.")
    read = {Path(path).expanduser().resolve() for path in given}
    for what, file in (("result", out), ("strip", strip)):
        if file is not None and file.resolve() in read:
            raise ConfigError(
                f"the {what} would replace {str(file)!r}, which is to be read; name another file."
            )
    report = out.with_suffix(".report.html")
    for file in (report, report.with_suffix(".json")):
        check_no_folder(file)
    return out, strip, report


def check_out(path: Path, what: str) -> Path:
    """Make sure, before any work is done, that a picture may be written there; return its path.

    Raises:
        ConfigError: its ending is another, or its folder cannot be made or written into.
    """
    path = path.expanduser()
    if path.suffix.lower() not in PIXEL_KINDS:
        raise ConfigError(f"{what} must end with {', '.join(PIXEL_KINDS)}; got {str(path)!r}.")
    check_no_folder(path)
    make_folder(path.parent)
    return path


def check_no_folder(path: Path) -> None:
    """Refuse a place that is a folder, or whose name is too long for a file.

    Raises:
        ConfigError: it is.
    """
    try:
        taken = path.is_dir()
    except OSError as error:
        raise unwritable(path, error) from None
    if taken:
        raise ConfigError(f"{str(path)!r} is a folder; name a file in it.")
