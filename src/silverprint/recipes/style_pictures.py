"""Pictures as tensors of 0..1: their sizes, and colours that shall be kept."""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from silverprint.recipes.style_settings import SMALLEST, StyleSettings
from silverprint.runtime.luma import LUMA

Pixels = NDArray[np.uint8]


def to_tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """Return (1, 3, h, w) of 0..1."""
    channels = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    return channels.to(device).float()[None] / 255


def to_pixels(picture: Tensor) -> Pixels:
    """Return (h, w, 3)."""
    rounded = (picture.detach()[0].clamp(0, 1) * 255).round().byte()
    return cast(Pixels, rounded.permute(1, 2, 0).cpu().numpy().copy())


def fitted(picture: Tensor, side: float) -> tuple[int, int]:
    """Return the height and width of a picture whose longer side would be so long."""
    height, width = picture.shape[2:]
    factor = side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the picture at another size, smoothly."""
    if tuple(picture.shape[2:]) == size:
        return picture.detach()
    grown = F.interpolate(picture.detach(), size, mode="bicubic", antialias=True)
    return grown.clamp(0, 1)


def style_size(style: Tensor, side: float) -> tuple[int, int]:
    """Return a style's (height, width), the longer side so long; never enlarged, never a thread."""
    longer, shorter = max(style.shape[2:]), min(style.shape[2:])
    return fitted(style, min(max(side, SMALLEST * longer / shorter), longer))


def recolour(style: Tensor, content: Tensor, settings: StyleSettings) -> Tensor:
    """Give a style picture the content's colours or brightness, where colours are to be kept.

    A linear map takes one mean and covariance to the other ("histogram"), or one mean and spread of
    the brightness ("luminance"): Gatys et al., Preserving Color in Neural Artistic Style Transfer.
    """
    if settings.keep_colours == "none":
        return style
    given, wanted = style[0].flatten(1).double(), content[0].flatten(1).double()
    if settings.keep_colours == "luminance":
        grey = given.new_tensor(LUMA)
        mine, theirs = grey @ given, grey @ wanted
        ratio = theirs.std() / mine.std().clamp(min=1e-3)
        changed = given + ((mine - mine.mean()) * ratio + theirs.mean() - mine)
    else:
        change = _root(wanted.cov(), 1) @ _root(given.cov(), -1)
        changed = change @ (given - given.mean(1, keepdim=True)) + wanted.mean(1, keepdim=True)
    return changed.clamp(0, 1).to(style.dtype).reshape(style.shape)


def keep_luminance(picture: Tensor, content: Tensor, settings: StyleSettings) -> Tensor:
    """Return the result's brightness in the content's colours, where that was asked for."""
    if settings.keep_colours != "luminance":
        return picture
    height, width = picture.shape[2:]
    coloured = resized(content, (height, width))
    grey = picture.new_tensor(LUMA).view(1, 3, 1, 1)
    return coloured + ((picture.clamp(0, 1) - coloured) * grey).sum(1, keepdim=True)


def _root(covariance: Tensor, sign: int) -> Tensor:
    """Return the symmetric square root of a covariance, or its inverse."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors @ torch.diag(values.clamp(min=1e-6) ** (sign / 2)) @ vectors.T
    return root
