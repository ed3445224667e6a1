"""Poor pictures stand out; whole datasets of small or dark ones do not."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from silverprint.data.audit.facts import Facts, measure
from silverprint.data.audit.quality import imbalances, poor_pictures, unlike_others


def textured(size=(240, 300), seed=0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (10, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.NEAREST)


POOR = {
    "tiny": lambda: textured((30, 40)),
    "odd-shaped": lambda: textured((600, 80)),
    "dark": lambda: textured().point(lambda value: value // 16),
    "washed out": lambda: textured().point(lambda value: 250 + value // 60),
    "blank": lambda: Image.new("RGB", (240, 300), (120, 130, 140)),
    "blurred": lambda: textured().filter(ImageFilter.GaussianBlur(14)),
}


@pytest.mark.parametrize("fault", POOR)
def test_a_poor_picture_among_good_ones_is_named(facts_of, fault) -> None:
    facts = facts_of(*(textured(seed=seed) for seed in range(5)), POOR[fault]())
    found = poor_pictures(facts, [f"{row}.png" for row in range(6)])
    assert [row for row, _, _ in found] == [5]
    assert fault in found[0][1]
    assert 1 < found[0][2] <= 10


def test_where_all_are_small_and_dark_none_is(facts_of) -> None:
    facts = facts_of(
        *(textured((28, 28), seed).point(lambda value: value // 16) for seed in range(4))
    )
    assert poor_pictures(facts, ["a.png"] * 4) == []


def test_a_wrong_ending_is_named(draw, encode) -> None:
    content = encode(draw(0), "PNG")
    facts = Facts(np.stack([measure(content, "x")] * 3))
    found = poor_pictures(facts, ["a.png", "b.JPG", "c.unknown"])
    assert found == [(1, "misnamed: a PNG that is called .jpg", 1.0)]


def test_imbalances() -> None:
    assert imbalances({"cat": 30, "dog": 90}) == []
    ((detail, ratio),) = imbalances({"cat": 30, "dog": 91, "emu": 50})
    assert "dog has 91 pictures, cat 30: 3.0 times as many" in detail
    assert ratio == pytest.approx(91 / 30)
    ((detail, _),) = imbalances({"cat": 1, "dog": 2})[:1]
    assert detail.startswith("cat has 1 picture, fewer than 10")
    assert imbalances({"cat": 5}) == []


def test_the_picture_that_lies_far_from_all_is_an_outlier() -> None:
    random = np.random.default_rng(0)
    cosines = 0.8 + 0.02 * random.standard_normal((200, 10)).astype(np.float32)
    cosines[17] = 0.1
    ((row, far),) = unlike_others(cosines, 10, 5.0)
    assert row == 17
    assert far > 5
    assert unlike_others(cosines[:, :3], 10, 5.0) == []  # too few others to say
    cosines[:150:10] = 0.2
    assert [row for row, _ in unlike_others(cosines, 10, 5.0)] == [17, 0, 10]  # at most 3, or 1 %
