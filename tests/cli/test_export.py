"""`export` as a command: what it prints, and how it refuses."""

import json

import onnx
import pytest


def test_it_says_what_was_written_and_how_far_it_lies_from_the_bundle(cli, trained, tmp_path):
    out = tmp_path / "a.onnx"
    ran = cli("export", trained.bundle, "--to", "onnx", "--out", out)
    assert ran.code == 0
    first, second = ran.out.splitlines()
    assert first.startswith(f"{out}: onnx, ")
    assert second.startswith("largest difference of a probability 0.000000, on ")
    assert "100.0 % with the same label (12 samples of two photos that come with" in second
    classes = {prop.key: prop.value for prop in onnx.load(out).metadata_props}["classes"]
    assert json.loads(classes) == ["cat", "dog", "emu"]


def test_json(cli, trained, tmp_path) -> None:
    out = tmp_path / "models"
    ran = cli("export", trained.bundle, "--to", "triton", "--pictures", trained.photos,
              "--out", out, "--json", "-q")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert set(ran.json) == {"to", "out", "bytes", "parity", "accuracy"}
    assert (ran.json["to"], ran.json["out"]) == ("triton", str(out))
    assert ran.json["parity"] == {
        "pictures": 24, "source": "photos", "largest_difference": 0.0, "where": "cat/0000.jpg",
        "same_label": 1.0,
    }  # fmt: skip


def test_int8_says_what_it_cost(cli, trained, tmp_path) -> None:
    ran = cli("export", trained.bundle, "--to", "onnx", "--int8", "--pictures", trained.photos,
              "--max-drop", "0.5", "--out", tmp_path / "a.onnx")  # fmt: skip
    assert ran.code == 0
    assert "validation accuracy 100.0 % before and " in ran.out
    assert " after (6 pictures, " in ran.out


@pytest.mark.parametrize(("arguments", "says"), [
    (["BUNDLE", "--to", "onxx", "--out", "a"], "--to must be one of onnx, torchscript, openvino,"),
    (["none", "--to", "onnx", "--out", "a"], "bundle none does not exist; `silverprint train`"),
    (["BUNDLE", "--to", "onnx", "--out", "taken"], "--out taken exists already; remove it, or"),
    (["BUNDLE", "--to", "onnx", "--out", "a", "--pictures", "none"], "'none' is neither a folder"),
    (["BUNDLE", "--to", "onnx", "--out", "a", "--int8"], "--int8 is calibrated and judged on"),
    (["BUNDLE", "--to", "triton", "--out", "a", "--int8"], "--int8 is for --to onnx; --to triton"),
    (["BUNDLE", "--to", "openvino", "--out", "a.xml"], "--to openvino writes a folder, but --out"),
    (["BUNDLE", "--to", "onnx", "--out", "taken/a"], "--out taken/a cannot be written: "),
])  # fmt: skip
def test_what_cannot_be_exported_says_so(cli, trained, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    ran = cli("export", *[trained.bundle if part == "BUNDLE" else part for part in arguments])
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {says}")
    assert ran.err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_damaged_bundle(cli, trained, tmp_path) -> None:
    damaged = tmp_path / "b"
    damaged.mkdir()
    for file in trained.bundle.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    (damaged / "model.onnx").write_bytes(b"damaged")
    ran = cli("export", damaged, "--to", "onnx", "--out", tmp_path / "a.onnx")
    assert ran.code == 2
    assert "model.onnx was changed or damaged: its sha256 is " in ran.err
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.slow
def test_a_pretrained_network(cli, tmp_path) -> None:
    ran = cli("export", "imagenet", "--to", "torchscript", "--out", tmp_path / "a.pt", "--json")
    assert ran.code == 0
    assert ran.json["parity"]["largest_difference"] < 0.005
