"""--quiet leaves errors, and what was asked for."""

import pytest
from PIL import Image

TRAIN = ("--size", 64, "--quiet")


@pytest.fixture
def commands(trained, tmp_path):
    """Every verb that takes --quiet and ends by itself, on something small, as it is typed."""
    photos, bundle = trained.photos, trained.bundle
    photo = photos / "cat/0000.jpg"
    book = tmp_path / "book.txt"
    book.write_text("All happy families are alike; each in its own way. " * 80)
    Image.open(photo).resize((48, 36)).save(tmp_path / "small.png")
    small, tiny = tmp_path / "small.png", ("--epochs", 1, "--size", 16, "--set", "device=cpu")
    return {
        "train": ("train", photos, *TRAIN),
        "tune": ("tune", photos, "--sweep", "weight_decay=0.1,0.01", "--set", "size=64"),
        "compare": ("compare", photos, "--presets", 1, "--set", "size=64", "--set", "epochs=1"),
        "features": ("features", photos, "--size", 64, "--out", "features.parquet"),
        "audit": ("audit", photos),
        "explain": ("explain", bundle, photo, "--patch", 32, "--pictures", photos),
        "export": ("export", bundle, "--to", "onnx", "--out", "model.onnx"),
        "stylize": ("stylize", small, photo, "--size", 48, "--steps", 2, "--backbone", "random"),
        "write": ("write", "train", book, "--epochs", 1, "--width", 8, "--set", "length=20"),
        "autoencoder": ("generate", "autoencoder", photos, *tiny),
        "predict": ("predict", bundle, photo, "--out", "answers.csv"),
    }


@pytest.mark.parametrize("verb", ["audit", "explain", "export", "features", "predict", "stylize",
                                  "train", "write"])  # fmt: skip
def test_nothing_is_said(cli, commands, tmp_path, monkeypatch, verb) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli(*commands[verb], "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["autoencoder", "compare", "tune"])
def test_nothing_is_said_by_those_that_take_longer(cli, commands, tmp_path, monkeypatch, verb):
    monkeypatch.chdir(tmp_path)
    ran = cli(*commands[verb], "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


@pytest.mark.parametrize("verb", ["explain", "export", "predict", "evaluate"])
def test_a_pretrained_network_is_prepared_without_a_word(
    cli, trained, commands, tmp_path, monkeypatch, verb
) -> None:
    from silverprint.runtime.bundle import read_bundle
    from silverprint.workflows import pretrained

    def prepare(name, notify):
        notify(f"preparing {name}")
        return read_bundle(trained.bundle)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "pretrained_bundle", prepare)
    given = commands.get(verb, ("evaluate", trained.bundle, trained.photos))
    given = ["imagenet" if one == trained.bundle else one for one in given]
    ran = cli(*given, "--quiet")
    assert (ran.code, ran.err) == (0, "")
