"""`import silverprint as sp`: sweeps and comparisons from Python."""

import inspect

import numpy as np
import pytest

import silverprint as sp
from silverprint.backbones.registry import DEFAULT_BACKBONE

HEADS = {"size": 64, "epochs": 3, "quiet": True}


def test_a_sweep_takes_values_as_people_have_them_and_its_best_is_trained(
    trained, tmp_path
) -> None:
    rates = np.logspace(-3, -2, 2)
    sweep = {"learning_rate": rates, "hidden_size": range(4, 9, 4), "initialisation": "he"}
    found = sp.tune(trained.photos, tmp_path / "tune", sweep=sweep, **HEADS)
    tried = {(one.config["learning_rate"], one.config["hidden_size"]) for one in found.results}
    assert tried == {(rate, size) for rate in rates.tolist() for size in (4, 8)}
    assert {type(value) for pair in tried for value in pair} == {int, float}
    assert found.best is found.results[0]
    assert len(found.best.curves["validation accuracy"]) <= 3
    assert (tmp_path / "tune" / "report.html").exists()
    told = repr(found)
    assert told.startswith("<TuneResult of 4 configurations: validation accuracy ")
    assert f"hidden_size={found.best.config['hidden_size']}, initialisation='he'>" in told
    model = sp.train(trained.photos, tmp_path / "bundle", quiet=True, **found.best.config)
    assert model.bundle.manifest["training"]["chosen"]["loss"] == pytest.approx(
        found.best.loss, rel=0.02
    )


def test_without_a_folder_a_sweep_leaves_nothing(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = sp.tune(trained.photos, sweep={"dropout": 0.5}, hidden_size=np.int64(4), **HEADS)
    assert [one.config["dropout"] for one in found.results] == [0.5]
    assert list(tmp_path.iterdir()) == []


def test_a_network_is_swept_and_taken_up(tmp_path) -> None:
    pytest.importorskip("optuna")
    how = {"from_scratch": True, "model": "mlp", "epochs": 1, "quiet": True}
    sweep = {"widths": [[4], [8, 4]]}
    digits = sp.read("digits")
    digits = digits.take(np.arange(0, len(digits), 8))
    first = sp.tune(digits, tmp_path, sweep=sweep, trials=1, **how)
    assert (len(first.results), first.unfinished) == (1, 1)
    both = sp.tune(digits, tmp_path, sweep=sweep, **how)
    assert {tuple(one.config["widths"]) for one in both.results} == {(4,), (8, 4)}
    assert first.results[0] in both.results  # it was not trained again


@pytest.mark.parametrize(("given", "message"), [
    ({"sweep": ["dropout"]}, r"sweep is a dictionary of .* got \['dropout'\]"),
    ({"sweep": {"dropuot": [0.5]}}, r"setting 'dropuot' is unknown. Did you mean 'dropout'"),
    ({"sweep": {"dropout": [2.0]}}, r"dropout must lie within 0\.\.1, 1 excluded; got 2\.0"),
    ({"sweep": {"dropout": []}}, "sweep dropout has no values"),
    ({"sweep": {"dropout": [0.5]}, "dropout": 0.1}, "dropout is both swept and set to 0.1"),
    ({"metric": "f1"}, "metric must be accuracy or loss; got 'f1'"),
    ({"trials": 0}, "trials must be a whole number from 1 on; got 0"),
    ({"trials": "3"}, "trials must be a whole number from 1 on; got '3'"),
    ({"trials": 3}, "heads are all fitted at once"),
    ({"hiden_size": 3}, "setting 'hiden_size' is unknown. Did you mean 'hidden_size'"),
])  # fmt: skip
def test_what_tune_refuses(trained, tmp_path, given, message) -> None:
    with pytest.raises(sp.ConfigError, match=message):
        sp.tune(trained.photos, tmp_path / "out", quiet=True, **given)


def test_a_comparison_of_two_presets(make_photos, tmp_path) -> None:
    photos = make_photos(
        tmp_path / "photos", {"cat": 8, "dog": 8}, splits=["train", "validation", "test"]
    )
    how = {"size": 64, "views": 1, "epochs": 3, "augment": "light", "quiet": True}
    found = sp.compare(photos, tmp_path / "compare", presets=np.array([1, 3]), **how)
    assert [one.preset for one in found.results] == [1, 3]
    assert found.ranked[0].metrics["test"]["n"] == 16
    assert (tmp_path / "compare" / "compare.html").exists()
    assert repr(found) == f"<Comparison of 2: {found.verdict}>"
    assert "right" not in repr(found.results[0])
    one = sp.compare(photos, presets=1, backbone="efficientnet-lite0", **how)
    assert one.results[0].metrics == found.results[0].metrics


def test_the_usual_backbone_is_that_of_the_command_line() -> None:
    shown = {inspect.signature(use).parameters[name].default
             for use, name in ((sp.compare, "backbone"), (sp.load_backbone, "name"))}  # fmt: skip
    assert shown == {DEFAULT_BACKBONE}


def test_what_compare_refuses(trained) -> None:
    with pytest.raises(sp.ConfigError, match="presets are 1, 2, 3, 4; got '7'"):
        sp.compare(trained.photos, presets="7", quiet=True)
    with pytest.raises(sp.ConfigError, match="hidden_size is for the presets to say"):
        sp.compare(trained.photos, hidden_size=3, quiet=True)
