"""summary: bundles, pretrained names, small networks, and what is refused."""

import pytest


def test_a_bundle(cli, trained, tmp_path) -> None:
    ran = cli("summary", trained.bundle, "--draw", tmp_path / "net.svg")
    assert ran.code == 0
    assert "trunk.conv_stem" in ran.out
    assert "trunk.blocks.3.1" in ran.out
    assert "trunk.blocks.3.1.conv_dw" not in ran.out
    assert "frozen" in ran.out
    assert "\nhead: 3,843 parameters, 3,840 multiply-adds\n" in ran.out
    assert "multiply-adds a picture, that is" in ran.out
    assert "frozen" in (tmp_path / "net.svg").read_text("utf-8")


def test_a_bundle_as_json_has_every_layer_and_says_what_learned(cli, trained) -> None:
    told = cli("summary", trained.bundle, "--json").json
    layers = {layer["name"]: layer for layer in told["layers"]}
    assert layers["trunk.blocks.3.1.conv_dw"]["shape"] == [480, 4, 4]
    assert layers["head.output"]["learning"] == layers["head.output"]["parameters"] == 1280 * 3 + 3
    assert told["learning"] == 1280 * 3 + 3
    assert (
        told["parameters"] == 4_652_008 - 1281 * 1000 + 1281 * 3
    )  # the published ones, with another classifier
    assert told["input"] == [3, 64, 64]


@pytest.mark.parametrize(("name", "parameters", "multiply_adds"), [
    # Of the papers' or the libraries' tables: parameters in millions, operations in billions.
    ("efficientnet-lite0", 4.65, 0.385),
    ("vgg16", 138.36, 15.47),
    ("resnet18", 11.69, 1.81),
    ("vit_tiny_patch16_224", 5.72, 1.26),
])  # fmt: skip
def test_pretrained_networks_need_no_weights_and_have_the_published_size(
    cli, name, parameters, multiply_adds
) -> None:
    told = cli("summary", name, "--json").json
    assert told["parameters"] / 1e6 == pytest.approx(parameters, abs=0.006)
    assert told["multiply_adds"] / 1e9 == pytest.approx(multiply_adds, rel=0.01)
    assert told["flops"] == 2 * told["multiply_adds"]
    assert told["learning"] == 0


def test_small_networks(cli, tmp_path) -> None:
    ran = cli("summary", "cnn:signs", "--size", 28, "--channels", 1, "--classes", 24,
              "--draw", tmp_path / "signs.svg", "--every-layer")  # fmt: skip
    assert ran.code == 0
    assert "cnn:signs: " in ran.out
    assert "Conv2d 3×3" in ran.out
    assert "input 1 x 28 x 28" in ran.out
    assert "BatchNorm2d" in ran.out


def test_weights_that_are_found_not_trained_do_not_learn(cli) -> None:
    told = cli("summary", "resnet", "--json").json
    assert told["parameters"] - told["learning"] == 24 * 3 * 2 * 2  # whitening of 2 x 2 patches


@pytest.mark.parametrize(("arguments", "message"), [
    (["cnn:sign"], "preset of cnn must be one of plain, signs; got 'sign'. Did you mean 'signs'?"),
    (["efficientnet-lite"], "is not known. Did you mean 'efficientnet-lite"),
    (["./missing"], "bundle missing does not exist; `silverprint train` makes bundles."),
    (["mlp", "--channels", "2"], "channels must be 1 or 3; got 2."),
    (["mlp", "--classes", "0"], "classes must lie within 1..100000; got 0."),
    (["mlp", "--size", "4"], "size must lie within 8..2048 pixels; got 4."),
    (["vgg16", "--classes", "3"], "--channels and --classes are for mlp, cnn and resnet"),
    (["mlp", "--draw", "net.pdf"], "a figure must end with .svg or .png; got 'net.pdf'."),
])  # fmt: skip
def test_what_is_refused(cli, arguments, message) -> None:
    ran = cli("summary", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_a_bundle_has_its_own_size(cli, trained) -> None:
    ran = cli("summary", trained.bundle, "--size", 96)
    assert (ran.code, ran.err) == (
        2,
        "error: --size is for networks without a bundle; leave it out.\n",
    )
