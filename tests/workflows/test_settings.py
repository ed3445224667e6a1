"""The settings of a training run."""

import json
from pathlib import Path

import pytest

from silverprint.errors import ConfigError
from silverprint.recipes.heads import HeadConfig, default_configs
from silverprint.workflows.settings import TrainSettings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bakbone": "x"}, r"setting 'bakbone' is unknown. Did you mean 'backbone'\?"),
        ({"size": 4}, r"size must lie within 16\.\.2048 pixels; got 4"),
        ({"fit": "pat"}, r"fit must be one of pad, crop, squash; got 'pat'"),
        ({"seed": -1}, r"seed must lie within 0\.\.2147483647; got -1"),
        ({"folds": 1}, r"folds must lie within 2\.\.1000; got 1"),
        (
            {"validation_fraction": 0},
            r"validation_fraction must lie within 0\.\.1, both ex.*; got 0",
        ),
        ({"size": "big"}, r"size must lie within 16\.\.2048 pixels; got 'big'"),
        ({"cache_limit": "20GB"}, r"cache_limit must lie within 0 bytes and more; got '20GB'"),
        ({"weights": 5}, r"weights must be the name of a file; got 5"),
        ({"seed": "x"}, r"seed must lie within 0\.\.2147483647; got 'x'"),
        ({"batch_norm": "maybe"}, r"batch_norm must be true or false; got 'maybe'"),
        ({"backbone": 5}, r"backbone must be a word; got 5"),
        ({"from_scratch": "yes"}, r"from_scratch must be true or false; got 'yes'"),
        ({"from_scratch": True, "model": 5}, r"model must be a word; got 5"),
        ({"from_scratch": True, "augment": 5}, r"augment must be a word; got 5"),
        ({"from_scratch": True, "average": "maybe"}, r"average must be true or false; got 'maybe'"),
        ({"from_scratch": True, "learning_rate": [0.1, 0.2]}, r"0 excluded; got \(0\.1, 0\.2\)"),
        ({"from_scratch": True, "unfreeze": 2}, r"'unfreeze' needs finetune; give that instead"),
        ({"from_scratch": True, "backbone": "vgg16"}, r"backbone is of a pretrained network and"),
        ({"from_scratch": True, "hidden_size": 5}, r"hidden_size is of a pretrained network and"),
        ({"from_scratch": True, "model": "resnet", "batch_norm": False}, "always has batch norm"),
        (
            {"from_scratch": True, "model": "mlp", "batch_norm": True, "batch_size": 2},
            "batch_size must be at least 4 times accumulate; got 2 and 1",
        ),
        ({"class_weights": "x"}, r"class_weights must be one of auto, balanced, none; got 'x'"),
        ({"cache_limit": -1}, r"cache_limit must lie within 0 bytes and more; got -1"),
    ],
)
def test_a_wrong_setting_is_named(given, message) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSettings.of(**given)


def test_without_wishes_the_default_heads_are_tried() -> None:
    assert TrainSettings.of().heads() == default_configs()
    assert TrainSettings.of(seed=3, backbone="resnet18").heads() == default_configs()


def test_every_combination_is_tried_once() -> None:
    settings = TrainSettings.of(hidden_size=[0, 8], learning_rate=[1e-3, 1e-2], dropout=[0, 0.5])
    heads = settings.heads()
    assert len(heads) == len(set(heads)) == 2 + 4  # linear heads have no dropout
    assert {head.learning_rate for head in heads} == {1e-3, 1e-2}


def test_a_single_value_stands_for_a_list_of_one() -> None:
    assert TrainSettings.of(hidden_size=8).heads() == [
        HeadConfig(hidden_size=8, learning_rate=1e-3, dropout=0.5, weight_decay=0.1)
    ]
    assert TrainSettings.of(hidden_size=0).heads() == [HeadConfig(weight_decay=0.03)]
    (trained,) = TrainSettings.of(hidden_size=0, learning_rate=0.1).heads()
    assert trained.learning_rate == 0.1
    assert not trained.exact


def test_a_learning_rate_of_0_is_refused_and_not_replaced() -> None:
    for size in (0, 8):
        with pytest.raises(ConfigError, match="learning_rate must lie within above 0"):
            TrainSettings.of(hidden_size=size, learning_rate=0.0).heads()


def test_no_weight_decay_is_none() -> None:
    assert {head.weight_decay for head in TrainSettings.of(weight_decay=0).heads()} == {0}


def test_json_keeps_everything_but_the_folders() -> None:
    settings = TrainSettings.of(
        weights="/home/me/w.pth", backbone_options=(("mean", "0.5"),), dropout=[0.1, 0.2]
    )
    plain = json.loads(json.dumps(settings.to_json()))
    assert plain["weights"] == "w.pth"
    assert plain["backbone_options"] == {"mean": "0.5"}
    assert plain["dropout"] == [0.1, 0.2]
    assert settings.weights == Path("/home/me/w.pth")


def test_l1_and_initialisation_are_tried_by_trained_heads() -> None:
    heads = TrainSettings.of(hidden_size=[0, 8], l1=[0, 1e-4], initialisation="xavier").heads()
    assert len(heads) == 4
    assert all(head.learning_rate == 1e-3 for head in heads)
    assert {head.l1 for head in heads} == {0, 1e-4}
    with pytest.raises(ConfigError, match="initialisation"):
        TrainSettings.of(initialisation="hee").heads()


def test_a_single_value_stands_for_a_list_in_a_recipe_too() -> None:
    for widths in (8, [8], (8,)):
        settings = TrainSettings.of(from_scratch=True, model="mlp", widths=widths)
        assert settings.scratch is not None
        assert settings.scratch.widths == (8,)


def test_where_pictures_are_looked_at_is_no_part_of_a_model() -> None:
    settings = TrainSettings.of(on="ray://head:10001")
    assert settings.on == "ray://head:10001"
    assert settings.to_json() == TrainSettings.of().to_json()
    with pytest.raises(ConfigError, match=r"on must be ray \(this machine\), .*; got 'nowhere'"):
        TrainSettings.of(on="nowhere")
    with pytest.raises(ConfigError, match="on is of a pretrained network"):
        TrainSettings.of(on="ray", from_scratch=True)
