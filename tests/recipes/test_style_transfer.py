"""Style transfer: the losses, colours, scales, and the loop with its end by Ctrl-C."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.backbones.loss_network import load_loss_network
from silverprint.errors import ConfigError
from silverprint.recipes import style_losses
from silverprint.recipes.style_losses import Aim, Manner, total_variation
from silverprint.recipes.style_pictures import (
    keep_luminance,
    recolour,
    to_pixels,
    to_tensor,
)
from silverprint.recipes.style_settings import StyleSettings
from silverprint.recipes.style_transfer import scales_of, share_steps, transfer_style
from silverprint.runtime.luma import LUMA

LAYERS = {"layers": ("0", "5"), "content_layers": ("5",)}
CPU = torch.device("cpu")


def painted(seed: int, height: int = 36, width: int = 48) -> np.ndarray:
    """Return a picture of soft coloured blots."""
    coarse = np.random.default_rng(seed).uniform(40, 215, (height // 6, width // 6, 3))
    return coarse.repeat(6, 0).repeat(6, 1).round().astype(np.uint8)


def chosen(**given) -> StyleSettings:
    return StyleSettings.of(**{"size": 48, "steps": 20, "device": "cpu", **LAYERS, **given})


@pytest.fixture(scope="module")
def network():
    return load_loss_network("random")


# ---- Losses ----


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 8), st.integers(3, 9), st.integers(0, 1000))
def test_a_manner_does_not_see_where_things_are(channels, side, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(channels, side, side, generator=generator)
    shuffled = maps.flatten(1)[:, torch.randperm(side**2, generator=generator)].view_as(maps)
    manner = Manner.of(maps)
    assert float(manner.distance(shuffled)) == pytest.approx(0, abs=1e-6)
    assert float(manner.distance(maps + 0.5)) > 1e-3


def test_a_manner_is_a_share_whatever_the_scale_of_the_map() -> None:
    maps, other = torch.rand(6, 8, 8), torch.rand(6, 8, 8)
    once, thousand = (Manner.of(k * maps).distance(k * other) for k in (1.0, 1000.0))
    assert float(once) == pytest.approx(float(thousand), rel=1e-3)


def test_a_dead_channel_is_not_divided_by_nothing() -> None:
    maps = torch.rand(3, 6, 6)
    maps[1] = 0
    assert torch.isfinite(Manner.of(maps).distance(torch.rand(3, 6, 6)))
    assert torch.isfinite(Manner.of(torch.zeros(3, 6, 6)).distance(torch.zeros(3, 6, 6)))


def test_total_variation() -> None:
    flat = torch.full((1, 3, 5, 5), 0.3)
    assert float(total_variation(flat)) == pytest.approx(0, abs=1e-7)
    ramp = (torch.arange(5.0) / 10).expand(1, 3, 5, 5)
    assert float(total_variation(ramp)) == pytest.approx(0.1, abs=2e-3)
    board = (torch.arange(6)[:, None] + torch.arange(6)).remainder(2).float().expand(1, 3, 6, 6)
    assert float(total_variation(board)) == pytest.approx(2**0.5, abs=2e-3)


# ---- Colours ----


def test_histogram_gives_a_style_the_contents_mean_and_covariance() -> None:
    generator = np.random.default_rng(0)
    content = to_tensor(generator.integers(100, 156, (30, 30, 3), dtype=np.uint8), CPU)
    style = to_tensor(generator.integers(0, 256, (20, 25, 3), dtype=np.uint8), CPU)
    given = recolour(style, content, chosen(keep_colours="histogram"))[0].flatten(1)
    wanted = content[0].flatten(1)
    assert torch.allclose(given.mean(1), wanted.mean(1), atol=1e-3)
    assert torch.allclose(given.cov(), wanted.cov(), atol=1e-4)


def test_luminance_keeps_the_contents_colours() -> None:
    content, result = to_tensor(painted(1), CPU), to_tensor(painted(2), CPU)
    kept = keep_luminance(result, content, chosen(keep_colours="luminance"))
    grey = torch.tensor(LUMA).view(1, 3, 1, 1)
    assert torch.allclose((kept * grey).sum(1), (result * grey).sum(1), atol=1e-5)
    assert torch.allclose(kept[:, 0] - kept[:, 1], content[:, 0] - content[:, 1], atol=1e-5)
    assert torch.equal(keep_luminance(result, content, chosen()), result)


def test_luminance_moves_only_the_brightness_of_a_style() -> None:
    content = to_tensor(painted(1), CPU) * 0.2 + 0.4
    style = to_tensor(painted(2), CPU) * 0.5 + 0.2
    changed = recolour(style, content, chosen(keep_colours="luminance"))
    grey = torch.tensor(LUMA).view(1, 3, 1, 1)
    assert float((changed * grey).sum(1).mean()) == pytest.approx(
        float((content * grey).sum(1).mean()), abs=1e-3
    )
    assert torch.allclose(changed[:, 0] - changed[:, 2], style[:, 0] - style[:, 2], atol=1e-5)


@pytest.mark.parametrize("kept", ["luminance", "histogram"])
def test_grey_pictures_keep_their_colours_too(network, kept) -> None:
    grey = painted(3)[..., :1].repeat(3, axis=2)
    found = transfer_style(
        grey, [np.full_like(grey, 90)], network, chosen(steps=4, keep_colours=kept)
    )
    assert found.picture.shape == grey.shape
    if kept == "luminance":
        assert (found.picture.max(2) == found.picture.min(2)).all()


# ---- Scales and steps ----


@given(st.integers(1, 500), st.integers(1, 6))
def test_steps_are_shared_the_coarser_the_more(steps, scales) -> None:
    shares = share_steps(steps, scales)
    assert len(shares) == scales
    assert min(shares) >= 1
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == max(steps, scales)


def test_scales_double_and_leave_out_what_is_too_coarse(network) -> None:
    content = torch.zeros(1, 3, 300, 400)
    assert scales_of(content, chosen(size=384), network) == [(72, 96), (144, 192), (288, 384)]
    assert scales_of(content, chosen(size=200), network) == [(75, 100), (150, 200)]
    assert scales_of(content, chosen(size=64, scales=6), network) == [(48, 64)]


def test_too_small_a_size_is_refused_with_the_least(network) -> None:
    thin = torch.zeros(1, 3, 100, 400)
    with pytest.raises(ConfigError) as caught:
        scales_of(thin, chosen(size=48), network)
    assert str(caught.value) == (
        "size 48 is too small: the picture would be 48 x 12, and layer '5' needs 24 pixels; "
        "give --size 96 or more."
    )
    assert scales_of(thin, chosen(size=96), network) == [(24, 96)]
    with pytest.raises(ConfigError, match="needs 24 pixels; crop it, it is too narrow"):
        scales_of(torch.zeros(1, 3, 10, 1000), chosen(), network)


# ---- The loop ----


def test_the_style_comes_and_the_content_stays(network) -> None:
    content, style = painted(1), painted(2)
    found = transfer_style(content, [style], network, chosen(start="noise", steps=60))
    first, last = found.curve[0], found.losses
    assert last.style < 0.3 * first.style
    assert last.content < 0.5 * first.content
    assert found.picture.shape == (36, 48, 3)
    assert found.scales == [(36, 48)]
    assert 60 <= found.steps <= 60 + 25  # a line search may end a little later
    assert not found.stopped


def test_a_picture_in_its_own_style_is_done_already(network) -> None:
    picture = painted(4)
    found = transfer_style(
        picture, [picture], network, chosen(start="style", tv_weight=0.0, steps=3)
    )
    assert found.curve[0].style == pytest.approx(0, abs=1e-5)
    assert found.curve[0].content == 0
    assert np.abs(found.picture.astype(int) - picture).max() <= 1


def test_what_is_kept_is_the_best_seen(network) -> None:
    wild = chosen(optimiser="adam", learning_rate=0.5, steps=15, start="noise", tv_weight=0.0)
    found = transfer_style(painted(1), [painted(2)], network, wild)
    totals = [one.style + 0.1 * one.content for one in found.curve]
    assert found.losses in found.curve
    assert found.losses.style + 0.1 * found.losses.content < totals[-1] * 1.5


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_one_seed_gives_one_picture(network, optimiser) -> None:
    def paint(seed: int) -> np.ndarray:
        how = chosen(start="noise", optimiser=optimiser, seed=seed, steps=8)
        return transfer_style(painted(1), [painted(2)], network, how).picture

    assert np.array_equal(paint(0), paint(0))
    assert not np.array_equal(paint(0), paint(1))


def test_a_blend_leans_to_the_heavier_style(network) -> None:
    content, styles = (
        painted(1),
        [
            np.full((40, 40, 3), (220, 40, 40), np.uint8),
            np.full((40, 40, 3), (40, 40, 220), np.uint8),
        ],
    )

    def redness(blend) -> float:
        how = chosen(blend=blend, content_weight=0.001, steps=30)
        picture = transfer_style(content, styles, network, how).picture.astype(float)
        return float((picture[..., 0] - picture[..., 2]).mean())

    assert redness((10.0, 1.0)) > redness((1.0, 1.0)) + 20 > redness((1.0, 10.0)) + 40


def test_each_start_begins_with_what_was_asked_for(network) -> None:
    content, style = painted(1), painted(2)
    first = {}
    for start in ("content", "style", "noise"):
        found = transfer_style(content, [style], network, chosen(start=start, steps=2))
        assert found.stages[0][0] == 0
        first[start] = found.stages[0][1].astype(float)
    assert np.array_equal(first["style"], style)
    assert 5 < np.abs(first["content"] - content).mean() < 30  # blots
    assert abs(first["noise"].mean() - 127.5) < 5


def test_blots_are_soft_and_the_seeds(network) -> None:
    plain = np.full((96, 128, 3), 128, np.uint8)

    def blots(seed: int) -> np.ndarray:
        how = chosen(size=128, scales=1, steps=1, seed=seed)
        return transfer_style(plain, [painted(2)], network, how).stages[0][1].astype(float)

    one = blots(0)
    assert one.std() > 5
    assert np.abs(np.diff(one, axis=1)).mean() < 0.5 * one.std()
    assert np.array_equal(one, blots(0))
    assert not np.array_equal(one, blots(1))


def test_stopping_gives_the_best_so_far_at_full_size(network) -> None:
    content, seen = np.asarray(painted(1, 180, 240)), []

    def advance(_count, note="") -> None:
        seen.append(note)
        if len(seen) == 5:
            raise KeyboardInterrupt

    found = transfer_style(
        content, [painted(2)], network, chosen(size=200, steps=40), advance=advance
    )
    assert found.stopped
    assert found.steps == 5
    assert found.picture.shape == (150, 200, 3)
    assert str(found.losses) in seen
    assert min(one.style for one in found.curve) == found.losses.style
    assert seen[0].startswith("content 0.")


def test_a_stopped_run_goes_on_to_the_same_picture(network, tmp_path) -> None:
    content, style = painted(1, 120, 160), painted(2)
    how = chosen(size=160, steps=12, start="noise")
    whole = transfer_style(content, [style], network, how)
    seen, counted = [], []

    def stop_late(_count, note="") -> None:
        seen.append(note)
        if len(seen) == 10:
            raise KeyboardInterrupt

    def count(steps, note="") -> None:  # noqa: ARG001
        counted.append(steps)

    stopped = transfer_style(content, [style], network, how, folder=tmp_path, advance=stop_late)
    assert stopped.stopped
    assert stopped.steps == 10
    taken_up = transfer_style(content, [style], network, how, folder=tmp_path, advance=count)
    assert counted[0] >= 8  # the coarse scale is not painted again
    assert np.array_equal(taken_up.picture, whole.picture)
    assert taken_up.curve == whole.curve
    assert [steps for steps, _ in taken_up.stages] == [steps for steps, _ in whole.stages]


def test_stopping_before_the_first_step_is_a_plain_stop(network, monkeypatch) -> None:
    def stop(*_given) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Aim, "measure", stop)
    with pytest.raises(KeyboardInterrupt):
        transfer_style(painted(1), [painted(2)], network, chosen())


def test_a_loss_that_is_no_number_stops_with_the_step(network, monkeypatch) -> None:
    monkeypatch.setattr(
        style_losses, "total_variation", lambda picture: picture.sum() * float("nan")
    )
    with pytest.raises(ConfigError, match=r"the loss is no longer finite at step 1 \(content"):
        transfer_style(painted(1), [painted(2)], network, chosen())


def test_pixels_go_there_and_back() -> None:
    pixels = painted(5)
    assert np.array_equal(to_pixels(to_tensor(pixels, CPU)), pixels)


# ---- Settings ----


@pytest.mark.parametrize(("given", "message"), [
    ({"size": 16}, "size must lie within 32..2048 pixels; got 16."),
    ({"style_weight": -1.0}, "style_weight must lie within 0..1e6; got -1.0."),
    ({"content_weight": float("nan")}, "content_weight must lie within 0..1e6; got nan."),
    ({"tv_weight": "much"}, "tv_weight must lie within 0..1e6; got 'much'."),
    ({"start": "contents"}, "got 'contents'. Did you mean 'content'?"),
    ({"keep_colours": "hue"}, "keep_colours must be one of none, luminance, histogram; got 'hue'."),
    ({"steps": 0}, "steps must lie within 1..100000; got 0."),
    ({"blend": (1.0, "a")}, "blend takes weights above 0, at most 1e6; got 'a'."),
    ({"blend": (1.0, 0.0)}, "blend takes weights above 0, at most 1e6; got 0.0."),
    ({"style_weight": 0.0, "content_weight": 0.0}, "are both 0"),
    ({"colour": "red"}, "setting 'colour' is unknown."),
])  # fmt: skip
def test_what_settings_refuse(given, message) -> None:
    with pytest.raises(ConfigError) as caught:
        StyleSettings.of(**given)
    assert message in str(caught.value)


def test_one_alone_is_a_list_of_one_and_layers_are_named_by_text() -> None:
    given = {"layers": 5, "content_layers": (0, 5), "blend": 2}
    found = StyleSettings.of(**given)
    assert (found.layers, found.content_layers, found.blend) == (("5",), ("0", "5"), (2,))
    assert StyleSettings.of(layers="features.3").layers == ("features.3",)


def test_pixels_that_may_not_be_written_to_are_copied() -> None:
    pixels = np.full((1, 1, 3), 51, np.uint8)
    pixels.setflags(write=False)
    assert to_tensor(pixels, CPU).flatten().tolist() == pytest.approx([0.2] * 3)
