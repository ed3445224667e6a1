"""Pictures varied as a batch, on the device where they are, each by numbers of its own.

    pixels (n, C, H, W)  →  one affine resampling  →  one colour matrix  →  one rectangle  →  mixing

Rotation, shear, crop, zoom, translation and flip are one 2x3 matrix a picture, so pixels are
interpolated once; brightness, contrast, saturation and hue are one 3x3 matrix and an offset. What
is random is drawn on the processor from a generator that the caller owns, one row of numbers a
picture and always the same count, and only the small matrices travel to the device. So a run can
be resumed exactly, and a GPU gives what the processor gives, up to rounding.

docs/augmentation.md says why neither torchvision's transforms nor kornia is used here.
"""

import hashlib
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from silverprint.data.policies import POLICIES, Policy, find_policy, suggest_policy
from silverprint.runtime.luma import LUMA

__all__ = [
    "POLICIES",
    "Policy",
    "augment",
    "draw",
    "find_policy",
    "mix",
    "suggest_policy",
    "vary",
    "view",
]

# What is drawn for each picture, uniform in [0, 1), whatever the policy.
DRAWN = (
    "area", "aspect", "crop_x", "crop_y", "rotation", "shear", "zoom", "shift_x", "shift_y", "flip",
    "brightness", "contrast", "saturation", "hue", "erase", "erase_area", "erase_aspect", "erase_x",
    "erase_y",
)  # fmt: skip
# To Y, I, Q (FCC, 1953): luma, and two axes of colour of which grey has nothing.
YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
ERASE_ASPECT = 10 / 3  # Zhong et al., "Random Erasing Data Augmentation", 2017: 0.3 to 1/0.3
STEP = 1.5  # pixels between two samples, above which bilinear interpolation would skip detail


def augment(
    pixels: Tensor, policy: Policy, generator: torch.Generator, size: int | None = None
) -> Tensor:
    """Vary every picture of a batch, each differently.

    Args:
        pixels: (n, C, H, W) uint8, or float on the scale 0..255, on any device; C is 1 or 3.
        policy: how strongly.
        generator: a generator of the processor's; it is left ready for the next batch.
        size: side of the result; None keeps H and W.

    Returns:
        (n, C, size, size) float32 on the scale 0..255. A policy that changes nothing gives the
        values of `pixels` exactly, if no other size is asked for.
    """
    return vary(pixels, policy, draw(len(pixels), generator), size)


def draw(count: int, generator: torch.Generator) -> Tensor:
    """Draw (count, len(DRAWN)) numbers for `vary`; rows may be sliced, as pictures are."""
    return torch.rand((count, len(DRAWN)), generator=generator)


@torch.no_grad()
def vary(pixels: Tensor, policy: Policy, drawn: Tensor, size: int | None = None) -> Tensor:
    """Vary pictures by numbers that were drawn before; else as `augment`.

    Several processes that share a batch draw for all of it and slice, so that each picture is
    varied as it would be in one process.

    Args:
        pixels: (n, C, H, W), as for `augment`.
        policy: how strongly.
        drawn: (n, len(DRAWN)) uniform numbers, as `draw` gives them.
        size: side of the result; None keeps H and W.
    """
    chance = dict(zip(DRAWN, drawn.unbind(1), strict=True))
    values = pixels.float()
    height, width = pixels.shape[2:]
    shape = (height, width) if size is None else (size, size)
    if policy.moves or shape != (height, width):
        matrix = _geometry(policy, chance, (height, width)).to(pixels.device)
        values = _resample(values, policy, matrix, shape)
    if policy.colours:
        values = _recolour(values, policy, chance)
    if policy.erase:
        values = _erase(values, policy, chance)
    return values


def view(pixels: Tensor, policy: Policy, seed: bytes | int) -> Tensor:
    """Return one varied view of one picture; the same seed always gives the same.

    Args:
        pixels: (C, H, W) uint8.
        policy: how strongly; mixing is left out.
        seed: for example the digest of the picture's bytes and the number of the view.

    Returns:
        (C, H, W) uint8.
    """
    text = seed if isinstance(seed, bytes) else str(seed).encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:7])
    varied = augment(pixels[None], policy, torch.Generator().manual_seed(number))
    return varied[0].round_().to(torch.uint8)


def _around_zero(chance: Tensor, most: float) -> Tensor:
    """Spread numbers from 0..1 evenly over -most..most."""
    return (2 * chance - 1) * most


# ---- Geometry ----


