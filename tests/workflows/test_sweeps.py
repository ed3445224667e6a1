"""What a sweep tries, which result is the best, and what is drawn for each setting."""

import pytest

from silverprint.errors import ConfigError
from silverprint.workflows.sweeps import (
    Tried,
    TuneResult,
    check_sweeps,
    configurations,
    kind_of,
    rank,
)


def tried(accuracy, loss, **config) -> Tried:
    return Tried(config, accuracy, loss)


@pytest.mark.parametrize(
    ("sweeps", "given", "message"),
    [
        ({"hiden_size": (1,)}, {}, r"'hiden_size' is unknown\. Did you mean 'hidden_size'"),
        ({"dropout": (0.1, 1.5)}, {}, r"dropout must lie within 0\.\.1, 1 excluded; got 1\.5"),
        ({"dropout": ("half",)}, {}, r"dropout must be a number; got 'half'"),
        ({"epochs": ("many",)}, {}, r"epochs must lie within 1\.\.100000; got 'many'"),
        ({"epochs": (0,)}, {}, r"epochs must lie within 1\.\.100000; got 0"),
        ({"model": ("cnn",)}, {}, r"'model' needs from_scratch"),
        ({"model": ("cn",)}, {"from_scratch": True}, r"got 'cn'\. Did you mean 'cnn'"),
        ({"unfreeze": (0,)}, {"finetune": True}, r"unfreeze must be all, or .* got 0"),
        ({"seed": (-1,)}, {}, r"seed must lie within .* got -1"),
        ({"dropout": ()}, {}, r"sweep dropout has no values"),
        ({"dropout": (0.1,)}, {"dropout": 0.2}, r"dropout is both swept and set to 0\.2"),
    ],
)
def test_a_wrong_sweep_names_the_setting_and_the_value(sweeps, given, message) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sweeps(sweeps, given)


def test_repeated_values_count_once() -> None:
    assert check_sweeps({"dropout": (0.5, 0, 0.5)}, {}) == {"dropout": (0.5, 0)}


def test_configurations_are_every_combination() -> None:
    found = configurations({"a": (1, 2), "b": ("x", "y")}, {"seed": 3})
    assert found == [{"seed": 3, "a": a, "b": b} for a in (1, 2) for b in ("x", "y")]
    assert configurations({}, {"seed": 3}) == [{"seed": 3}]


def test_what_is_tuned_is_said_by_the_settings() -> None:
    assert kind_of({}) == "heads"
    assert kind_of({"from_scratch": True}) == "scratch"
    assert kind_of({"finetune": True}) == "finetune"


def test_the_best_by_accuracy_then_loss_then_size() -> None:
    ranked = rank(
        [
            tried(0.9, 0.3, n=0),
            tried(None, None, n=1),
            tried(0.95, 0.5, n=2, hidden_size=100),
            tried(0.95, 0.5, n=3, hidden_size=10),
            tried(0.95, 0.4, n=4),
        ],
        "accuracy",
    )
    assert [one.config["n"] for one in ranked] == [4, 3, 2, 0, 1]
    assert rank(ranked, "loss")[0].config["n"] == 0


def result(*found, **fields) -> TuneResult:
    return TuneResult(fields, rank(found, "accuracy"), "accuracy", count=100)


def test_each_setting_is_varied_around_the_best() -> None:
    grid = [
        tried(0.5 + rate / 100 + size / 1000, 1.0, rate=rate, size=size)
        for rate in (1, 2, 3)
        for size in (10, 20)
    ]
    found = result(*grid, rate=(1, 2, 3), size=(10, 20))
    assert found.best.config == {"rate": 3, "size": 20}
    assert [(value, one.config) for value, one in found.along("rate")] == [
        (rate, {"rate": rate, "size": 20}) for rate in (1, 2, 3)
    ]
    assert [value for value, _ in found.along("size")] == [10, 20]


def test_a_linear_head_has_no_dropout_to_differ_by() -> None:
    linear = tried(0.7, 1.0, hidden_size=0, dropout=0.0)
    hidden = [tried(0.8 + d / 10, 1.0, hidden_size=10, dropout=d) for d in (0.2, 0.5)]
    found = result(linear, *hidden, hidden_size=(0, 10), dropout=(0.2, 0.5))
    assert [one for _, one in found.along("hidden_size")] == [linear, hidden[1]]
    assert [value for value, _ in found.along("dropout")] == [0.2, 0.5]


def test_those_within_the_interval_are_counted() -> None:
    found = result(tried(0.9, 0.1, n=0), tried(0.85, 0.1, n=1), tried(0.6, 0.1, n=2), n=(0, 1, 2))
    low, high = found.interval
    assert 0.82 < low < 0.85 < 0.93 < high < 0.96
    assert found.alike == 1


def test_json_has_just_these_keys() -> None:
    told = result(tried(0.9, 0.1, n=0), tried(None, None, n=1), n=(0, 1)).to_json()
    assert list(told) == ["results", "best", "unfinished", "notices", "seconds"]
    assert told["best"] == {"config": {"n": 0}, "validation": {"accuracy": 0.9, "loss": 0.1}}
    assert told["results"][1]["validation"] == {"accuracy": None, "loss": None}
