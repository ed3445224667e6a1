"""Losses of hard and soft targets, against torch's own and against figures worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from silverprint.training.losses import correct, row_losses, weigh_classes


def logits(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(2, 6), st.floats(0, 0.9))
def test_soft_targets_that_are_hard_give_the_same_loss(rows, columns, smoothing) -> None:
    values = logits(rows, columns, seed=rows)
    targets = torch.arange(rows) % columns
    soft = F.one_hot(targets, columns).float()
    hard_losses = row_losses(values, targets, "softmax", smoothing=smoothing)
    soft_losses = row_losses(values, soft, "softmax", smoothing=smoothing)
    torch.testing.assert_close(hard_losses, soft_losses)
    assert hard_losses.shape == (rows,)


def test_softmax_by_hand() -> None:
    values = torch.tensor([[0.0, math.log(3)]])
    likely, unlikely = -math.log(0.75), -math.log(0.25)
    assert row_losses(values, torch.tensor([1]), "softmax").mean().item() == pytest.approx(likely)
    smoothed = row_losses(values, torch.tensor([1]), "softmax", smoothing=0.2).mean().item()
    assert smoothed == pytest.approx(0.9 * likely + 0.1 * unlikely)


def test_sigmoid_by_hand() -> None:
    values, targets = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[1.0, 1.0]])
    expected = (-math.log(0.5) - math.log(0.75)) / 2
    assert row_losses(values, targets, "sigmoid").mean().item() == pytest.approx(expected)
    smoothed = row_losses(values, targets, "sigmoid", smoothing=0.2).mean().item()
    yes, no = -math.log(0.75), -math.log(0.25)
    assert smoothed == pytest.approx((-math.log(0.5) + 0.9 * yes + 0.1 * no) / 2)


def test_mixed_targets_weigh_by_their_shares() -> None:
    weight = torch.tensor([1.0, 3.0])
    values = logits(1, 2)
    mixed = torch.tensor([[0.25, 0.75]])
    plain = row_losses(values, mixed, "softmax")
    weighted = row_losses(values, mixed, "softmax", class_weight=weight)
    torch.testing.assert_close(weighted, plain * 2.5)


def test_one_logit_weighs_no_and_yes() -> None:
    weight, targets = torch.tensor([0.5, 4.0]), torch.tensor([[0.0], [1.0]])
    plain = row_losses(logits(2, 1), targets, "sigmoid")
    weighted = row_losses(logits(2, 1), targets, "sigmoid", class_weight=weight)
    torch.testing.assert_close(weighted, plain * weight)


def test_low_precision_logits_give_float32_losses() -> None:
    losses = row_losses(logits(3, 4).bfloat16(), torch.tensor([0, 1, 2]), "softmax")
    assert losses.dtype == torch.float32


def test_correct_counts_what_is_right() -> None:
    values = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]])
    assert correct(values, torch.tensor([0, 0, 0]), "softmax").tolist() == [True, False, True]
    soft = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
    assert correct(values, soft, "softmax").tolist() == [True, False, False]
    answers = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert correct(values, answers, "sigmoid").tolist() == [True, True, False]


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_balanced_weights_have_mean_one_and_even_out_the_classes(labels) -> None:
    targets = torch.tensor(labels)
    weight = weigh_classes(targets, "softmax", 5, "balanced")
    assert weight is not None
    each = weight[targets]
    assert each.mean().item() == pytest.approx(1, abs=1e-5)
    sums = np.bincount(targets.numpy(), weights=each.numpy())
    present = sums[sums > 0]
    np.testing.assert_allclose(present, present[0], rtol=1e-5)


def test_auto_balances_only_what_is_uneven() -> None:
    even = torch.tensor([0] * 9 + [1] * 3)
    assert weigh_classes(even, "softmax", 2) is None
    uneven = torch.tensor([0] * 10 + [1] * 3)
    assert weigh_classes(uneven, "softmax", 2) is not None
    assert weigh_classes(uneven, "softmax", 2, "none") is None
    one_logit = weigh_classes(uneven[:, None].float(), "sigmoid", 1)
    assert one_logit is not None
    torch.testing.assert_close(one_logit, torch.tensor([13 / 20, 13 / 6]))


def test_several_labels_are_not_balanced() -> None:
    targets = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert weigh_classes(targets, "sigmoid", 2, "balanced") is None
