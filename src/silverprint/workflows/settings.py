"""The settings of a training run, checked before any work is done."""

import dataclasses
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from silverprint.backbones.registry import DEFAULT_BACKBONE
from silverprint.cluster.session import check_place
from silverprint.errors import ConfigError, closest
from silverprint.runtime.preprocessing import Fit, Preprocessing
from silverprint.training.checks import Range, check_fields

if TYPE_CHECKING:
    from silverprint.models.network import Initialisation
    from silverprint.models.stacked_heads import HeadConfig
    from silverprint.recipes.finetune_settings import FinetuneSettings
    from silverprint.recipes.heads import FitSettings
    from silverprint.recipes.scratch import ScratchSettings

CHOICES = {"class_weights": ("auto", "balanced", "none"), "track": ("tensorboard", "mlflow")}
RANGES: dict[str, Range] = {
    "size": (int, 16, 2048, "16..2048 pixels"),
    "epochs": (int, 1, 100_000, "1..100000"),
    "patience": (int, 1, 100_000, "1..100000"),
    "folds": (int, 2, 1000, "2..1000"),
    "validation_fraction": (float, 1e-6, 1 - 1e-6, "0..1, both excluded"),
    "seed": (int, 0, 2**31 - 1, "0..2147483647"),
    "cache_limit": (int, 0, 2**63, "0 bytes and more"),
}
FREE = ("weights", "on", "scratch", "finetuning")  # fields that are checked elsewhere
LISTS = ("widths",)  # settings of a recipe that are lists
OF_PRETRAINED = ("backbone", "weights", "backbone_options", "engine", "hidden_size", "folds", "on")
SHARED = ("seed", "class_weights")  # what a recipe takes and what is settled outside of it


