"""The learning-rate range test: on a bowl whose answer is known, and on networks."""

import numpy as np
import pytest

from silverprint.errors import ConfigError
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import FitSettings, HeadData
from silverprint.recipes.range_test import range_of_head, range_of_scratch, range_test
from silverprint.recipes.scratch import ScratchSettings
from silverprint.training.pixels import PixelData


class Bowl:
    """Gradient descent on 50 x^2: it diverges as soon as the rate is above 2 / 100."""

    def __init__(self) -> None:
        self.place = 1.0

    def __call__(self, rate: float) -> float:
        loss = 50 * self.place**2 + 0.1
        self.place -= rate * 100 * self.place
        return loss


def test_rates_grow_by_the_same_factor_until_the_loss_runs_away() -> None:
    said = []

    def tell(count: int, note: str = "") -> None:
        said.append((count, note))

    found = range_test(Bowl(), lowest=1e-6, highest=1.0, steps=200, advance=tell)
    ratios = np.diff(np.log(found.rates))
    np.testing.assert_allclose(ratios, ratios[0])
    assert found.rates[0] == 1e-6
    assert 0.02 < found.rates[-1] < 1.0
    assert found.smoothed[-1] > 4 * min(found.smoothed)
    assert len(said) == len(found.rates) == len(found.losses)


def test_the_suggestion_is_a_tenth_of_where_the_loss_is_lowest() -> None:
    found = range_test(Bowl(), lowest=1e-6, highest=1.0, steps=200)
    lowest = found.rates[int(np.argmin(found.smoothed))]
    assert found.suggestion == pytest.approx(lowest / 10, rel=0.5)
    assert 5e-4 < found.suggestion < 2e-2
    assert found.suggestion == float(f"{found.suggestion:.0e}")


def test_the_moving_average_does_not_begin_at_zero() -> None:
    losses = iter([3.0] * 9 + [2.0])
    found = range_test(lambda rate: next(losses), steps=10)  # noqa: ARG005
    assert found.smoothed[:9] == pytest.approx([3.0] * 9)


def test_a_flat_curve_suggests_nothing() -> None:
    with pytest.raises(ConfigError, match=r"hardly falls at any learning rate from 1e-06 to 10"):
        range_test(lambda rate: 3.0, steps=10)  # noqa: ARG005


def test_a_loss_that_is_no_number_ends_it() -> None:
    losses = iter([2.0, 1.0, float("nan"), 1.0])
    found = range_test(lambda rate: next(losses), steps=4)  # noqa: ARG005
    assert found.losses == [2.0, 1.0]
    with pytest.raises(ConfigError, match="no number at the lowest rate, 1e-06, already"):
        range_test(lambda rate: float("inf"), steps=4)  # noqa: ARG005


def head_data() -> HeadData:
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    features = random.normal(0, 1, (3, 8))[labels] + random.normal(0, 0.5, (300, 8))
    return HeadData.of(features.astype(np.float32), labels, 3, "softmax", FitSettings())


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_head_learns_before_it_diverges(batch_norm) -> None:
    config = HeadConfig(hidden_size=16, learning_rate=1e-3, batch_norm=batch_norm)
    found = range_of_head(config, head_data(), FitSettings())
    assert min(found.smoothed) < 0.5 * found.smoothed[0]
    assert 1e-4 < found.suggestion < 1
    assert range_of_head(config, head_data(), FitSettings()) == found


def test_a_linear_head_needs_no_rate() -> None:
    with pytest.raises(ConfigError, match="a linear head is solved exactly"):
        range_of_head(HeadConfig(), head_data(), FitSettings())


def brightnesses() -> PixelData:
    """Three classes that differ by brightness."""
    random = np.random.default_rng(0)
    labels = np.arange(120) % 3
    pixels = (labels * 80)[:, None, None, None] + random.integers(0, 40, (120, 1, 8, 8))
    return PixelData(pixels.astype(np.uint8), labels)


def test_the_optimiser_and_its_penalties_are_those_of_the_training() -> None:
    def curve(**options) -> list[float]:
        settings = ScratchSettings(
            model="mlp", widths=(16,), batch_size=32, augment="none", **options
        )
        return range_of_scratch(brightnesses(), 3, "softmax", settings, ("a", "b", "c")).losses

    usual = curve()
    for options in ({"optimiser": "sgd"}, {"l1": 0.1}, {"clip": 1e-3}):
        assert curve(**options) != usual, options


@pytest.mark.parametrize("augment", ["none", "strong"])
def test_a_network_from_scratch_learns_before_it_diverges(augment) -> None:
    """With "strong" pictures are mixed, so targets are soft."""
    data = brightnesses()
    settings = ScratchSettings(model="mlp", widths=(16,), batch_size=32, augment=augment)
    found = range_of_scratch(data, 3, "softmax", settings, ("a", "b", "c"))
    assert len(found.rates) > 30
    assert min(found.smoothed) < found.smoothed[0]
