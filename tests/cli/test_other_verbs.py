"""evaluate in words, and the verbs that only tell: backbones, datasets, doctor, help."""

import pytest

import silverprint
from silverprint.cli.app import app, run
from silverprint.cli.common import numbers, percent, size_in_bytes
from silverprint.errors import ConfigError

VERBS = [command.name for command in app.registered_commands]


def test_evaluate_in_words(cli, trained) -> None:
    ran = cli("evaluate", trained.bundle, trained.photos, "-q")
    assert ran.code == 0
    header, *rows = ran.out.splitlines()
    assert header.split() == ["class", "precision", "recall", "F1", "pictures"]
    assert [row.split()[0] for row in rows[:3]] == ["cat", "dog", "emu"]
    assert "all accuracy 100.0 % (95 % interval 90.4 % to 100.0 %, 36 pictures)" in ran.out


def test_evaluate_measures_sets(cli, trained) -> None:
    asked = ("--coverage", 0.9, "-q")
    found = cli("evaluate", trained.bundle, trained.photos, *asked, "--json").json["metrics"][
        "sets"
    ]
    assert found["asked"] == 0.9
    assert found["coverage"] > 0.8
    assert sum(found["sizes"].values()) == 36
    assert set(found["per_class"]) == {"cat", "dog", "emu"}
    said = cli("evaluate", trained.bundle, trained.photos, *asked).out
    assert "sets that should hold the truth for 90.0 % of pictures hold it for " in said
    assert f"with {found['mean_size']:.2f} labels on average (pictures by labels: " in said
    assert "sets" not in cli("evaluate", trained.bundle, trained.photos, "-q").out
    ran = cli("evaluate", trained.bundle, trained.photos, "--coverage", 2, "-q")
    assert (ran.code, ran.out) == (2, "")
    assert "coverage must lie within 0..1, both excluded; got 2" in ran.err


def test_evaluate_says_how_many_are_unknown(cli, trained) -> None:
    every = cli("evaluate", trained.bundle, trained.photos, "--accept", 1, "--json", "-q").json
    assert every["metrics"]["answered"] == {"n": 36, "accuracy": 1.0}
    asked = ("evaluate", trained.bundle, trained.photos, "--accept", 0.5, "-q")
    found = cli(*asked, "--json").json["metrics"]["answered"]
    assert found["n"] < 36
    unknown = f"unknown to it: {36 - found['n']} of 36; of the others 100.0 % are right"
    assert unknown in cli(*asked).out


def test_evaluate_names_mistakes_the_surest_first(cli, trained, make_photos, tmp_path) -> None:
    swapped = make_photos(tmp_path / "photos", {"dog": 3, "cat": 3})  # in each other's colours
    found = cli("evaluate", trained.bundle, swapped, "--json", "-q").json
    assert len(found["mistakes"]) == 6
    assert found["metrics"]["accuracy"] == 0
    first = found["mistakes"][0]
    assert set(first) == {"file", "truth", "label", "probability"}
    assert {first["truth"], first["label"]} == {"cat", "dog"}
    sure = [mistake["probability"] for mistake in found["mistakes"]]
    assert sure == sorted(sure, reverse=True)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"cat": 2, "yak": 2}, "has classes that the bundle does not know: yak"),
        ({"cat": 2}, "needs at least two classes"),
    ],
)
def test_evaluate_refuses_other_classes(cli, trained, make_photos, tmp_path, classes, message):
    photos = make_photos(tmp_path / "photos", classes)
    ran = cli("evaluate", trained.bundle, photos, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_evaluate_takes_some_of_the_classes_in_any_order(cli, trained, make_photos, tmp_path):
    photos = make_photos(tmp_path / "photos", {"cat": 2, "skipped": 1, "emu": 3})
    (photos / "skipped" / "0000.jpg").unlink()
    (photos / "skipped").rmdir()
    found = cli("evaluate", trained.bundle, photos, "--json", "-q").json
    assert found["metrics"]["accuracy"] == 1
    assert [row[i] for i, row in enumerate(found["metrics"]["confusion"])] == [2, 0, 3]


def test_evaluate_names_a_split_that_is_not_there(cli, trained) -> None:
    for split in ("validation", "bogus"):
        ran = cli("evaluate", trained.bundle, trained.photos, "--split", split, "-q")
        assert ran.code == 2
        assert f"photos has no {split} split; use train, validation, test or all" in ran.err


def test_backbones(cli) -> None:
    assert [row["name"] for row in cli("backbones", "--json").json] == silverprint.list_backbones()
    found = cli("backbones", "vgg16", "--json").json
    assert "vgg16" in [row["name"] for row in found]
    assert {row["weights"] for row in found} == {"hub, or --weights FILE"}
    assert "efficientnet-lite0" in cli("backbones").out


def test_datasets(cli) -> None:
    found = cli("datasets", "--json").json
    assert len(found) > 1
    assert cli("datasets").code == 0


def test_doctor(cli) -> None:
    found = cli("doctor", "--json").json
    assert found["silverprint"] == silverprint.__version__
    assert "torch-cpu" in found["engines"]
    assert "efficientnet-lite0" in found["packaged backbones"]
    assert "MB used" in found["cache"]
    assert cli("doctor").code == 0


def test_version_and_help(cli) -> None:
    assert cli("--version").out == f"{silverprint.__version__}\n"
    for arguments in ((), ("--help",), ("-h",)):
        shown = cli(*arguments)
        assert shown.code in (0, 2)
        assert all(verb in shown.out + shown.err for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(cli, verb) -> None:
    shown = cli(verb, "--help")
    assert shown.code == 0
    assert "Usage" in shown.out


def test_an_unknown_verb(cli) -> None:
    ran = cli("tran", "photos")
    assert ran.code == 2
    assert "tran" in ran.err


def test_debug_keeps_the_traceback(tmp_path) -> None:
    with pytest.raises(silverprint.BundleError):
        run(["predict", str(tmp_path / "nothing"), "a.jpg"], debug=True)


# ---- Reading options ----


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("123", 123), ("1.5kb", 1500), (" 20GB ", 20 * 10**9), ("2 MB", 2_000_000)],
)
def test_sizes(text, size) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "nan", "inf", "1e30", "20GiB", "twenty"])
def test_sizes_that_are_none(text) -> None:
    with pytest.raises(ConfigError, match="--cache-limit takes bytes, or a size such as 20GB; got"):
        size_in_bytes(text)


def test_numbers() -> None:
    assert numbers(None, "x", int) == ()
    assert numbers("1,20, 3", "x", int) == (1, 20, 3)
    assert numbers("1e-3", "x", float) == (0.001,)
    for text in ("", "1,,2", "a", "1;2"):
        with pytest.raises(ConfigError, match="--x takes numbers with commas between; got"):
            numbers(text, "x", float)


def test_percent() -> None:
    assert [percent(share) for share in (0, 0.8754, 1)] == ["0.0 %", "87.5 %", "100.0 %"]
