"""`generate vae`, `generate sample` and `generate walk` as they are typed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FAST = ("--network", "mlp", "--widths", "16", "--epochs", "1", "--size", "16", "--device", "cpu",
        "--importance-samples", "2", "--importance-pictures", "4", "--quiet")  # fmt: skip


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    """Colour pictures in one folder, without labels."""
    folder = tmp_path / "loose"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(24):
        areas = chance.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(areas).resize((24, 20)).save(folder / f"{number:02d}.png")
    return folder


def test_loose_pictures_teach_how_to_make_more(cli, loose, tmp_path) -> None:
    out, sheet = tmp_path / "bundle", tmp_path / "sheet.png"
    ran = cli("generate", "vae", loose, "--latent", 3, *FAST, "--out", out, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["bundle"] == str(out)
    (found,) = ran.json["metrics"].values()
    assert found["units"] == 3
    assert set(ran.json["curves"]) == {
        f"{part} {term}" for part in ("training", "validation")
        for term in ("loss", "reconstruction", "divergence")
    }  # fmt: skip
    made = cli("generate", "sample", out, "--n", 9, "--out", sheet, "--json")
    assert made.json == {"out": str(sheet), "pictures": 9, "classes": []}
    with Image.open(sheet) as picture:
        assert picture.size == (3 * 66 - 2, 3 * 66 - 2)
    ends = (loose / "00.png", loose / "01.png")
    walked = cli("generate", "walk", out, "--between", *ends, "--steps", 5, "--out", sheet)
    assert walked.code == 0, walked.err
    assert "5 pictures, spherical between two pictures" in walked.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--network", "cnm"), "network must be one of cnn, mlp; got 'cnm'. Did you mean 'cnn'?"),
        (("--set", "free_bit=1"), "setting 'free_bit' is unknown. Did you mean 'free_bits'?"),
        (("--latent", "0"), "latent must lie within 1..4096; got 0"),
        (("--conditional",), "has no classes to be told apart"),
        (("--network", "cnn", "--size", "17"), "size must be even and over 8; got 17"),
    ],
)
def test_what_will_not_do_is_one_line(cli, loose, tmp_path, options, told) -> None:
    ran = cli("generate", "vae", loose, *FAST, "--out", tmp_path / "bundle", *options)
    assert ran.code == 2
    assert told in ran.err
    assert ran.err.strip().count("\n") == 0
    assert not (tmp_path / "bundle").exists()


def test_a_folder_that_is_no_bundle_is_told(cli, loose) -> None:
    ran = cli("generate", "sample", loose)
    assert ran.code == 2
    assert "bundle.json" in ran.err
