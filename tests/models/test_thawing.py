"""Which parts of a network learn."""

import pytest
import torch
from torch import nn

from silverprint.backbones.networks import Backbone
from silverprint.errors import BackboneError
from silverprint.models.thawing import check_frozen, digest_of_frozen, let_learn, thaw

SIZE = 32


def backbone(architecture: str = "test_efficientnet", **options) -> Backbone:
    import timm

    torch.manual_seed(0)
    trunk = timm.create_model(architecture, num_classes=0, **options)
    settings = {"size": SIZE, "mean": (0.5,) * 3, "std": (0.2,) * 3, "crop": 1.0}
    network = Backbone(trunk, nn.Linear(4, 2), settings)
    return network.eval().requires_grad_(False)


def pixels() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


def test_everything_learns_but_the_old_classifier() -> None:
    network = backbone()
    thawed = thaw(network, "all", SIZE)
    assert thawed.front is None
    assert not thawed.notices
    learning = {id(p) for stage in thawed.stages for p in stage}
    assert learning == {id(p) for p in network.trunk.parameters()}
    assert all(p.requires_grad for p in network.trunk.parameters())
    assert not any(p.requires_grad for p in network.classifier.parameters())
    assert learning == {id(p) for p in thawed.back.parameters()}
    torch.testing.assert_close(thawed.back(pixels()), network(pixels()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("unfreeze", [1, 2, 3])
def test_front_and_back_are_the_whole(unfreeze) -> None:
    network = backbone()
    thawed = thaw(network, unfreeze, SIZE)
    assert len(thawed.stages) == unfreeze < thawed.total
    assert thawed.front is not None
    activations = thawed.front(pixels())
    assert activations.ndim == 4
    torch.testing.assert_close(thawed.back(activations), network(pixels()), rtol=1e-3, atol=1e-4)
    learning = {id(p) for stage in thawed.stages for p in stage}
    assert {id(p) for p in network.parameters() if p.requires_grad} == learning
    assert {id(p) for p in thawed.back.parameters()} == learning


def test_more_stages_than_there_are_is_all_of_them() -> None:
    thawed = thaw(backbone(), 100, SIZE)
    assert thawed.front is None
    assert len(thawed.stages) == thawed.total


@pytest.mark.parametrize("possible", [True, False])
def test_a_transformer_cut_and_not_cut(possible, monkeypatch) -> None:
    if not possible:
        monkeypatch.setattr("silverprint.models.thawing.cut", lambda *_: None)
    sizes = {"img_size": SIZE, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}
    network = backbone("vit_tiny_patch16_224", **sizes)
    thawed = thaw(network, 2, SIZE)
    assert (thawed.front is not None) == possible
    words = "the network cannot be cut in front of its last 2 stages, so its frozen part runs again"
    assert [notice.startswith(words) for notice in thawed.notices] == [True] * (not possible)
    given = pixels() if thawed.front is None else thawed.front(pixels())
    features = thawed.back(given)
    torch.testing.assert_close(features, network(pixels()), rtol=1e-3, atol=1e-4)
    features.sum().backward()
    assert network.trunk.blocks[0].mlp.fc1.weight.grad is None
    assert network.trunk.pos_embed.grad is None
    assert network.trunk.blocks[-1].mlp.fc1.weight.grad is not None


def test_the_default_backbone_can_be_cut() -> None:
    from silverprint.models.efficientnet_lite import EfficientNetLite

    trunk = EfficientNetLite("tf_efficientnet_lite0")
    trunk.classifier = nn.Identity()
    settings = {"size": SIZE, "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop": 1.0}
    thawed = thaw(Backbone(trunk, None, settings).eval(), 2, SIZE)
    assert thawed.total == 5
    assert thawed.front is not None


def test_only_what_learns_is_in_training_mode() -> None:
    part = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 1).requires_grad_(False), nn.Dropout()),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout(), nn.BatchNorm2d(4)),
        nn.Dropout(),
    )
    part[0].requires_grad_(False)
    let_learn(part)
    assert not part[0].training
    assert not part[0][1].training
    assert part[1].training
    assert part[1][1].training
    assert not part[1][2].training
    assert part[2].training


@pytest.mark.parametrize("name", ["trunk.conv_stem.weight", "trunk.bn1.running_var"])
def test_a_frozen_value_that_moves_is_noticed(name) -> None:
    network = backbone()
    thaw(network, 1, SIZE)
    before = digest_of_frozen(network)
    network.state_dict()["trunk.blocks.4.0.conv_pw.weight"].add_(1)  # this one may
    check_frozen(network, before)
    network.state_dict()[name].flatten()[-1] += 1e-6
    with pytest.raises(BackboneError, match="frozen weights or statistics changed while the"):
        check_frozen(network, before)
