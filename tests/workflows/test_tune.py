"""`tune` as a whole, on small photos."""

import json
from xml.etree import ElementTree

import pytest

from silverprint.data.read import read
from silverprint.errors import ConfigError
from silverprint.training.progress import Progress
from silverprint.workflows import trials
from silverprint.workflows import tune as module
from silverprint.workflows.settings import TrainSettings, read_config
from silverprint.workflows.train import train_bundle
from silverprint.workflows.tune import tune

SIZE = 64
MLP = {"from_scratch": True, "model": "mlp", "widths": 8, "size": 16, "epochs": 2}


def quiet() -> Progress:
    return Progress(quiet=True)


@pytest.fixture(scope="session")
def photos(make_photos, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "tuned"
    return make_photos(root, {"cat": 12, "dog": 12, "emu": 12}, splits=["train", "validation"])


def test_heads_are_swept_and_the_best_can_be_trained(trained, tmp_path) -> None:
    dataset = read(trained.photos)
    sweeps = {"hidden_size": (0, 8), "learning_rate": (1e-4, 1e-2), "dropout": (0.0, 0.5)}
    given = {"size": SIZE, "epochs": 4}
    result = tune(dataset, sweeps, given, quiet(), out=tmp_path, command="silverprint tune")
    assert len(result.results) == 2 + 4  # dropout means nothing to a linear head
    best = result.best
    assert best.accuracy == max(one.accuracy for one in result.results)
    assert result.count == len(dataset)

    kept = read_config(tmp_path / "best.json")
    assert kept == best.config
    (head,) = TrainSettings.of(**kept).heads()
    assert head.hidden_size == best.config["hidden_size"]
    run = train_bundle(dataset, tmp_path / "bundle", TrainSettings.of(**kept), quiet())
    assert run.chosen.accuracy == pytest.approx(best.accuracy, abs=1e-6)
    assert run.chosen.loss == pytest.approx(best.loss, rel=0.02)

    page = (tmp_path / "report.html").read_text()
    assert "6 configurations" in page
    assert "<script" not in page
    for field in ("hidden_size", "learning_rate"):
        drawing = ElementTree.parse(tmp_path / f"{field}.svg").getroot()
        assert drawing.tag.endswith("svg")


def test_what_decides_how_pictures_are_seen_can_be_swept_too(trained, tmp_path) -> None:
    sweeps = {"batch_norm": (False, True), "initialisation": ("he", "zeros")}
    given = {"size": SIZE, "epochs": 2, "hidden_size": 4, "learning_rate": 0.01}
    result = tune(read(trained.photos), sweeps, given, quiet(), out=tmp_path)
    found = {(one.config["batch_norm"], one.config.get("initialisation", "he"))
             for one in result.results}  # fmt: skip
    assert found == {(norm, way) for norm in (False, True) for way in ("he", "zeros")}


def test_a_swept_value_is_kept_though_it_is_the_usual_one(trained, tmp_path) -> None:
    sweeps = {"initialisation": ("zeros", "he"), "l1": (0.0, 1e-3)}
    given = {"size": SIZE, "epochs": 2, "hidden_size": 4, "learning_rate": 0.01}
    result = tune(read(trained.photos), sweeps, given, quiet(), out=tmp_path)
    ways = {(one.config["initialisation"], one.config["l1"]) for one in result.results}
    assert ways == {(way, l1) for way in ("zeros", "he") for l1 in (0.0, 1e-3)}
    for field in sweeps:
        assert (tmp_path / f"{field}.svg").exists()
    assert "initialisation" in read_config(tmp_path / "best.json")
    assert "initialisation exact" not in (tmp_path / "report.html").read_text()


def test_losses_of_different_smoothing_are_not_compared(photos, tmp_path) -> None:
    sweeps = {"label_smoothing": (0.0, 0.1)}
    with pytest.raises(ConfigError, match="different label_smoothing cannot be compared"):
        tune(read(photos), sweeps, MLP, quiet(), out=tmp_path, metric="loss")


def test_what_cannot_be_is_said_before_any_work(trained, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(module, "tune_heads", lambda *_: pytest.fail("it began"))
    with pytest.raises(ConfigError, match=r"cannot be written: .*; name another place"):
        tune(read(trained.photos), {}, {}, quiet(), out=tmp_path / "file" / "tune")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="tune does not run under torchrun; share a study"):
        tune(read(trained.photos), {}, {}, quiet(), out=tmp_path)


def test_many_heads_are_fitted_in_parts_with_the_same_results(
    trained, tmp_path, monkeypatch
) -> None:
    dataset, given = read(trained.photos), {"size": SIZE, "epochs": 3, "learning_rate": 0.01}
    sweeps = {"hidden_size": (4, 6, 8)}
    whole = tune(dataset, sweeps, given, quiet(), out=tmp_path)
    monkeypatch.setattr(module, "COLUMNS", 9)
    parts = tune(dataset, sweeps, given, quiet(), out=tmp_path)
    sizes = [[one.config["hidden_size"] for one in result.results] for result in (whole, parts)]
    assert sizes[0] == sizes[1]
    for one, other in zip(whole.results, parts.results, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-3)


def test_a_network_is_swept_as_a_study_that_goes_on(photos, tmp_path, monkeypatch) -> None:
    dataset = read(photos)
    sweeps = {"learning_rate": (1e-3, 1e-2)}
    began = []
    train_small = trials.train_small

    def counted(run, parts, settings, progress):
        began.append(settings.learning_rate)
        if len(began) == 2:
            raise KeyboardInterrupt
        train_small(run, parts, settings, progress)

    monkeypatch.setattr(trials, "train_small", counted)
    with pytest.raises(KeyboardInterrupt):
        tune(dataset, sweeps, MLP, quiet(), out=tmp_path)
    result = tune(dataset, sweeps, MLP, quiet(), out=tmp_path)
    assert sorted(began[:2]) == [1e-3, 1e-2]
    assert began[2:] == [began[1]]
    assert {one.config["learning_rate"] for one in result.results} == {1e-3, 1e-2}
    assert all(len(one.curves["validation accuracy"]) == 2 for one in result.results)
    assert result.count == 36
    kept = json.loads((tmp_path / "best.json").read_text())
    assert TrainSettings.of(**kept).scratch.widths == (8,)


def test_a_network_that_diverges_is_listed_without_measures(photos, tmp_path, monkeypatch) -> None:
    def exploding(run, parts, settings, progress):
        if settings.learning_rate > 1:
            raise ConfigError("the loss became nan at step 1")
        return real(run, parts, settings, progress)

    real = trials.train_small
    monkeypatch.setattr(trials, "train_small", exploding)
    sweeps = {"learning_rate": (1e-3, 10.0)}
    result = tune(read(photos), sweeps, MLP, quiet(), out=tmp_path)
    assert [one.accuracy is None for one in result.results] == [False, True]


def test_some_of_the_configurations_say_that_others_wait(photos, tmp_path) -> None:
    result = tune(
        read(photos), {"learning_rate": (1e-3, 1e-2, 1e-1)}, MLP, quiet(), out=tmp_path, trials=1
    )
    assert len(result.results) == 1
    assert any("2 configurations are not tried" in notice for notice in result.notices)


def test_what_is_only_for_networks_is_refused_for_heads(trained, tmp_path) -> None:
    for option in ({"study": "sqlite:///x.db"}, {"trials": 2}):
        with pytest.raises(ConfigError, match="--study and --trials are for --from-scratch"):
            tune(read(trained.photos), {}, {"size": SIZE}, quiet(), out=tmp_path, **option)


def test_the_metric_is_one_of_two(trained, tmp_path) -> None:
    with pytest.raises(ConfigError, match="metric must be accuracy or loss; got 'f1'"):
        tune(read(trained.photos), {}, {}, quiet(), out=tmp_path, metric="f1")


@pytest.mark.slow
def test_fine_tuning_is_swept(photos, tmp_path) -> None:
    sweeps = {"finetune_learning_rate": (1e-4, 1e-3)}
    given = {"finetune": True, "size": SIZE, "unfreeze": 1, "views": 1, "finetune_epochs": 1}
    result = tune(read(photos), sweeps, given, quiet(), out=tmp_path)
    assert len(result.results) == 2
    assert result.best.accuracy > 0.9
