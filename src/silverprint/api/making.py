"""Networks that make things: pictures, paintings, text."""

import importlib
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from silverprint.api.inputs import Data, needing, plain
from silverprint.data.table import Dataset
from silverprint.errors import ConfigError, closest
from silverprint.training.checks import settings_from
from silverprint.training.progress import Progress

if TYPE_CHECKING:
    from silverprint.runtime.generative import GenerativeBundle
    from silverprint.runtime.preprocessing import Fit
    from silverprint.runtime.text import TextModel
    from silverprint.workflows.stylize import Stylized

# What `generate` can make: the settings, and the workflow, which imports torch.
MAKERS = {
    "autoencoder": (
        "recipes.autoencoder_settings:AutoencoderSettings",
        "workflows.autoencode:autoencode",
    ),
    "vae": ("recipes.vae_settings:VaeSettings", "workflows.vae:make_vae"),
    "gan": ("recipes.gan_settings:GanSettings", "workflows.gan:generate_gan"),
}


def generate(
    kind: Literal["autoencoder", "vae", "gan"],
    /,  # an autoencoder's settings have a kind too
    data: Data,
    out: str | PathLike[str],
    *,
    size: int | None = None,
    fit: "Fit" = "crop",
    judge: str | PathLike[str] | None = None,
    fresh: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> "GenerativeBundle":
    """Train a network that makes pictures; see `silverprint generate`.

    Args:
        kind: "autoencoder", "vae" or "gan".
        data: what `read` gives, or what it takes; labels are needed with conditional=True only.
        out: folder for the bundle and its report.
        size: side of the pictures in pixels; None for their own, at most 64.
        fit: how a picture becomes square: "pad", "crop" or "squash".
        judge: bundle of a classifier that measures a gan's Frechet distance.
        fresh: forget a stopped run of the same pictures and settings instead of going on.
        quiet: show no progress.
        **settings: as on the command line, such as epochs=5, latent=2, noise="gaussian".

    Returns:
        The bundle, read back: `decode` and `encode` are its files, `manifest["metrics"]` is what
        they were measured to do.

    Raises:
        SilverprintError: an input is wrong; nothing was written.
    """
    from silverprint.data.audit.unlabelled import read_pictures
    from silverprint.runtime.generative import read_generative

    if kind not in MAKERS:
        known = ", ".join(MAKERS)
        raise ConfigError(f"kind must be one of {known}; got {kind!r}.{closest(kind, MAKERS)}")
    settings_of, maker = MAKERS[kind]
    chosen = settings_from(_found(settings_of), plain(settings))
    how: dict[str, Any] = {"size": plain(size), "fit": fit, "fresh": fresh}
    if judge is not None:
        if kind != "gan":
            raise ConfigError(f"judge is of a gan, and kind is {kind!r}.")
        how["judge"] = fspath(judge)
    wanted = settings.get("conditional") is True
    dataset = data if isinstance(data, Dataset) else read_pictures(data, labelled=wanted)
    place = Path(out)
    with needing("generate"):
        make = _found(maker)
    make(dataset, place, chosen, Progress(quiet), **how)
    return read_generative(place)


def _found(name: str) -> Any:
    """Return what stands in a module, such as "recipes.vae_settings:VaeSettings"."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(f"silverprint.{module}"), attribute)


def stylize(
    content: str | PathLike[str],
    styles: str | PathLike[str] | Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    strip: str | PathLike[str] | None = None,
    backbone: str | None = None,
    weights: str | PathLike[str] | None = None,
    fresh: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> "Stylized":
    """Paint a picture in the style of others; see `silverprint stylize`.

    Args:
        content: the picture whose contents stay.
        styles: the picture, or pictures, whose manner comes.
        out: the result, a .png, .jpg or .webp file; its page and its record come beside it.
        strip: a file for the stages from left to right.
        backbone: the network that judges; None for the usual one.
        weights: its file.
        fresh: forget a stopped run of the same pictures and settings instead of going on.
        quiet: show no progress.
        **settings: as on the command line, such as size=512, steps=300, blend=(2, 1).

    Returns:
        Its `picture` is the file, its `result` has the pixels and the three losses, its `record`
        all that decided it. Interrupted, the best picture so far; the same call then goes on.

    Raises:
        SilverprintError: an input is wrong; nothing was written.
    """
    from silverprint.backbones.registry import DEFAULT_BACKBONE
    from silverprint.recipes.style_settings import StyleSettings

    with needing("stylize"):
        from silverprint.workflows.stylize import stylize as paint

    chosen = [styles] if isinstance(styles, str | PathLike) else list(styles)
    return paint(
        content, chosen, Path(out), StyleSettings.of(**plain(settings)),
        strip=None if strip is None else Path(strip), backbone=backbone or DEFAULT_BACKBONE,
        weights=None if weights is None else Path(weights), fresh=fresh, progress=Progress(quiet),
    )  # fmt: skip


def write(
    text: str | PathLike[str],
    out: str | PathLike[str],
    *,
    fresh: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> "TextModel":
    """Train a character model on a text; see `silverprint write`.

    Args:
        text: a UTF-8 text file, .gz or not.
        out: folder for the model and its report.
        fresh: forget a stopped run of the same text and settings instead of going on.
        quiet: show no progress.
        **settings: as on the command line, such as width=256, epochs=20.

    Returns:
        The model, read back: `sample` writes on, `nats` judges a text.

    Raises:
        SilverprintError: an input is wrong; nothing was written.
    """
    from silverprint.data.text import read_text
    from silverprint.recipes.char_lm_settings import TextSettings
    from silverprint.runtime.text import read_text_model

    with needing("write"):
        from silverprint.workflows.write import train_text_model

    chosen = settings_from(TextSettings, plain(settings))
    train_text_model(read_text(text, chosen.held_out), Path(out), chosen, Progress(quiet),
                     fresh=fresh)  # fmt: skip
    return read_text_model(out)
