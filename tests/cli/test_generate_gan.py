"""`generate gan` as it is typed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FAST = ("--width", "4", "--code-size", "6", "--epochs", "1", "--batch-size", "8",
        "--device", "cpu", "--quiet")  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of small colour pictures."""
    generator = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(15):
            areas = generator.integers(0, 255, (4, 4, 3), dtype=np.uint8)
            picture = Image.fromarray(areas).resize((24, 20), Image.Resampling.BICUBIC)
            picture.save(tmp_path / "photos" / name / f"{number:02d}.png")
    return tmp_path / "photos"


def test_photos_become_a_bundle_that_makes_some(cli, photos, tmp_path) -> None:
    out = tmp_path / "bundle"
    ran = cli("generate", "gan", photos, "--size", "16", *FAST, "--out", out, "--json")
    assert ran.code == 0, ran.err
    told = ran.json
    assert told["classes"] == ["cats", "dogs"]
    assert told["metrics"]["spread"] > 0
    assert "judge" not in told["metrics"]
    sheet = tmp_path / "sheet.png"
    made = cli("generate", "sample", out, "--class", "dogs", "--n", "4", "--out", sheet, "--json")
    assert made.code == 0, made.err
    assert made.json["pictures"] == 4
    plain = cli("generate", "gan", photos, "--size", "16", "--unconditional", *FAST[:-1],
                "--out", out)  # fmt: skip
    assert plain.code == 0, plain.err
    assert "differ by" in plain.out
    assert "next: silverprint generate sample" in plain.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--loss", "hinges"), "loss must be one of hinge, non-saturating; got 'hinges'"),
        (("--set", "spectrl=false"), "'spectrl' is unknown. Did you mean 'spectral'?"),
        (("--size", "128"), "a gan makes pictures of 16 to 64 pixels; got 128"),
        (("--judge", "nothing"), "nothing"),
        (("--batch-size", "64"), "batch_size of 64; got"),
        (("--fit", "shrink"), "fit must be one of pad, crop, squash"),
    ],
)
def test_errors_are_one_line_and_code_2(cli, photos, tmp_path, options, told) -> None:
    size = () if "--size" in options else ("--size", "16")
    ran = cli("generate", "gan", photos, *size, *FAST, *options, "--out", tmp_path / "bundle")
    assert ran.code == 2
    assert told in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "bundle").exists()
