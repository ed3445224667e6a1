"""The variational autoencoder: shapes, gradients, and arithmetic that can be checked otherwise."""

import math

import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.models.shapes import VaeShape
from silverprint.models.vae import Coupling, DecoderPart, EncoderPart, Vae

SHAPES = [
    VaeShape(1, 28, 5),
    VaeShape(3, 16, 4, "cnn", (8,), 1, "gaussian"),
    VaeShape(1, 64, 3, "cnn", (4, 6), 0, couplings=2),
    VaeShape(1, 15, 2, "mlp", (20, 10), classes=3),
    VaeShape(3, 20, 3, "cnn", (8, 8), couplings=1, classes=2),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_weight_is_used_and_codes_come_back_as_pictures(shape: VaeShape) -> None:
    torch.manual_seed(0)
    vae = Vae(shape)
    pictures = torch.rand(4, shape.channels, shape.side, shape.side).round()
    labels = torch.arange(4) % shape.classes if shape.classes else None
    terms = vae(pictures, torch.randn(2, 4, shape.latent), labels)
    assert terms.reconstruction.shape == terms.divergence.shape == (2, 4)
    (terms.reconstruction + terms.divergence).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in vae.parameters())
    codes = EncoderPart(vae)(pictures, labels)
    assert codes.shape == (4, shape.latent)
    made = DecoderPart(vae)(codes, labels)
    assert made.shape == pictures.shape
    assert 0 <= made.min() <= made.max() <= 1


def test_the_divergence_of_many_draws_is_what_it_should_be_in_the_mean() -> None:
    torch.manual_seed(0)
    vae = Vae(VaeShape(1, 16, 3, "mlp", (8,))).eval()
    with torch.no_grad():
        terms = vae(torch.rand(2, 1, 16, 16).round(), torch.randn(10_000, 2, 3))
    assert terms.units is not None
    torch.testing.assert_close(terms.divergence.mean(0), terms.units.sum(1), atol=0.05, rtol=0)


def test_a_gaussian_reconstruction_is_that_of_torch() -> None:
    torch.manual_seed(0)
    vae = Vae(VaeShape(3, 16, 2, "mlp", (8,), likelihood="gaussian"))
    pictures, codes = torch.rand(2, 3, 16, 16), torch.randn(1, 2, 2)
    normal = torch.distributions.Normal(vae.decode(codes[0]), vae.log_noise.exp())
    expected = -normal.log_prob(pictures).flatten(1).sum(1)
    torch.testing.assert_close(vae.reconstruction(pictures, codes, None)[0], expected)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("latent", [2, 5])
def test_a_coupling_can_be_undone_and_knows_how_volume_grows(flip: bool, latent: int) -> None:
    torch.manual_seed(0)
    coupling = Coupling(latent, flip)
    torch.nn.init.normal_(coupling.says[2].weight)  # type: ignore[arg-type]
    codes = torch.randn(6, latent)
    out, grown = coupling(codes)
    torch.testing.assert_close(coupling.back(out), codes, atol=1e-4, rtol=1e-4)
    for row in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda code: coupling(code[None])[0][0], codes[row]
        )
        expected = torch.linalg.det(jacobian).abs().log()
        assert math.isclose(grown[row].item(), expected.item(), abs_tol=1e-3)


def test_a_side_that_cannot_be_halved_is_refused() -> None:
    VaeShape(1, 17, 2, "mlp").check()
    with pytest.raises(ConfigError, match="size must be even and over 8; got 17"):
        VaeShape(1, 17, 2).check()
