"""What the verbs that train networks which make things do alike."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

VERBS = {
    "autoencoder": ("--widths", "4,8", "--code-size", "4"),
    "vae": ("--network", "mlp", "--widths", "8", "--importance-samples", "2",
            "--importance-pictures", "2"),
    "gan": ("--width", "4", "--batch-size", "4"),
}  # fmt: skip
FAST = ("--epochs", "1", "--size", "16", "--device", "cpu")
SAME = {"bundle", "metrics", "classes", "curves", "epoch", "epochs", "resumed", "weights",
        "refused", "notices", "seconds"}  # fmt: skip


@pytest.fixture(autouse=True)
def ready() -> None:
    """These tests need no trained bundle."""


@pytest.fixture
def lacking(make_photos, tmp_path: Path) -> Path:
    """Splits of which one lacks a class."""
    root = make_photos(tmp_path / "photos", {"cat": 8, "dog": 8}, splits=("train", "validation"))
    for photo in (root / "validation" / "dog").iterdir():
        photo.unlink()
    return root


@pytest.mark.parametrize("verb", VERBS)
def test_labels_are_not_needed_and_all_tell_the_same_things(cli, lacking, tmp_path, verb) -> None:
    given = ("generate", verb, lacking, *VERBS[verb], *FAST, "--out", tmp_path / "out")
    ran = cli(*given, "--json", "--quiet")
    assert ran.code == 0, ran.err
    assert set(ran.json) >= SAME
    assert (ran.json["epoch"], ran.json["epochs"], ran.json["resumed"]) == (1, 1, 0)
    assert ran.json["classes"] == []
    assert any("Labels are left aside" in notice for notice in ran.json["notices"])
    assert all(len(values) == 1 for values in ran.json["curves"].values())
    ran = cli(*given)
    assert ran.code == 0, ran.err
    assert "note: Labels are left aside: " in ran.out
    assert "epoch 1 of 1 ships" in ran.out


@pytest.mark.parametrize("verb", ["vae", "gan"])
def test_who_is_told_the_class_needs_labels(cli, lacking, tmp_path, verb) -> None:
    ran = cli("generate", verb, lacking, *VERBS[verb], *FAST, "--conditional", "--quiet",
              "--out", tmp_path / "out")  # fmt: skip
    assert ran.code == 2
    assert "every split needs the same classes" in ran.err


def test_write_tells_the_same_things_too(cli, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("Half a league, half a league,\n" * 40, "utf-8")
    ran = cli("write", "train", tmp_path / "a.txt", "--width", 4, "--epochs", 1, "--batch-size", 8,
              "--out", tmp_path / "out", "--json", "-q")  # fmt: skip
    assert set(ran.json) >= SAME - {"classes"}


def test_slips_are_found_before_torch_is_imported(make_photos, tmp_path) -> None:
    photos = str(make_photos(tmp_path / "photos"))
    (tmp_path / "a.txt").write_text("Half a league.\n" * 40, "utf-8")
    slips = [
        *(["generate", verb, photos, "--epochs", "0"] for verb in VERBS),
        *(["generate", verb, photos, "--set", "no=1"] for verb in VERBS),
        *(["generate", verb, photos, "--size", "9"] for verb in VERBS),
        *(["generate", verb, photos, "--fit", "no"] for verb in VERBS),
        *(["generate", verb, photos, "--out", photos] for verb in VERBS),
        *(["generate", verb, photos, "--out", f"{tmp_path}/a.txt/b"] for verb in VERBS),
        *(["generate", verb, f"{tmp_path}/gone"] for verb in VERBS),
        ["generate", "vae", photos, "--importance-samples", "0"],
        ["generate", "gan", photos, "--judge", photos],
        ["write", "train", f"{tmp_path}/a.txt", "--epochs", "0"],
        ["write", "train", f"{tmp_path}/a.txt", "--out", photos],
        ["write", "train", f"{tmp_path}/gone.txt"],
        ["stylize", f"{photos}/cat/0000.jpg", f"{photos}/cat/0001.jpg", "--size", "1"],
        ["stylize", f"{photos}/cat/0000.jpg", f"{photos}/gone.jpg"],
        ["stylize", f"{photos}/cat/0000.jpg", f"{photos}/cat/0001.jpg", "--out", "a.tif"],
        ["stylize", f"{photos}/cat/0000.jpg", f"{photos}/cat/0001.jpg", "--out", "/proc/a.png"],
    ]
    code = (
        "import json, sys; from silverprint.cli.app import run\n"
        "for slip in json.loads(sys.argv[1]):\n"
        "    assert run(slip) == 2, slip\n"
        "    assert 'torch' not in sys.modules, slip\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, json.dumps(slips)], capture_output=True, text=True,
        check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("error: ") == len(slips)
