"""How fast batches are augmented: ours against torchvision's transforms and kornia.

    python benchmarks/augmentation.py [ROUNDS] [THREADS]

One thread, if not said otherwise: with several, tiny operations wait for whatever else the machine
does, and what is measured is that.

All get the same uint8 batches, the same kinds of change with the same strengths, and give float32.
torchvision draws one set of numbers for a whole batch; to draw for each picture it has to be called
for each. kornia draws for each picture of a batch; it is measured where it can be imported (it is
no dependency: pip install --target FOLDER kornia kornia_rs --no-deps, then PYTHONPATH=FOLDER).
"""

import importlib.util
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torchvision.transforms import v2

from common import interleaved, spread, table
from silverprint.data.augmentation import Policy, augment
from silverprint.data.policies import POLICIES

Way = Callable[[Tensor], Tensor]
SECONDS = 0.5  # of repeating a way in a round
# Mixing is left out: it works on whole batches in all three. All fill with black.
STRONG = replace(POLICIES["strong"], mixup=0.0, cutmix=0.0, edges="black")
CASES = (
    ("digits", POLICIES["digits"], (128, 1, 28, 28)),
    ("photos", POLICIES["photos"], (128, 3, 32, 32)),
    ("strong", STRONG, (128, 3, 32, 32)),
    ("photos", POLICIES["photos"], (32, 3, 224, 224)),
    ("strong", STRONG, (32, 3, 224, 224)),
)
OURS, WHOLE, SINGLE, KORNIA = (
    "silverprint",
    "torchvision, one draw a batch",
    "torchvision, picture by picture",
    "kornia",
)


def main() -> None:
    """Print pictures a second for every case and way."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    warnings.filterwarnings("ignore")
    rows = [row for case in CASES for row in compare(*case, rounds)]
    print(
        f"## Augmentation\n\nPictures a second, threads: {torch.get_num_threads()}; {rounds} "
        f"rounds interleaved, {SECONDS} s each; median (least to most). The policies are those of "
        "docs/augmentation.md, without mixing.\n\n"
        + table(["policy and batch", "way", "pictures/s", "ours is faster by"], rows)
    )
    if not importlib.util.find_spec("kornia"):
        print("\nkornia was not measured: it cannot be imported.")


def compare(name: str, policy: Policy, shape: tuple[int, ...], rounds: int) -> list[list[str]]:
    """Measure all ways with one policy on noise of one shape; return a row for each."""
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    ways = {OURS: ours(policy), WHOLE: by_batch(policy, shape), SINGLE: one_by_one(policy, shape)}
    if importlib.util.find_spec("kornia"):
        ways[KORNIA] = with_kornia(policy, shape)
    timers = {label: lambda way=way: speed(way, pixels) for label, way in ways.items()}
    found = interleaved(timers, rounds)
    case = f"{name}, {'x'.join(map(str, shape))}"
    rows = []
    for label, speeds in found.items():
        ratios = [mine / theirs for mine, theirs in zip(found[OURS], speeds, strict=True)]
        rows.append([case, label, spread(speeds, 0), spread(ratios)])
    return rows


def speed(way: Way, pixels: Tensor) -> float:
    """Return pictures a second."""
    way(pixels)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        way(pixels)
        done += len(pixels)
    return done / (time.perf_counter() - began)


def ours(policy: Policy) -> Way:
    generator = torch.Generator().manual_seed(0)
    return lambda pixels: augment(pixels, policy, generator)


def by_batch(policy: Policy, shape: tuple[int, ...]) -> Way:
    steps = _torchvision(policy, shape)
    return lambda pixels: steps(pixels).float()


def one_by_one(policy: Policy, shape: tuple[int, ...]) -> Way:
    steps = _torchvision(policy, shape)
    return lambda pixels: torch.stack([steps(picture) for picture in pixels]).float()


def _torchvision(policy: Policy, shape: tuple[int, ...]) -> v2.Transform:
    """The same changes; where there are two of geometry, each interpolates."""
    steps: list[v2.Transform] = []
    if policy.area != (1, 1):
        aspect = (1 / policy.aspect, policy.aspect)
        steps.append(v2.RandomResizedCrop(shape[-2:], policy.area, aspect))
    if policy.rotation or policy.shear or policy.translation or policy.zoom != (1, 1):
        steps.append(
            v2.RandomAffine(
                policy.rotation,
                (policy.translation, policy.translation) if policy.translation else None,
                policy.zoom if policy.zoom != (1, 1) else None,
                policy.shear or None,
                interpolation=v2.InterpolationMode.BILINEAR,
            )
        )
    if policy.flip:
        steps.append(v2.RandomHorizontalFlip(policy.flip))
    if policy.colours:
        steps.append(v2.ColorJitter(*_jitter(policy)))
    if policy.erase:
        steps.append(v2.RandomErasing(policy.erase, policy.erase_area))
    return v2.Compose(steps)


def with_kornia(policy: Policy, shape: tuple[int, ...]) -> Way:
    """The same changes, each picture its own."""
    import kornia.augmentation as kornia

    steps = []
    if policy.area != (1, 1):
        aspect = (1 / policy.aspect, policy.aspect)
        steps.append(kornia.RandomResizedCrop(shape[-2:], policy.area, aspect, p=1.0))
    if policy.rotation or policy.shear or policy.translation or policy.zoom != (1, 1):
        steps.append(
            kornia.RandomAffine(
                policy.rotation,
                (policy.translation, policy.translation) if policy.translation else None,
                policy.zoom if policy.zoom != (1, 1) else None,
                policy.shear or None,
                p=1.0,
            )
        )
    if policy.flip:
        steps.append(kornia.RandomHorizontalFlip(p=policy.flip))
    if policy.colours:
        steps.append(kornia.ColorJitter(*_jitter(policy), p=1.0))
    if policy.erase:
        steps.append(kornia.RandomErasing(policy.erase_area, p=policy.erase))
    together = torch.nn.Sequential(*steps)
    return lambda pixels: together(pixels.float() / 255)


def _jitter(policy: Policy) -> tuple[float, float, float, float]:
    return policy.brightness, policy.contrast, policy.saturation, policy.hue / 360


if __name__ == "__main__":
    main()
