"""`silverprint write`, as it is typed."""

import io
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from silverprint.cli import app as application

VERSE = "Half a league, half a league, half à league onward,\n"


@pytest.fixture(autouse=True)
def ready() -> None:
    """These tests need no trained bundle."""


@pytest.fixture(scope="module")
def brigade(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brigade")
    (folder / "brigade.txt").write_text(VERSE * 60, "utf-8")
    return folder


@pytest.fixture(scope="module")
def trained_writer(brigade):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SILVERPRINT_CACHE", str(brigade / "cache"))
        code = application.run([
            "write", "train", str(brigade / "brigade.txt"), "--out", str(brigade / "model"),
            "--width", "16", "--epochs", "2", "--batch-size", "8", "--set", "length=32", "--quiet",
        ])  # fmt: skip
    assert code == 0
    return brigade / "model"


def test_train_tells_what_came_of_it(cli, brigade, tmp_path) -> None:
    text = brigade / "brigade.txt"
    given = ("--width", 8, "--epochs", 1, "--batch-size", 8, "--set", "length=32")
    ran = cli("write", "train", text, "--out", tmp_path / "a", *given)
    assert ran.code == 0
    first, second, third, fourth = ran.out.splitlines()
    assert first.startswith("validation ")
    assert "nats a character (perplexity " in first
    assert second.startswith("epoch 1 of 1 ships")
    assert third == f"bundle {tmp_path / 'a'}, report {tmp_path / 'a' / 'report.html'}"
    assert fourth.startswith("next: silverprint write sample")
    assert cli(*shlex.split(fourth.removeprefix("next: silverprint "))).code == 0
    assert "characters" in ran.err
    found = cli("write", "train", text, "--out", tmp_path / "b", *given, "--json", "-q")
    assert found.err == ""
    assert set(found.json["metrics"]["validation"]) == {"nats", "perplexity", "n"}
    assert [one["how"] for one in found.json["samples"]][:2] == [
        "temperature 0.5",
        "temperature 0.8",
    ]
    assert found.json["seconds"]["total"] > 0


def test_sample_needs_no_torch_and_repeats_itself(trained_writer, cli) -> None:
    code = (
        "import sys; from silverprint.cli import write; write.app(sys.argv[1:], "
        "standalone_mode=False); assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    given = ("sample", str(trained_writer), "--prime", "Half a", "--length", "40", "--seed", "3")
    ran = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    assert ran.stdout.startswith("Half a")
    assert len(ran.stdout) == len("Half a") + 40 + 1
    assert cli("write", *given).out == ran.stdout
    told = cli("write", *given, "--json").json
    assert told == {
        "prime": "Half a", "text": ran.stdout[6:-1],
        "temperature": 0.8, "top_k": 0, "top_p": 1.0, "seed": 3,
    }  # fmt: skip
    assert cli("write", *given[:-1], "4").out != ran.stdout


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_letters_that_stdout_cannot_hold(trained_writer, monkeypatch, more) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    code = application.run(["write", "sample", str(trained_writer), "--prime", "half à", *more])
    assert code == 0
    printed = stream.buffer.getvalue().decode("ascii")
    if more:
        assert json.loads(printed)["prime"] == "half à"
    else:
        assert printed.startswith("half \\xe0")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--prime", "Quatre"), "the model never saw 'Q' (U+0051, LATIN CAPITAL LETTER Q), 't'"),
        (("--temperature", "-1"), "temperature must lie within 0..100; got -1.0"),
        (("--top-k", "-1"), "top_k must lie within"),
        (("--top-p", "2"), "top_p must lie within"),
        (("--length", "0"), "length must lie within"),
        (("--seed", "-1"), "seed must lie within"),
    ],
)
def test_what_sample_refuses(trained_writer, cli, given, words) -> None:
    ran = cli("write", "sample", trained_writer, *given)
    assert ran.code == 2
    assert ran.out == ""
    assert words in ran.err


def test_a_model_that_is_none(cli, tmp_path, trained_writer) -> None:
    ran = cli("write", "sample", tmp_path)
    assert ran.code == 2
    assert "it is not a bundle" in ran.err
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in trained_writer.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    told = json.loads((changed / "bundle.json").read_text("utf-8"))
    (changed / "bundle.json").write_text(json.dumps({**told, "task": "vae"}), "utf-8")
    assert (
        "holds a vae; what is asked here needs a text model" in cli("write", "sample", changed).err
    )
    (changed / "bundle.json").write_text(json.dumps({**told, "characters": "ab"}), "utf-8")
    words = f"lists 2 characters, but step.onnx tells {len(set(VERSE))} apart; they are not of one"
    assert words in cli("write", "sample", changed).err
    (changed / "bundle.json").write_text(json.dumps(told), "utf-8")
    (changed / "step.onnx").write_bytes(b"not a network")
    ran = cli("write", "sample", changed)
    assert ran.code == 2
    assert "was changed or damaged" in ran.err


def test_what_is_advised_for_a_short_text_can_be_typed(cli, tmp_path) -> None:
    (tmp_path / "haiku.txt").write_text("an old silent pond, a frog jumps into the pond, splash")
    given = ("write", "train", tmp_path / "haiku.txt", "--out", tmp_path / "out")
    small = ("--width", 8, "--epochs", 1)
    told = re.search(r"or give (--.*) or the like", cli(*given, *small).err)
    assert cli(*given, *small, *shlex.split(told[1])).code == 0


@pytest.mark.parametrize(
    ("data", "given", "words"),
    [
        (None, (), "cannot be read (No such file or directory)"),
        (b"", (), "is empty"),
        (b"aaaa", (), "holds one character only"),
        (b"caf\xe9", (), "is not UTF-8"),
        (b"too short", (), "book.txt is too short: 8 characters to learn from"),
        (b"fine", ("--set", "witdh=3"), "setting 'witdh' is unknown. Did you mean 'width'?"),
        (b"fine", ("--dropout", "1"), "dropout must lie within 0..0.99; got 1.0"),
        (b"fine", ("--set", "held_out=2"), "held_out must lie within"),
    ],
)
def test_what_train_refuses(cli, tmp_path, data, given, words) -> None:
    if data is not None:
        (tmp_path / "book.txt").write_bytes(data)
    ran = cli("write", "train", tmp_path / "book.txt", "--out", tmp_path / "out", *given)
    assert ran.code == 2
    assert ran.out == ""
    assert words in ran.err
    assert not os.path.lexists(tmp_path / "out")
