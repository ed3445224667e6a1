"""Heads from features that stay on disk: they are those from the same features in memory."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from silverprint.backbones import stream as stream_module
from silverprint.backbones.cache import FeatureCache
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes import head_data as module
from silverprint.recipes.head_data import HeadData, Link, StreamedHeadData
from silverprint.recipes.heads import FitSettings, fit_heads

ROWS, HELD, DIMENSION, CLASSES = 3000, 500, 12, 4
SETTINGS = FitSettings(class_weights="none", epochs=12, batch_size=64)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let a few thousand rows be many parts, and a sample be a tenth of them."""
    monkeypatch.setattr(stream_module, "IN_ORDER", 2)
    monkeypatch.setattr(stream_module, "MIXED", 4)
    monkeypatch.setattr(module, "SAMPLE_BYTES", 300 * DIMENSION * 4)


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) whose directions differ in width, and labels (n,) drawn by a linear rule.

    Training rows come class by class, as folders do.
    """
    random = np.random.default_rng(seed)
    widths = np.linspace(0.3, 3, DIMENSION)
    features = random.standard_normal((ROWS + HELD, DIMENSION)) * widths + 5
    logits = (features - 5) @ (np.random.default_rng(9).normal(0, 1, (DIMENSION, CLASSES)))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(1)
    order = np.concatenate([np.argsort(labels[:ROWS]), np.arange(ROWS, ROWS + HELD)])
    return features[order].astype(np.float32), labels[order]


def both(
    root: Path, features, labels, link: Link = "softmax", settings: FitSettings = SETTINGS
) -> list[tuple]:
    """Return training and validation data in memory, and the same on the disk."""
    outputs = CLASSES if link == "softmax" or labels.ndim > 1 else 1
    cache = FeatureCache(root, "net", {}, DIMENSION)
    digests = [hashlib.sha256(b"%d" % row).digest() for row in range(len(features))]
    cache.add(digests, features)
    parts = slice(0, ROWS), slice(ROWS, ROWS + HELD)
    pairs = []
    for kind, give in (
        (HeadData, lambda part: features[part]),
        (StreamedHeadData, lambda part: cache.stream(digests[part])),
    ):
        train = kind.of(give(parts[0]), labels[parts[0]], outputs, link, settings)
        held = kind.of(give(parts[1]), labels[parts[1]], outputs, link, settings, train)
        pairs.append((train, held))
    return pairs


def test_statistics_are_those_of_all_rows(tmp_path) -> None:
    (train, _), (streamed, held) = both(tmp_path, *made())
    np.testing.assert_allclose(streamed.mean, train.mean, rtol=1e-5)
    assert streamed.scale == pytest.approx(train.scale, rel=1e-5)
    assert (held.mean is streamed.mean, held.scale, held.sample) == (True, streamed.scale, None)
    assert (len(streamed), streamed.inputs) == (ROWS, DIMENSION)


def test_blocks_are_all_rows_and_the_sample_is_even(tmp_path) -> None:
    (train, _), (streamed, _) = both(tmp_path, *made())
    rows = []
    for numbers, block in streamed.blocks():
        torch.testing.assert_close(block.features, train.features[numbers], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(block.targets, train.targets[numbers])
        rows.append(numbers)
    assert len(rows) > 3
    assert torch.cat(rows).sort().values.equal(torch.arange(ROWS))
    counts = torch.bincount(streamed.sample.targets, minlength=CLASSES) / 300
    whole = torch.bincount(train.targets, minlength=CLASSES) / ROWS
    assert (counts - whole).abs().max() < 0.1


def test_minibatches_are_all_rows_once_in_an_order_that_the_seed_decides(tmp_path) -> None:
    (train, _), (streamed, _) = both(tmp_path, *made())

    def order(seed: int) -> torch.Tensor:
        chance = torch.Generator().manual_seed(seed)
        found = list(streamed.minibatches(30, chance))
        assert all(80 <= len(rows) <= 100 for rows, _ in found)
        for rows, batch in found:
            torch.testing.assert_close(batch.features, train.features[rows], rtol=1e-4, atol=1e-4)
        return torch.cat([rows for rows, _ in found])

    assert order(0).sort().values.equal(torch.arange(ROWS))
    assert order(0).equal(order(0))
    assert not order(0).equal(order(1))


def test_a_minibatch_of_sorted_classes_has_all_of_them(tmp_path) -> None:
    _, (streamed, _) = both(tmp_path, *made())
    whole = torch.bincount(streamed.targets) / ROWS
    for _, batch in streamed.minibatches(12, torch.Generator().manual_seed(0)):
        shares = torch.bincount(batch.targets, minlength=CLASSES) / len(batch)
        assert (shares - whole).abs().max() < 0.15


@pytest.mark.parametrize("link", ["softmax", "binary", "several"])
@pytest.mark.parametrize("decay", [0.1, 1e-2, 1e-3])
def test_an_exact_head_is_the_one_from_memory(tmp_path, link: str, decay: float) -> None:
    features, labels = made()
    if link == "binary":
        labels = labels % 2
    elif link == "several":
        labels = np.stack([labels == 0, labels < 2, labels > 2, features[:, 0] > 5], axis=1)
    settings = replace(SETTINGS, class_weights="balanced")
    kind: Link = "softmax" if link == "softmax" else "sigmoid"
    config = HeadConfig(weight_decay=decay)
    results = [
        fit_heads([config], train, held, settings)[0]
        for train, held in both(tmp_path, features, labels, kind, settings)
    ]
    logits = [torch.tensor(one.head.logits(features)) for one in results]
    one, other = [each.softmax(1) if link == "softmax" else each.sigmoid() for each in logits]
    assert (one - other).abs().max() < 0.02
    assert results[1].loss == pytest.approx(results[0].loss, rel=1e-3)
    assert results[1].accuracy == pytest.approx(results[0].accuracy, abs=0.02)


def test_an_exact_head_takes_few_passes_and_ends_as_low(tmp_path, monkeypatch) -> None:
    (train, held), (streamed, streamed_held) = both(tmp_path, *made())
    passes, parts = [], stream_module.FeatureStream.parts
    monkeypatch.setattr(
        stream_module.FeatureStream, "parts", lambda self: passes.append(self) or parts(self)
    )
    config = HeadConfig(weight_decay=1e-3)
    fit_heads([config], streamed, streamed_held, SETTINGS)
    assert sum(one is streamed.stream for one in passes) <= 20

    def objective(fitted) -> float:
        weight = torch.tensor(fitted.head.output_weight) * train.scale
        return (
            torch.nn.functional.cross_entropy(
                torch.tensor(fitted.head.logits(made()[0][:ROWS])), train.targets
            ).item()
            + weight.square().sum().item() * config.weight_decay / 2
        )

    ours = objective(fit_heads([config], streamed, streamed_held, SETTINGS)[0])
    assert ours <= objective(fit_heads([config], train, held, SETTINGS)[0]) + 1e-4


def test_trained_heads_are_as_good_as_those_from_memory(tmp_path) -> None:
    configs = [
        HeadConfig(learning_rate=1e-2, weight_decay=1e-3),
        HeadConfig(hidden_size=16, learning_rate=1e-2, dropout=0.2, weight_decay=0.01),
    ]
    results = [fit_heads(configs, train, held, SETTINGS) for train, held in both(tmp_path, *made())]
    for one, other in zip(*results, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=0.03)
        assert other.accuracy == pytest.approx(one.accuracy, abs=0.02)
        assert other.accuracy > 0.7
    again = fit_heads(configs, *both(tmp_path, *made())[1], SETTINGS)
    for one, other in zip(results[1], again, strict=True):
        np.testing.assert_array_equal(one.head.output_weight, other.head.output_weight)


def test_features_that_are_all_the_same_have_a_scale_of_one(tmp_path) -> None:
    features = np.full((ROWS + HELD, DIMENSION), 7, np.float32)
    for train, _ in both(tmp_path, features, np.arange(ROWS + HELD) % CLASSES):
        assert train.scale == 1.0
        np.testing.assert_allclose(train.mean, 7)
