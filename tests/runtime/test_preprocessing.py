"""Preprocessing as data."""

import json

import pytest

from silverprint.errors import ConfigError
from silverprint.runtime.preprocessing import Preprocessing


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 15}, r"size must lie within 16\.\.2048 pixels; got 15"),
        ({"size": 2049}, r"size must lie within 16\.\.2048 pixels; got 2049"),
        ({"fit": "pat"}, r"fit must be one of pad, crop, squash; got 'pat'. Did you mean 'pad'\?"),
        ({"crop": 0.05}, r"crop must lie within 0\.1\.\.1; got 0.05"),
        ({"crop": 1.1}, r"crop must lie within 0\.1\.\.1; got 1.1"),
    ],
)
def test_a_value_outside_its_range_is_named(given, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Preprocessing(**given)


def test_the_side_to_decode_to_loses_nothing() -> None:
    assert Preprocessing(size=224, fit="crop", crop=0.875).decode_side == 256
    assert Preprocessing(size=224, fit="pad", crop=0.875).decode_side == 224
    assert Preprocessing(size=100, fit="squash").decode_side == 100


def test_json_tells_every_two_apart() -> None:
    variants = [
        Preprocessing(),
        Preprocessing(size=96),
        Preprocessing(fit="crop"),
        Preprocessing(fit="crop", crop=0.9),
        Preprocessing(mean=(0.4, 0.5, 0.5)),
        Preprocessing(std=(0.4, 0.5, 0.5)),
    ]
    assert len({json.dumps(variant.to_json(), sort_keys=True) for variant in variants}) == 6
