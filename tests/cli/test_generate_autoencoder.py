"""`generate autoencoder` and `generate reconstruct` as they are typed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FAST = ("--widths", "4,8", "--epochs", "1", "--size", "16", "--device", "cpu", "--quiet")


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    """Pictures in one folder, without labels."""
    folder = tmp_path / "loose"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(24):
        areas = generator.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(areas).resize((24, 20), Image.Resampling.BICUBIC).save(
            folder / f"{number:02d}.png"
        )
    return folder


def test_loose_pictures_become_a_bundle_that_makes_them_again(cli, loose, tmp_path) -> None:
    out = tmp_path / "bundle"
    ran = cli("generate", "autoencoder", loose, "--code-size", 6, *FAST, "--out", out, "--json")
    assert ran.code == 0, ran.err
    told = ran.json
    assert told["bundle"] == str(out)
    assert told["metrics"]["validation"]["psnr"] > 0
    assert told["epochs"] == 1
    assert (out / "report.html").exists()
    sheet = tmp_path / "sheet.png"
    again = cli("generate", "reconstruct", out, loose, "--out", sheet, "--json")
    assert again.code == 0, again.err
    assert len(again.json["pictures"]) == 24
    with Image.open(sheet) as picture:
        assert picture.size == (16 * 66 - 2, 4 * 66 + 8 - 4)
    shown = cli("generate", "reconstruct", out, loose / "00.png", "--noise", "masking",
                "--out", sheet)  # fmt: skip
    assert shown.code == 0
    assert "PSNR under noise" in shown.out
    alone = cli("generate", "reconstruct", out, loose, "--strength", "0.3", "--out", sheet)
    assert alone.code == 2
    assert "strength 0.3 is of a noise; give noise gaussian, salt-and-pepper or" in alone.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--kind", "lineer"), "kind must be one of linear, transposed, upsampling; got 'lineer'"),
        (("--strength", "3", "--noise", "gaussian"), "strength must lie within 0..1"),
        (("--kind", "linear", "--code-size", "9999"), "less than the 768 numbers of a picture"),
        (("--strength", "0.3"), "strength 0.3 is of a noise; give noise gaussian"),
        (("--set", "enlargin=bilinear"), "'enlargin' is unknown. Did you mean 'enlarging'?"),
        (("--size", "300"), "takes pictures of 16 to 128 pixels; got 300"),
        (("--fit", "shrink"), "fit must be one of pad, crop, squash"),
    ],
)
def test_errors_are_one_line_and_code_2(cli, loose, tmp_path, options, told) -> None:
    out = tmp_path / "bundle"
    size = () if "--size" in options else ("--size", "16")
    ran = cli("generate", "autoencoder", loose, *size, "--quiet", *options, "--out", out)
    assert ran.code == 2
    assert told in ran.err
    assert ran.err.count("\n") == 1
    assert not out.exists()


def test_a_classifier_is_no_autoencoder(cli, trained, tmp_path) -> None:
    ran = cli("generate", "reconstruct", trained.bundle, "x.png", "--out", tmp_path / "s.png")
    assert ran.code == 2
    assert "holds a classifier; what is asked here needs an autoencoder or a vae" in ran.err