@dataclass(frozen=True)
class TrainSettings:
    """How to train; every field is an option of `silverprint train`.

    Attributes:
        backbone: the pretrained network.
        weights: a file with its weights, instead of the packaged ones or the hub's.
        backbone_options: how that file's network differs from the published one.
        size: side of the square input in pixels; None for the network's own.
        fit: how a picture becomes square: "pad", "crop" or "squash".
        engine: what runs the network while looking; "auto" takes the best that verifies.
        hidden_size: units of the hidden layer, each to try; 0 is a linear head.
        learning_rate: each to try.
        dropout: each to try.
        weight_decay: each to try.
        label_smoothing: each to try.
        l1: each to try.
        initialisation: of a trained head's weights, each to try.
        batch_norm: whether hidden layers are batch-normalised.
        epochs: most passes of a head over the features.
        patience: passes without a better validation loss after which a head stops.
        class_weights: "auto", "balanced" or "none".
        folds: folds of the cross-validation that small datasets get.
        validation_fraction: share of the training pictures that judges, where there is no
            validation split; None for 0.15, but at most 5,000 pictures.
        seed: of everything random.
        cache_limit: bytes that the feature cache may keep on disk.
        track: "tensorboard" or "mlflow" to follow the training of a network there too.
        fresh: forget what an earlier, stopped run with the same settings left.
        on: a Ray cluster that looks at the pictures: "ray", "auto", HOST:PORT or ray://HOST:PORT.
        scratch: how to train a network from nothing, instead of heads on a pretrained one.
        finetuning: how to train the pretrained network itself after its head.
    """

    backbone: str = DEFAULT_BACKBONE
    weights: Path | None = None
    backbone_options: tuple[tuple[str, str], ...] = ()
    size: int | None = None
    fit: Fit = "pad"
    engine: str = "auto"
    hidden_size: tuple[int, ...] = ()
    learning_rate: tuple[float, ...] = ()
    dropout: tuple[float, ...] = ()
    weight_decay: tuple[float, ...] = ()
    label_smoothing: tuple[float, ...] = ()
    l1: tuple[float, ...] = ()
    initialisation: "tuple[Initialisation, ...]" = ()
    batch_norm: bool = False
    epochs: int = 30
    patience: int = 4
    class_weights: Literal["auto", "balanced", "none"] = "auto"
    folds: int = 5
    validation_fraction: float | None = None
    seed: int = 0
    cache_limit: int = 20 * 2**30
    track: Literal["tensorboard", "mlflow"] | None = None
    fresh: bool = False
    on: str | None = None
    scratch: "ScratchSettings | None" = None
    finetuning: "FinetuneSettings | None" = None

    def __post_init__(self) -> None:
        check_fields(self, CHOICES, RANGES, free=FREE)
        Preprocessing(224 if self.size is None else self.size, self.fit)  # checks both
        if self.on is not None:
            check_place(self.on)

    @classmethod
    def of(
        cls, *, from_scratch: bool = False, finetune: bool = False, **given: Any
    ) -> "TrainSettings":
        """Make settings from keywords; a single value stands for a list of one.

        With `from_scratch` the fields of ScratchSettings are keywords too, and come first where a
        head has one of the same name. With `finetune` those of FinetuneSettings are; the ones that
        a head has too are written with "finetune_" in front: finetune_epochs.

        Raises:
            ConfigError: a keyword is unknown, or a value is outside its range.
        """
        for name, wish in (("from_scratch", from_scratch), ("finetune", finetune)):
            if not isinstance(wish, bool):
                raise ConfigError(f"{name} must be true or false; got {wish!r}.")
        if from_scratch and finetune:
            raise ConfigError("from_scratch and finetune exclude each other; choose one.")
        known = {field.name: field for field in dataclasses.fields(cls)}
        del known["scratch"], known["finetuning"]
        recipe = {**_recipe_keywords(from_scratch, finetune)}
        own = {name: given.pop(name) for name in list(given) if name in recipe}
        for name, value in given.items():
            if name not in known:
                raise ConfigError(_unknown(name, [*known, *recipe], from_scratch, finetune))
            if from_scratch and name in OF_PRETRAINED:
                raise ConfigError(
                    f"{name} is of a pretrained network and its head, which from_scratch has not; "
                    "leave one of the two out."
                )
            if known[name].default == () and not isinstance(value, list | tuple):
                given[name] = (value,)
            elif isinstance(value, list):
                given[name] = tuple(value)
        weights = given.get("weights")
        if weights is not None:
            if not isinstance(weights, str | Path):
                raise ConfigError(f"weights must be the name of a file; got {weights!r}.")
            given["weights"] = Path(weights)
        if not (from_scratch or finetune):
            return cls(**given)
        chosen: dict[str, Any] = {
            recipe[name]: _as_list(v) if isinstance(v, list) or recipe[name] in LISTS else v
            for name, v in own.items()
        }
        for name in SHARED:
            if name in own:
                given[name] = own[name]
            elif name in given:
                chosen[name] = given[name]
        if from_scratch:
            from silverprint.recipes.scratch import ScratchSettings

            return cls(**given, scratch=ScratchSettings(**chosen))
        from silverprint.recipes.finetune_settings import FinetuneSettings

        return cls(**given, finetuning=FinetuneSettings(**chosen))

    def heads(self) -> "list[HeadConfig]":
        """The heads to try: every combination of what was given, or the default ones."""
        from silverprint.models.stacked_heads import HeadConfig
        from silverprint.recipes.heads import default_configs

        lists = (self.hidden_size, self.learning_rate, self.dropout, self.weight_decay,
                 self.label_smoothing, self.l1, self.initialisation)  # fmt: skip
        if not any(lists) and not self.batch_norm:
            return default_configs()
        sizes = self.hidden_size or (128,)
        rates: tuple[float | None, ...] = self.learning_rate or (None,)
        combinations = product(
            sizes, rates, self.dropout or (0.5,), self.weight_decay or (None,),
            self.label_smoothing or (0.0,), self.l1 or (0.0,), self.initialisation or ("he",),
        )  # fmt: skip
        heads = []
        for size, rate, dropout, decay, smoothing, l1, initialisation in combinations:
            exact = size == 0 and rate is None and not (self.l1 or self.initialisation)
            heads.append(
                HeadConfig(
                    hidden_size=size,
                    learning_rate=1e-3 if rate is None and not exact else rate,
                    dropout=dropout if size else 0.0,
                    weight_decay=(0.03 if exact else 0.1) if decay is None else decay,
                    label_smoothing=smoothing,
                    batch_norm=self.batch_norm and size > 0,
                    l1=l1,
                    initialisation=initialisation,
                )
            )
        return list(dict.fromkeys(heads))

    def fit_settings(self) -> "FitSettings":
        """What all heads share."""
        from silverprint.recipes.heads import FitSettings

        return FitSettings(
            epochs=self.epochs,
            patience=self.patience,
            class_weights=self.class_weights,
            folds=self.folds,
            seed=self.seed,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; this is what the bundle keeps."""
        plain = dataclasses.asdict(self)
        for name in ("scratch", "finetuning", "track"):
            if plain[name] is None:
                del plain[name]
        del plain["fresh"], plain["on"]
        plain["weights"] = None if self.weights is None else self.weights.name
        plain["backbone_options"] = dict(self.backbone_options)
        return plain


def read_config(path: Path) -> dict[str, Any]:
    """Read settings from a JSON file, such as the best.json that `tune` writes.

    Raises:
        ConfigError: it is missing, or not a JSON object.
    """
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"--config {path} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise ConfigError(
            f'--config {path} must hold one JSON object of settings, such as {{"dropout": 0.5}}.'
        )
    return content


def _recipe_keywords(from_scratch: bool, finetune: bool) -> dict[str, str]:
    """Return keyword -> field of the recipe that is asked for."""
    if from_scratch:
        from silverprint.recipes.scratch import ScratchSettings

        return {field.name: field.name for field in dataclasses.fields(ScratchSettings)}
    if finetune:
        from silverprint.recipes.finetune_settings import FinetuneSettings

        heads = {field.name for field in dataclasses.fields(TrainSettings)}
        names = [field.name for field in dataclasses.fields(FinetuneSettings)]
        return {
            f"finetune_{name}" if name in heads else name: name
            for name in names
            if name not in SHARED
        }
    return {}


def _as_list(value: Any) -> tuple[Any, ...]:
    """Return a tuple; a single value stands for a list of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _unknown(name: str, known: list[str], from_scratch: bool, finetune: bool) -> str:
    instead = "instead" if from_scratch or finetune else "too"
    if not from_scratch and name in _recipe_keywords(True, False):
        return f"setting {name!r} needs from_scratch; give that {instead}."
    if not finetune and name in _recipe_keywords(False, True):
        return f"setting {name!r} needs finetune; give that {instead}."
    return f"setting {name!r} is unknown.{closest(name, known)}"
