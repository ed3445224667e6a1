"""Paint one picture in the style of others: its contents stay, their strokes and colours come.

    silverprint stylize CONTENT STYLE [STYLE...] --out picture.png

Nothing is trained: the pixels themselves are what is optimised (Gatys, Ecker and Bethge 2016). They
shall look to a frozen network like the content at one layer, and have the style's correlations
between channels, its Gram matrices, at several. It goes from coarse to fine, so that large strokes
are laid first and most steps are cheap.

Two things let small networks serve that were made to classify. Each channel is divided by its
spread over the style picture, so that no channel shouts and all networks have losses of one scale;
and the pixels' own colours count as one more layer, so that nothing turns to mud. A picture of
384 px takes about a minute of a processor's time; docs/style.md has figures.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from silverprint.errors import ConfigError
from silverprint.recipes.style_losses import Aim, Judge, Losses
from silverprint.recipes.style_pictures import (
    Pixels,
    fitted,
    keep_luminance,
    recolour,
    resized,
    to_pixels,
    to_tensor,
)
from silverprint.recipes.style_settings import RANGES, SMALLEST, StyleSettings
from silverprint.training.checkpoint import load_checkpoint, save_checkpoint
from silverprint.training.fabric import start_fabric
from silverprint.training.memory import kept_memory
from silverprint.training.progress import Advance
from silverprint.training.randomness import own_randomness

__all__ = ["StyleSettings", "transfer_style"]

COARSEST = 80  # pixels of the longer side below which no scale is worth its while
SMALLEST_MAP = 4  # pixels along the shorter side of the deepest layer's map
TOGETHER = 20  # evaluations between two looks at the picture
HISTORY = 20  # steps whose curvature L-BFGS remembers
BLOTS, BLOT = (16, 8, 4), 0.05  # pixels of the coarsest scale, and how strong, of 0..1
CHECKPOINT = "style.safetensors"


@dataclass
class Transferred:
    """The result.

    Attributes:
        picture: (H, W, 3).
        losses: of the picture, before its colours were kept.
        stages: pictures on the way with the steps done, of the size of their scale.
        steps: evaluations of the losses.
        scales: (height, width) of each scale, coarse to fine.
        finished: how many of them were; all, unless Ctrl-C ended it.
        curve: losses at every step.
        seconds: it took; those of stopped runs too, up to the last scale they finished.
    """

    picture: Pixels
    losses: Losses
    stages: list[tuple[int, Pixels]]
    steps: int
    scales: list[tuple[int, int]]
    finished: int
    curve: list[Losses]
    seconds: float

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before its end."""
        return self.finished < len(self.scales)


def transfer_style(
    content: Pixels, styles: Sequence[Pixels], network: Any, settings: StyleSettings, *,
    folder: Path | None = None, advance: Advance = lambda count, note="": None,  # noqa: ARG005
) -> Transferred:  # fmt: skip
    """Paint the content in a style; Ctrl-C ends it with the best picture so far.

    The same call with the same folder goes on after the last scale that was finished; on a
    processor the result is then the same to the last bit.

    Args:
        content: (H, W, 3).
        styles: pictures (h, w, 3), h and w at least SMALLEST; their losses are blended with the
            settings' weights.
        network: a LossNetwork, which is moved to the device.
        settings: how; its layers must be the network's.
        folder: of this very run, for what is needed to go on after a stop; None keeps nothing.
        advance: called with the number of steps done since the last call, and the losses.

    Raises:
        ConfigError: the picture is too small for a layer, or the losses are no longer finite.
    """
    device = start_fabric(settings.device, "f32").device
    network = network.to(device)
    target, examples = to_tensor(content, device), [to_tensor(style, device) for style in styles]
    examples = [recolour(style, target, settings) for style in examples]
    sizes = scales_of(target, settings, network)
    work = Work(advance)
    work.take_up(folder, device)
    shares = share_steps(settings.steps, len(sizes))
    with kept_memory(), own_randomness(settings.seed), work.until_stopped():
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
        to_pixels(final), work.best_losses, work.stages, work.steps, sizes, work.scale,
        work.curve, time.perf_counter() - work.began,
    )  # fmt: skip


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
        began: when, by the clock of `time.perf_counter`; earlier by what a stopped run took.
    """

    advance: Advance
    steps: int = 0
    scale: int = 0
    best: Any = None
    best_losses: Losses = field(default_factory=lambda: Losses(0.0, 0.0, 0.0))
    stages: list[tuple[int, Pixels]] = field(default_factory=list)
    curve: list[Losses] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)
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
                    "weights, or a lower --set learning_rate."
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
            "seconds": time.perf_counter() - self.began,
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
        self.began -= state["seconds"]
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
        most = int(RANGES["size"][2])
        cure = f"give --size {needed} or more" if needed <= most else "crop it, it is too narrow"
        raise ConfigError(
            f"size {settings.size} is too small: the picture would be {finest[1]} x {finest[0]}, "
            f"and layer {deepest!r} needs {least} pixels; {cure}."
        )
    sides = [settings.size / 2**i for i in reversed(range(settings.scales))]
    sizes = [fitted(content, side) for side in sides]
    kept = [size for size in sizes[:-1] if min(size) >= least and max(size) >= COARSEST]
    return [*kept, finest]
