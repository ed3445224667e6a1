"""`silverprint tune` and `silverprint compare` from the command line."""

import json
import sys

import pytest

from silverprint.cli.tune import values

SMALL = ("--set", "size=64", "--set", "epochs=2")
MLP = ("--from-scratch", "--set", "model=mlp", "--set", "widths=8", "--set", "size=16",
       "--set", "epochs=1")  # fmt: skip


def test_json_is_just_what_is_promised(cli, trained, tmp_path) -> None:
    ran = cli(
        "tune", trained.photos, "--sweep", "learning_rate=1e-3,1e-2", "--sweep", "hidden_size=4,8",
        "--sweep", "dropout=0,0.5", *SMALL, "--out", tmp_path / "tune", "--json",
    )  # fmt: skip
    assert ran.code == 0
    assert set(ran.json) == {"results", "best", "seconds", "unfinished", "notices"}
    assert ran.json["unfinished"] == 0
    assert len(ran.json["results"]) == 8
    for one in ran.json["results"]:
        assert set(one) == {"config", "validation"}
        assert set(one["validation"]) == {"accuracy", "loss"}
        assert {"learning_rate", "hidden_size", "dropout"} <= set(one["config"])
    assert ran.json["best"] == ran.json["results"][0]
    assert ran.json["seconds"] > 0
    trained_again = cli(
        "train", trained.photos, "--config", tmp_path / "tune" / "best.json", "--json",
        "--out", tmp_path / "bundle",
    )  # fmt: skip
    chosen = trained_again.json["chosen"]
    assert chosen["hidden_size"] == ran.json["best"]["config"]["hidden_size"]
    assert chosen["dropout"] == ran.json["best"]["config"]["dropout"]


def test_people_get_a_table_and_the_next_step(cli, trained, tmp_path) -> None:
    ran = cli("tune", trained.photos, "--sweep", "dropout=0,0.5", "--set", "hidden_size=4",
              *SMALL, "--out", tmp_path)  # fmt: skip
    assert ran.code == 0
    assert "accuracy" in ran.out
    assert "2 configurations in" in ran.out
    assert f"next: silverprint train DATA --config {tmp_path / 'best.json'}" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sweep", "drpout=0,1"), "'drpout' is unknown. Did you mean 'dropout'?"),
        (("--sweep", "dropout=0,2"), "dropout must lie within 0..1, 1 excluded; got 2"),
        (("--sweep", "dropout"), "--sweep is written KEY=VALUE; got 'dropout'"),
        (("--set", "nonsense=1"), "'nonsense' is unknown"),
        (("--find-lr", "--sweep", "dropout=0,0.5"), "--find-lr tries no --sweep"),
        (("--sweep", "dropout=0.1", "--sweep", "dropout=0.2"), "--sweep dropout is given twice"),
        (("--set", "epochs=1", "--set", "epochs=2"), "--set epochs is given twice"),
        (("--trials", "2"), "--study and --trials are for --from-scratch"),
    ],
)
def test_what_is_wrong_is_one_line(cli, trained, tmp_path, arguments, message) -> None:
    ran = cli("tune", trained.photos, *arguments, "--out", tmp_path / "out", "-q")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_without_optuna_networks_are_not_tuned(cli, trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    ran = cli("tune", trained.photos, *MLP, "--sweep", "seed=0,1", "--out", tmp_path, "-q")
    assert ran.code == 2
    assert 'needs more packages: pip install "silverprint[tune]"' in ran.err


def test_find_lr(cli, trained, tmp_path) -> None:
    ran = cli("tune", trained.photos, *MLP, "--find-lr", "--out", tmp_path, "--json")
    assert ran.code == 0
    assert ran.json["setting"] == "learning_rate"
    assert len(ran.json["rates"]) == len(ran.json["losses"]) == len(ran.json["smoothed"])
    assert (tmp_path / "learning-rate.svg").exists()
    ran = cli("tune", trained.photos, *SMALL, "--find-lr", "--out", tmp_path)
    assert "suggested learning_rate: " in ran.out
    ran = cli(
        "tune", trained.photos, "--set", "hidden_size=0", *SMALL, "--find-lr", "--out", tmp_path
    )
    assert "a linear head is solved exactly" in ran.err


def test_values_of_a_sweep_are_read() -> None:
    assert values("1e-3,1") == [1e-3, 1]
    assert values("he,zeros") == ["he", "zeros"]
    assert values("none,true") == [None, True]
    assert values("512,512/1024") == [(512, 512), (1024,)]
    assert values("weights/a.pth,b") == ["weights/a.pth", "b"]


def test_compare(cli, trained, tmp_path) -> None:
    call = ("compare", trained.photos, "--presets", "1", *SMALL, "--out", tmp_path)
    ran = cli(*call)
    assert ran.code == 0
    assert "validation accuracy" in ran.out
    assert "Preset 1 is right on" in ran.out
    told = cli(*call, "--json").json
    assert told["best"]["preset"] == 1
    assert told["judged_on"] == "validation"
    json.dumps(told)
    wrong = cli("compare", trained.photos, "--presets", "1,7", "--out", tmp_path, "-q")
    assert (wrong.code, wrong.err) == (2, "error: presets are 1, 2, 3, 4; got 7.\n")
