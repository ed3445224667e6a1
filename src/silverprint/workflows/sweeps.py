"""What a sweep tries, and what came of it."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from silverprint.errors import ConfigError
from silverprint.training.metrics import wilson_interval
from silverprint.workflows.settings import TrainSettings

Kind = Literal["heads", "scratch", "finetune"]
Config = dict[str, Any]
METRICS = ("accuracy", "loss")
# What is tried where no sweep is named.
DEFAULTS: dict[Kind, dict[str, tuple[Any, ...]]] = {
    "heads": {
        "learning_rate": (1e-4, 1e-3, 1e-2, 1e-1),
        "hidden_size": (10, 100, 1000),
        "dropout": (0.0, 0.2, 0.5, 0.8),
    },
    "scratch": {"learning_rate": (3e-4, 1e-3, 3e-3, 1e-2)},
    "finetune": {"finetune_learning_rate": (3e-5, 1e-4, 3e-4, 1e-3)},
}


@dataclass(frozen=True)
class Tried:
    """One configuration's result.

    Attributes:
        config: flat settings; `TrainSettings.of(**config)` and `train --config` take them.
        accuracy: on validation; None where training ended in numbers that are not finite.
        loss: likewise, nats.
        epochs: passes up to the best one; 0 for an exact head.
        curves: measures by epoch.
    """

    config: Config
    accuracy: float | None
    loss: float | None
    epochs: int = 0
    curves: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return {"config": ..., "validation": {"accuracy": ..., "loss": ...}}."""
        judged = {"accuracy": self.accuracy, "loss": self.loss}
        return {"config": self.config, "validation": judged}


@dataclass
class TuneResult:
    """A whole sweep.

    Attributes:
        fields: the settings that were varied, in order, with their values.
        results: every configuration, best first.
        metric: "accuracy" or "loss", what "best" means; ties go to the other.
        count: validation pictures, or the cross-validated ones.
        seconds: it took.
        notices: what the user should know.
        unfinished: configurations that were not tried, or are still tried by other processes.
    """

    fields: dict[str, tuple[Any, ...]]
    results: list[Tried]
    metric: str
    count: int
    seconds: float = 0.0
    notices: list[str] = field(default_factory=list)
    unfinished: int = 0

    def __repr__(self) -> str:
        chosen = ", ".join(f"{name}={self.best.config.get(name)!r}" for name in self.fields)
        accuracy = math.nan if self.best.accuracy is None else self.best.accuracy
        return (
            f"<TuneResult of {len(self.results):,} configurations: validation accuracy "
            f"{accuracy:.3f} with {chosen}>"
        )

    @property
    def best(self) -> Tried:
        """The best configuration."""
        return self.results[0]

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the best one's accuracy."""
        low, high = wilson_interval(self.best.accuracy or 0.0, self.count)
        return low, high

    @property
    def alike(self) -> int:
        """How many of the others lie within the interval."""
        low = self.interval[0]
        return sum((tried.accuracy or 0.0) >= low for tried in self.results[1:])

    def along(self, name: str) -> list[tuple[Any, Tried]]:
        """Return (value, result) for each value of a setting, all others being the best's."""
        others = [key for key in self.fields if key != name]
        lines = []
        for value in self.fields[name]:
            for tried in self.results:
                if tried.config.get(name) == value and self._as_best(tried.config, others):
                    lines.append((value, tried))
                    break
        return lines

    def _as_best(self, config: Config, names: Sequence[str]) -> bool:
        """Whether these settings are the best's; a linear head has no dropout to differ by."""
        linear = config.get("hidden_size") == 0
        return all(
            config.get(name) == self.best.config.get(name) or (linear and name == "dropout")
            for name in names
        )

    def to_json(self) -> dict[str, Any]:
        """Return {"results": [...], "best": one of them, "seconds": number} and what to know."""
        return {
            "results": [tried.to_json() for tried in self.results],
            "best": self.best.to_json(),
            "unfinished": self.unfinished,
            "notices": self.notices,
            "seconds": round(self.seconds, 3),
        }


def rank(results: Sequence[Tried], metric: str) -> list[Tried]:
    """Return the results, best first; of equal ones the smaller network, then the earlier."""

    def key(tried: Tried) -> tuple[float, float, float]:
        accuracy = math.inf if tried.accuracy is None else -tried.accuracy
        loss = math.inf if tried.loss is None else round(tried.loss, 6)
        size = tried.config.get("hidden_size") or 0
        return (accuracy, loss, size) if metric == "accuracy" else (loss, accuracy, size)

    return sorted(results, key=key)


def kind_of(given: Mapping[str, Any]) -> Kind:
    """Say what is tuned."""
    if given.get("from_scratch"):
        return "scratch"
    return "finetune" if given.get("finetune") else "heads"


def check_sweeps(
    sweeps: Mapping[str, Sequence[Any]], given: Mapping[str, Any]
) -> dict[str, tuple[Any, ...]]:
    """Return each setting's values without repetitions, every one of them checked.

    Args:
        sweeps: setting -> values.
        given: what is the same in all, as keywords of `TrainSettings.of`.

    Raises:
        ConfigError: a setting is unknown, or a value is outside its range; both are named.
    """
    checked = {}
    TrainSettings.of(**given)  # what is wrong there is not the sweep's fault
    for name, values in sweeps.items():
        if name in given:
            raise ConfigError(
                f"{name} is both swept and set to {given[name]!r}; leave one of the two out."
            )
        if not values:
            raise ConfigError(f"sweep {name} has no values; give some, such as {name}=0.1,0.5.")
        for value in values:
            _check_value(name, value, given)
        checked[name] = tuple(dict.fromkeys(values))
    return checked


def configurations(sweeps: Mapping[str, Sequence[Any]], given: Mapping[str, Any]) -> list[Config]:
    """Return every combination, as keywords of `TrainSettings.of`."""
    names = list(sweeps)
    return [
        {**given, **dict(zip(names, values, strict=True))} for values in product(*sweeps.values())
    ]


def one_process_only(verb: str, instead: str) -> None:
    """Refuse to run under torchrun, where each process would do all of it.

    Raises:
        ConfigError: there are several.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError(f"{verb} does not run under torchrun; {instead}.")


def head_lists() -> set[str]:
    """Return the settings of which `train` tries a list at once."""
    return {
        one.name
        for one in dataclasses.fields(TrainSettings)
        if one.default == () and one.name != "backbone_options"
    }


def _check_value(name: str, value: Any, given: Mapping[str, Any]) -> None:
    try:
        settings = TrainSettings.of(**{**given, name: value})
        settings.heads()
        settings.fit_settings()
    except ConfigError as error:
        if name in str(error) and str(value) in str(error):
            raise
        raise ConfigError(f"sweep {name}, value {value!r}: {error}") from None
    except (TypeError, AttributeError, ValueError):
        raise ConfigError(
            f"sweep {name}: {value!r} is not what {name} can be; see `silverprint train --help`."
        ) from None
