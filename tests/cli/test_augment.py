"""augment: what the verb prints, lists and refuses. The sheet is tested in tests/workflows."""

import json

import pytest
import typer
from PIL import Image

from silverprint.cli.augment import augment
from silverprint.errors import ConfigError, DataError
from silverprint.workflows.augment import CAPTION, GAP


@pytest.fixture(scope="module")
def photos(make_photos, tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"), {"cat": 4, "dog": 2, "emu": 1})


@pytest.fixture
def command(capsys):
    """Run the verb in an application of its own; return the error or None, and stdout."""
    app = typer.Typer()
    app.command()(augment)

    def call(*arguments):
        error = None
        try:
            app([str(argument) for argument in arguments], standalone_mode=False)
        except (ConfigError, DataError) as found:
            error = str(found)
            assert "\n" not in error
        return error, capsys.readouterr().out

    return call


def test_the_verb_says_what_is_done(command, photos, tmp_path) -> None:
    out = tmp_path / "sheet.png"
    error, text = command(photos, "--policy", "signs", "--out", out, "--pictures", 2, "--views", 3)
    assert error is None
    assert "policy signs; each picture, each time:" in text
    assert "  turned by up to 12° either way" in text
    assert f"{out}: 2 pictures at 40 pixels, each with 3 views" in text
    with Image.open(out) as sheet:
        assert sheet.size == (2 * GAP + 4 * (120 + GAP), GAP + 2 * (120 + GAP + CAPTION))


def test_the_verb_as_json(command, photos, tmp_path) -> None:
    out = tmp_path / "sheet.webp"
    error, text = command(photos, "--out", out, "--json", "--seed", 4, "--pictures", 3)
    assert error is None
    found = json.loads(text)
    assert found["sheet"] == str(out)
    assert (found["policy"], found["seed"], found["views"], found["size"]) == ("small", 4, 8, 40)
    assert {picture["label"] for picture in found["pictures"]} == {"cat", "dog", "emu"}
    assert found["refused"] == []
    assert any("exchanged" in words for words in found["in_words"])


def test_the_list_of_policies(command) -> None:
    from silverprint.data.policies import POLICIES

    _, text = command("--list")
    assert [line.split()[0] for line in text.splitlines() if line[:1].strip()][1:] == list(POLICIES)
    _, text = command("--list", "--json")
    found = json.loads(text)
    assert list(found) == list(POLICIES)
    assert found["photos"]["flip"] == 0.5


def test_the_verb_checks_before_it_reads(command, tmp_path) -> None:
    error, _ = command(tmp_path / "nowhere", "--policy", "photo")
    assert error is not None
    assert "Did you mean 'photos'?" in error
    error, _ = command()
    assert error == "augment needs pictures, as train does, or --list."
    error, _ = command(tmp_path / "nowhere")
    assert error is not None
    assert "neither a folder or file that exists" in error
