"""explain: what the verb prints. What it finds is tested in tests/workflows."""

import pytest

from silverprint.cli import explain as verb


def test_a_table_and_the_files(cli, trained, tmp_path) -> None:
    ran = cli("explain", trained.bundle, trained.photos / "cat" / "0002.jpg", "--out",
              tmp_path / "e", "--pictures", trained.photos, "--neighbours", 2,
              "--patch", 32)  # fmt: skip
    assert ran.code == 0
    assert "with the worst square hidden" in ran.out
    assert "nearest training picture" in ran.out
    assert ran.out.count("cat/00") == 2
    assert f"figure {tmp_path / 'e' / 'explanation.svg'}" in ran.out


def test_json(cli, trained, tmp_path) -> None:
    ran = cli("explain", trained.bundle, trained.photos / "emu" / "0002.jpg", "--out",
              tmp_path / "e", "--no-occlusion", "--class", "cat", "--json")  # fmt: skip
    told = ran.json
    assert told["label"] == "emu"
    assert [one["label"] for one in told["classes"]] == ["cat"]
    assert told["classes"][0]["least_probability"] is None
    assert told["neighbours"] == []
    assert len(told["top"]) == 3


def test_layers(cli, trained) -> None:
    ran = cli("explain", trained.bundle, "--layers")
    assert ran.code == 0
    row = next(line for line in ran.out.splitlines() if "blocks.3.1.conv_dw" in line)
    assert row.split() == [
        "trunk.blocks.3.1.conv_dw",
        "Conv2d",
        "3×3",
        "depthwise",
        *["480", "x", "4", "x", "4"],
    ]
    told = cli("explain", trained.bundle, "--layers", "--json").json
    assert {"name": "trunk.conv_stem", "kind": "Conv2d 3×3 /2", "shape": "32 x 32 x 32"} in told


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "explain needs a picture, or --layers to list the network's layers."),
    (["PHOTO", "--layer", "trunk.conv_stam"], "Did you mean 'trunk.conv_stem'?"),
    (["missing.jpg"], "missing.jpg: does not exist; check the path"),
    (["PHOTO", "--top", "0"], "top must lie within 1..1000; got 0."),
    (["PHOTO", "--pictures", "nowhere"], "'nowhere' is neither a folder or file that exists"),
    (["PHOTO", "--out", "PHOTO"], "cannot be written: "),
])  # fmt: skip
def test_what_is_refused(cli, trained, tmp_path, arguments, message) -> None:
    photo = str(trained.photos / "cat" / "0000.jpg")
    given = [photo if word == "PHOTO" else word for word in arguments]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "e")]
    ran = cli("explain", trained.bundle, *given)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert verb.__doc__
