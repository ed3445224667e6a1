"""What --help says of a default is what the settings have."""

import inspect
from contextlib import suppress
from typing import get_args

import pytest

from silverprint.cli import write
from silverprint.cli.generate import autoencoder, gan, vae
from silverprint.recipes.autoencoder_settings import AutoencoderSettings
from silverprint.recipes.char_lm_settings import TextSettings
from silverprint.recipes.gan_settings import GanSettings
from silverprint.recipes.vae_settings import VaeSettings


@pytest.fixture(autouse=True)
def ready() -> None:
    """These tests need no trained bundle."""


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (write.train, TextSettings()),
        (vae, VaeSettings()),
        (gan, GanSettings()),
        (autoencoder, AutoencoderSettings()),
    ],
    ids=("write", "vae", "gan", "autoencoder"),
)
def test_help_tells_the_defaults_that_the_settings_have(command, settings) -> None:
    told = {}
    for name, parameter in inspect.signature(command).parameters.items():
        shown = get_args(parameter.annotation)[1].show_default
        with suppress(TypeError, ValueError):  # words, or none
            told[name] = float(shown) if isinstance(shown, str) else None
    told = {name: value for name, value in told.items() if value is not None}
    assert len(told) > 2
    assert told == {name: getattr(settings, name) for name in told}
