"""Training a classifier, and what leads up to it: an audit, a sweep, a comparison."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from silverprint.api.inputs import Data, dataset_of, folder, listed, needing, plain
from silverprint.api.model import Model, load
from silverprint.errors import ConfigError
from silverprint.training.progress import Progress

if TYPE_CHECKING:
    from silverprint.workflows.audit import Audit
    from silverprint.workflows.compare import Comparison
    from silverprint.workflows.sweeps import TuneResult


def train(
    data: Data,
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

    with needing("training"):
        from silverprint.workflows.train import train_bundle
    dataset, chosen = dataset_of(data), TrainSettings.of(**plain(settings))
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


def tune(
    data: Data,
    out: str | PathLike[str] | None = None,
    *,
    sweep: Mapping[str, Any] | None = None,
    metric: Literal["accuracy", "loss"] = "accuracy",
    study: str | None = None,
    trials: int | None = None,
    quiet: bool = False,
    **settings: Any,
) -> "TuneResult":
    """Try many settings, and say which are best on validation; see `silverprint tune`.

        found = sp.tune(photos, sweep={"dropout": [0, 0.5], "hidden_size": [100, 1000]})
        model = sp.train(photos, **found.best.config)

    Args:
        data: what `read` gives, or what it takes.
        out: folder for the report, its charts, best.json and a network's study, which is taken up
            there; without it there is only what is returned.
        sweep: setting -> its values; every combination is tried. None for a usual choice.
        metric: what makes a configuration the best: "accuracy" or "loss".
        study: database of a network's study, for several processes or machines, such as
            "sqlite:///shared.db".
        trials: try no more than so many configurations of a network; None tries all.
        quiet: show no progress.
        **settings: what is the same in all, as for `train`.

    Returns:
        Its `results` are all that was tried, best first, each with a config, an accuracy, a loss
        and curves; its `best` is the first of them, its `interval` what that one's accuracy is good
        for.

    Raises:
        SilverprintError: a setting, a value or the pictures will not do.
    """
    with needing("tune"):
        from silverprint.workflows.tune import tune as run_tune
    swept = {} if sweep is None else sweep
    if not isinstance(swept, Mapping):
        raise ConfigError(
            'sweep is a dictionary of settings and their values, such as {"dropout": [0, 0.5]}; '
            f"got {sweep!r}."
        )
    values = {
        name: [tuple(one) if isinstance(one, list) else one for one in listed(of_one)]
        for name, of_one in swept.items()
    }
    with folder(out) as place:
        return run_tune(
            dataset_of(data), values, plain(settings), Progress(quiet), out=place, metric=metric,
            study=study, trials=plain(trials),
        )  # fmt: skip


def compare(
    data: Data,
    out: str | PathLike[str] | None = None,
    *,
    presets: int | Sequence[int] = (1, 2, 3, 4),
    backbone: str | Sequence[str] = "efficientnet-lite0",
    quiet: bool = False,
    **settings: Any,
) -> "Comparison":
    """Train classic ways to use a pretrained network, and say which is best here.

    Args:
        data: what `read` gives, or what it takes.
        out: folder for compare.html, the curves and what is finished, which is not trained again;
            without it there is only what is returned.
        presets: which; 1: frozen convolutions, dense ReLU, softmax. 2: with augmentation. 3: with
            augmentation, batch norm and dropout. 4: everything trainable.
        backbone: pretrained networks, one or several.
        quiet: show no progress.
        **settings: what is the same in all, as for `train` with finetune=True, such as views=2.

    Returns:
        Its `ranked` are the results, best first, each with a preset, a backbone, metrics by split,
        curves and seconds; its `verdict` says in words whether the difference may be chance.

    Raises:
        SilverprintError: a preset, a setting or the pictures will not do.
    """
    with needing("compare"):
        from silverprint.workflows.compare import compare as run_compare
    with folder(out) as place:
        return run_compare(
            dataset_of(data), listed(presets), listed(backbone), plain(settings),
            Progress(quiet), out=place,
        )  # fmt: skip


def audit(data: Data, *, quiet: bool = False, **settings: Any) -> "Audit":
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
    with needing("audit"):
        from silverprint.workflows.audit import audit as run_audit
    from silverprint.workflows.settings import TrainSettings

    return run_audit(dataset_of(data), TrainSettings.of(**plain(settings)), Progress(quiet))
