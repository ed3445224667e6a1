"""Optimisers without torch's compiler do what torch's do."""

import subprocess
import sys

import pytest
import torch

from silverprint.training.optimisers import LBFGS, AdamW, decay_groups

WITHOUT_COMPILER = """
import sys, torch
from silverprint.training.optimisers import LBFGS, AdamW
for kind in (AdamW, LBFGS):
    weight = torch.ones(3, requires_grad=True)
    optimiser = kind([weight])
    def loss():
        optimiser.zero_grad()
        value = weight.square().sum()
        value.backward()
        return value
    before = loss().item()
    optimiser.step(loss) if kind is LBFGS else optimiser.step()
    assert loss().item() < before
assert "torch._dynamo" not in sys.modules
"""


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (AdamW, torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.3, "fused": True}),
        (AdamW, torch.optim.AdamW, {"lr": 0.1}),
        (
            AdamW,
            torch.optim.Adam,
            {"lr": 0.1, "weight_decay": 0.0, "betas": (0.0, 0.9), "fused": True},
        ),
        (LBFGS, torch.optim.LBFGS, {"line_search_fn": "strong_wolfe", "max_iter": 5}),
    ],
)
def test_they_take_the_steps_that_torch_takes(ours, theirs, options) -> None:
    target = torch.arange(4.0)
    found = []
    for kind in (ours, theirs):
        weight = torch.full((4,), 0.5, requires_grad=True)
        optimiser = kind([weight], **options)

        def loss(weight=weight, optimiser=optimiser) -> torch.Tensor:
            optimiser.zero_grad()
            value = ((weight - target) ** 4).sum()
            value.backward()
            return value

        for _ in range(5):
            if kind in (LBFGS, torch.optim.LBFGS):
                optimiser.step(loss)
            else:
                loss()
                optimiser.step()
        found.append(weight.detach())
    assert not torch.equal(found[0], torch.full((4,), 0.5))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_the_compiler_is_not_imported() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], check=True)


def test_weights_decay_and_nothing_else_does() -> None:
    network = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1)
    )
    network[2].requires_grad_(False)
    decaying, others = decay_groups(network.parameters(), 0.1)
    assert [id(one) for one in decaying["params"]] == [id(network[0].weight)]
    assert decaying["weight_decay"] == 0.1
    assert len(others["params"]) == 3
    assert others["weight_decay"] == 0.0
