"""The Python face of Silverprint: its verbs as functions, and the model they give."""

import importlib
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from silverprint.data.read import read
from silverprint.data.table import Dataset, Split
from silverprint.errors import ConfigError, ImageError, closest
from silverprint.export.bundle import writing_bundle
from silverprint.runtime.bundle import Bundle
from silverprint.runtime.predictor import Picture, Prediction, Predictor
from silverprint.training.progress import Progress
from silverprint.workflows.evaluate import evaluate_bundle
from silverprint.workflows.predict import open_bundle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from silverprint.backbones.networks import Backbone
    from silverprint.runtime.generative import GenerativeBundle
    from silverprint.runtime.preprocessing import Fit
    from silverprint.runtime.text import TextModel
    from silverprint.workflows.audit import Audit
    from silverprint.workflows.next import Pick
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


class Model:
    """A trained classifier: a verified bundle, loaded.

    Attributes:
        bundle: where it is and what it says of itself.
    """

    def __init__(
        self, bundle: Bundle, accept: float | None = None, coverage: float | None = None
    ) -> None:
        self.bundle = bundle
        self._accept, self._coverage = accept, coverage
        self._predictor = Predictor(bundle, accept, coverage)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.bundle.classes

    @property
    def metrics(self) -> dict[str, Any]:
        """Measures of the held-out splits, "validation" and "test", as written in the bundle."""
        return cast(dict[str, Any], self.bundle.manifest["metrics"])

    @overload
    def predict(self, pictures: Picture, *, top: int = 3) -> Prediction: ...
    @overload
    def predict(self, pictures: list[Picture], *, top: int = 3) -> list[Prediction]: ...

    def predict(
        self, pictures: Picture | list[Picture], *, top: int = 3
    ) -> Prediction | list[Prediction]:
        """Say what is in a picture, or in each of a list of them.

        Args:
            pictures: a path, a file's bytes or an array (see `decode`), or a list of these.
            top: how many classes to name.

        Raises:
            ImageError: the one picture given cannot be read. In a list, its answer says so instead.
        """
        if isinstance(pictures, list):
            return list(self._predictor.predict(pictures, top=top))
        answer = next(self._predictor.predict([pictures], top=top))
        if answer.error is not None:
            raise ImageError(answer.file, answer.error)
        return answer

    def evaluate(
        self, data: Dataset | str | PathLike[str], split: str | None = None
    ) -> dict[str, Any]:
        """Measure the model on labelled pictures with its own file; see `silverprint evaluate`."""
        dataset = data if isinstance(data, Dataset) else read(data)
        progress = Progress(quiet=True)
        asked = (self._coverage, self._accept)
        return evaluate_bundle(self.bundle, dataset, progress, split, *asked).metrics

    def pick(
        self, folder: str | PathLike[str], n: int = 50, *,
        labelled: Iterable[str | PathLike[str]] = (), seed: int = 0,
    ) -> "list[Pick]":  # fmt: skip
        """Pick the pictures of a folder most worth a label; see `silverprint next`.

        Args:
            folder: pictures without labels; folders in it mean nothing.
            n: how many; all, where there are fewer.
            labelled: pictures that have labels. They, copies of them, and what is much like them
                are not picked.
            seed: of the choice.

        Returns:
            For each its file, source, guesses and uncertainty, the first one drawn first.
        """
        from silverprint.workflows.next import pick_next

        known = [Path(path) for path in labelled]
        return pick_next(self.bundle, Path(folder), n, Progress(quiet=True), known, seed).picks

    def save(self, path: str | PathLike[str]) -> Path:
        """Copy the bundle to a folder, which must be new, empty, or a bundle to be replaced."""
        target = Path(path)
        with writing_bundle(target) as folder:
            shutil.copytree(self.bundle.path, folder, dirs_exist_ok=True)
        return target

    def __repr__(self) -> str:
        return f"Model({fspath(self.bundle.path)!r}, classes={list(self.classes)})"


def train(
    data: Dataset | str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    quiet: bool = False,
    **settings: Any,
) -> Model:
    """Train a classifier, looking at each picture once.

    Args:
        data: what `read` gives, or what it takes.
        out: folder for the bundle; without it the bundle lives as long as the model does, and
            `Model.save` keeps it.
        quiet: show no progress.
        **settings: fields of TrainSettings, such as backbone="efficientnet-lite2", seed=1,
            hidden_size=[0, 128]; `silverprint train --help` describes them.

    Raises:
        SilverprintError: an input is wrong; nothing was written.
    """
    from silverprint.workflows.settings import TrainSettings
    from silverprint.workflows.train import train_bundle

    dataset = data if isinstance(data, Dataset) else read(data)
    chosen = TrainSettings.of(**settings)
    if out is not None:
        train_bundle(dataset, Path(out), chosen, Progress(quiet))
        return load(out)
    home = Path(tempfile.mkdtemp(prefix="silverprint-"))
    try:
        train_bundle(dataset, home / "bundle", chosen, Progress(quiet))
        model = load(home / "bundle")
    except BaseException:
        shutil.rmtree(home)
        raise
    weakref.finalize(model, shutil.rmtree, home, ignore_errors=True)
    return model


def load(
    bundle: str | PathLike[str], *, accept: float | None = None, coverage: float | None = None,
    quiet: bool = False,
) -> Model:  # fmt: skip
    """Load a bundle, or "imagenet", or "imagenet:BACKBONE" for another pretrained network.

    Args:
        bundle: its folder, or that name.
        accept: share of known pictures to answer, 0..1; the others, and pictures of something
            else, are "unknown". None for the bundle's own, 0.95.
        coverage: share of pictures, 0..1, for which an answer's `labels` should hold the truth.
            None for answers without them.
        quiet: do not say that a pretrained network is being prepared, as it is the first time.

    Raises:
        BundleError: it is missing, damaged, or of another format version.
        ConfigError: a share is outside its range, or the bundle cannot tell.
    """
    return Model(open_bundle(bundle, quiet=quiet), accept, coverage)


