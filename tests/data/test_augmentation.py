"""Augmentation: each change alone against plain arithmetic, then what holds for every policy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.data.augmentation import DRAWN, augment, draw, mix, vary, view
from silverprint.data.policies import POLICIES, Policy

LUMA = torch.tensor([0.299, 0.587, 0.114])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(seed))


def smooth(count, channels, height, width):
    """Pictures without fine detail, whose interpolation loses little."""
    x, y = (torch.arange(width) + 0.5) / width, (torch.arange(height)[:, None] + 0.5) / height
    one = 127 + 60 * torch.sin(4 * x + 2 * y) + 50 * torch.cos(5 * y - x)
    return one.expand(count, channels, height, width).clone()


def chosen(count=1, **numbers):
    """Drawn numbers: 0.5, which is the middle of every range, but for those that are given."""
    drawn = torch.full((count, len(DRAWN)), 0.5)
    for name, value in numbers.items():
        drawn[:, DRAWN.index(name)] = torch.as_tensor(value, dtype=torch.float32)
    return drawn


# ---- Nothing ----


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (2, 3, 17, 30), (0, 3, 8, 8)])
def test_a_policy_that_does_nothing_changes_nothing(shape) -> None:
    pixels = noise(*shape)
    found = augment(pixels, POLICIES["none"], generator())
    assert found.dtype == torch.float32
    assert torch.equal(found, pixels.float())
    assert torch.equal(augment(pixels.float(), Policy(mixup=1.0), generator()), pixels.float())


# ---- Geometry ----


def test_a_flip_is_exact_and_leaves_the_others_alone() -> None:
    pixels = noise(200, 3, 9, 12)
    found = augment(pixels, Policy(flip=0.3), generator())
    flipped = (found == pixels.flip(3)).flatten(1).all(1)
    kept = (found == pixels).flatten(1).all(1)
    assert bool((flipped ^ kept).all())
    assert 35 <= int(flipped.sum()) <= 85  # 60 expected; beyond four standard deviations


@pytest.mark.parametrize("edges", ["black", "mirror"])
def test_shifts_are_whole_pixels(edges) -> None:
    pixels = noise(300, 1, 8, 16)
    found = augment(pixels, Policy(translation=0.125, edges=edges), generator(1))
    mode = {"black": "constant", "mirror": "symmetric"}[edges]
    seen = set()
    for picture, moved in zip(pixels.numpy(), found.numpy(), strict=True):
        padded = np.pad(picture[0], ((1, 1), (2, 2)), mode=mode)
        places = [
            (y, x) for y in range(3) for x in range(5)
            if (padded[y : y + 8, x : x + 16] == moved[0]).all()
        ]  # fmt: skip
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 15  # every shift of up to 1 row and 2 columns


@pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 32)])
def test_a_quarter_turn_turns_pixels(height, width) -> None:
    pixels = noise(1, 3, height, width).float()
    found = vary(pixels, Policy(rotation=90), chosen(rotation=1.0))
    turned = torch.rot90(pixels, 1, (2, 3))
    if height == width:
        assert torch.allclose(found, turned, atol=0.1)
    else:  # in pixels, not in shares of the sides: the middle square is turned, the rest is black
        square = slice((width - height) // 2, (width + height) // 2)
        middle = torch.rot90(pixels[..., square], 1, (2, 3))
        assert torch.allclose(found[..., square], middle, atol=0.1)
        assert not found[..., : square.start - 1].any()


@pytest.mark.parametrize(
    ("policy", "numbers", "point", "expected"),
    [
        # Where a point right of the middle goes: (across, down) in pixels from the middle.
        (Policy(rotation=30), {"rotation": 1.0}, (16, 0),
         (16 * math.cos(math.pi / 6), -16 * math.sin(math.pi / 6))),
        (Policy(zoom=(0.5, 2.0)), {"zoom": 0.0}, (16, 8), (8, 4)),
        (Policy(zoom=(1.0, 2.0)), {"zoom": 1.0}, (8, -6), (16, -12)),
        (Policy(rotation=1, translation=0.25), {"shift_x": 0.0, "shift_y": 1.0}, (4, 4),
         (20, -12)),
        (Policy(area=(0.25, 0.25)), {"crop_x": 1.0, "crop_y": 0.0}, (16, -16), (0, 0)),
        (Policy(area=(0.25, 0.25), aspect=4.0), {"aspect": 1.0}, (8, 2), (8, 8)),
        (Policy(shear=45), {"shear": 1.0}, (0, 12), (-12, 12)),
        (Policy(rotation=1, flip=1.0), {}, (10, 3), (-10, 3)),
    ],
)  # fmt: skip
def test_a_bright_spot_goes_where_geometry_says(policy, numbers, point, expected) -> None:
    side = 64
    places = torch.arange(side) + 0.5 - side / 2
    across, down = point
    spot = 255 * torch.exp(-((places - across) ** 2 + (places[:, None] - down) ** 2) / 8)
    found = vary(spot[None, None], policy, chosen(**numbers))[0, 0]
    centre = (found * places).sum() / found.sum(), (found * places[:, None]).sum() / found.sum()
    assert torch.tensor(centre).tolist() == pytest.approx(expected, abs=0.3)


def test_crops_have_the_area_and_aspect_that_were_asked_for() -> None:
    """Slopes of a picture that rises evenly tell how much of it is seen."""
    ramp = torch.arange(100.0).expand(100, 100)
    pixels = torch.stack([ramp, ramp.T]).unsqueeze(1)
    many = pixels[:, None].expand(2, 400, 1, 100, 100)
    drawn = draw(400, generator())
    policy = Policy(area=(0.3, 0.9), aspect=1.5)
    across, down = (vary(part, policy, drawn)[:, 0, 30:70, 30:70] for part in many)
    wide = across.diff(dim=2).mean((1, 2))
    tall = down.diff(dim=1).mean((1, 2))
    area, aspect = wide * tall, wide / tall
    assert area.min() >= 0.299
    assert area.max() <= 0.901
    assert float(area.mean()) == pytest.approx(0.6, abs=0.03)
    assert float(area.std()) == pytest.approx(0.6 / math.sqrt(12), abs=0.02)
    assert aspect.min() >= 1 / 1.501
    assert aspect.max() <= 1.501
    assert aspect.max() > 1.4
    assert aspect.min() < 1 / 1.4


def test_a_crop_has_no_dark_rim() -> None:
    white = torch.full((50, 1, 32, 32), 255, dtype=torch.uint8)
    found = augment(white, Policy(area=(0.2, 1.0), aspect=1.3, zoom=(1, 1.4)), generator())
    assert found.min() > 254.9


@pytest.mark.parametrize(("edges", "least"), [("black", 0.0), ("mirror", 254.9)])
def test_what_lies_beyond_the_edge(edges, least) -> None:
    white = torch.full((1, 1, 32, 32), 255, dtype=torch.uint8)
    policy = Policy(rotation=45, edges=edges)
    found = vary(white, policy, chosen(rotation=1.0))
    assert float(found.min()) == pytest.approx(least, abs=0.1)
    assert float(found[0, 0, 16, 16]) == pytest.approx(255, abs=0.1)


@pytest.mark.parametrize("size", [16, 30, 64, 96])
def test_another_size_is_the_same_picture(size) -> None:
    found = augment(smooth(2, 3, 64, 64), Policy(), generator(), size=size)
    assert found.shape == (2, 3, size, size)
    assert torch.allclose(found, smooth(2, 3, size, size), atol=4)


def test_shrinking_does_not_alias() -> None:
    """Lines one pixel wide become grey; plain bilinear sampling would take one in four of them."""
    lines = (torch.arange(256) % 2 * 255).expand(1, 1, 256, 256)
    found = augment(lines.to(torch.uint8), Policy(), generator(), size=64)
    assert torch.allclose(found, torch.full_like(found, 127.5), atol=0.1)
    smaller = augment(lines.to(torch.uint8), Policy(zoom=(0.25, 0.25)), generator())
    assert torch.allclose(smaller[..., 100:156, 100:156], torch.tensor(127.5), atol=0.1)


# ---- Values ----


def test_brightness_and_contrast_are_the_textbook_ones() -> None:
    pixels = noise(1, 1, 6, 6).float() / 2 + 50
    lighter = vary(pixels, Policy(brightness=0.2), chosen(brightness=1.0))
    assert torch.allclose(lighter, pixels * 1.2, atol=1e-3)
    paler = vary(pixels, Policy(contrast=0.4), chosen(contrast=0.0))
    mean = pixels.mean()
    assert torch.allclose(paler, (pixels - mean) * 0.6 + mean, atol=1e-3)


def test_colour_matches_torchvision_but_for_hue() -> None:
    from torchvision.transforms.v2 import functional

    pixels = noise(4, 3, 8, 8)
    scaled = pixels.double() / 2 + 60
    policy = Policy(brightness=0.1, contrast=0.2, saturation=0.3)
    drawn = chosen(4, brightness=1.0, contrast=0.0, saturation=0.75)
    expected = functional.adjust_brightness(scaled / 255, 1.1)
    # Its contrast truncates the mean and its weights have four digits; both within one level.
    expected = functional.adjust_contrast(expected, 0.8)
    expected = functional.adjust_saturation(expected, 1.15) * 255
    assert torch.allclose(vary(scaled, policy, drawn), expected.float(), atol=0.2)


@given(st.floats(0, 1, width=32), st.integers(0, 99))
def test_hue_and_saturation_keep_luma_and_greys(number, seed) -> None:
    pixels = noise(2, 3, 4, 4, seed=seed).float() / 4 + 100  # far from where values are clamped
    policy = Policy(saturation=0.5, hue=30)
    drawn = chosen(2, saturation=number, hue=1 - number)
    found = vary(pixels, policy, drawn)
    before, after = (torch.einsum("nchw,c->nhw", part, LUMA) for part in (pixels, found))
    assert torch.allclose(before, after, atol=0.05)
    grey = pixels[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(vary(grey, policy, drawn), grey, atol=0.05)


def test_hue_goes_round_once_in_360_degrees() -> None:
    red = torch.tensor([140.0, 110.0, 110.0]).view(1, 3, 1, 1)
    opposite = vary(red, Policy(hue=180), chosen(hue=1.0)).flatten()
    assert opposite[0] < opposite[1]
    assert float(opposite @ LUMA) == pytest.approx(float(red.flatten() @ LUMA), abs=0.01)
    assert torch.allclose(vary(red, Policy(hue=180), chosen(hue=0.0)).flatten(), opposite, atol=0.1)


def test_erasing_hides_one_rectangle_of_the_size_asked_for() -> None:
    pixels = noise(300, 3, 40, 40)
    found = augment(pixels, Policy(erase=0.5, erase_area=(0.1, 0.2)), generator())
    means = pixels.float().mean((2, 3))
    changed = (found != pixels).any(1)
    hidden = changed.flatten(1).any(1)
    assert 115 <= int(hidden.sum()) <= 185
    for i in hidden.nonzero().flatten():
        rows, columns = (changed[i].any(axis).nonzero().flatten() for axis in (1, 0))
        inside = found[i][:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert torch.allclose(inside, means[i].view(3, 1, 1).expand_as(inside), atol=1e-3)
        share = inside[0].numel() / 1600
        assert 0.09 <= share <= 0.22
        assert 0.25 <= len(rows) / len(columns) <= 4


# ---- Mixing ----


def mixed(policy, count=200, side=20, seed=0):
    """Mix pictures whose every pixel is the number of the picture, with one-hot targets."""
    pixels = torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 1, side, side)
    return *mix(pixels, torch.eye(count), policy, generator(seed)), pixels


def test_mixup_blends_pictures_and_targets_alike() -> None:
    found, targets, _ = mixed(Policy(mixup=1.0))
    assert torch.allclose(targets.sum(1), torch.ones(200))
    assert (found.flatten(1).std(1) < 1e-3).all()
    assert torch.allclose(found[:, 0, 0, 0], targets @ torch.arange(200.0), atol=1e-2)
    own = targets.diagonal()
    assert own.min() >= 0.5  # the picture itself is the greater part
    assert float(own.mean()) == pytest.approx(0.75, abs=0.03)  # Beta(1, 1) is uniform


def test_cutmix_targets_are_the_share_of_pixels() -> None:
    found, targets, pixels = mixed(Policy(cutmix=1.0))
    own = (found == pixels).float().mean((1, 2, 3))
    others = targets.diagonal() < 1
    assert torch.allclose(own[others], targets.diagonal()[others], atol=1e-5)
    for picture in (found != pixels)[:, 0]:
        rows, columns = (picture.any(axis).nonzero().flatten() for axis in (1, 0))
        if len(rows):  # one rectangle, without a hole
            assert picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_a_policy_with_both_uses_either_and_leaves_the_rest() -> None:
    found, targets, pixels = mixed(Policy(mixup=1.0, cutmix=1.0, mix=0.6), count=500)
    alone = (targets.diagonal() == 1).sum()
    blended = ((found.flatten(1).std(1) < 1e-3) & (targets.diagonal() < 1)).sum()
    pasted = 500 - alone - blended
    assert 160 <= alone <= 240
    assert 110 <= blended <= 190
    assert 110 <= pasted <= 190
    assert torch.equal(found[targets.diagonal() == 1], pixels[targets.diagonal() == 1])


def test_without_mixing_nothing_is_drawn_or_copied() -> None:
    pixels, targets, random = torch.rand(3, 1, 4, 4), torch.eye(3), generator()
    before = random.get_state()
    for policy in (POLICIES["photos"], Policy(mixup=1.0, mix=0.0)):
        same, also = mix(pixels, targets, policy, random)
        assert same is pixels
        assert also is targets
    assert torch.equal(random.get_state(), before)


def test_multi_label_targets_are_mixed_as_numbers() -> None:
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    _, found = mix(torch.zeros(2, 3, 8, 8), targets, Policy(mixup=1.0), generator(3))
    assert torch.allclose(found[:, 1], torch.ones(2))
    assert torch.allclose(found[0, 0] + found[0, 2], torch.tensor(1.0))


# ---- What holds for every policy ----


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(POLICIES)),
    st.integers(1, 5),
    st.sampled_from([1, 3]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.none() | st.integers(1, 50),
    st.integers(0, 2**31),
)
def test_every_policy_gives_pixels_of_the_right_kind(
    name, count, channels, height, width, size, seed
) -> None:
    pixels = noise(count, channels, height, width, seed=seed)
    before, random = pixels.clone(), generator(seed)
    found = augment(pixels, POLICIES[name], random, size)
    assert found.shape == (count, channels, size or height, size or width)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 255.01
    assert torch.equal(pixels, before)
    assert torch.equal(found, augment(pixels, POLICIES[name], generator(seed), size))


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"none"}))
def test_pictures_of_a_batch_are_varied_differently(name) -> None:
    pixels = smooth(8, 3, 24, 24)
    found = augment(pixels, POLICIES[name], generator(2)).flatten(1)
    distances = torch.cdist(found, found) + 1e6 * torch.eye(8)
    apart = (distances.min(1).values > 1).sum()
    assert apart >= 6  # "small" has few shifts, two may agree


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_processes_that_share_a_batch_give_what_one_gives(name) -> None:
    pixels = noise(10, 3, 32, 32)
    drawn = draw(10, generator(4))
    whole = vary(pixels, POLICIES[name], drawn)
    parts = [
        vary(pixels[rows], POLICIES[name], drawn[rows]) for rows in (slice(0, 3), slice(3, 10))
    ]
    assert torch.allclose(whole, torch.cat(parts), atol=1e-2)


def test_the_count_of_numbers_drawn_does_not_depend_on_the_policy() -> None:
    states = []
    for policy in POLICIES.values():
        random = generator(7)
        augment(noise(4, 3, 8, 8), policy, random)
        states.append(random.get_state())
    assert all(torch.equal(state, states[0]) for state in states)


def test_global_random_state_is_left_alone() -> None:
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    pixels = augment(noise(4, 3, 16, 16), POLICIES["strong"], generator())
    mix(pixels, torch.eye(4), POLICIES["strong"], generator())
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()  # noqa: NPY002


def test_no_gradient_is_tracked() -> None:
    pixels = noise(2, 3, 8, 8).float().requires_grad_()
    assert not augment(pixels, POLICIES["strong"], generator()).requires_grad


# ---- Views ----


def test_views_are_repeatable_and_differ_by_seed() -> None:
    picture = smooth(1, 3, 32, 32)[0].to(torch.uint8)
    strong = POLICIES["strong"]
    first = view(picture, strong, b"digest 0")
    assert first.dtype == torch.uint8
    assert first.shape == (3, 32, 32)
    assert torch.equal(first, view(picture, strong, b"digest 0"))
    assert not torch.equal(first, view(picture, strong, b"digest 1"))
    assert not torch.equal(view(picture, strong, 1), view(picture, strong, 2))
    assert torch.equal(view(picture, POLICIES["none"], 3), picture)


def test_a_view_is_what_augment_gives_rounded() -> None:
    picture = noise(3, 16, 16)
    flipped = view(picture, replace(POLICIES["none"], flip=1.0), 5)
    assert torch.equal(flipped, picture.flip(2))


# ---- Devices ----


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_gpu_gives_what_the_processor_gives(name) -> None:
    pixels, policy = noise(8, 3, 40, 40), POLICIES[name]
    here = augment(pixels, policy, generator(6))
    there = augment(pixels.cuda(), policy, generator(6))
    assert there.is_cuda
    # A coordinate's last bit may decide between two neighbours at a sharp edge.
    assert float((here - there.cpu()).abs().median()) < 0.01
    assert float((here - there.cpu()).abs().mean()) < 0.1
    targets = torch.eye(8)
    blended = mix(here, targets, policy, generator(8))
    moved = mix(there, targets.cuda(), policy, generator(8))
    assert torch.allclose(blended[1], moved[1].cpu())
    assert float((blended[0] - moved[0].cpu()).abs().mean()) < 0.1