def _geometry(policy: Policy, chance: dict[str, Tensor], shape: tuple[int, int]) -> Tensor:
    """Return (n, 2, 3): where in the given picture each point of the result lies, in -1..1.

    A point of the result is scaled to the crop, slanted, turned, and moved to the crop's place.
    """
    height, width = shape
    across, down = _crop(policy, chance)
    angle = _around_zero(chance["rotation"], math.radians(policy.rotation))
    slant = _around_zero(chance["shear"], math.radians(policy.shear)).tan()
    zoom = policy.zoom[0] * (policy.zoom[1] / policy.zoom[0]) ** chance["zoom"]
    mirror = 1 - 2 * (chance["flip"] < policy.flip).float()
    middle_x = (1 - across) * _around_zero(chance["crop_x"], 1)
    middle_y = (1 - down) * _around_zero(chance["crop_y"], 1)
    shift_x, shift_y = (
        _shift(chance[name], policy, side)
        for name, side in (("shift_x", width), ("shift_y", height))
    )
    # Angles are those of pixels, so the two axes are brought to one scale and back.
    tall = height / width
    scale_x, scale_y = across * mirror / zoom, down / zoom
    cosine, sine = angle.cos(), angle.sin()
    rows = (
        (cosine * scale_x, (cosine * slant - sine) * scale_y * tall, middle_x + shift_x),
        (sine * scale_x / tall, (sine * slant + cosine) * scale_y, middle_y + shift_y),
    )
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def _crop(policy: Policy, chance: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return each crop's width and height as shares of the picture's.

    The area is uniform, the aspect log-uniform (Szegedy et al., "Going Deeper with Convolutions",
    2014); the aspect is limited to what fits at that area, so nothing need be drawn again.
    """
    low, high = policy.area
    area = low + (high - low) * chance["area"]
    limit = torch.clamp(-area.log(), max=math.log(policy.aspect))
    stretch = (limit * (chance["aspect"] - 0.5)).exp()  # the root of the aspect
    return area.sqrt() * stretch, area.sqrt() / stretch


def _shift(chance: Tensor, policy: Policy, side: int) -> Tensor:
    """Return a translation on a scale where the picture is 2 wide."""
    if not policy.shifts_only:
        return 2 * _around_zero(chance, policy.translation)
    most = round(policy.translation * side)
    return 2 * (torch.floor(chance * (2 * most + 1)) - most) / side


def _resample(values: Tensor, policy: Policy, matrix: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate bilinearly where the matrices (n, 2, 3) say.

    Where the result has far fewer pixels than the picture, each of its pixels is the mean of
    several samples, or what lies between them would alias. How many depends on the policy alone, so
    a picture is treated alike in every batch.
    """
    height, width = values.shape[2:]
    furthest = max(height / shape[0], width / shape[1]) / min(1, policy.zoom[0])
    finer = max(1, math.ceil(furthest / STEP))
    grid = _grid(matrix, (shape[0] * finer, shape[1] * finer))
    whole = policy.shifts_only and shape == (height, width)
    beyond = {"mirror": "reflection", "black": "zeros"}[policy.edges]
    sampled = F.grid_sample(
        values,
        grid,
        mode="nearest" if whole else "bilinear",
        # Half a pixel at the edge would else be mixed with black.
        padding_mode=beyond if policy.looks_outside else "border",
        align_corners=False,
    )
    return sampled if finer == 1 else F.avg_pool2d(sampled, finer)


def _grid(matrix: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return (n, H, W, 2) sampling points; as F.affine_grid, but several times faster.

    x and y are two planes, each the sum of a row and a column, which is how they are best added up.
    """
    down, across = (
        (torch.arange(side, device=matrix.device, dtype=matrix.dtype) * 2 + 1) / side - 1
        for side in shape
    )
    along_x, along_y, moved = matrix[:, :, :, None, None].unbind(2)
    points = along_x * across + (along_y * down[:, None] + moved)
    return points.permute(0, 2, 3, 1)


# ---- Values ----


def _recolour(values: Tensor, policy: Policy, chance: dict[str, Tensor]) -> Tensor:
    """Scale brightness, contrast and saturation and turn the hue, all in one product.

    Contrast leaves the mean of the varied picture's luma where it is. Hue is turned in the plane of
    I and Q, which keeps luma and costs nothing, instead of through HSV.
    """
    brightness, contrast, saturation = (
        1 + _around_zero(chance[name], getattr(policy, name))
        for name in ("brightness", "contrast", "saturation")
    )
    colour = values.shape[1] == 3
    luma = torch.tensor(LUMA if colour else [1.0 / values.shape[1]] * values.shape[1])
    scale = (brightness * contrast).to(values.device)
    offset = (brightness * (1 - contrast)).to(values.device)
    mean = values.mean((2, 3)) @ luma.to(values.device)
    offset = (offset * mean)[:, None, None]
    if not colour or not (policy.saturation or policy.hue):
        changed = torch.addcmul(offset[..., None], values, scale[:, None, None, None])
        return changed.clamp_(0, 255)
    grey = torch.ones(3, 1) * luma
    saturated = saturation[:, None, None] * (torch.eye(3) - grey) + grey
    turned = _hue(_around_zero(chance["hue"], math.radians(policy.hue)))
    matrix = scale[:, None, None] * (turned @ saturated).to(values.device)
    return torch.baddbmm(offset, matrix, values.flatten(2)).view_as(values).clamp_(0, 255)


def _hue(angle: Tensor) -> Tensor:
    """Return (n, 3, 3): RGB to RGB, turned by that many radians about the axis of greys."""
    to_yiq = torch.tensor(YIQ)
    turn = torch.eye(3).repeat(len(angle), 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 2, 1] = angle.sin()
    turn[:, 1, 2] = -turn[:, 2, 1]
    return to_yiq.inverse() @ turn @ to_yiq


def _erase(values: Tensor, policy: Policy, chance: dict[str, Tensor]) -> Tensor:
    """Hide a rectangle of some pictures behind each one's mean colour.

    Zhong et al., "Random Erasing Data Augmentation", 2017, who fill with noise; the mean need not
    be drawn for every pixel.
    """
    low, high = policy.erase_area
    area = low + (high - low) * chance["erase_area"]
    area = torch.where(chance["erase"] < policy.erase, area, 0.0)
    stretch = (math.log(ERASE_ASPECT) * (chance["erase_aspect"] - 0.5)).exp()
    across, down = ((area.sqrt() * part).clamp_(max=1) for part in (stretch, 1 / stretch))
    inside, _ = _rectangle(across, down, chance["erase_x"], chance["erase_y"], values)
    return torch.where(inside, values.mean((2, 3), keepdim=True), values)


def _rectangle(
    across: Tensor, down: Tensor, x: Tensor, y: Tensor, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return which pixels (n, 1, H, W) lie in a rectangle each, and its share (n,) of the picture.

    Args:
        across: (n,) width as a share of the picture's.
        down: (n,) height, likewise.
        x: (n,) place from the leftmost, 0, to the rightmost that fits, 1.
        y: (n,) place from top to bottom, likewise.
        like: pictures (n, C, H, W), for size and device.
    """
    sides = []
    for extent, place, side in ((down, y, like.shape[2]), (across, x, like.shape[3])):
        length = (extent * side).round()
        start = ((side - length) * place).round()
        bounds = torch.stack([start, start + length]).to(like.device)
        points = torch.arange(side, device=like.device)
        sides.append((points >= bounds[0, :, None]) & (points < bounds[1, :, None]))
    rows, columns = sides
    share = rows.float().mean(1) * columns.float().mean(1)
    return rows[:, None, :, None] & columns[:, None, None, :], share


# ---- Mixing ----


@torch.no_grad()
def mix(
    pixels: Tensor, targets: Tensor, policy: Policy, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix pictures of a batch with each other, and their targets alike.

    Mixup (Zhang et al., 2017) blends two pictures; cutmix (Yun et al., 2019) puts a rectangle of
    one into the other. A policy with both takes either, by a coin for each picture.

    Args:
        pixels: (n, C, H, W) float.
        targets: (n, c) float: probabilities, or 0 and 1.
        policy: its mixup, cutmix and mix count.
        generator: of the processor; used only if the policy mixes.

    Returns:
        New pictures and targets of the same shapes; those given, if the policy does not mix.
    """
    if not policy.mixes:
        return pixels, targets
    count = len(pixels)
    partner = torch.randperm(count, generator=generator).to(pixels.device)
    mixed, coin, x, y = torch.rand((4, count), generator=generator)
    given = [alpha for alpha in (policy.mixup, policy.cutmix) if alpha]
    pasted = coin < 0.5 if len(given) == 2 else torch.full((count,), bool(policy.cutmix))
    alpha = torch.where(pasted, policy.cutmix or 1.0, policy.mixup or 1.0)
    share = _beta(alpha, generator)
    # The partner's share is the smaller one, so that every picture of the batch is in it as the
    # greater part of something; Beta(alpha, alpha) is symmetric. None where left alone.
    share = torch.where(mixed < policy.mix, torch.minimum(share, 1 - share), 0.0)
    side = torch.where(pasted, share, 0.0).sqrt()
    inside, area = _rectangle(side, side, x, y, pixels)
    blend = torch.where(pasted, 0.0, share).to(pixels.device)
    weight = torch.where(inside, 1.0, blend[:, None, None, None])
    shares = (area + blend)[:, None]
    return pixels.lerp(pixels[partner], weight), targets.lerp(targets[partner], shares)


def _beta(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from Beta(alpha, alpha), each its own; torch's own takes no generator."""
    seed = int(torch.randint(2**62, (), generator=generator))
    concentration = alpha.double().numpy()
    values = np.random.default_rng(seed).beta(concentration, concentration)
    return torch.from_numpy(values).to(torch.float32)
