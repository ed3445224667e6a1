"""The words that the peers' table puts to what was measured."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HOME = Path(__file__).parents[2] / "benchmarks" / "peers"


@pytest.fixture
def peers(monkeypatch):
    """The benchmark's own modules, which lie in no package."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(HOME))
    import awkward
    import section

    yield awkward, section
    for name in set(sys.modules) - before:
        if str(HOME) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def photo():
    rows, columns = np.mgrid[0:120, 0:160]
    pixels = np.stack([columns, rows * 2, (rows + columns) // 2], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def plain(file):
    """What a loader sees that knows of no orientation, no alpha and no depth."""
    with Image.open(file) as picture:
        return picture.convert("RGB")


@pytest.mark.parametrize(
    ("kind", "look"),
    [
        ("upper-case .JPG", "right"),
        ("PNG named .jpg", "right"),
        ("WebP", "right"),
        ("CMYK JPEG", "right"),
        ("animated GIF", "right"),
        ("EXIF-rotated JPEG", "sideways"),
        ("16-bit PNG", "white"),
        ("half-transparent PNG", "transparent as black"),
    ],
)
def test_what_a_plain_loader_makes_of_a_file_is_recognised(peers, photo, tmp_path, kind, look):
    awkward, _ = peers
    seen = awkward.thumbnail(plain(awkward.place(kind, photo, tmp_path)))
    assert awkward.recognise(seen, awkward.right_answer(kind, photo)) == look


def test_every_picture_that_can_be_read_is_right_in_our_own_eyes(peers, photo, tmp_path):
    from silverprint.runtime.images import decode

    awkward, _ = peers
    for kind in list(awkward.FILES)[6:]:
        folder = tmp_path / kind
        folder.mkdir()
        seen = awkward.thumbnail(Image.fromarray(decode(awkward.place(kind, photo, folder))))
        assert awkward.recognise(seen, awkward.right_answer(kind, photo)) == "right", kind


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"code": 1, "output": "ValueError"}, "**crashes**, without its name"),
        ({"code": 1, "output": "cannot read /x/awkward.jpg"}, "**crashes**, naming it"),
        ({"pictures": 31}, "left out, **silently**"),
        ({"pictures": 31, "output": "left out: AWKWARD.JPG"}, "left out, told"),
        ({"seen": None, "output": "Skipped sample (index 3)"},
         "another in its place, told without its name"),
        ({}, "used"),
    ],
)  # fmt: skip
def test_verdict(peers, photo, change, verdict):
    awkward, _ = peers
    right = awkward.thumbnail(photo)
    run = {"code": 0, "output": "", "pictures": 32, "seen": right, **change}
    assert awkward.judge(run, right, good=31) == verdict


def test_the_epoch_at_which_an_accuracy_was_reached(peers):
    _, section = peers
    steps = [[10.2, 0.8], [20.4, 0.9], [30.6, 0.85]]
    assert section.reached(steps, 0.85) == "20, after epoch 2"
    assert section.reached(steps, 0.95) == "not within 3 epochs, 31 s"
