"""The importance-weighted bound against the integral it bounds."""

import math

import pytest
import torch

from silverprint.models.shapes import VaeShape
from silverprint.models.vae import Vae
from silverprint.training import importance
from silverprint.training.importance import active_units, importance_bounds


def small(**changes: object) -> Vae:
    torch.manual_seed(0)
    vae = Vae(VaeShape(1, 16, **{"latent": 2, "network": "mlp", "widths": (8,), **changes})).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(0.7)
        for coupling in vae.coupling:
            torch.nn.init.normal_(coupling.says[2].weight, std=0.1)
    return vae


def integral(vae: Vae, picture: torch.Tensor, label: torch.Tensor | None = None) -> float:
    """Return -log p(picture) by summing over the plane of codes of N(0, I)."""
    line = torch.linspace(-6, 6, 81)
    base = torch.cartesian_prod(line, line)
    told = None if label is None else label.expand(len(base))
    with torch.no_grad():
        codes = vae.from_base(base)[:, None]
        losses = vae.reconstruction(picture, codes, None if told is None else told[:1])[:, 0]
    log_prior = -base.square().sum(1) / 2 - math.log(2 * math.pi)
    step = 2 * math.log((line[1] - line[0]).item())
    return -((log_prior - losses).double().logsumexp(0) + step).item()


@pytest.mark.parametrize("changes", [{}, {"couplings": 3}, {"classes": 3}], ids=str)
def test_with_many_codes_it_is_the_likelihood(changes: dict[str, int]) -> None:
    vae = small(**changes)
    pictures = torch.rand(3, 1, 16, 16).round()
    labels = torch.tensor([0, 1, 2]) if changes.get("classes") else None
    found = importance_bounds(vae, pictures, labels, (1, 20, 5000))
    truth = [
        integral(vae, pictures[row : row + 1], None if labels is None else labels[row : row + 1])
        for row in range(3)
    ]
    assert found.by_samples[5000] == pytest.approx(truth, abs=0.3)
    assert found.by_samples[5000].mean() == pytest.approx(sum(truth) / 3, abs=0.15)
    one, many = importance_bounds(vae, pictures.repeat(60, 1, 1, 1), None if labels is None else
                                  labels.repeat(60), (1, 20)).by_samples.values()  # fmt: skip
    assert one.mean() > many.mean() > found.by_samples[5000].mean() - 0.15


def test_the_bound_of_one_code_is_its_two_terms() -> None:
    pictures = torch.rand(30, 1, 16, 16).round()
    found = importance_bounds(small(couplings=3), pictures, None, (1,))
    assert found.by_samples[1] == pytest.approx(found.reconstruction + found.divergence)
    assert found.by_samples[1].dtype == "float64"


def test_a_divergence_whose_expectation_is_known_is_told_by_it() -> None:
    pictures = torch.rand(1, 1, 16, 16).round().repeat(4000, 1, 1, 1)
    found = importance_bounds(small(), pictures, None, (1,))
    assert found.divergence.min() == pytest.approx(found.divergence.max())
    assert found.divergence.min() > 0
    bound = found.reconstruction + found.divergence
    assert bound.mean() == pytest.approx(found.by_samples[1].mean(), abs=0.1)


def test_how_it_is_cut_into_parts_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    vae, pictures, told = small(), torch.rand(3, 1, 16, 16).round(), []
    whole = importance_bounds(vae, pictures, None, (50, 4000))
    monkeypatch.setattr(importance, "TOGETHER", 7)
    parts = importance_bounds(
        vae, pictures, None, (50, 4000), advance=lambda count, note="": told.append((count, note))
    )
    counts = [count for count, _ in told]
    assert sum(counts) == 3 * 4000
    assert max(counts) <= 7
    assert parts.by_samples[4000] == pytest.approx(whole.by_samples[4000], abs=0.1)


def test_units_whose_mean_stands_still_are_not_active() -> None:
    vae = small(latent=4)
    with torch.no_grad():
        vae.encoding.weight.mul_(20)
    assert active_units(vae, torch.rand(50, 1, 16, 16), None)[0] == 4
    with torch.no_grad():
        vae.encoding.weight[1].zero_()
        vae.encoding.weight[3].zero_()
    active, means = active_units(vae, torch.rand(50, 1, 16, 16), None)
    assert active == 2
    assert means.shape == (50, 4)
