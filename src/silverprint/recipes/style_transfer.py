"""Paint one picture in the style of others: its contents stay, their strokes and colours come.

    silverprint stylize CONTENT STYLE [STYLE...] --out picture.png

Nothing is trained: the pixels themselves are what is optimised (Gatys, Ecker and Bethge 2016). They
shall look to a frozen network like the content at one layer, and have the style's correlations
between channels, its Gram matrices, at several. It goes from coarse to fine, so that large strokes
are laid first and most steps are cheap.

Two things let small networks serve that were made to classify. Each channel is divided by its
spread over the style picture, so that no channel shouts and all networks have losses of one scale;
and the pixels' own colours count as one more layer, so that nothing turns to mud. On two cores a
picture of 384 px takes about a minute; RESULTS.md has figures.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from silverprint.errors import ConfigError
from silverprint.recipes.style_settings import StyleSettings
from silverprint.training.checkpoint import load_checkpoint, save_checkpoint
from silverprint.training.fabric import start_fabric
from silverprint.training.progress import Advance
from silverprint.training.randomness import own_randomness

__all__ = ["StyleSettings", "transfer_style"]

COARSEST = 80  # pixels of the longer side below which no scale is worth its while
SMALLEST = 24  # pixels along the shorter side of any picture
SMALLEST_MAP = 4  # pixels along the shorter side of the deepest layer's map
TOGETHER = 20  # evaluations between two looks at the picture
HISTORY = 20  # steps whose curvature L-BFGS remembers
FLOOR = 0.3  # of a layer's mean spread: a channel that hardly speaks in the style is not made to
FLAT = 0.1  # of a layer's size: what its spread counts as where the style is of one colour
OUTSIDE = 10.0  # weight of values that no pixel can have
BLOTS, BLOT = (16, 8, 4), 0.05  # pixels of the coarsest scale, and how strong, of 0..1
EPSILON = 1e-3  # colour difference below which total variation is smooth
CHECKPOINT = "style.safetensors"
COLOURS = "pixels"  # the layer before the first
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601

Pixels = NDArray[np.uint8]
Matrix = Tensor  # (c, c)


class Judge(Protocol):
    """What judges pictures; `backbones.loss_network.LossNetwork` is one."""

    maps: Any

    def __call__(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return layer -> map (c, h, w) of a picture (1, 3, H, W) of 0..1."""


@dataclass(frozen=True)
class Losses:
    """How far a picture is from what it shall be.

    Attributes:
        content: as a share of the content maps' variance.
        style: as a share of the style's Gram matrices.
        variation: mean length of the colour difference to the next pixel, of 0..1.
    """

    content: float
    style: float
    variation: float

    def __str__(self) -> str:
        return f"content {self.content:.3f} style {self.style:.4f} variation {self.variation:.4f}"


@dataclass
class Transferred:
    """The result.

    Attributes:
        picture: (H, W, 3).
        losses: of the picture, before its colours were kept.
        stages: pictures on the way with the steps done, of the size of their scale.
        steps: evaluations of the losses.
        scales: (height, width) of each scale, coarse to fine.
        curve: losses at every step.
        stopped: whether it was stopped before its end.
        seconds: it took.
    """

    picture: Pixels
    losses: Losses
    stages: list[tuple[int, Pixels]]
    steps: int
    scales: list[tuple[int, int]]
    curve: list[Losses]
    stopped: bool
    seconds: float