def pixels(
    data: Dataset | str | PathLike[str],
    split: Split | None = None,
    *,
    size: int | None = None,
    fit: "Fit" = "pad",
) -> "tuple[NDArray[np.uint8], NDArray[Any]]":
    """Read pictures and their labels as two arrays, for a network of your own.

    Args:
        data: what `read` gives, or what it takes.
        split: "train", "validation" or "test"; None for all pictures.
        size: side of the pictures in pixels; None for their own, at most 64.
        fit: how a picture becomes square: "pad", "crop" or "squash".

    Returns:
        (n, C, S, S) values of 0 to 255, C being 1 where no picture has colour, else 3; and the
        labels, (n,) or, of several a picture, (n, classes) of 0 and 1. Pictures that cannot be read
        are left out, and a warning names them.

    Raises:
        SilverprintError: an input is wrong, or no picture can be read.
    """
    from silverprint.workflows.networks import read_pixels

    dataset = data if isinstance(data, Dataset) else read(data)
    return read_pixels(dataset, split, size, fit)


def features(
    data: Dataset | str | PathLike[str],
    split: Split | None = None,
    *,
    quiet: bool = False,
    **settings: Any,
) -> "tuple[NDArray[np.float32], NDArray[Any]]":
    """Look at pictures once and return what the frozen network sees, for a classifier of your own.

    Args:
        data: what `read` gives, or what it takes.
        split: "train", "validation" or "test"; None for all pictures.
        quiet: show no progress.
        **settings: backbone, size, fit, engine or cache_limit, as for `train`.

    Returns:
        (n, d) features and the labels, in the order of the pictures. Pictures that cannot be read
        are left out, and a warning names them.

    Raises:
        SilverprintError: an input is wrong, or no picture can be read.
    """
    from silverprint.workflows.networks import read_features
    from silverprint.workflows.settings import TrainSettings

    dataset = data if isinstance(data, Dataset) else read(data)
    return read_features(dataset, split, TrainSettings.of(**settings), Progress(quiet))


def audit(data: Dataset | str | PathLike[str], *, quiet: bool = False, **settings: Any) -> "Audit":
    """Say what is, or may be, wrong with pictures and labels; see `silverprint audit`.

    Args:
        data: what `read` gives, or what it takes.
        quiet: show no progress.
        **settings: engine, seed or cache_limit, as for `train`.

    Returns:
        Its `findings` each have a kind, a detail in words, a score, and `rows` of its `dataset`.

    Raises:
        SilverprintError: an input is wrong, or no picture can be read.
    """
    from silverprint.workflows.audit import audit as run_audit
    from silverprint.workflows.settings import TrainSettings

    dataset = data if isinstance(data, Dataset) else read(data)
    return run_audit(dataset, TrainSettings.of(**settings), Progress(quiet))


def generate(
    kind: Literal["autoencoder", "vae", "gan"],
    /,  # an autoencoder's settings have a kind too
    data: Dataset | str | PathLike[str],
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
    from silverprint.training.checks import settings_from

    if kind not in MAKERS:
        known = ", ".join(MAKERS)
        raise ConfigError(f"kind must be one of {known}; got {kind!r}.{closest(kind, MAKERS)}")
    settings_of, maker = MAKERS[kind]
    chosen = settings_from(_found(settings_of), settings)
    how: dict[str, Any] = {"size": size, "fit": fit, "fresh": fresh}
    if judge is not None:
        if kind != "gan":
            raise ConfigError(f"judge is of a gan, and kind is {kind!r}.")
        how["judge"] = fspath(judge)
    wanted = settings.get("conditional") is True
    dataset = data if isinstance(data, Dataset) else read_pictures(data, labelled=wanted)
    place = Path(out)
    _found(maker)(dataset, place, chosen, Progress(quiet), **how)
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
        Its `picture` is the file, its `record` all that decided it.

    Raises:
        SilverprintError: an input is wrong; nothing was written.
    """
    from silverprint.backbones.registry import DEFAULT_BACKBONE
    from silverprint.recipes.style_settings import StyleSettings
    from silverprint.workflows.stylize import stylize as paint

    chosen = [styles] if isinstance(styles, str | PathLike) else list(styles)
    return paint(
        content, chosen, Path(out), StyleSettings.of(**settings),
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
    from silverprint.training.checks import settings_from
    from silverprint.workflows.write import train_text_model

    chosen = settings_from(TextSettings, settings)
    train_text_model(read_text(text, chosen.held_out), Path(out), chosen, Progress(quiet),
                     fresh=fresh)  # fmt: skip
    return read_text_model(out)


def load_backbone(
    name: str = "efficientnet-lite0", weights: str | PathLike[str] | None = None
) -> "Backbone":
    """Load a pretrained network as a torch module, for a loop of your own.

    Args:
        name: one that `silverprint backbones` lists.
        weights: a file with its weights, instead of the packaged ones or the hub's.

    Returns:
        The network without its last layer, frozen and in evaluation mode: (n, C, S, S) uint8, as
        `pixels` gives them, to (n, d) features. `size` is the side that it was trained on.

    Raises:
        BackboneError: the name is unknown, or weights are missing or do not fit.
    """
    from silverprint.backbones.networks import load_backbone as load_network
    from silverprint.backbones.registry import choose_backbone

    return load_network(choose_backbone(name, None if weights is None else Path(weights)))


def list_backbones() -> list[str]:
    """Return the names of the networks whose weights come with pip packages."""
    from silverprint.backbones.registry import PACKAGED

    return list(PACKAGED)
