"""Training an autoencoder: it learns, PCA is its limit, and a stop changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.recipes import autoencoder as recipe
from silverprint.recipes.autoencoder import AutoencoderSettings, train_autoencoder
from silverprint.training import run_state
from silverprint.training.journal import read_journal

LINEAR = AutoencoderSettings(kind="linear", code_size=3, epochs=12, batch_size=32, device="cpu")
SMALL = AutoencoderSettings(
    kind="upsampling", code_size=8, widths=(8, 16), epochs=3, batch_size=16, device="cpu",
    precision="f32", learning_rate=0.005,
)  # fmt: skip


def blobs(count: int = 256, channels: int = 1, seed: int = 0, side: int = 16) -> np.ndarray:
    """Pictures of one soft spot; where and how large it is is all there is to know."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    centre = generator.uniform(2, side - 3, (count, 2, 1, 1))
    width = generator.uniform(1.5, 3, (count, 1, 1))
    far = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2
    pictures = 255 * np.exp(-far / (2 * width**2))
    return pictures[:, None].repeat(channels, axis=1).astype(np.uint8)


def trained(folder, settings=SMALL, channels=1, **options):
    train, held = blobs(channels=channels), blobs(64, channels, seed=1)
    return train_autoencoder(train, held, settings, folder, **options)


def error(fitted, pictures: np.ndarray) -> float:
    values = torch.from_numpy(pictures).float() / 255
    with torch.no_grad():
        made = fitted.network.decode(fitted.network.encode(values))
    return (made - values).square().mean().item()


def pca_error(train: np.ndarray, k: int) -> float:
    flat = train.reshape(len(train), -1) / 255
    values = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)
    return (values[k:] ** 2).sum() / flat.size


def same(first, second) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_one_comes_within_a_hundredth_of_pca(tmp_path, tied) -> None:
    settings = replace(LINEAR, epochs=60, tied=tied)
    fitted = trained(tmp_path, settings)
    ratio = error(fitted, blobs()) / pca_error(blobs(), 3)
    assert 0.9999 < ratio < 1.01


@pytest.mark.shared
@pytest.mark.slow
def test_digits_come_within_a_hundredth_of_pca(tmp_path, shared_data) -> None:
    from silverprint.data.read import read

    digits = read(shared_data / "mnist")
    pixels = np.stack([digits.sources[row] for row in digits.rows("train")[:8000]])[:, None]
    train, held = pixels[:7000], pixels[7000:]
    settings = replace(LINEAR, code_size=8, batch_size=128, epochs=25)
    fitted = train_autoencoder(train, held, settings, tmp_path)
    assert 0.9999 < error(fitted, train) / pca_error(train, 8) < 1.01


@pytest.mark.parametrize("kind", ["transposed", "upsampling"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_convolutional_one_learns(tmp_path, kind, channels) -> None:
    fitted = trained(tmp_path, replace(SMALL, kind=kind, epochs=8), channels)
    spread = (blobs(channels=channels) / 255).var(axis=0).mean()
    assert error(fitted, blobs(64, channels, seed=2)) < 0.25 * spread
    assert fitted.curves["validation loss"][-1] < fitted.curves["validation loss"][0]


@pytest.mark.parametrize("loss", ["bce", "l1"])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_every_loss_and_precision_learns(tmp_path, loss, precision) -> None:
    fitted = trained(tmp_path, replace(SMALL, loss=loss, precision=precision, epochs=4))
    assert fitted.curves["training loss"][-1] < fitted.curves["training loss"][0]


@pytest.mark.parametrize("noise", ["gaussian", "salt-and-pepper", "masking"])
def test_a_denoiser_makes_pictures_cleaner_than_they_were(tmp_path, noise) -> None:
    from silverprint.runtime.noise import psnr, spoil_arrays

    settings = replace(SMALL, noise=noise, strength=0.4, epochs=10)
    fitted = trained(tmp_path, settings)
    clean = blobs(64, seed=2).astype(np.float32) / 255
    seen = spoil_arrays(clean, noise, 0.4, seed=9)
    with torch.no_grad():
        made = fitted.network.decode(fitted.network.encode(torch.from_numpy(seen))).numpy()
    assert psnr(made, clean).mean() > psnr(seen, clean).mean() + 3


@pytest.mark.parametrize("settings", [LINEAR, replace(SMALL, noise="gaussian")])
def test_a_stopped_run_ends_as_one_that_was_not(tmp_path, monkeypatch, settings) -> None:
    settings = replace(settings, epochs=3)
    whole = trained(tmp_path / "whole", settings)
    monkeypatch.setattr(run_state, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    class Stopped(Exception):  # noqa: N818
        pass

    seen = 0

    def stop(count: int, note: str = "") -> None:  # noqa: ARG001
        nonlocal seen
        seen += count
        if seen > 1.5 * 256:
            raise Stopped

    monkeypatch.setattr("silverprint.training.ticker.SECONDS_BETWEEN_NOTES", 0.0)
    with pytest.raises(Stopped):
        trained(tmp_path / "stopped", settings, advance=stop)
    again = trained(tmp_path / "stopped", settings)
    assert again.resumed == 1
    assert same(whole, again)
    assert again.curves == whole.curves
    assert [line["epoch"] for line in read_journal(tmp_path / "stopped")] == [1, 2, 3]


def test_one_seed_gives_one_result_and_another_another(tmp_path) -> None:
    one, two = (trained(tmp_path / name) for name in ("one", "two"))
    assert same(one, two)
    assert not same(one, trained(tmp_path / "three", replace(SMALL, seed=1)))


def test_the_best_epoch_ships_and_patience_ends(tmp_path) -> None:
    settings = replace(SMALL, epochs=60, patience=2, learning_rate=0.02, schedule="constant")
    fitted = trained(tmp_path, settings)
    losses = fitted.curves["validation loss"]
    assert fitted.epochs < 40
    assert fitted.epochs - fitted.best_epoch == 2
    assert losses[fitted.best_epoch - 1] == min(losses)
    assert error(fitted, blobs(64, seed=1)) == pytest.approx(min(losses), rel=1e-4)


def test_a_loss_that_is_no_number_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recipe, "loss_of", lambda *_: torch.tensor(torch.nan, requires_grad=True))
    with pytest.raises(ConfigError, match=r"the loss became nan at step 1 of 16 in epoch 1.*rate"):
        trained(tmp_path)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path) -> None:
    trained(tmp_path)
    with pytest.raises(ConfigError, match="belongs to a run with code_size 8, not 9"):
        trained(tmp_path, replace(SMALL, code_size=9))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "lineer"}, r"kind must be one of linear, transposed, upsampling.*mean 'linear'"),
        ({"code_size": 0}, r"code_size must lie within 1\.\.65536; got 0"),
        ({"noise": "rain"}, "noise must be one of none, gaussian"),
        ({"strength": 2}, r"strength must lie within 0\.\.1"),
        ({"kind": "linear", "widths": (4,)}, "widths are of convolutions"),
        ({"tied": True}, "tied is of a linear autoencoder; kind is upsampling"),
        ({"kind": "transposed", "enlarging": "bilinear"}, "enlarging is of kind upsampling"),
        ({"kind": "linear", "loss": "bce"}, "bce needs pictures within"),
        ({"loss": "mae"}, "loss must be one of mse, bce, l1"),
        ({"widths": (4, 0)}, r"widths must lie within 1\.\.4096; got 0"),
        ({"batch_size": 1}, r"batch_size must lie within 2\.\.1000000"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, told) -> None:
    with pytest.raises(ConfigError, match=told):
        AutoencoderSettings(**given)