def transfer_style(
    content: Pixels, styles: Sequence[Pixels], network: Any, settings: StyleSettings, *,
    folder: Path | None = None, advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> Transferred:  # fmt: skip
    """Paint the content in a style; Ctrl-C ends it with the best picture so far.

    The same call with the same folder goes on after the last scale that was finished; on a
    processor the result is then the same to the last bit.

    Args:
        content: (H, W, 3).
        styles: pictures (h, w, 3); their losses are blended with the settings' weights.
        network: a LossNetwork, which is moved to the device.
        settings: how; its layers must be the network's.
        folder: of this very run, for what is needed to go on after a stop; None keeps nothing.
        advance: called with the number of steps done since the last call, and the losses.

    Raises:
        ConfigError: the picture is too small for a layer, or the losses are no longer finite.
    """
    began = time.perf_counter()
    device = start_fabric(settings.device, "f32").device
    network = network.to(device)
    target, examples = to_tensor(content, device), [to_tensor(style, device) for style in styles]
    examples = [recolour(style, target, settings) for style in examples]
    for number, style in enumerate(examples, start=1):
        if min(style.shape[2:]) < SMALLEST:
            raise ConfigError(
                f"style {number} is {style.shape[3]} x {style.shape[2]} pixels; both sides must be "
                f"at least {SMALLEST}."
            )
    sizes = scales_of(target, settings, network)
    work = Work(advance)
    work.take_up(folder, device)
    shares = share_steps(settings.steps, len(sizes))
    with own_randomness(settings.seed), work.until_stopped():
        for size, steps in list(zip(sizes, shares, strict=True))[work.scale :]:
            aim = Aim.of(resized(target, size), examples, network, settings)
            first = begin(aim, examples, settings) if work.best is None else work.best
            picture = resized(first, size).contiguous().requires_grad_(True)
            optimiser = build_optimiser(picture, settings)
            closure = work.begin_scale(picture, steps, optimiser, aim, network)
            while work.left > 0:
                limit(optimiser, work.left)
                optimiser.step(closure)
                work.look(settings.optimiser == "lbfgs")
            work.finish_scale(folder)
    final = keep_luminance(resized(work.best, sizes[-1]), target, settings)
    return Transferred(
        to_pixels(final), work.best_losses, work.stages, work.steps, sizes, work.curve,
        work.stopped, time.perf_counter() - began,
    )  # fmt: skip


# ---- What the picture shall be ----


@dataclass(frozen=True)
class Manner:
    """One layer's style: how its channels are spread, and which of them go together.

    Attributes:
        mean: (c, 1) of each channel.
        spread: (c, 1) of each channel.
        gram: (c, c) of the channels so normalised.
        size: the squared length of that matrix.
    """

    mean: Tensor
    spread: Tensor
    gram: Matrix
    size: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> "Manner":
        """Measure a style's map (c, h, w)."""
        rows = maps.flatten(1)
        mean, spread = rows.mean(1, keepdim=True), rows.std(1, keepdim=True)
        floor = FLOOR * torch.maximum(spread.mean(), FLAT * rows.square().mean().sqrt())
        spread = (spread.square() + floor.square() + 1e-12).sqrt()
        gram = gram_matrix((rows - mean) / spread)
        return cls(mean, spread, gram, gram.square().sum().clamp(min=len(gram) / 2))

    def distance(self, maps: Tensor) -> Tensor:
        """Return how far another map is from it: means and correlations."""
        rows = (maps.flatten(1) - self.mean) / self.spread
        means = rows.mean(1).square().mean()
        return (gram_matrix(rows) - self.gram).square().sum() / self.size + means


@dataclass(frozen=True)
class Aim:
    """What a picture of one scale shall be.

    Attributes:
        content: the picture itself, (1, 3, h, w).
        maps: content layer -> its map (c, h, w) and the variance of that.
        manners: for each style its share, and layer -> manner.
        layers: all that the network must give.
        settings: with the weights.
    """

    content: Tensor
    maps: dict[str, tuple[Tensor, Tensor]]
    manners: list[tuple[float, dict[str, Manner]]]
    layers: tuple[str, ...]
    settings: StyleSettings

    @classmethod
    @torch.no_grad()
    def of(
        cls, content: Tensor, styles: Sequence[Tensor], network: Judge, settings: StyleSettings
    ) -> "Aim":
        """Look at the content of this scale, and at the styles reduced likewise."""
        found = network(content, settings.content_layers)
        maps = {
            name: (value, value.var(dim=(1, 2)).mean() + 1e-12) for name, value in found.items()
        }
        blend = settings.blend or (1.0,) * len(styles)
        side = settings.style_size * max(content.shape[2:])
        manners = []
        for weight, style in zip(blend, styles, strict=True):
            small = resized(style, style_size(style, side))
            seen = {COLOURS: small[0], **network(small, settings.layers)}
            told = {name: Manner.of(value) for name, value in seen.items()}
            manners.append((weight / math.fsum(blend), told))
        layers = tuple(dict.fromkeys((*settings.layers, *settings.content_layers)))
        return cls(content, maps, manners, layers, settings)

    def measure(self, picture: Tensor, network: Judge) -> tuple[Tensor, Losses]:
        """Return the weighted loss of a picture, and its parts."""
        found = {COLOURS: picture[0], **network(picture, self.layers)}
        apart = [
            (found[name] - maps).square().mean() / var for name, (maps, var) in self.maps.items()
        ]
        content = torch.stack(apart).mean()
        style = picture.new_zeros(())
        for share, manners in self.manners:
            distances = [manner.distance(found[name]) for name, manner in manners.items()]
            style = style + share * torch.stack(distances).mean()
        variation = total_variation(picture)
        outside = (picture - picture.clamp(0, 1)).square().mean()
        chosen = self.settings
        loss = chosen.content_weight * content + chosen.style_weight * style
        loss = loss + chosen.tv_weight * variation + OUTSIDE * outside
        return loss, Losses(content.item(), style.item(), variation.item())


def gram_matrix(rows: Tensor) -> Matrix:
    """Return (c, c): how channels (c, n) go together, on average over places."""
    return rows @ rows.T / rows.shape[1]


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean length of the colour gradient of (1, 3, h, w)."""
    down = picture[..., 1:, :-1] - picture[..., :-1, :-1]
    right = picture[..., :-1, 1:] - picture[..., :-1, :-1]
    squared = (down.square() + right.square()).mean(1)
    return (squared + EPSILON**2).sqrt().mean() - EPSILON


# ---- The work ----


@dataclass
class Work:
    """Where the work stands: steps done, the best picture of this scale, and what to show.

    Attributes:
        advance: shows progress.
        steps: done in all.
        scale: how many scales are finished.
        best: (1, 3, h, w), the picture of the lowest loss at this scale.
        best_losses: of it.
        stages: pictures on the way, with the steps done.
        curve: losses at every step.
        stopped: whether Ctrl-C came.
    """

    advance: Advance
    steps: int = 0
    scale: int = 0
    best: Any = None
    best_losses: Losses = field(default_factory=lambda: Losses(0.0, 0.0, 0.0))
    stages: list[tuple[int, Pixels]] = field(default_factory=list)
    curve: list[Losses] = field(default_factory=list)
    stopped: bool = False
    _lowest: float = math.inf
    _until: int = 0
    _looked: int = 0

    @property
    def left(self) -> int:
        """Steps of this scale that are not done."""
        return self._until - self.steps

    @contextlib.contextmanager
    def until_stopped(self) -> Iterator[None]:
        """Take Ctrl-C as the end of the work, where there is something to show."""
        try:
            yield
        except KeyboardInterrupt:
            if not self.steps:
                raise
            self.stopped = True

    def begin_scale(
        self,
        picture: Tensor,
        steps: int,
        optimiser: torch.optim.Optimizer,
        aim: Aim,
        network: Judge,
    ) -> Callable[[], float]:
        """Begin a scale with a picture; return what measures it and sets its gradient."""
        self._lowest = math.inf
        self.best = picture.detach().clone()
        self._until = self.steps + steps
        self.look(True)

        def step() -> float:
            optimiser.zero_grad()
            loss, losses = aim.measure(picture, network)
            value = loss.item()
            if not math.isfinite(value):
                raise ConfigError(
                    f"the loss is no longer finite at step {self.steps + 1} ({losses}); give lower "
                    "weights, or a lower --learning-rate."
                )
            loss.backward()
            self.note(picture, value, losses)
            return value

        return step

    def finish_scale(self, folder: Path | None) -> None:
        """Keep what the next scale begins with."""
        self.scale += 1
        if folder is None:
            return
        stages = [(steps, torch.from_numpy(pixels)) for steps, pixels in self.stages]
        state = {
            "steps": self.steps, "scale": self.scale, "best": self.best, "stages": stages,
            "losses": astuple(self.best_losses), "curve": [astuple(one) for one in self.curve],
        }  # fmt: skip
        save_checkpoint(folder / CHECKPOINT, state)

    def take_up(self, folder: Path | None, device: torch.device) -> None:
        """Go on where an earlier, stopped run finished a scale."""
        if folder is None or not (folder / CHECKPOINT).exists():
            return
        state = load_checkpoint(folder / CHECKPOINT)
        self.steps, self.scale = state["steps"], state["scale"]
        self.best, self.best_losses = state["best"].to(device), Losses(*state["losses"])
        self.stages = [(steps, pixels.numpy()) for steps, pixels in state["stages"]]
        self.curve = [Losses(*one) for one in state["curve"]]
        self.advance(self.steps, str(self.best_losses))

    def note(self, picture: Tensor, loss: float, losses: Losses) -> None:
        """Keep the picture if it is the best of its scale."""
        self.steps += 1
        self.curve.append(losses)
        if loss < self._lowest:
            self.best, self._lowest, self.best_losses = picture.detach().clone(), loss, losses
        self.advance(1 if self.left >= 0 else 0, str(losses))

    def look(self, due: bool) -> None:
        """Keep what there is to see, now and then."""
        if due or self.steps - self._looked >= TOGETHER:
            self._looked = self.steps
            self.stages.append((self.steps, to_pixels(self.best)))


def build_optimiser(picture: Tensor, settings: StyleSettings) -> torch.optim.Optimizer:
    """Return what changes the picture: one step of it is up to TOGETHER evaluations of L-BFGS."""
    if settings.optimiser == "adam":
        return torch.optim.Adam([picture], lr=settings.learning_rate, betas=(0.9, 0.99))
    return torch.optim.LBFGS(
        [picture], max_iter=TOGETHER, max_eval=TOGETHER, history_size=HISTORY,
        tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe",
    )  # fmt: skip


def limit(optimiser: torch.optim.Optimizer, steps: int) -> None:
    """Keep L-BFGS from evaluating more than is left, its last line search apart."""
    for group in optimiser.param_groups:
        if "max_eval" in group:
            group["max_iter"] = group["max_eval"] = min(TOGETHER, steps)


def begin(aim: Aim, styles: Sequence[Tensor], settings: StyleSettings) -> Tensor:
    """Return the first picture.

    The content gets soft blots of colour: strokes need something to grow from, and what grows from
    a plain background is confetti of single pixels.
    """
    if settings.start == "noise":
        return 0.5 + 0.1 * torch.randn(aim.content.shape).to(aim.content.device)
    height, width = aim.content.shape[2:]
    if settings.start == "style":
        return resized(styles[0], (height, width))
    blotted = aim.content.clone()
    for side in BLOTS:
        noise = BLOT * torch.randn(1, 3, height // side + 1, width // side + 1)
        blotted += resized(noise.to(blotted.device) + 0.5, (height, width)) - 0.5
    return blotted.clamp(0, 1)


def share_steps(steps: int, scales: int) -> list[int]:
    """Share steps among the scales: the coarser, the cheaper, the more of them."""
    weights = [scales + 1 - i for i in range(scales)]
    shares = [max(1, steps * weight // sum(weights)) for weight in weights]
    shares[0] = max(1, shares[0] + steps - sum(shares))
    return shares


def scales_of(content: Tensor, settings: StyleSettings, network: Judge) -> list[tuple[int, int]]:
    """Return (height, width) from coarse to fine.

    Raises:
        ConfigError: the finest is too small for the deepest layer.
    """
    deepest = max(
        {*settings.layers, *settings.content_layers}, key=lambda name: network.maps[name].reduction
    )
    least = max(SMALLEST, SMALLEST_MAP * network.maps[deepest].reduction)
    finest = fitted(content, settings.size)
    if min(finest) < least:
        needed = math.ceil(least * max(content.shape[2:]) / min(content.shape[2:]))
        raise ConfigError(
            f"size {settings.size} is too small: the picture would be {finest[1]} x {finest[0]}, "
            f"and layer {deepest!r} needs {least} pixels; give --size {needed} or more."
        )
    sides = [settings.size / 2**i for i in reversed(range(settings.scales))]
    sizes = [fitted(content, side) for side in sides]
    kept = [size for size in sizes[:-1] if min(size) >= least and max(size) >= COARSEST]
    return [*kept, finest]


def style_size(style: Tensor, side: float) -> tuple[int, int]:
    """Return a style's (height, width), the longer side so long; never enlarged, never a thread."""
    longer, shorter = max(style.shape[2:]), min(style.shape[2:])
    return fitted(style, min(max(side, SMALLEST * longer / shorter), longer))


# ---- Colours ----


def recolour(style: Tensor, content: Tensor, settings: StyleSettings) -> Tensor:
    """Give a style picture the content's colours or brightness, where colours are to be kept.

    A linear map takes one mean and covariance to the other ("histogram"), or one mean and spread of
    the brightness ("luminance"): Gatys et al., Preserving Color in Neural Artistic Style Transfer.
    """
    if settings.keep_colours == "none":
        return style
    given, wanted = style[0].flatten(1).double(), content[0].flatten(1).double()
    if settings.keep_colours == "luminance":
        grey = given.new_tensor(GREY)
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
    grey = picture.new_tensor(GREY).view(1, 3, 1, 1)
    return coloured + ((picture.clamp(0, 1) - coloured) * grey).sum(1, keepdim=True)


def _root(covariance: Matrix, sign: int) -> Matrix:
    """Return the symmetric square root of a covariance, or its inverse."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors @ torch.diag(values.clamp(min=1e-6) ** (sign / 2)) @ vectors.T
    return root


# ---- Pictures as tensors ----


def to_tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """Return (1, 3, h, w) of 0..1."""
    channels = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
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
