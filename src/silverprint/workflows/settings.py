"""The settings of a training run, checked before any work is done."""

import dataclasses
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from silverprint.backbones.registry import DEFAULT_BACKBONE
from silverprint.errors import ConfigError, closest
from silverprint.runtime.preprocessing import Fit, Preprocessing

if TYPE_CHECKING:
    from silverprint.models.stacked_heads import HeadConfig
    from silverprint.recipes.heads import FitSettings


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
        batch_norm: whether hidden layers are batch-normalised.
        epochs: most passes of a head over the features.
        patience: passes without a better validation loss after which a head stops.
        class_weights: "auto", "balanced" or "none".
        folds: folds of the cross-validation that small datasets get.
        validation_fraction: share of the training pictures that judges, where there is no
            validation split.
        seed: of everything random.
        cache_limit: bytes that the feature cache may keep on disk.
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
    batch_norm: bool = False
    epochs: int = 30
    patience: int = 4
    class_weights: Literal["auto", "balanced", "none"] = "auto"
    folds: int = 5
    validation_fraction: float = 0.15
    seed: int = 0
    cache_limit: int = 20 * 2**30

    def __post_init__(self) -> None:
        Preprocessing(224 if self.size is None else self.size, self.fit)  # checks both
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must lie within 0..2147483647; got {self.seed}.")
        if not 0 < self.validation_fraction < 1:
            raise ConfigError(
                f"validation_fraction must lie between 0 and 1; got {self.validation_fraction}."
            )
        if self.folds < 2:
            raise ConfigError(f"folds must be at least 2; got {self.folds}.")
        if self.class_weights not in ("auto", "balanced", "none"):
            raise ConfigError(
                f"class_weights must be auto, balanced or none; got {self.class_weights!r}."
            )
        if self.cache_limit < 0:
            raise ConfigError(f"cache_limit must not be negative; got {self.cache_limit}.")

    @classmethod
    def of(cls, **given: Any) -> "TrainSettings":
        """Make settings from keywords; a single value stands for a list of one.

        Raises:
            ConfigError: a keyword is unknown, or a value is outside its range.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise ConfigError(f"setting {name!r} is unknown.{closest(name, known)}")
            if known[name].default == () and not isinstance(value, list | tuple):
                given[name] = (value,)
            elif isinstance(value, list):
                given[name] = tuple(value)
        if given.get("weights") is not None:
            given["weights"] = Path(given["weights"])
        return cls(**given)

    def heads(self) -> "list[HeadConfig]":
        """The heads to try: every combination of what was given, or the default ones."""
        from silverprint.models.stacked_heads import HeadConfig
        from silverprint.recipes.heads import default_configs

        lists = (self.hidden_size, self.learning_rate, self.dropout, self.weight_decay,
                 self.label_smoothing)  # fmt: skip
        if not any(lists) and not self.batch_norm:
            return default_configs()
        sizes = self.hidden_size or (128,)
        rates: tuple[float | None, ...] = self.learning_rate or (None,)
        combinations = product(
            sizes, rates, self.dropout or (0.5,), self.weight_decay or (None,),
            self.label_smoothing or (0.0,),
        )  # fmt: skip
        heads = []
        for size, rate, dropout, decay, smoothing in combinations:
            exact = size == 0 and rate is None
            heads.append(
                HeadConfig(
                    hidden_size=size,
                    learning_rate=1e-3 if rate is None and not exact else rate,
                    dropout=dropout if size else 0.0,
                    weight_decay=(0.03 if exact else 0.1) if decay is None else decay,
                    label_smoothing=smoothing,
                    batch_norm=self.batch_norm and size > 0,
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
        plain["weights"] = None if self.weights is None else self.weights.name
        plain["backbone_options"] = dict(self.backbone_options)
        return plain
