import torch

from silverprint.training.variety import apartness, spread, told_apart


def test_spread_and_apartness_of_points_on_a_line() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]])
    assert spread(points) == 2.0  # (1 + 3 + 2) / 3
    assert apartness(points) == 1.0  # 1, 1, 2


def test_few_pictures_again_and_again_are_spread_but_not_apart() -> None:
    modes = torch.eye(4).repeat(8, 1)
    assert spread(modes) > 1
    assert apartness(modes) == 0
    assert spread(torch.full((6, 2, 3, 3), 0.3)) == 0


def test_told_apart_counts_pairs_and_halves_of_ties() -> None:
    assert told_apart(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 0.0])) == 1
    assert told_apart(torch.tensor([0.0, 3.0]), torch.tensor([1.0])) == 0.5
    assert told_apart(torch.ones(3), torch.ones(2)) == 0.5
