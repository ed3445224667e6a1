import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.recipes import gan as recipe
from silverprint.recipes.gan import Gan, train_gan
from silverprint.recipes.gan_settings import GanSettings
from silverprint.training.journal import read_journal
from silverprint.training.pixels import PixelData

SMALL = {"epochs": 2, "batch_size": 16, "code_size": 6, "width": 4, "device": "cpu"}


def stripes(count: int, seed: int = 0) -> PixelData:
    """Make pictures of 16 pixels: upright or lying stripes, somewhere and of some width."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    phase, period = random.uniform(0, 6.28, count), random.uniform(4, 8, count)
    waves = np.sin(np.arange(16)[None] * 6.28 / period[:, None] + phase[:, None])
    pixels = np.repeat(waves[:, None], 16, axis=1)
    pixels[labels == 1] = pixels[labels == 1].transpose(0, 2, 1)
    return PixelData(((pixels + 1) * 127).astype(np.uint8)[:, None], labels)


def trained(folder: Path, classes: int = 0, **settings: Any) -> Gan:
    given = GanSettings(**{**SMALL, **settings})  # type: ignore[arg-type]
    return train_gan(stripes(64), stripes(32, 1), classes, given, folder)


def weights(gan: Gan) -> torch.Tensor:
    both = [*gan.generator.state_dict().values(), *gan.discriminator.state_dict().values()]
    return torch.cat([value.flatten().float() for value in both])


@pytest.mark.parametrize(
    "settings",
    [{}, {"r1": 1.0, "loss": "non-saturating", "spectral": False, "precision": "bf16"}],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    whole = trained(tmp_path / "whole", 2, **settings)
    monkeypatch.setattr("silverprint.training.run_state.SECONDS_BETWEEN_CHECKPOINTS", 0)
    teach, calls = recipe.teach_generator, 0

    def stop(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 7:  # within the second epoch
            raise KeyboardInterrupt
        return teach(*arguments)

    monkeypatch.setattr(recipe, "teach_generator", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", 2, **settings)
    torch.manual_seed(77)  # another process stands elsewhere
    again = trained(tmp_path / "stopped", 2, **settings)
    assert again.resumed == 1
    assert torch.equal(weights(again), weights(whole))
    assert again.curves == whole.curves
    assert (again.followed == whole.followed).all()
    assert [line["epoch"] for line in read_journal(tmp_path / "stopped")] == [1, 2]


def test_measures_are_kept_by_epoch_and_told(tmp_path: Path) -> None:
    seen: list[int] = []
    given = GanSettings(**SMALL)  # type: ignore[arg-type]
    gan = train_gan(
        stripes(64), stripes(32, 1), 0, given, tmp_path,
        after_epoch=lambda curves: seen.append(len(curves["spread"])),
    )  # fmt: skip
    assert seen == [1, 2]
    assert set(gan.curves) == {*recipe.IN_THE_LOOP, "told apart", "spread", "apartness", "by heart"}
    assert all(np.isfinite(values).all() for values in gan.curves.values())
    assert gan.followed.shape == (2, recipe.FOLLOWED, 1, 16, 16)
    assert not gan.generator.training
    # What is followed is made by what ships: the averaged generator.
    codes = np.random.default_rng(0).standard_normal((42, 6), dtype=np.float32)[:10]
    with torch.no_grad():
        made = gan.generator(torch.as_tensor(codes))
    assert (np.rint(made.numpy() * 255) == gan.followed[-1]).all()


def test_each_of_the_two_learns_from_its_own_loss_alone(tmp_path: Path) -> None:
    """The generator's step must leave the discriminator as it is, and the other way round."""
    given = GanSettings(**{**SMALL, "spectral": False})  # type: ignore[arg-type]
    data = stripes(32)
    fabric = recipe.start_fabric("cpu", "f32")
    pair = recipe._pair(data, 0, given)
    state = recipe._state(pair, 32, 0, given, tmp_path, fabric)
    recipe.set_learning_rate(state, given.learning_rate, given.epochs)
    real = torch.as_tensor(data.pixels).float() / 255

    def moved(step: Any) -> tuple[bool, bool]:
        before = [[p.detach().clone() for p in net.parameters()] for net in pair.children()]
        step()
        return tuple(  # type: ignore[return-value]
            any(not torch.equal(a, b) for a, b in zip(old, net.parameters(), strict=True))
            for old, net in zip(before, pair.children(), strict=True)
        )

    codes = torch.randn(32, 6)
    for _ in range(2):
        assert moved(
            lambda: recipe.teach_discriminator(pair, state, real, None, codes, given)
        ) == (False, True)  # fmt: skip
        assert moved(lambda: recipe.teach_generator(pair, state, None, codes, given)) == (
            True, False,
        )  # fmt: skip


def test_a_loss_that_is_no_number_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "teach_generator", lambda *_: torch.tensor(torch.inf))
    with pytest.raises(
        ConfigError, match=r"the loss became inf at step 1 of 4 in epoch 1.*smaller"
    ):
        trained(tmp_path)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recipe.np, "save", full)
    with pytest.raises(ConfigError, match=r"the cache .* cannot be written: no space left on dev"):
        trained(tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "wasserstein"}, r"loss must be one of hinge, non-saturating; got 'wasserstein'"),
        ({"width": 2}, r"width must lie within 4\.\.512; got 2"),
        ({"upsampling": "bilinaer"}, r"got 'bilinaer'\. Did you mean 'bilinear'\?"),
        ({"conditional": 3}, "conditional must be one of true, false; got 3"),
    ],
)
def test_settings_outside_are_refused(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GanSettings(**settings)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 64. Add pictures, or lower batch_size"):
        trained(tmp_path, batch_size=128)


@pytest.mark.slow
def test_stripes_are_learned(tmp_path: Path) -> None:
    """Made pictures of a class have stripes that lie as the class says."""
    given = GanSettings(**{**SMALL, "epochs": 8, "width": 8})  # type: ignore[arg-type]
    gan = train_gan(stripes(1024), stripes(128, 1), 2, given, tmp_path)
    labels = torch.arange(64) % 2
    with torch.no_grad():
        made = gan.generator(torch.randn(64, 6), labels)[:, 0]
    lying = made.diff(dim=1).abs().mean((1, 2)) > made.diff(dim=2).abs().mean((1, 2))
    assert float((lying == (labels == 1)).float().mean()) > 0.9
