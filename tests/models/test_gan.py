from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.export.generative import export_part
from silverprint.models.gan import build_gan
from silverprint.models.shapes import UPSAMPLINGS


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 29, 29), (1, 30, 30), (3, 33, 33), (1, 64, 64)])
def test_pictures_of_every_size_are_made_and_told(shape: Any, upsampling: Any) -> None:
    generator, discriminator = build_gan(shape, 5, 4, upsampling=upsampling)
    made = generator(torch.randn(3, 5))
    assert made.shape == (3, *shape)
    assert made.dtype == torch.float32
    assert 0 <= made.min() < made.max() <= 1
    answers = discriminator(made)
    assert answers.shape == (3,)
    answers.sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_a_class_that_is_told_changes_picture_and_answer() -> None:
    torch.manual_seed(0)
    generator, discriminator = build_gan((1, 16, 16), 5, 4, classes=3)
    codes = torch.randn(2, 5).repeat(2, 1)
    labels = torch.tensor([0, 0, 2, 2])
    with torch.no_grad():
        made = generator.eval()(codes, labels)
        assert (made[0] - made[2]).abs().max() > 1e-3
        answers = discriminator.eval()(made[:1].repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    assert abs(float(answers[0] - answers[1])) > 1e-4


def test_a_normalised_discriminator_answers_no_steeper_however_large_its_weights() -> None:
    pictures = torch.rand(4, 1, 16, 16)

    def steepness(spectral: bool) -> float:
        torch.manual_seed(0)
        _, discriminator = build_gan((1, 16, 16), 5, 4, spectral=spectral)
        with torch.no_grad():
            before = discriminator.eval()(pictures).std()
            for parameter in discriminator.parameters():
                parameter.mul_(10)
            discriminator.train()(pictures)
            return float(discriminator.eval()(pictures).std() / before)

    assert steepness(spectral=True) < 1.5
    assert steepness(spectral=False) > 100


def test_weights_begin_at_right_angles() -> None:
    generator, _ = build_gan((1, 16, 16), 8, 4)
    weight = generator.grow[0][1].weight.flatten(1)  # type: ignore[index, union-attr]
    np.testing.assert_allclose((weight @ weight.T).detach(), np.eye(len(weight)), atol=1e-5)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("classes", [0, 3])
def test_a_generator_is_the_same_as_onnx(tmp_path: Path, upsampling: Any, classes: int) -> None:
    generator, _ = build_gan((1, 28, 28), 5, 4, classes=classes, upsampling=upsampling)
    given = {"codes": torch.randn(4, 5)}
    if classes:
        given["labels"] = torch.tensor([0, 1, 2, 0])
    assert export_part(generator, given, ("pictures",), tmp_path / "decoder.onnx") < 1e-4


@pytest.mark.parametrize("side", [15, 65])
def test_a_size_outside_is_refused(side: int) -> None:
    with pytest.raises(ConfigError, match=rf"a gan makes pictures of 16 to 64 pixels; got {side}"):
        build_gan((1, side, side), 5, 4)
