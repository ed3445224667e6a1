"""Each way in which a gan goes wrong, brought about on purpose, is measured and said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from silverprint.recipes import gan as recipe
from silverprint.recipes.gan import Pair, examine, train_gan
from silverprint.recipes.gan_settings import GanSettings
from silverprint.reports.balance import balance, troubles
from silverprint.training.pixels import PixelData

HEALTHY = {
    "generator loss": [0.4] * 5, "told apart": [0.9, 0.8, 0.75, 0.7, 0.7],
    "spread": [0.8, 0.9, 0.95, 0.97, 0.97], "apartness": [0.7, 0.8, 0.85, 0.9, 0.9],
    "by heart": [0.02] * 5,
}  # fmt: skip


def noise(count: int, seed: int) -> PixelData:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 1, 16, 16), np.uint8)
    return PixelData(pixels, np.zeros(count, np.int64))


def examined(pair: Pair, classes: int = 0) -> dict[str, float]:
    fabric = recipe.start_fabric("cpu", "f32")
    given = recipe._exhibits(
        noise(100, 0), noise(100, 1), GanSettings(code_size=6), classes, fabric
    )
    return examine(pair, given)


@pytest.fixture
def pair() -> Pair:
    torch.manual_seed(0)
    made = recipe._pair(noise(100, 0), 0, GanSettings(code_size=6, width=4))
    with torch.no_grad():  # a generator whose pictures are as varied as noise
        made.generator.last.weight.mul_(1000)
    return made


def test_a_varied_generator_is_left_in_peace(pair: Pair) -> None:
    found = examined(pair)
    assert found["spread"] > 0.5
    assert found["apartness"] > 0.5
    assert troubles({name: [value] for name, value in found.items()}) == []
    assert troubles(HEALTHY) == []
    assert "kept their balance: two made pictures differ by 97.0" in balance(HEALTHY)


def test_one_picture_whatever_the_code_is_a_collapse(pair: Pair) -> None:
    with torch.no_grad():
        pair.generator.first[0].weight.zero_()  # type: ignore[union-attr, operator]
    found = examined(pair)
    assert found["spread"] < 1e-3
    (words,) = troubles({name: [value] for name, value in found.items()})
    assert "The generator has collapsed: two of its pictures differ by 0.0" in words


def test_four_pictures_again_and_again_are_noticed_though_they_differ(pair: Pair) -> None:
    modes = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))

    def to_a_mode(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nearest = torch.cdist(given[0], modes).argmin(dim=1)
        return modes[nearest], *given[1:]

    pair.generator.register_forward_pre_hook(to_a_mode)
    found = examined(pair)
    assert found["spread"] > 0.4
    assert found["apartness"] < 1e-3
    (words,) = troubles({"apartness": [found["apartness"]], "spread": [0.9]})
    assert "makes a few pictures again and again" in words


@pytest.fixture(scope="module")
def one_sided(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """Train on few pictures, with a generator that stands still."""
    settings = GanSettings(
        epochs=24, batch_size=16, code_size=6, width=8, learning_rate=1e-9,
        discriminator_rate=2e-3, spectral=False, device="cpu", precision="f32",
        schedule="constant",
    )  # fmt: skip
    train = noise(32, 0)
    folder: Path = tmp_path_factory.mktemp("run")
    return train_gan(train, noise(32, 1), 0, settings, folder).curves


def test_a_discriminator_that_wins_is_told_with_the_epoch(
    one_sided: dict[str, list[float]],
) -> None:
    told = one_sided["told apart"]
    assert min(told[-3:]) > 0.99
    since = next(k for k in range(len(told)) if min(told[k:]) >= 0.99) + 1
    words = " ".join(troubles(one_sided))
    assert f"The discriminator has won: since epoch {since} it tells" in words
    for_two = {"told apart": [0.8, 0.8, 1.0, 1.0]}
    assert troubles(for_two) == []


def test_a_discriminator_that_learns_by_heart_is_told(tmp_path: Path) -> None:
    """Made pictures are noise too, so that only by heart can it know the training pictures."""
    settings = GanSettings(code_size=6, width=8, spectral=False, discriminator_rate=2e-3)
    data, fabric = noise(32, 0), recipe.start_fabric("cpu", "f32")
    pair = recipe._pair(data, 0, settings)

    def make(codes: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG001
        return torch.rand(len(codes), 1, 16, 16)

    pair.generator.forward = make  # type: ignore[method-assign]
    state = recipe._state(pair, 32, 0, settings, tmp_path, fabric)
    recipe.set_learning_rate(state, settings.learning_rate, settings.epochs)
    real = torch.as_tensor(data.pixels).float() / 255
    for _ in range(60):
        recipe.teach_discriminator(pair, state, real, None, torch.randn(32, 6), settings)
    given = recipe._exhibits(data, noise(32, 1), settings, 0, fabric)
    found = examine(pair, given)
    assert found["by heart"] > 0.5
    words = " ".join(troubles({name: [value] for name, value in found.items()}))
    assert "The discriminator knows its training pictures by heart" in words


def test_losses_that_run_away_are_told() -> None:
    (words,) = troubles({**HEALTHY, "generator loss": [0.4, 3.0, 9.0, 40.0, 310.0]})
    assert words.startswith("The losses run away: the generator's is 310. Lower both rates")


def test_no_measures_no_words() -> None:
    assert balance({}) == ""
