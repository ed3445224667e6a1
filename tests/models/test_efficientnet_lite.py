"""EfficientNet-Lite against timm's."""

import pytest
import timm
import torch

from silverprint.models.efficientnet_lite import SCALES, EfficientNetLite, input_of


@pytest.mark.parametrize("name", SCALES)
def test_it_is_the_network_that_timm_builds(name: str) -> None:
    theirs = timm.create_model(name, exportable=True).eval()
    ours = EfficientNetLite(name).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    generator = torch.Generator().manual_seed(0)
    for side in (64, 75):  # an even side and an odd one are padded otherwise
        pictures = torch.rand(2, 3, side, side, generator=generator) * 2 - 1
        with torch.inference_mode():
            torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SCALES)
def test_its_input_is_what_timm_says(name: str) -> None:
    config, ours = timm.get_pretrained_cfg(name), input_of(name)
    assert config is not None
    assert (ours["size"], ours["mean"], ours["std"], ours["crop"]) == (
        config.input_size[-1], config.mean, config.std, config.crop_pct,
    )  # fmt: skip
