import numpy as np
import pytest
import torch

from silverprint.errors import ConfigError
from silverprint.runtime.noise import check_noise, drawn_shape, psnr, spoil, spoil_arrays

GREY = np.full((4, 3, 64, 64), 0.5, np.float32)


def test_gaussian_noise_has_the_deviation_asked_for() -> None:
    noisy = spoil_arrays(GREY, "gaussian", 0.1, seed=0)
    assert noisy.dtype == np.float32
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    assert noisy.mean() == pytest.approx(0.5, abs=0.005)
    assert spoil_arrays(GREY, "gaussian", 1.0, seed=0).min() == 0


def test_salt_and_pepper_turns_half_of_the_share_white_and_half_black() -> None:
    noisy = spoil_arrays(GREY, "salt-and-pepper", 0.4, seed=0)
    assert noisy.dtype == np.float32
    for value, share in ((0, 0.2), (0.5, 0.6), (1, 0.2)):
        assert (noisy == value).mean() == pytest.approx(share, abs=0.02)
    assert (noisy == noisy[:, :1]).all(), "a pixel goes as a whole"


def test_masking_turns_the_share_black() -> None:
    noisy = spoil_arrays(GREY, "masking", 0.25, seed=0)
    assert (noisy == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert set(np.unique(noisy)) == {0, 0.5}


def test_one_seed_gives_one_noise_and_none_changes_nothing() -> None:
    one, same, other = (spoil_arrays(GREY, "gaussian", 0.5, seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert spoil_arrays(GREY, "none", 0.5, 0) is GREY


@pytest.mark.parametrize("noise", ["gaussian", "salt-and-pepper", "masking"])
def test_tensors_and_arrays_are_spoiled_alike(noise) -> None:
    generator = np.random.default_rng(0)
    pictures = generator.random((2, 3, 8, 8), dtype=np.float32)
    drawn = generator.random(drawn_shape(noise, pictures.shape), dtype=np.float32)
    ours = spoil(torch.from_numpy(pictures), torch.from_numpy(drawn), noise, 0.3)
    assert ours.dtype == torch.float32
    np.testing.assert_array_equal(ours.numpy(), spoil(pictures, drawn, noise, 0.3))


def test_psnr_is_by_picture() -> None:
    truth = np.zeros((3, 1, 4, 4), np.float32)
    made = truth + np.array([0.1, 1, 0], np.float32).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(psnr(made, truth), [20, 0, 100], atol=1e-4)


@pytest.mark.parametrize(
    ("noise", "strength", "told"),
    [
        ("gausian", 0.5, r"noise must be one of none, gaussian, .*Did you mean 'gaussian'\?"),
        ("gaussian", 0, r"strength must lie within 0\.\.1, 0 excluded.*got 0"),
        ("masking", 1.5, r"strength must lie within 0\.\.1.*got 1\.5"),
        ("masking", float("nan"), r"strength must lie within 0\.\.1.*got nan"),
        ("masking", True, r"strength must lie within 0\.\.1.*got True"),
        ("masking", "much", r"strength must lie within 0\.\.1.*got 'much'"),
    ],
)
def test_unknown_noise_and_strengths_are_refused(noise, strength, told) -> None:
    with pytest.raises(ConfigError, match=told):
        check_noise(noise, strength)
